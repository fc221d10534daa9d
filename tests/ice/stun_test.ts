import fc from "fast-check";
import { assert, assertEquals, assertLessOrEqual, assertThrows } from "../kit/assert.ts";
import {
  ANSWER_GROWTH_BYTES,
  answerBinding,
  decodeStun,
  type Endpoint,
  parseAddress,
  type StunMessage,
} from "../../lib/ice/stun.ts";
import {
  encodeBindingRequest,
  errorCode,
  formatAddress,
  mappedAddress,
  unknownAttributes,
} from "../kit/stun_message.ts";

/** RFC 5769 sections 2.1 to 2.3, as hexadecimal. */
const REQUEST = "00010058 2112a442 b7e7a701bc34d686fa87dfae" +
  "80220010 5354554e207465737420636c69656e74 00240004 6e0001ff 80290008 932ff9b151263b36" +
  "00060009 6576746a3a68367659202020 00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2 80280004 e57a3bcf";
const IPV4_RESPONSE = "0101003c 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220" +
  "00200008 0001a147e112a643 00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7 80280004 c07d4c96";
const IPV6_RESPONSE = "01010048 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220" +
  "00200014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9" +
  "00080014 a382954e4be67bf11784c97c8292c275bfe3ed41 80280004 c8fb0b4c";

const ID = bytes("000102030405060708090a0b");
const IPV4: Endpoint = { address: bytes("c0000201"), port: 32853 };
const IPV6: Endpoint = { address: bytes("20010db81234567800112233" + "44556677"), port: 32853 };

function bytes(hex: string): Uint8Array {
  return Uint8Array.fromHex(hex.replaceAll(" ", ""));
}

/** A message with a right length field: `head` is the type, `id` the 16 bytes after the length. */
function datagram(head: string, id: string, ...attributes: string[]): Uint8Array {
  const body = bytes(attributes.join(""));
  return bytes(head + body.length.toString(16).padStart(4, "0") + id + body.toHex());
}

const cookied = (...attributes: string[]) => datagram("0001", "2112a442" + ID.toHex(), ...attributes);
const classic = (...attributes: string[]) => datagram("0001", "00112233" + ID.toHex(), ...attributes);

function decoded(datagram: Uint8Array): StunMessage {
  const message = decodeStun(datagram);
  assert(!("fault" in message), "fault" in message ? `${message.fault} at ${message.at}` : "");
  return message;
}

function answer(request: Uint8Array, source = IPV4): Uint8Array {
  const out = new Uint8Array(request.length + ANSWER_GROWTH_BYTES).fill(0xee);
  return out.subarray(0, answerBinding(decoded(request), source, out));
}

Deno.test("RFC 5769 2.1: the sample request is a Binding request with a right fingerprint", () => {
  const message = decoded(bytes(REQUEST));
  assertEquals([message.class, message.method, message.classic, message.fingerprint], [
    "request",
    1,
    false,
    true,
  ]);
  assertEquals(message.attributes.map(({ type }) => type), [0x8022, 0x0024, 0x8029, 0x0006, 0x0008]);
  assertEquals(new TextDecoder().decode(message.attributes[0]!.value), "STUN test client");
  assertEquals(new TextDecoder().decode(message.attributes[3]!.value), "evtj:h6vY");
});

Deno.test("RFC 5769 2.2 and 2.3: XOR-MAPPED-ADDRESS is read, and written to the same bytes", () => {
  for (
    const [hex, source, text] of [
      [IPV4_RESPONSE, IPV4, "192.0.2.1"],
      [IPV6_RESPONSE, IPV6, "2001:db8:1234:5678:11:2233:4455:6677"],
    ] as const
  ) {
    const vector = decoded(bytes(hex));
    assertEquals([vector.class, vector.method, vector.fingerprint], ["success", 1, true]);
    assertEquals(mappedAddress(vector), source);
    assertEquals(formatAddress(source.address), text);

    const ours = decoded(answer(encodeBindingRequest(vector.id.slice(4), true), source));
    const attribute = ({ attributes }: StunMessage) => attributes.find(({ type }) => type === 0x0020);
    assertEquals(attribute(ours), attribute(vector));
  }
});

