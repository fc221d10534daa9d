import { assertEquals, assertThrows } from "../kit/assert.ts";
import { type Account, Accounts } from "../../lib/limits/accounts.ts";
import { Source } from "../../lib/limits/source.ts";

const LIMITS = {
  client: { sockets: 2, rooms: 2, addresses: 3 },
  site: { sockets: 3, rooms: 3, addresses: 5 },
  network: { sockets: 4, rooms: 4, addresses: 7 },
};

function accountOf(accounts: Accounts, address: string): Account {
  return accounts.of(Source.of(address));
}

Deno.test("the smallest of client, site and network that is full is told", () => {
  const accounts = new Accounts(LIMITS);
  const fill = (address: string) => {
    const account = accountOf(accounts, address);
    let taken = 0;
    for (; account.full("sockets") === undefined; taken++) account.take("sockets");
    return [taken, account.full("sockets")];
  };
  assertEquals(fill("2001:db8::1"), [2, "client"]);
  assertEquals(fill("2001:db8:0:1::1"), [1, "site"]);
  assertEquals(fill("2001:db8:0:100::1"), [1, "network"]);
  assertEquals(fill("2001:db8:1::1"), [2, "client"]);
  assertEquals(fill("198.51.100.1"), [2, "client"]);
  assertEquals(fill("198.51.100.2"), [2, "client"]);
  assertEquals(fill("198.51.100.3"), [0, "network"]);
  for (let host = 1; host < 9; host++) assertEquals(fill(`192.168.0.${host}`), [2, "client"]);
});

Deno.test("all sockets of a client share an account, for as long as it holds anything, and no longer", () => {
  const accounts = new Accounts(LIMITS);
  const account = accountOf(accounts, "2001:db8::1");
  assertEquals(accounts.size, 0);
  account.take("sockets");
  assertEquals(accountOf(accounts, "2001:db8::2") === account, true);
  account.take("sockets");
  account.take("addresses");
  account.giveBack("sockets");
  account.giveBack("addresses");
  assertEquals([accounts.size, account.count("sockets"), account.count("addresses")], [1, 1, 0]);
  account.giveBack("sockets");
  assertEquals(accounts.size, 0);
  assertEquals(accountOf(accounts, "2001:db8:0:1::1").full("sockets"), undefined);
});

Deno.test("what was not taken can't be given back", () => {
  const account = accountOf(new Accounts(LIMITS), "2001:db8::1");
  account.take("sockets");
  assertThrows(() => account.giveBack("rooms"), Error, "rooms");
});
