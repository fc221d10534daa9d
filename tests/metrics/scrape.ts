/** What a server's metrics say. */

/** Values by name and labels, such as `signal_sockets{version="3"}`. */
export type Figures = ReadonlyMap<string, number>;

/** @param headers of the request */
export async function scrapeText(httpUrl: string, headers: HeadersInit = {}): Promise<string> {
  const response = await fetch(`${httpUrl}/metrics`, { headers });
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status} ${text}`);
  return text;
}

export function readFigures(text: string): Figures {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => {
    const space = line.lastIndexOf(" ");
    return [line.slice(0, space), Number(line.slice(space + 1))];
  }));
}

/** By how much each value that is another has grown, but for those named: of what was not there, from 0. */
export function growth(before: Figures, after: Figures, except: RegExp): Record<string, number> {
  const grown: Record<string, number> = {};
  for (const [name, value] of after) {
    const by = value - (before.get(name) ?? 0);
    if (by !== 0 && !except.test(name)) grown[name] = by;
  }
  return grown;
}