Deno.test("a request is answered with the address it came from, and a fingerprint only where it had one", () => {
  const address = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  );
  const id = fc.uint8Array({ minLength: 12, maxLength: 12 });
  fc.assert(fc.property(id, fc.boolean(), address, fc.nat(65535), (id, fingerprint, address, port) => {
    const request = encodeBindingRequest(id, fingerprint);
    const reply = decoded(answer(request, { address, port }));
    assertEquals(reply.class, "success");
    assertEquals(reply.id, request.subarray(4, 20));
    assertEquals(reply.fingerprint, fingerprint);
    assertEquals(mappedAddress(reply), { address, port });
    assertEquals(reply.attributes.length, 1);
  }));
});

Deno.test("a transaction ID of another length is refused", () => {
  assertThrows(() => encodeBindingRequest(new Uint8Array(16)), RangeError, "16");
});

Deno.test("no answer is more than ANSWER_GROWTH_BYTES longer than its request, and one is just that", () => {
  const attribute = fc.record({
    type: fc.oneof(fc.nat(0xffff), fc.constantFrom(3, 6, 8, 0x14, 0x1c, 0x20, 0x24, 0x8022)),
    value: fc.uint8Array({ maxLength: 40 }),
  }).filter(({ type }) => type !== 0x8028).map(({ type, value }) =>
    type.toString(16).padStart(4, "0") + value.length.toString(16).padStart(4, "0") + value.toHex() +
    "00".repeat(-value.length & 3)
  );
  const head = fc.constantFrom("2112a442", "2112a443", "00000000");
  fc.assert(
    fc.property(head, fc.array(attribute, { maxLength: 12 }), fc.boolean(), (head, attributes, six) => {
      const request = datagram("0001", head + ID.toHex(), ...attributes);
      const reply = answer(request, six ? IPV6 : IPV4);
      assert(reply.length > 0);
      assertLessOrEqual(reply.length - request.length, ANSWER_GROWTH_BYTES);
      const { classic, id } = decoded(reply);
      assertEquals([classic, id], [head !== "2112a442", request.subarray(4, 20)]);
    }),
    { numRuns: 1000 },
  );
  assertEquals(answer(cookied(), IPV6).length - 20, ANSWER_GROWTH_BYTES);
  assertEquals(answer(cookied(), IPV4).length, 32);
});

Deno.test("unknown comprehension-required attributes get a 420 that names each; optional ones don't", () => {
  const reply = decoded(answer(cookied("00240004 6e0001ff", "7f010000", "ff020003 616263 00", "00300000")));
  assertEquals(reply.class, "error");
  assertEquals(errorCode(reply), 420);
  assertEquals(unknownAttributes(reply), [0x0024, 0x7f01, 0x0030]);
  assertEquals(mappedAddress(reply), undefined);
  assertEquals(decoded(answer(cookied("ff020003 616263 00"))).class, "success");
  assertEquals(unknownAttributes(decoded(answer(bytes(REQUEST)))), [0x0024]);
});

Deno.test("an error has a fingerprint where the request had one", () => {
  const reply = decoded(answer(bytes(REQUEST)));
  assertEquals([reply.class, reply.fingerprint], ["error", true]);
});

Deno.test("credentials are neither asked for nor checked, and what follows them is ignored", () => {
  const integrity = "00080014" + "ab".repeat(20);
  const sha256 = "001c0020" + "cd".repeat(32);
  const unknown = "00240004 6e0001ff";
  assertEquals(decoded(answer(cookied("00060004 61626364", integrity))).class, "success");
  assertEquals(decoded(answer(cookied(integrity, unknown, sha256, unknown))).class, "success");
  assertEquals(
    decoded(cookied(integrity, unknown, sha256, unknown)).attributes.map(({ type }) => type),
    [0x0008, 0x001c],
  );
  assertEquals(decoded(answer(cookied(unknown, integrity))).class, "error");
});

Deno.test("RFC 3489: a client without the cookie gets MAPPED-ADDRESS in clear, and its whole ID back", () => {
  const reply = answer(classic("00030004 00000000"));
  assertEquals(reply, bytes("0101000c 00112233" + ID.toHex() + "00010008 00018055 c0000201"));
  assertEquals(mappedAddress(decoded(reply)), IPV4);
});

