/**
 * A peer whose network is cut now and then, for a page and for a program. Ten times a second it signals a number to the
 * other, past the link between the two.
 *
 * @param {(url: string) => Promise<object>} join
 * @param {string} ident
 * @param {(what: object) => void} tell told of whatever happens
 */
export async function talk(join, ident, tell) {
  const mesh = await join(ident);
  const { signaller } = mesh;
  for (const event of ["welcome", "resumed", "gone", "stun"]) {
    signaller.addEventListener(event, ({ reason }) => tell({ event, reason }));
  }
  signaller.addEventListener("signal", ({ data }) => data.number && tell({ number: data.number }));
  mesh.addEventListener("error", ({ error }) => tell({ error: error.code }));
  const meet = (peer) => {
    tell({ peer: peer.ident });
    peer.addEventListener("state", () => tell({ state: peer.state, path: peer.path }));
    peer.addEventListener("message", ({ data }) => data.length > 1e6 && tell({ received: checksum(data) }));
  };
  mesh.addEventListener("peer", ({ peer }) => meet(peer));
  tell({ joined: ident });
  let said = 0;
  setInterval(() => {
    const [other] = mesh.peers.keys();
    if (!other) return;
    signaller.signal(`kitchen:${ident}`, `kitchen:${other}`, { number: ++said });
    tell({ said });
  }, 100);
  return {
    /** Sends so many bytes to the other, over the link. */
    async send(size) {
      const bytes = new Uint8Array(size);
      for (let i = 0; i < size; i++) bytes[i] = i * 31 + (i >> 8) * 7;
      tell({ sending: checksum(bytes) });
      await [...mesh.peers.values()][0].send(bytes);
    },
  };
}

/** FNV-1a, and the length. */
function checksum(bytes) {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return `${bytes.length} ${hash}`;
}
