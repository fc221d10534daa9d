/**
 * Plays conversations that were recorded from the original server (DIVA signal 2.2.8) against ours: every socket
 * has to receive the same texts, to the byte, at the same step.
 */

import { assert, assertEquals } from "../kit/assert.ts";
import { TestClient } from "../kit/client.ts";
import conversations from "../../lib/commands/conversations.json" with { type: "json" };
import type { TestServer } from "../kit/server.ts";

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

export const CONVERSATIONS = conversations as readonly {
  readonly name: string;
  readonly steps: readonly Step[];
}[];
export const FORMS = ["text", "binary"] as const;

/** Its sockets are spread over the nodes in turn. */
export async function replay(
  nodes: readonly TestServer[],
  steps: readonly Step[],
  form: typeof FORMS[number],
): Promise<void> {
  const clients = new Map<string, { client: TestClient; node: TestServer }>();
  const idents = new Map<string, string>();
  const resolve = (text: string) => text.replace(PLACEHOLDER, (name) => idents.get(name) ?? name);
  let opened = 0;

  for (const [index, step] of steps.entries()) {
    if (step.open !== undefined) {
      const node = nodes[opened++ % nodes.length]!;
      clients.set(step.open, { node, client: await TestClient.open(node.url) });
    }
    if (step.close !== undefined) {
      const { client, node } = clients.get(step.close)!;
      await client.close();
      clients.delete(step.close);
      await node.counts({ sockets: [...clients.values()].filter((other) => other.node === node).length });
    }
    if (step.by !== undefined) {
      const text = typeof step.send === "string" ? step.send : resolve(JSON.stringify(step.send));
      clients.get(step.by)!.client.send(form === "text" ? text : new TextEncoder().encode(text));
    }
    // The caller first: when it has its answers, those of the others on its node have been sent.
    const names = [...clients.keys()].sort((a, b) => Number(b === step.by) - Number(a === step.by));
    for (const name of names) {
      const expected = (step.then[name] ?? []).map((message) => JSON.stringify(message));
      const received: string[] = [];
      const deadline = performance.now() + 5000;
      // What comes from another node may take its time.
      do received.push(...await clients.get(name)!.client.settle()); while (
        nodes.length > 1 && received.length < expected.length && performance.now() < deadline
      );
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
  for (const { client } of clients.values()) await client.close();
  for (const node of nodes) await node.counts({ sockets: 0, rooms: 0, addresses: 0 });
}
