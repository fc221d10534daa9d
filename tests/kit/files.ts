/** Files for tests. */

/** A file with this text, for as long as it is in use; readable by its owner. */
export function fileWith(text: string): Disposable & { readonly path: string } {
  const path = Deno.makeTempFileSync();
  Deno.writeTextFileSync(path, text);
  return { path, [Symbol.dispose]: () => Deno.removeSync(path) };
}
