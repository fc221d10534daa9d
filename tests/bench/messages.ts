/** What the benchmark's clients say. */

/** A session description as browsers write it, with as many candidates as are asked for. */
function* sdpLines(): Generator<string> {
  yield* ["v=0", "o=- 4611731400430051336 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0"];
  yield* ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0"];
  yield* ["a=ice-ufrag:Zk3p", "a=ice-pwd:0c4hbdA9YVzuEkVqzT2yI7wq", "a=ice-options:trickle"];
  for (let number = 1;; number++) {
    yield `a=candidate:${number} 1 udp ${2122260223 - number} 192.0.2.${number % 256} ${
      50000 + number
    } typ host`;
  }
}

/** A signal of exactly so many bytes that carries an offer. All characters are ASCII. */
export function signalText(from: string, to: string, bytes: number): string {
  const text = (sdp: string) => JSON.stringify(["signal", from, to, { type: "offer", sdp }]);
  let sdp = "";
  for (const line of sdpLines()) {
    if (text(`${sdp}${line}\r\n`).length > bytes) break;
    sdp += `${line}\r\n`;
  }
  const missing = bytes - text(sdp).length;
  if (missing < 0) throw new RangeError(`a signal from ${from} to ${to} takes more than ${bytes} bytes`);
  return text(sdp + "x".repeat(missing));
}

/** What the receiver of such a signal must get. */
export function relayedText(from: string, to: string, signal: string): string {
  const [name, , , data] = JSON.parse(signal);
  return JSON.stringify([name, to, from, data]);
}

/** An ident like those that the server gives. All are of one length, and so are all room names. */
export function ident(number: number): string {
  const letters = number.toString(26).padStart(5, "0");
  const shifted = [...letters].map((digit) => String.fromCharCode(97 + parseInt(digit, 26)));
  return "benchmarkpeer" + shifted.join("");
}

export function room(number: number): string {
  return `room-${String(number).padStart(7, "0")}`;
}
