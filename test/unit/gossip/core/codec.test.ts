import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeMessages, encodedSizeOf, encodeMessages } from "../../../../gossip/core/codec.ts";
import { ByteReader, ByteWriter } from "../../../../gossip/core/codec-bytes.ts";
import { factsFlawOf } from "../../../../gossip/core/codec-fields.ts";
import { messageBytes } from "../../../../gossip/core/message-size.ts";
import type { Message } from "../../../../gossip/core/messages.ts";
import { anyFacts, anyMessage } from "../../../support/gossip-arbitraries.ts";

const ROOMY = 1_000_000;
const PING: Message = { kind: "ping", seq: 7, target: "b", hashes: { members: 1, records: 2n } };

function bytesOf(messages: readonly Message[]): Uint8Array {
  return encodeMessages(messages, ROOMY).bytes;
}

describe("frames of a datagram", () => {
  test("say again what was put into them, in its order", () => {
    fc.assert(
      fc.property(fc.array(anyMessage, { maxLength: 20 }), (messages) => {
        const encoded = encodeMessages(messages, ROOMY);
        expect(encoded.count).toBe(messages.length);
        expect(decodeMessages(Uint8Array.from(encoded.bytes))).toEqual({ kind: "messages", messages, unknownCount: 0 });
      }),
    );
  });

  test("have one form: what is accepted is byte for byte what would be written", () => {
    fc.assert(
      fc.property(fc.array(anyMessage, { maxLength: 4 }), fc.nat(), fc.nat({ max: 255 }), (messages, at, byte) => {
        const bytes = Uint8Array.from(bytesOf(messages));
        if (bytes.length > 0) bytes[at % bytes.length] = byte;
        const decoded = decodeMessages(bytes);
        const isWhole = decoded.kind === "messages" && decoded.unknownCount === 0;
        // the bits of flags that mean nothing yet are the one exception
        const hasFlags = isWhole && decoded.messages.some((message) => message.kind === "ack");
        if (isWhole && !hasFlags) expect(bytesOf(decoded.messages)).toEqual(Buffer.from(bytes));
      }),
    );
  });

  test("never grow beyond the room: what does not fit stays with the caller, from the first that does not", () => {
    fc.assert(
      fc.property(fc.array(anyMessage, { maxLength: 20 }), fc.nat({ max: 1_400 }), (messages, maxBytes) => {
        const { bytes, count } = encodeMessages(messages, maxBytes);
        expect(bytes.length).toBeLessThanOrEqual(maxBytes);
        expect(bytes.length).toBe(messages.slice(0, count).reduce((sum, one) => sum + encodedSizeOf(one), 0));
        const next = messages[count];
        if (next !== undefined) expect(bytes.length + encodedSizeOf(next)).toBeGreaterThan(maxBytes);
      }),
    );
  });

  test("take no more than the core reckons with when it fills a datagram", () => {
    fc.assert(fc.property(anyMessage, (message) => encodedSizeOf(message) <= messageBytes(message)));
  });

  test("have the layout that is written down", () => {
    const ping = "0112000000070162000000010000000000000002";
    const nack = "040400000009";
    const dead = "0709016200000003050163";
    const messages: Message[] = [
      { kind: "nack", seq: 9 },
      { kind: "dead", nodeId: "b", life: { generation: 3, incarnation: 5 }, from: "c" },
    ];
    expect(Buffer.from(bytesOf(messages)).toString("hex")).toBe(nack + dead);
    expect(Buffer.from(bytesOf([PING])).toString("hex")).toBe(ping);
  });

  test("of types that are not known are skipped and counted, and the rest is read", () => {
    const unknown = Buffer.from([200, 3, 1, 2, 3, 10, 1, 99]);
    const decoded = decodeMessages(Buffer.concat([unknown, bytesOf([PING])]));
    expect(decoded).toEqual({ kind: "messages", messages: [PING], unknownCount: 2 });
  });

  test.each<[string, readonly number[]]>([
    ["a type alone", [1]],
    ["a length beyond the end", [4, 5, 0, 0, 0, 1]],
    ["a length that never ends", [4, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1]],
    ["a length in more bytes than it needs", [4, 0x84, 0, 0, 0, 0, 1]],
    ["a body with garbage behind it", [4, 5, 0, 0, 0, 1, 0]],
    ["a body that is too short", [4, 3, 0, 0, 1]],
    ["a text beyond its body", [8, 7, 9, 98, 0, 0, 0, 1, 1]],
    ["a name that is none", [8, 7, 1, 33, 0, 0, 0, 1, 1]],
    ["an incarnation above 32 bits", [8, 11, 1, 98, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x1f]],
    ["an empty pull", [10, 0]],
    ["a health that nobody has", [2, 19, ...Array.from({ length: 16 }, () => 0), 8, 0, 0]],
    ["garbage behind the last frame", [4, 4, 0, 0, 0, 1, 9]],
  ])("with %s make the datagram corrupt", (_what, bytes) => {
    expect(decodeMessages(Uint8Array.from(bytes)).kind).toBe("corrupt");
  });

  test("cut short anywhere but between two frames are corrupt", () => {
    fc.assert(
      fc.property(fc.array(anyMessage, { minLength: 1, maxLength: 4 }), fc.nat(), (messages, cut) => {
        const bytes = Uint8Array.from(bytesOf(messages));
        const kept = bytes.subarray(0, cut % bytes.length);
        const ends = messages.map((_, index) => bytesOf(messages.slice(0, index)).length);
        const decoded = decodeMessages(kept);
        expect(decoded.kind).toBe(ends.includes(kept.length) ? "messages" : "corrupt");
      }),
    );
  });

  test("may be any bytes: reading them never throws", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(["messages", "corrupt"]).toContain(decodeMessages(bytes).kind);
      }),
      { numRuns: 2_000 },
    );
  });

  test("may be changed in any byte: reading them never throws", () => {
    fc.assert(
      fc.property(
        fc.array(anyMessage, { minLength: 1, maxLength: 5 }),
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 5 }),
        (messages, changes) => {
          const bytes = Uint8Array.from(bytesOf(messages));
          for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
          expect(["messages", "corrupt"]).toContain(decodeMessages(bytes).kind);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe("the fields of a frame", () => {
  test("hold every number of their range", () => {
    fc.assert(
      fc.property(fc.nat({ max: 0xffff_ffff }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (small, large) => {
        const writer = new ByteWriter(32);
        writer.varint(small);
        writer.u32(small);
        writer.u16(small & 0xffff);
        writer.u64(large);
        const reader = new ByteReader(writer.written());
        expect([reader.varint(), reader.u32(), reader.u16(), reader.u64()]).toEqual([
          small,
          small,
          small & 0xffff,
          large,
        ]);
        expect(reader.isDone).toBe(true);
      }),
    );
  });

  test("that are not there are zero, and the reader knows", () => {
    const reader = new ByteReader(Uint8Array.from([1, 2, 3]), 1, 2);
    expect([reader.u8(), reader.u8(), reader.u64(), reader.text()]).toEqual([2, 0, 0n, ""]);
    expect(reader.isBroken).toBe(true);
  });

  test("a writer that is full stays so", () => {
    const writer = new ByteWriter(3);
    writer.u32(1);
    writer.u8(1);
    expect([writer.isFull, writer.sizeBytes]).toEqual([true, 0]);
  });

  test("facts with a flaw are told apart from those without", () => {
    fc.assert(fc.property(anyFacts, (facts) => factsFlawOf(facts) === undefined));
    const facts = { nodeId: "a", address: "10.0.0.1:1", zone: "" };
    for (const flawed of [
      { ...facts, nodeId: "" },
      { ...facts, address: "10.0.0.1" },
      { ...facts, address: `${"a".repeat(70)}:1` },
      { ...facts, zone: "z".repeat(64) },
      { ...facts, zone: "ü" },
    ])
      expect(factsFlawOf(flawed)).toBeDefined();
  });
});
