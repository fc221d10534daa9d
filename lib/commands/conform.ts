/** `signal conform`: holds a server, anybody's, against both versions of the protocol. */

import recorded from "./conversations.json" with { type: "json" };
import { rules } from "./rules.ts";
import { Disappointment, Talker } from "./talker.ts";
import { plain, readFlags, readServerUrl } from "./usage.ts";
import { UsageError } from "../config/command_line.ts";

const HELP = `Hold a server against the protocol

Usage: signal conform [--version 2|3] [--tap] wss://signal.example.org

Version 2: conversations that were recorded from the original server, in text and in binary frames; every
socket has to receive the same texts. Version 3: what its documents promise. Without --version both.
Rooms have random names, so that nobody else is in them. Exit 0 where all is well, else 1.

  --version VERSION   2 or 3 only
  --tap               the Test Anything Protocol, for programs`;

interface Step {
  readonly open?: string;
  readonly close?: string;
  readonly by?: string;
  readonly send?: unknown;
  /** What each socket receives; one that isn't named receives nothing. */
  readonly then: Readonly<Record<string, readonly unknown[]>>;
}

interface Check {
  readonly name: string;
  readonly run: () => Promise<void>;
}

export async function conform(args: readonly string[], print: (line: string) => void): Promise<number> {
  const flags = readFlags("conform", args, {
    valued: ["version"],
    bare: ["tap"],
    word: "the address of a server",
  });
  if (flags.switches.has("help")) return print(HELP), 0;
  const url = readServerUrl(flags.words[0]!).href;
  const version = flags.values["version"]?.at(-1);
  if (version !== undefined && version !== "2" && version !== "3") {
    throw new UsageError(`--version: "${version}" is neither 2 nor 3.`);
  }
  const checks: Check[] = [
    ...version === "3" ? [] : recordedChecks(url),
    ...version === "2" ? [] : rules(url),
  ];
  const tap = flags.switches.has("tap");
  if (tap) print(`TAP version 14\n1..${checks.length}`);
  let failed = 0;
  for (const [i, { name, run }] of checks.entries()) {
    let why: string | undefined;
    try {
      await run();
    } catch (error) {
      why = error instanceof Disappointment ? error.message : String(error);
      failed++;
    }
    if (tap) {
      print(`${why === undefined ? "ok" : "not ok"} ${i + 1} - ${name.replaceAll("#", "\\#")}`);
      if (why !== undefined) print(`  ---\n  message: ${JSON.stringify(why)}\n  ...`);
    } else if (why !== undefined) print(`not so: ${name}\n        ${plain(why)}`);
  }
  if (!tap) {
    print(`${checks.length - failed} of ${checks.length} are so${failed > 0 ? `, ${failed} are not` : ""}.`);
  }
  return failed > 0 ? 1 : 0;
}

function recordedChecks(url: string): Check[] {
  const conversations = recorded as readonly { readonly name: string; readonly steps: readonly Step[] }[];
  return (["text", "binary"] as const).flatMap((form) =>
    conversations.map(({ name, steps }) => ({
      name: `version 2, ${form}: ${name}`,
      run: () => replay(url, steps, form),
    }))
  );
}

async function replay(url: string, steps: readonly Step[], form: "text" | "binary"): Promise<void> {
  const talkers = new Map<string, Talker>();
  const idents = new Map<string, string>();
  const elsewhere = renameRooms(steps);
  /** As it is to be sent, or to come: rooms by their random names, idents as the server made them. */
  const resolve = (message: unknown) =>
    JSON.stringify(elsewhere(message)).replaceAll(/<ident:\d+>/g, (name) => idents.get(name) ?? name);
  try {
    for (const [index, step] of steps.entries()) {
      if (step.open !== undefined) talkers.set(step.open, await Talker.open(url, 2));
      if (step.close !== undefined) {
        await talkers.get(step.close)!.close();
        talkers.delete(step.close);
      }
      if (step.by !== undefined) {
        const text = typeof step.send === "string" ? step.send : resolve(step.send);
        talkers.get(step.by)!.send(form === "text" ? text : new TextEncoder().encode(text));
      }
      // The caller first: when it has its answers, those of the others have been sent.
      const names = [...talkers.keys()].sort((a, b) => Number(b === step.by) - Number(a === step.by));
      for (const name of names) {
        const expected = step.then[name] ?? [];
        const received = await talkers.get(name)!.settle();
        const where = `step ${index + 1}, socket ${name}`;
        for (const [i, message] of expected.entries()) {
          const text = received[i];
          if (text === undefined) throw new Disappointment(`${where}: ${resolve(message)} did not come`);
          const fresh = /^\["ident","([a-z]{12,23})"\]$/.exec(text)?.[1];
          const [, placeholder] = /^\["ident","(<ident:\d+>)"\]$/.exec(JSON.stringify(message)) ?? [];
          if (fresh !== undefined && placeholder !== undefined) idents.set(placeholder, fresh);
          if (text !== resolve(message)) {
            throw new Disappointment(`${where}: ${text.slice(0, 300)} came, and not ${resolve(message)}`);
          }
        }
        if (received.length > expected.length) {
          throw new Disappointment(`${where}: ${received[expected.length]} came unasked`);
        }
      }
    }
  } finally {
    for (const talker of talkers.values()) talker[Symbol.dispose]();
  }
}

/** Gives a conversation's rooms names that nobody else has. */
function renameRooms(steps: readonly Step[]): (value: unknown) => unknown {
  const suffix = `-${crypto.randomUUID().slice(0, 8)}`;
  const rooms = steps.flatMap(({ send }) =>
    Array.isArray(send) && send[0] === "join" && typeof send[2] === "string" && send[2] !== ""
      ? [send[2]]
      : []
  );
  const rename = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(rename);
    if (typeof value !== "string") return value;
    const room = rooms.find((room) => value === room || value.startsWith(`${room}:`));
    return room === undefined ? value : room + suffix + value.slice(room.length);
  };
  return rename;
}
