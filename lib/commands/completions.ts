/** `signal completions` and `signal man`: made of the table of options. */

import { type Option, OPTIONS, SWITCHES, VERSION } from "../config/options.ts";
import { SUBCOMMANDS } from "../config/subcommands.ts";
import { UsageError } from "../config/command_line.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = typeof SHELLS[number];

interface Row {
  readonly flag: string;
  /** What stands for the value; of a switch there is none. */
  readonly value?: string;
  readonly help: string;
}

const rows: readonly Row[] = [
  ...Object.entries<Option<unknown>>(OPTIONS).map(([flag, { value, help }]) => ({ flag, value, help })),
  ...Object.entries(SWITCHES).map(([flag, help]) => ({ flag, help })),
];
const words = Object.entries(SUBCOMMANDS);

const isFile = ({ value }: Row) => value === "FILE" || value === "PLACE";

/** Prints the script for a shell. */
export function completions(args: readonly string[], print: (line: string) => void): number {
  const [shell, ...more] = args;
  if (shell === "--help" || shell === "-h") {
    print(
      "signal completions bash|zsh|fish prints what the shell needs to complete options, for example\n" +
        "  signal completions bash > ~/.local/share/bash-completion/completions/signal",
    );
    return 0;
  }
  if (!SHELLS.includes(shell as Shell) || more.length > 0) {
    throw new UsageError(`signal completions needs the name of a shell: ${SHELLS.join(", ")}.`);
  }
  print(SCRIPTS[shell as Shell]());
  return 0;
}

const SCRIPTS: Readonly<Record<Shell, () => string>> = {
  bash: () =>
    `# bash completion for signal ${VERSION}
_signal() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"
  COMPREPLY=()
  case "$previous" in
    ${rows.filter(isFile).map(({ flag }) => `--${flag}`).join("|")})
      mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    ${rows.filter((row) => row.value !== undefined && !isFile(row)).map(({ flag }) => `--${flag}`).join("|")})
      return ;;
    completions)
      mapfile -t COMPREPLY < <(compgen -W "${SHELLS.join(" ")}" -- "$current"); return ;;
  esac
  local words="${rows.map(({ flag }) => `--${flag}`).join(" ")}"
  if [[ $COMP_CWORD == 1 ]]; then words+=" ${words.map(([name]) => name).join(" ")}"; fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o filenames -F _signal signal`,
  zsh: () =>
    `#compdef signal
# zsh completion for signal ${VERSION}
_signal() {
  local -a commands=(
${words.map(([name, help]) => `    ${quoted(`${name}:${help}`)}`).join("\n")}
  )
  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then
    _describe command commands
    return
  fi
  _arguments \\
${
      rows.map((row) => {
        const action = isFile(row) ? ":_files" : "";
        const value = row.value === undefined ? "" : `:${row.value}${action || ": "}`;
        return `    ${quoted(`--${row.flag}[${row.help.replaceAll(/[[\]\\:]/g, "\\$&")}]${value}`)}`;
      }).join(" \\\n")
    }
}
_signal "$@"`,
  fish: () =>
    [
      `# fish completion for signal ${VERSION}`,
      "complete -c signal -f",
      ...words.map(([name, help]) =>
        `complete -c signal -n __fish_use_subcommand -a ${name} -d ${quoted(help.replace(/: signal .*/, ""))}`
      ),
      ...rows.map((row) =>
        `complete -c signal -l ${row.flag}${
          row.value === undefined ? "" : isFile(row) ? " -r -F" : " -x"
        } -d ${quoted(row.help)}`
      ),
    ].join("\n"),
};

/** For a shell, in single quotes. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Prints the manual page (troff, for man(7)). */
export function man(_args: readonly string[], print: (line: string) => void): number {
  const options = Object.entries<Option<unknown>>(OPTIONS).flatMap(([flag, row]) => [
    ...row.heading ? [`.SS ${troff(row.heading)}`] : [],
    ".TP",
    `.BI \\-\\-${troff(flag)} " ${row.value}"`,
    troff(row.help) + ".",
    `Variable: ${troff(row.env)}${
      row.default === undefined || row.list ? "" : `; default: ${troff(String(row.default))}`
    }.`,
  ]);
  const switches = Object.entries(SWITCHES).flatMap(([flag, help]) => [
    ".TP",
    `.B \\-\\-${troff(flag)}`,
    troff(help) + ".",
  ]);
  print([
    `.TH SIGNAL 1 "" "signal ${VERSION}" "User Commands"`,
    ".SH NAME",
    "signal \\- a rendezvous server for WebRTC peers",
    ".SH SYNOPSIS",
    ".B signal",
    "[\\fIOPTION\\fR ...]",
    ".br",
    ".B signal",
    "\\fICOMMAND\\fR [\\fIARGUMENT\\fR ...]",
    ".SH DESCRIPTION",
    "Peers behind firewalls find each other through it and then connect directly. Without options it listens on",
    `port ${OPTIONS.port.default} and is ready for use. A flag wins over its variable.`,
    ".SH OPTIONS",
    ...options,
    ".SS Instead of serving",
    ...switches,
    ".SH COMMANDS",
    ...words.flatMap(([name, help]) => [".TP", `.B ${name}`, troff(help) + "."]),
    ".SH SIGNALS",
    "SIGTERM and SIGINT stop the server gently, a second one at once. SIGHUP has files of secrets and keys read again.",
    ".SH EXIT STATUS",
    "0, 1 where something failed, 2 where the command line is wrong.",
  ].join("\n"));
  return 0;
}

/** A line of text that troff takes as it is. */
function troff(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replace(/^[.']/, "\\&$&");
}
