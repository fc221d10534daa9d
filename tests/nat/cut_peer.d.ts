/** See `cut_peer.js`, which is no TypeScript for the sake of the page that it is pasted into. */
export function talk(
  join: (ident: string) => Promise<object>,
  ident: string,
  tell: (what: object) => void,
): Promise<{ send(size: number): Promise<void> }>;