Deno.test("RFC 3489: UNKNOWN-ATTRIBUTES of an odd number repeats one to fill up", () => {
  const reply = decoded(answer(classic("00240000", "00300000", "00310000")));
  assertEquals(errorCode(reply), 420);
  assertEquals(unknownAttributes(reply), [0x0024, 0x0030, 0x0031, 0x0024]);
});

Deno.test("what asks for an answer from or to another address is refused", () => {
  const change = (flags: string) => decoded(answer(cookied("00030004 000000" + flags)));
  assertEquals(change("00").class, "success");
  for (const flags of ["02", "04", "06"]) assertEquals(unknownAttributes(change(flags)), [0x0003]);
  const responseAddress = decoded(answer(classic("00020008 0001 0035 08080808")));
  assertEquals(unknownAttributes(responseAddress)[0], 0x0002);
});

Deno.test("what isn't a Binding request is not answered", () => {
  for (const type of ["0011", "0101", "0111", "0003", "0004", "0113", "3fff"]) {
    assertEquals(answer(datagram(type, "2112a442" + ID.toHex())).length, 0, type);
  }
});

Deno.test("class and method are told apart in all their bits", () => {
  const read = (type: string) => {
    const message = decoded(datagram(type, "2112a442" + ID.toHex()));
    return [message.class, message.method];
  };
  assertEquals(read("0001"), ["request", 0x001]);
  assertEquals(read("0011"), ["indication", 0x001]);
  assertEquals(read("0101"), ["success", 0x001]);
  assertEquals(read("0111"), ["error", 0x001]);
  assertEquals(read("3eef"), ["request", 0xfff]);
  assertEquals(read("0003"), ["request", 0x003]);
});

Deno.test("a fault names the place", () => {
  const right = encodeBindingRequest(ID, true);
  const changed = (at: number, value: number) => right.map((byte, i) => i === at ? value : byte);
  const faults: [Uint8Array, string, number][] = [
    [new Uint8Array(0), "shorter than a STUN header", 0],
    [right.subarray(0, 19), "shorter than a STUN header", 19],
    [changed(0, 0x80), "the two highest bits are not zero", 0],
    [changed(0, 0x16), "the length field disagrees with the datagram", 2],
    [right.subarray(0, 24), "the length field disagrees with the datagram", 2],
    [new Uint8Array([...right, 0, 0, 0, 0]), "the length field disagrees with the datagram", 2],
    [cookied("00"), "the length is no multiple of 4", 2],
    [cookied("00240008", "00000000"), "an attribute reaches past the end", 20],
    [cookied("80220000", "0024ffff"), "an attribute reaches past the end", 24],
    [cookied("80280008", "0000000000000000"), "FINGERPRINT is not 4 bytes long", 20],
    [changed(27, right[27]! ^ 1), "FINGERPRINT does not match", 20],
    [changed(19, 0x77), "FINGERPRINT does not match", 20],
  ];
  faults[3]![0]![3] = 0xfe;
  for (const [datagram, fault, at] of faults) {
    assertEquals<unknown>(decodeStun(datagram), { fault, at }, datagram.toHex());
  }
});

Deno.test("nothing may follow a FINGERPRINT, even a right one", () => {
  // The fingerprint covers the length field, so one that is right in mid-message must be made for it.
  const request = encodeBindingRequest(ID, true);
  const message = bytes("0001000c" + request.subarray(4, 20).toHex() + "80280004 00000000 80220000");
  let crc = 0xffffffff;
  for (const byte of message.subarray(0, 20)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >>> 1 ^ 0xedb88320 : crc >>> 1;
  }
  new DataView(message.buffer).setUint32(24, (crc ^ 0xffffffff ^ 0x5354554e) >>> 0);
  assertEquals<unknown>(decodeStun(message), { fault: "an attribute follows FINGERPRINT", at: 28 });
});

