/** Fresh idents: names that a peer can't guess of another. */

/** Letters: 22 of 26 possible ones carry 103 bits. */
const LENGTH = 22;

const FIRST_LETTER = "a".charCodeAt(0);

/** The largest multiple of 26 that fits into a byte. */
const FAIR_BYTES = 234;

/** Bytes that were drawn and not used yet: a call to the generator costs more than the bytes it returns. */
const pool = new Uint8Array(1024);
let used = pool.length;

/** A fresh ident of 22 letters a–z from the cryptographic generator. */
export function freshIdent(): string {
  const letters = new Array<number>(LENGTH);
  for (let i = 0; i < LENGTH;) {
    if (used === pool.length) {
      crypto.getRandomValues(pool);
      used = 0;
    }
    const byte = pool[used++]!;
    // Bytes above the last whole run of 26 would make the first letters likelier than the rest.
    if (byte < FAIR_BYTES) letters[i++] = FIRST_LETTER + byte % 26;
  }
  return String.fromCharCode(...letters);
}
