import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  decodeTable,
  encodeTable,
  MAX_TABLE_BYTES,
  MAX_TABLE_MEMBERS,
  type TableMessage,
} from "../../../../gossip/core/codec-table.ts";
import { anyFacts, anyLife, anyNodeId } from "../../../support/gossip-arbitraries.ts";

const anyState = fc.constantFrom("alive" as const, "suspect" as const, "dead" as const, "left" as const);
const anyEntries = fc.array(
  fc.record({ facts: anyFacts, life: anyLife, state: anyState, ageMs: fc.nat({ max: 0xffff_ffff }) }),
  { maxLength: 5 },
);
const anyTable: fc.Arbitrary<TableMessage> = fc.oneof(
  fc.record({
    kind: fc.constant("digests" as const),
    digests: fc.array(fc.record({ nodeId: anyNodeId, life: anyLife, state: anyState }), { maxLength: 5 }),
  }),
  fc.record({ kind: fc.constant("entries" as const), entries: anyEntries }),
  fc.record({
    kind: fc.constant("answer" as const),
    entries: anyEntries,
    wanted: fc.array(anyNodeId, { maxLength: 5 }),
  }),
);

describe("tables as bytes", () => {
  test("say again what was put into them", () => {
    fc.assert(
      fc.property(anyTable, (message) => {
        expect(decodeTable(encodeTable(message))).toEqual(message);
      }),
    );
  });

  test("may be changed, cut or made up in any way: reading them never throws, and garbage behind them is refused", () => {
    fc.assert(
      fc.property(anyTable, fc.nat(), fc.nat({ max: 255 }), fc.nat(), (message, at, byte, cut) => {
        const bytes = encodeTable(message);
        expect(decodeTable(Buffer.concat([bytes, Buffer.of(byte)]))).toBeUndefined();
        expect(decodeTable(bytes.subarray(0, cut % bytes.length))).toBeUndefined();
        bytes[at % bytes.length] = byte;
        decodeTable(bytes);
      }),
      { numRuns: 2_000 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => void decodeTable(bytes)));
  });

  test("that claim more than there is, or more than there may be, are refused before memory is taken", () => {
    expect(decodeTable(Uint8Array.from([1, 1, 0x10, 0x00]))).toBeUndefined();
    expect(decodeTable(Uint8Array.from([1, 1, 0xff, 0xff]))).toBeUndefined();
    expect(decodeTable(new Uint8Array(MAX_TABLE_BYTES + 1))).toBeUndefined();
    expect(decodeTable(Uint8Array.from([1, 9, 0, 0]))).toBeUndefined();
    expect(decodeTable(Uint8Array.from([2, 1, 0, 0]))).toBeUndefined();
  });

  test("tell the first 4096 members of more, in less than 4 MiB", () => {
    const facts = { nodeId: "n".repeat(63), address: `${"h".repeat(66)}:65535`, zone: "z".repeat(63) };
    const life = { generation: 0xffff_ffff, incarnation: 0xffff_ffff };
    const entry = { facts, life, state: "left" as const, ageMs: Number.MAX_SAFE_INTEGER };
    const bytes = encodeTable({ kind: "entries", entries: Array.from({ length: 5_000 }, () => entry) });
    expect(bytes.length).toBeLessThanOrEqual(MAX_TABLE_BYTES);
    const decoded = decodeTable(bytes);
    expect(decoded?.kind === "entries" && decoded.entries.length).toBe(MAX_TABLE_MEMBERS);
  });
});
