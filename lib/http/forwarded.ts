/**
 * What proxies note of a request before they pass it on: in `Forwarded` (RFC 7239), or in the older headers that begin
 * with X-. A client may send such headers too, and most proxies pass on those that they don't write themselves: so
 * one kind is read, and the operator says which.
 */

/** What one proxy noted. */
export interface Hop {
  /** Who spoke to it: an address, perhaps with a port, or anything else. */
  readonly from: string;
  /** The host that it was asked for. */
  readonly host?: string;
  readonly proto?: string;
}

/** Longer chains are nobody's. */
const MAX_HOPS = 32;
const MAX_CHARACTERS = 8192;

/**
 * The notes of all proxies, the nearest first.
 *
 * @param name `forwarded`; or the header, in lower case, that lists addresses as `x-forwarded-for` does. Beside it
 * `X-Forwarded-Host` and `X-Forwarded-Proto` are read. Where they are lists, the proxy that is nearest to the client
 * has written the first value; and so may the client: it only decides what this client is shown.
 */
export function* hops(headers: Headers, name: string): Iterable<Hop> {
  const notes = (headers.get(name) ?? "").slice(-MAX_CHARACTERS);
  if (name === "forwarded") return yield* elements(notes);
  const first = (name: string) => /^[^,]*/.exec(headers.get(name) ?? "")![0].trim() || undefined;
  const seen = { host: first("x-forwarded-host"), proto: first("x-forwarded-proto") };
  for (const from of notes.split(",").slice(-MAX_HOPS).reverse()) yield { from: from.trim(), ...seen };
}

/** Values without quotes hold more than RFC 7239 lets them: `for=192.0.2.1:4711` is often seen. */
const PAIR = String.raw`[\w!#$%&'*+.^|~-]+=(?:"(?:[^"\\]|\\.)*"|[^\s",;]*)`;
const PAIRS = new RegExp(PAIR, "g");
const LAST_ELEMENT = new RegExp(String.raw`(?:^|,)[ \t]*(${PAIR}(?:[ \t]*;[ \t]*${PAIR})*)[ \t]*$`);

/**
 * Read from its end: what stands to the left may be a client's, with a quotation mark that is never closed. Whatever
 * can't be read ends the chain.
 */
function* elements(notes: string): Iterable<Hop> {
  for (let count = 0; count < MAX_HOPS; count++) {
    const match = LAST_ELEMENT.exec(notes);
    if (match === null) return;
    const pairs = [...match[1]!.matchAll(PAIRS)].map(([pair]) => {
      const at = pair.indexOf("=");
      return [pair.slice(0, at).toLowerCase(), unquoted(pair.slice(at + 1))] as const;
    });
    const { for: from = "", host, proto } = Object.fromEntries(pairs);
    yield { from, host, proto };
    notes = notes.slice(0, match.index);
  }
}

function unquoted(value: string): string {
  return value.startsWith('"') ? value.slice(1, -1).replace(/\\(.)/g, "$1") : value;
}
