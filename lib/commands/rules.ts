/** What version 3 of the protocol promises, as checks of a server that nobody knows from inside. */

import { Disappointment, Talker, VERSION_3 } from "./talker.ts";

interface Rule {
  readonly name: string;
  readonly run: () => Promise<void>;
}

/** Two in a room of their own, and what they have been told. */
interface Pair {
  readonly room: string;
  readonly alice: Talker;
  readonly bob: Talker;
}

const OFFER = { description: { type: "offer", sdp: "v=0\r\n" } };
const KEY = "k".repeat(32);

function same(actual: unknown, expected: unknown, what: string): void {
  const [came, wanted] = [actual, expected].map((value) => JSON.stringify(value));
  if (came !== wanted) throw new Disappointment(`${what}: ${came} came, and not ${wanted}`);
}

function holds(condition: boolean, what: string): void {
  if (!condition) throw new Disappointment(what);
}

/** Makes the calls, and compares all that comes. */
async function call(talker: Talker, calls: unknown[], ...answers: unknown[]): Promise<void> {
  const came = await talker.settle(...calls);
  same(came.map((text) => JSON.parse(text)), answers, `after ${JSON.stringify(calls)}`);
}

/** Of an error all but its sentence counts. */
async function refused(talker: Talker, message: unknown, ...expected: unknown[]): Promise<void> {
  const came = (await talker.settle(message)).map((text) => JSON.parse(text));
  const [name, code, sentence, ...about] = came[0] ?? [];
  same([came.length, name, code, ...about], [1, "error", ...expected], `after ${JSON.stringify(message)}`);
  holds(typeof sentence === "string" && sentence !== "", "an error without a sentence for people");
}

