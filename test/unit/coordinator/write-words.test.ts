/** What a word of a replica means for the write that it was told of. */
import { describe, expect, test } from "vitest";
import { type NodeId, parseNodeId } from "../../../services/base/ids.ts";
import { WriteCore } from "../../../services/coordinator/write-core.ts";
import { wordOf } from "../../../services/coordinator/write-words.ts";
import type { CallResult } from "../../../services/peers/messages.ts";

const node = (name: string): NodeId => parseNodeId(name) ?? expect.fail("a node id");
const LINE = 1_000;
const inPart: CallResult = { kind: "stored", slot: 1, digest: 7n, isDurable: true, keptAbove: LINE };
const refused: CallResult = { kind: "refused", reason: "disk_full", detail: "" };
const collected: CallResult = { kind: "refused", reason: "collected", detail: "" };

/** A write with that counter to three owners, of which two are needed. */
function verdictOf(counter: number, results: readonly CallResult[]) {
  const seats = [0, 1, 2].map((slot) => ({ node: node(`n${slot}`), slot, role: "owner" as const }));
  const core = new WriteCore(seats, { total: 2, owners: 0, n: 3 });
  seats.forEach((_, index) => core.onAsked(index));
  results.forEach((result, index) => core.onWord(index, wordOf(result, counter)));
  return { verdict: core.verdict, ...core.counts() };
}

describe("a version that a replica stored in part", () => {
  test("is a copy of a write whose own dot is above the line", () => {
    const elsewhere: CallResult = { kind: "stored", slot: 0, digest: 7n, isDurable: true };
    expect(verdictOf(LINE + 1, [elsewhere, inPart])).toMatchObject({ verdict: "applied", received: 2, durable: 2 });
  });

  test("is no copy of a write whose own dot was left out, but a trace of it", () => {
    expect(verdictOf(LINE, [refused, inPart, refused])).toMatchObject({ verdict: "unknown", received: 0 });
  });

  test("is neither, where nothing of it was kept", () => {
    expect(verdictOf(LINE, [refused, collected, refused])).toMatchObject({ verdict: "not_applied", received: 0 });
  });
});
