/**
 * Plays conversations that were recorded from the original server (DIVA signal 2.2.8) against ours: every socket
 * has to receive the same texts, to the byte, at the same step.
 */

import { assert, assertEquals } from "../kit/assert.ts";
import { TestClient } from "../kit/client.ts";
import conversations from "./conversations.json" with { type: "json" };
import { testServer } from "../kit/server.ts";

interface Step {
  readonly open?: string;
  readonly close?: string;
  readonly by?: string;
  readonly send?: unknown;
  /** What each socket receives; a socket that isn't named receives nothing. */
  readonly then: Readonly<Record<string, readonly unknown[]>>;
}

/** Idents that the server made stand in a recording as `<ident:1>`, `<ident:2>`. */
const PLACEHOLDER = /<ident:\d+>/g;

for (const form of ["text", "binary"] as const) {
  for (const { name, steps } of conversations as { name: string; steps: Step[] }[]) {
    Deno.test(`recorded, in ${form} frames: ${name}`, async () => {
      await using server = testServer();
      const clients = new Map<string, TestClient>();
      const idents = new Map<string, string>();
      const resolve = (text: string) => text.replace(PLACEHOLDER, (name) => idents.get(name) ?? name);

      for (const [index, step] of steps.entries()) {
        if (step.open !== undefined) clients.set(step.open, await TestClient.open(server.url));
        if (step.close !== undefined) {
          await clients.get(step.close)!.close();
          clients.delete(step.close);
          await server.counts({ sockets: clients.size });
        }
        if (step.by !== undefined) {
          const text = typeof step.send === "string" ? step.send : resolve(JSON.stringify(step.send));
          clients.get(step.by)!.send(form === "text" ? text : new TextEncoder().encode(text));
        }
        // The caller first: when it has its answers, those of the others have been sent.
        const names = [...clients.keys()].sort((a, b) => Number(b === step.by) - Number(a === step.by));
        for (const name of names) {
          const received = await clients.get(name)!.settle();
          const expected = (step.then[name] ?? []).map((message) => JSON.stringify(message));
          assertEquals(received.length, expected.length, `step ${index + 1}, socket ${name}: ${received}`);
          for (const [i, text] of received.entries()) {
            const fresh = /^\["ident","(.*)"\]$/.exec(text)?.[1];
            if (fresh !== undefined) {
              assert(/^[a-z]{12,23}$/.test(fresh), fresh);
              idents.set(PLACEHOLDER.exec(expected[i]!)?.[0] ?? "", fresh);
              PLACEHOLDER.lastIndex = 0;
            }
            assertEquals(text, resolve(expected[i]!), `step ${index + 1}, socket ${name}`);
          }
        }
      }
      for (const client of clients.values()) await client.close();
      await server.counts({ sockets: 0, rooms: 0, addresses: 0 });
    });
  }
}
