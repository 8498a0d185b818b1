import { describe, expect, it } from "vitest";
import type { CallResult } from "../../../services/peers/messages.ts";
import type { Difference } from "../../../services/repair/exchange-core.ts";
import type { ExchangeAnswer } from "../../../services/repair/exchange-messages.ts";
import { type Moved, ObjectMover } from "../../../services/repair/exchange-objects.ts";
import { PairViews } from "../../../services/repair/exchange-view.ts";
import { TransferPace } from "../../../services/repair/transfer-pace.ts";
import { PageWriter } from "../../../services/repair/transfer-page-core.ts";
import { replicaFixture } from "../../support/replica-fixture.ts";
import { nodeIdOf } from "../../support/sim-peers.ts";
import { COPIED, nthCopied, transferNode, WaitClock, writeNth } from "../../support/transfer-fixture.ts";

const PEER = nodeIdOf("n2");
const RULES = { isAnyExempt: () => false, isExempt: () => false, fingerprint: () => 0n };

interface World {
  readonly differences: readonly Difference[];
  readonly answer: ExchangeAnswer | undefined;
  readonly stored?: CallResult;
  /** this node may lack records itself */
  readonly isSuspect?: boolean;
}

/** Moves at a node that holds key 0. */
async function move({ differences, answer, stored, isSuspect }: World): Promise<Moved & { readonly isKept: boolean }> {
  const node = transferNode(1);
  await writeNth(node, 0);
  if (isSuspect === true) node.fixture.image.suspects.add(COPIED);
  const clock = new WaitClock();
  const mover = new ObjectMover({
    replica: node.replica,
    partitionCount: 64,
    views: new PairViews(node.engine, RULES),
    clock,
    pace: new TransferPace({ clock, share: () => 1 }),
    call: (_to, _request, _budgetMs, onResult) => onResult(stored ?? { kind: "lost", reason: "timeout" }),
  });
  const sight = { partition: COPIED, higherSlot: 1, isFiltered: false };
  const moved = await mover.move({ peer: PEER, sight, ask: async () => answer, prolong: () => {} }, differences);
  return { ...moved, isKept: node.engine.digestOf(nthCopied(1)) !== 0n };
}

const ours: Difference = { hash: nthCopied(0).hash, ours: 7n, theirs: 0n };
const theirs: Difference = { hash: nthCopied(1).hash, ours: 0n, theirs: 7n };
const EMPTY: ExchangeAnswer = { kind: "objects", objects: new Uint8Array(0), next: undefined };

async function pageOf(n: number): Promise<ExchangeAnswer> {
  const other = transferNode(2);
  await writeNth(other, n);
  const read = await other.replica.readEncoded(nthCopied(n));
  const page = new PageWriter();
  if (read.kind === "object" && read.object !== undefined) page.add(nthCopied(n).key, read.object, 0);
  return { kind: "objects", objects: page.bytes(), next: undefined };
}

describe("objects between two holders", () => {
  it("are taken in and counted", async () => {
    expect(await move({ differences: [theirs], answer: await pageOf(1) })).toMatchObject({
      isKept: true,
      movedCount: 1,
      failedCount: 0,
      pulledCount: 1,
    });
  });

  it("that were listed and did not come are not counted as moved", async () => {
    const moved = await move({ differences: [theirs], answer: EMPTY });
    expect(moved).toMatchObject({ movedCount: 0, failedCount: 1, endedBy: undefined });
  });

  it("that nobody asked for end the exchange", async () => {
    const moved = await move({ differences: [theirs], answer: await pageOf(2) });
    expect(moved).toMatchObject({ isKept: false, endedBy: "an object that was not asked for" });
  });

  it.each<[CallResult, string]>([
    [{ kind: "refused", reason: "moved", detail: "" }, "stored nothing there: moved"],
    [{ kind: "refused", reason: "disk_full", detail: "" }, "stored nothing there: disk_full"],
    [{ kind: "lost", reason: "timeout" }, "stored nothing there: timeout"],
    [{ kind: "failed", detail: "internal error" }, "stored nothing there: failed: internal error"],
  ])("that the other side answers with %j end the exchange", async (stored, endedBy) => {
    const moved = await move({ differences: [ours], answer: EMPTY, stored });
    expect(moved).toMatchObject({ movedCount: 0, failedCount: 1, pushedCount: 0, endedBy });
  });

  it("that cannot be merged with what cannot be read there hold up no other", async () => {
    const stored: CallResult = { kind: "refused", reason: "corrupt_record", detail: "" };
    const moved = await move({ differences: [ours, theirs], answer: await pageOf(1), stored });
    expect(moved).toMatchObject({ isKept: true, movedCount: 1, failedCount: 1, endedBy: undefined });
  });

  it("that the other side is uncertain of are not settled, and hold up no other", async () => {
    const stored: CallResult = { kind: "refused", reason: "uncertain", detail: "" };
    const moved = await move({ differences: [ours, theirs], answer: await pageOf(1), stored });
    expect(moved).toMatchObject({ isKept: true, movedCount: 1, failedCount: 1, pushedCount: 0, endedBy: undefined });
  });

  it("that both sides may lack are left to the comparison that follows: neither would be whole before the other", async () => {
    const stored: CallResult = { kind: "refused", reason: "uncertain", detail: "" };
    const moved = await move({ differences: [ours], answer: EMPTY, stored, isSuspect: true });
    expect(moved).toMatchObject({ movedCount: 1, failedCount: 0, endedBy: undefined });
  });

  it("are not taken for a slot that is not held here", async () => {
    const fixture = replicaFixture();
    expect(fixture.replica.slotOf(COPIED)).toBe(0);
    const answer: ExchangeAnswer = { kind: "refused", reason: "moved" };
    expect(await move({ differences: [theirs], answer })).toMatchObject({ isKept: false, endedBy: "refused: moved" });
  });
});