Deno.test("no bytes make the decoder throw, nor a mutated request", () => {
  const out = new Uint8Array(1500 + ANSWER_GROWTH_BYTES);
  const survives = (datagram: Uint8Array) => {
    const message = decodeStun(datagram);
    if ("fault" in message) return assertLessOrEqual(message.at, datagram.length);
    mappedAddress(message);
    errorCode(message);
    unknownAttributes(message);
    assertLessOrEqual(answerBinding(message, IPV6, out), datagram.length + ANSWER_GROWTH_BYTES);
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), survives), { numRuns: 2000 });
  const vector = fc.constantFrom(REQUEST, IPV4_RESPONSE, IPV6_RESPONSE);
  fc.assert(
    fc.property(vector, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), (hex, changes) => {
      // Without the FINGERPRINT, which would catch every change before the rest of the decoder saw it.
      const datagram = bytes(hex).slice(0, -8);
      datagram[3]! -= 8;
      for (const [at, value] of changes) datagram[at % datagram.length] = value;
      survives(datagram);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("addresses that aren't whole are not read", () => {
  const reply = (...attributes: string[]) =>
    mappedAddress(decoded(datagram("0101", "2112a442" + ID.toHex(), ...attributes)));
  assertEquals(reply(), undefined);
  assertEquals(reply("00200008 0002a147e112a643"), undefined);
  assertEquals(reply("00200008 0003a147e112a643"), undefined);
  assertEquals(reply("00200000"), undefined);
  assertEquals(reply("00010008 00018055c0000201"), IPV4);
  assertEquals(reply("00010008 000180550a000001", "00200008 0001a147e112a643"), IPV4);
});

Deno.test("addresses are read as operating systems write them", () => {
  const texts: [string, string | undefined][] = [
    ["192.0.2.1", "c0000201"],
    ["::ffff:192.0.2.1", "c0000201"],
    ["::ffff:c000:201", "c0000201"],
    ["::", "00".repeat(16)],
    ["::1", "00".repeat(15) + "01"],
    ["2001:db8::", "20010db8" + "00".repeat(12)],
    ["fe80::1%eth0", "fe80" + "00".repeat(13) + "01"],
    ["64:ff9b::192.0.2.1", "0064ff9b" + "00".repeat(8) + "c0000201"],
    ["1:2:3:4:5:6:7:8", "00010002000300040005000600070008"],
    ["1:2:3:4:5:6:1.2.3.4", "00010002000300040005000601020304"],
    ["1:2:3:4:5:6:7", undefined],
    ["1:2:3:4:5:6:7:8:9", undefined],
    ["1::2::3", undefined],
    ["1:2:3:4::5:6:7:8", undefined],
    ["::fffff", undefined],
    ["::1.2.3", undefined],
    ["255.255.255.255", "ffffffff"],
    ["0.10.100.0", "000a6400"],
    ["1.2.3.256", undefined],
    ["1.2.3.4.5", undefined],
    ["1.2.3.", undefined],
    ["1..3.4", undefined],
    ["1.2.3.4 ", undefined],
    ["1.2.3.00", undefined],
    ["::ffff:1.2.3", undefined],
    ["01.2.3.4", undefined],
    ["1.2.3.4%eth0", undefined],
    ["example.org", undefined],
    ["", undefined],
  ];
  for (const [text, hex] of texts) assertEquals(parseAddress(text)?.toHex(), hex, text);
});

Deno.test("IPv6 addresses are written in the canonical form of RFC 5952, and read back", () => {
  const written: [string, string][] = [
    ["20010db8000000000001000000000001", "2001:db8::1:0:0:1"],
    ["20010db8000000010001000100010001", "2001:db8:0:1:1:1:1:1"],
    ["00".repeat(16), "::"],
    ["20010db8" + "00".repeat(12), "2001:db8::"],
  ];
  for (const [hex, text] of written) assertEquals(formatAddress(bytes(hex)), text);
  const group = fc.oneof(fc.constant(0), fc.nat(0xffff));
  fc.assert(fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
    const address = bytes(groups.map((value) => value.toString(16).padStart(4, "0")).join(""));
    fc.pre(!address.toHex().startsWith("00".repeat(10) + "ffff"));
    assertEquals(parseAddress(formatAddress(address)), address);
  }));
});