export function rules(url: string): Rule[] {
  const open = async (version: 2 | 3 = 3) => {
    const talker = await Talker.open(url, version);
    if (version === 2) return { talker, welcome: {} as Record<string, unknown> };
    const [name, welcome] = await talker.next() as [string, Record<string, unknown>];
    same(name, "welcome", "the first message");
    return { talker, welcome };
  };
  const freshRoom = () => `conform-${crypto.randomUUID()}`;

  async function withPair(then: (pair: Pair) => Promise<void>, version: 2 | 3 = 3): Promise<void> {
    const room = freshRoom();
    const { talker: alice } = await open();
    const { talker: bob } = await open(version);
    try {
      await call(alice, [["join", "alice", room]], ["join", `${room}:alice`]);
      await call(
        bob,
        [["join", "bob", room]],
        ["join", `${room}:bob`],
        ["stun", `${room}:bob`, `${room}:alice`, true],
      );
      same(await alice.next(), ["stun", `${room}:alice`, `${room}:bob`, false], "the member that was there");
      await then({ room, alice, bob });
    } finally {
      alice[Symbol.dispose]();
      bob[Symbol.dispose]();
    }
  }

  async function alone(
    then: (talker: Talker, welcome: Record<string, unknown>) => Promise<void>,
  ): Promise<void> {
    const { talker, welcome } = await open();
    try {
      await then(talker, welcome);
    } finally {
      talker[Symbol.dispose]();
    }
  }

  const rule = (name: string, run: () => Promise<void>): Rule => ({ name: `version 3: ${name}`, run });
  return [
    rule(
      "it is asked for by its subprotocol, which the server answers with",
      () => alone((talker) => Promise.resolve(same(talker.protocol, VERSION_3, "the subprotocol"))),
    ),
    rule(
      "the first message is a welcome with version, server, limits, keepalive and ICE servers",
      () =>
        alone((_, welcome) => {
          same(welcome["version"], 3, "version");
          holds(typeof welcome["server"] === "string", "welcome names no server");
          holds(Number(welcome["keepaliveSeconds"]) > 0, "welcome has no keepaliveSeconds");
          holds(Array.isArray(welcome["iceServers"]), "welcome has no iceServers");
          holds(
            Object.values(welcome["limits"] ?? {}).every((limit) => typeof limit === "number"),
            "limits that are no numbers",
          );
          return Promise.resolve();
        }),
    ),
    rule("ident makes a fresh ident each time", () =>
      alone(async (talker) => {
        const idents = (await talker.settle(["ident"], ["ident"])).map((text) => JSON.parse(text));
        same(idents.map(([name]) => name), ["ident", "ident"], "two answers");
        holds(idents[0][1] !== idents[1][1], "both idents are the same");
      })),
    rule(
      "the newcomer is told of its address first, and makes the offer",
      () => withPair(() => Promise.resolve()),
    ),
    rule(
      "a signal comes with both addresses, the receiver's first, and its data untouched",
      () =>
        withPair(async ({ room, alice, bob }) => {
          const data = { ...OFFER, more: [1.50, "é", { a: null }] };
          await call(bob, [["signal", `${room}:bob`, `${room}:alice`, data]]);
          same(await alice.next(), ["signal", `${room}:alice`, `${room}:bob`, data], "the signal");
        }),
    ),
    rule(
      "numbers and spaces of the data are relayed as they were written",
      () =>
        withPair(async ({ room, alice, bob }) => {
          await call(bob, [`["signal","${room}:bob","${room}:alice", {"n": 1.50e0} ]`]);
          const text = await alice.nextText();
          holds(text.includes('{"n": 1.50e0}'), `the data became ${text}`);
        }),
    ),
    rule(
      "a client of version 2 and one of version 3 meet in a room",
      () =>
        withPair(async ({ room, alice, bob }) => {
          await call(alice, [["signal", `${room}:alice`, `${room}:bob`, OFFER]]);
          same(await bob.next(), ["signal", `${room}:bob`, `${room}:alice`, OFFER], "the signal");
        }, 2),
    ),
    rule(
      "leave is answered, and the others hear gone … left",
      () =>
        withPair(async ({ room, alice, bob }) => {
          await call(bob, [["leave", `${room}:bob`]], ["leave", `${room}:bob`]);
          same(await alice.next(), ["gone", `${room}:alice`, `${room}:bob`, "left"], "the other one");
        }),
    ),
    rule("who closes is gone … closed", () =>
      withPair(async ({ room, alice, bob }) => {
        await bob.close();
        same(await alice.next(), ["gone", `${room}:alice`, `${room}:bob`, "closed"], "the other one");
      })),
    rule(
      "an address is taken by one at a time",
      () =>
        withPair(({ room, bob }) =>
          refused(bob, ["join", "alice", room], "ident-taken", "join", "alice", room)
        ),
    ),
    rule(
      "with the same key an address is taken over, the others hear gone … replaced",
      () =>
        withPair(async ({ room, alice }) => {
          const { talker: former } = await open();
          const { talker: latter } = await open();
          try {
            await former.settle(["join", "carol", room, { key: KEY }]);
            await alice.settle();
            await refused(
              latter,
              ["join", "carol", room, { key: "x".repeat(32) }],
              "ident-taken",
              "join",
              "carol",
              room,
            );
            const answers = await latter.settle(["join", "carol", room, { key: KEY }]);
            same(JSON.parse(answers[0] ?? "null"), ["join", `${room}:carol`], "the new holder");
            const told = (await alice.settle()).map((text) => JSON.parse(text));
            same(told, [
              ["gone", `${room}:alice`, `${room}:carol`, "replaced"],
              ["stun", `${room}:alice`, `${room}:carol`, false],
            ], "the others");
            same((await former.closed).code, 4001, "the close code of the former holder");
          } finally {
            former[Symbol.dispose]();
            latter[Symbol.dispose]();
          }
        }),
    ),
    rule(
      "a signal from an address that one does not hold is refused",
      () =>
        withPair(({ room, alice }) =>
          refused(
            alice,
            ["signal", `${room}:bob`, `${room}:alice`, 1],
            "not-a-member",
            "signal",
            `${room}:bob`,
            `${room}:alice`,
          )
        ),
    ),
    rule("a signal to nobody, or to another room, is refused", () =>
      withPair(async ({ room, alice }) => {
        const other = freshRoom();
        const { talker } = await open();
        try {
          await talker.settle(["join", "eve", other]);
          for (const to of [`${room}:nobody`, `${other}:eve`]) {
            await refused(
              alice,
              ["signal", `${room}:alice`, to, 1],
              "no-such-peer",
              "signal",
              `${room}:alice`,
              to,
            );
          }
          same(await talker.settle(), [], "the one in the other room");
        } finally {
          talker[Symbol.dispose]();
        }
      })),
    rule(
      "what can't be understood is refused with its code, and the socket stays open",
      () =>
        alone(async (talker) => {
          await refused(talker, "{", "bad-json");
          await refused(talker, ["nonsense"], "bad-call", "nonsense");
          await refused(talker, { call: "ident" }, "bad-call");
          await refused(talker, ["join", "a"], "bad-arguments", "join");
          await refused(talker, ["join", "a:b", "r"], "bad-ident", "join", "a:b", "r");
          await refused(talker, ["join", "a", ""], "bad-room", "join", "a", "");
          await refused(talker, ["leave", "r:a"], "not-a-member", "leave", "r:a");
          await call(talker, []);
        }),
    ),
    rule("ice tells fresh ICE servers", () =>
      alone(async (talker) => {
        const [answer] = (await talker.settle(["ice"])).map((text) => JSON.parse(text));
        same(answer?.[0], "ice", "the answer");
        holds(Array.isArray(answer[1].iceServers), "no iceServers");
      })),
    rule(
      "a report gets no answer from a member, and an error from others",
      () =>
        withPair(async ({ room, alice, bob }) => {
          const link = { state: "connected", path: "host", ms: 1 };
          await call(alice, [["report", `${room}:alice`, `${room}:bob`, link]]);
          const strange = ["report", `${room}:alice`, `${room}:bob`, link];
          await refused(bob, strange, "not-a-member", "report", `${room}:alice`, `${room}:bob`);
        }),
    ),
    rule(
      "where sessions can be resumed, one that broke goes on as if nothing had been",
      () =>
        withPair(async ({ room, alice }) => {
          const { talker: former, welcome } = await open();
          const offer = welcome["resume"] as { id: string } | undefined;
          if (offer === undefined) return former[Symbol.dispose]();
          const { talker: latter } = await open();
          try {
            // The welcome has no number; two messages have come.
            await call(
              former,
              [["join", "dora", room]],
              ["join", `${room}:dora`],
              ["stun", `${room}:dora`, `${room}:alice`, true],
              ["stun", `${room}:dora`, `${room}:bob`, true],
            );
            await alice.settle(["signal", `${room}:alice`, `${room}:dora`, OFFER]);
            // Of four messages and two pongs the last is said not to have come.
            const texts = await latter.settle(["resume", offer.id, 4]);
            const came = texts.map((text) => JSON.parse(text));
            same(came[0]?.[0], "resumed", "the first answer");
            same(came[0][1].addresses, [`${room}:dora`], "its addresses");
            same(came[1], ["signal", `${room}:dora`, `${room}:alice`, OFFER], "what it had missed");
            same(await alice.settle(), [], "the others, who hear nothing of it");
            await refused(latter, ["resume", offer.id, 4], "cannot-resume", "resume");
          } finally {
            former[Symbol.dispose]();
            latter[Symbol.dispose]();
          }
        }),
    ),
    rule("a subprotocol that is nearly ours is not taken for version 2", async () => {
      const socket = new WebSocket(url, ["diva.signal.v4"]);
      const opened = await new Promise<boolean>((resolve) => {
        socket.onopen = () => resolve(true);
        socket.onerror = () => resolve(false);
      });
      socket.onerror = null;
      socket.close();
      holds(!opened, "a socket that asked for diva.signal.v4 was accepted");
    }),
  ];
}
