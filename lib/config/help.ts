/** The text of `--help`. */

import { SUBCOMMANDS } from "./subcommands.ts";
import { type Option, OPTIONS, SWITCHES, VERSION } from "./options.ts";

const HELP_WIDTH = 100;

/** The text of `--help`. */
export function help(): string {
  const rows: { heading?: string; form: string; about: string }[] = [];
  for (const [flag, row] of Object.entries<Option<unknown>>(OPTIONS)) {
    const note = row.default === undefined || row.list ? row.env : `${row.env}; ${row.default}`;
    // A no-break space keeps the note on one line.
    const about = `${row.help} [${note.replace(" ", "\u00a0")}]`;
    rows.push({ heading: row.heading, form: `--${flag} ${row.value}`, about });
  }
  for (const [name, about] of Object.entries(SWITCHES)) {
    rows.push({
      heading: name === "healthcheck" ? "Instead of serving" : undefined,
      form: name === "healthcheck" ? `--${name}` : `--${name}, -${name[0]}`,
      about,
    });
  }
  for (const [name, about] of Object.entries(SUBCOMMANDS)) {
    rows.push({ heading: name === "doctor" ? "Commands" : undefined, form: name, about });
  }
  const left = Math.max(...rows.map(({ form }) => form.length)) + 4;
  const lines = rows.flatMap(({ heading, form, about }) => [
    ...heading ? ["", `${heading}:`] : [],
    `  ${form}`.padEnd(left) + wrap(about, left, HELP_WIDTH).replaceAll("\u00a0", " "),
  ]);
  return `signal ${VERSION}: a rendezvous server for WebRTC peers

Usage: signal [OPTION ...]
       signal COMMAND ...

Without options it listens on port ${OPTIONS.port.default} and is ready for use. In brackets: the environment
variable that does the same as the flag, and the default. A flag wins over a variable.
${lines.join("\n")}

A list is given by repeating the flag, or with commas. SIGTERM or SIGINT stops the server gently, a
second one at once; SIGHUP has the files of secrets and keys read again.`;
}

/** Breaks a text between words; lines after the first are indented. */
function wrap(text: string, indent: number, width: number): string {
  let line = "";
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    if (line !== "" && indent + line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].join("\n" + " ".repeat(indent));
}
