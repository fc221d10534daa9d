import { completions, man } from "../../lib/commands/completions.ts";
import { OPTIONS } from "../../lib/config/options.ts";
import { SUBCOMMANDS } from "../../lib/config/subcommands.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "../kit/assert.ts";
import { missingBinaries, testWith } from "../kit/parts.ts";

const BACKSPACE = String.fromCharCode(8);

function printed(command: typeof completions, ...args: string[]): string {
  const lines: string[] = [];
  assertEquals(command(args, (line) => lines.push(line)), 0);
  return lines.join("\n") + "\n";
}

async function piped(command: string[], input: string): Promise<{ code: number; text: string }> {
  const child = new Deno.Command(command[0]!, {
    args: command.slice(1),
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

testWith(
  missingBinaries("bash"),
  "bash completes options, commands and values as the table has them",
  async () => {
    const script = printed(completions, "bash");
    const complete = async (...words: string[]) => {
      const line = words.map((word) => `"${word}"`).join(" ");
      const { text } = await piped(
        ["bash"],
        `${script}\nCOMP_WORDS=(${line}); COMP_CWORD=${
          words.length - 1
        }; _signal; printf '%s\\n' "\${COMPREPLY[@]}"\n`,
      );
      return text.trim().split("\n");
    };
    assertEquals(await complete("signal", "--max-ro"), [
      "--max-rooms",
      "--max-rooms-per-client",
      "--max-room-peers",
    ]);
    assertEquals(await complete("signal", "doc"), ["doctor"]);
    assertEquals(await complete("signal", "completions", ""), ["bash", "zsh", "fish"]);
    const files = await complete("signal", "--tls-cert", "/etc/host");
    assert(files.includes("/etc/hosts"), files.join());
  },
);

Deno.test("each shell's script names every option and every command", () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    const script = printed(completions, shell);
    for (const flag of Object.keys(OPTIONS)) assertStringIncludes(script, flag);
    for (const name of Object.keys(SUBCOMMANDS)) assertStringIncludes(script, name);
  }
  assertThrows(() => completions(["tcsh"], () => {}), Error, "bash, zsh, fish");
});

testWith(missingBinaries("zsh"), "zsh reads its script", async () => {
  assertEquals(await piped(["zsh", "-n"], printed(completions, "zsh")), { code: 0, text: "" });
});

testWith(missingBinaries("fish"), "fish reads its script", async () => {
  assertEquals(await piped(["fish", "--no-execute"], printed(completions, "fish")), { code: 0, text: "" });
});

testWith(
  missingBinaries("man"),
  "the manual page has every option and is read without a warning",
  async () => {
    const file = await Deno.makeTempFile({ suffix: ".1" });
    await Deno.writeTextFile(file, printed(man));
    try {
      const { code, stdout, stderr } = await new Deno.Command("man", {
        args: ["--warnings", "-l", file],
        env: { MANWIDTH: "200", LC_ALL: "C.UTF-8" },
      }).output();
      assertEquals({ code, warnings: new TextDecoder().decode(stderr) }, { code: 0, warnings: "" });
      const text = new TextDecoder().decode(stdout).replaceAll(new RegExp(`.${BACKSPACE}`, "g"), "")
        .replaceAll(
          "‐",
          "-",
        );
      for (const flag of Object.keys(OPTIONS)) assertStringIncludes(text, `--${flag}`);
    } finally {
      await Deno.remove(file);
    }
  },
);
