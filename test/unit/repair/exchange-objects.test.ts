import { describe, expect, it } from "vitest";
import { TRANSFER_BYTES_PER_SECOND, TRANSFER_PACE_MS, TRANSFER_PAGE_BYTES } from "../../../services/base/limits.ts";
import { MIN_PULLED_BYTES_PER_SECOND, PULLED_KEY_COST_BYTES } from "../../../services/base/load-limits.ts";
import type { CallResult } from "../../../services/peers/messages.ts";
import type { Difference } from "../../../services/repair/exchange-core.ts";
import type { ExchangeAnswer } from "../../../services/repair/exchange-messages.ts";
import { type Moved, ObjectMover } from "../../../services/repair/exchange-objects.ts";
import { PairViews } from "../../../services/repair/exchange-view.ts";
import { TransferPace } from "../../../services/repair/transfer-pace.ts";
import { PageWriter } from "../../../services/repair/transfer-page-core.ts";
import type { ReplicaWriteResult } from "../../../services/replica/contract.ts";
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
  /** of background work; default 1 */
  readonly share?: number;
  /** pages of these keys, instead of the one answer */
  readonly pages?: readonly ExchangeAnswer[];
  /** how often the exchange is found to go on; default: always */
  readonly prolongs?: number;
  /** what becomes of each object as an old one; default: it is not that old */
  readonly adopted?: ReplicaWriteResult;
  /** how many pages are asked for before the node stops; default: it does not */
  readonly stopsAfter?: number;
}

interface Seen extends Moved {
  readonly isKept: boolean;
  readonly tookMs: number;
  readonly askCount: number;
  /** the longest that a page was here before it was taken in */
  readonly heldMs: number;
  /** the floors that came with the objects, one by one */
  readonly words: readonly (number | undefined)[];
  /** what each push says that it was made from */
  readonly bases: readonly bigint[];
}

/** Moves at a node that holds key 0. */
async function move(world: World): Promise<Seen> {
  const { differences, answer, stored, isSuspect, share = 1, pages = [] } = world;
  let prolongsLeft = world.prolongs ?? Number.POSITIVE_INFINITY;
  let [askCount, answeredMs, heldMs] = [0, 0, 0];
  const words: (number | undefined)[] = [];
  const bases: bigint[] = [];
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
    share: () => share,
    pause: (ms) => new Promise<void>((resolve) => clock.setTimer(ms, resolve)),
    isStopped: () => askCount >= (world.stopsAfter ?? Number.POSITIVE_INFINITY),
    oldVersions: {
      adopt: (word) => {
        heldMs = Math.max(heldMs, clock.nowMs - answeredMs);
        words.push(word?.floor);
        return world.adopted === undefined ? undefined : Promise.resolve(world.adopted);
      },
    },
    call: (_to, request, _budgetMs, onResult) => {
      if (request.kind === "store") bases.push(request.baseDigest);
      onResult(stored ?? { kind: "lost", reason: "timeout" });
    },
  });
  const sight = { partition: COPIED, higherSlot: 1, isFiltered: false };
  // it has stood idle for a while
  clock.nowMs += TRANSFER_PACE_MS;
  const left = [...pages];
  const ask = async (): Promise<ExchangeAnswer | undefined> => {
    askCount += 1;
    answeredMs = clock.nowMs;
    return left.shift() ?? answer;
  };
  const prolong = (): boolean => {
    prolongsLeft -= 1;
    return prolongsLeft >= 0;
  };
  const moved = await mover.move({ peer: PEER, sight, ask, prolong }, differences);
  const isKept = node.engine.digestOf(nthCopied(1)) !== 0n;
  return { ...moved, isKept, tookMs: clock.nowMs - TRANSFER_PACE_MS, askCount, heldMs, words, bases };
}

const ours: Difference = { hash: nthCopied(0).hash, ours: 7n, theirs: 0n };
const theirs: Difference = { hash: nthCopied(1).hash, ours: 0n, theirs: 7n };
const EMPTY: ExchangeAnswer = { kind: "objects", objects: new Uint8Array(0), next: undefined, word: undefined };

async function pageOf(n: number): Promise<ExchangeAnswer> {
  const other = transferNode(2);
  await writeNth(other, n);
  const read = await other.replica.readEncoded(nthCopied(n));
  const page = new PageWriter();
  if (read.kind === "object" && read.object !== undefined) page.add(nthCopied(n).key, read.object, 0);
  return { kind: "objects", objects: page.bytes(), next: undefined, word: undefined };
}

/** Pages of so many keys each that were never here, and what they are the answer to. */
async function pagesOf(pageCount: number, keyCount: number): Promise<Pick<World, "differences" | "pages">> {
  const other = transferNode(2);
  const differences: Difference[] = [];
  const pages: ExchangeAnswer[] = [];
  for (let at = 0; at < pageCount; at += 1) {
    const page = new PageWriter();
    for (let n = 1 + at * keyCount; n <= (at + 1) * keyCount; n += 1) {
      await writeNth(other, n);
      const read = await other.replica.readEncoded(nthCopied(n));
      if (read.kind === "object" && read.object !== undefined) page.add(nthCopied(n).key, read.object, 0);
      differences.push({ hash: nthCopied(n).hash, ours: 0n, theirs: 7n });
    }
    const next = at === pageCount - 1 ? undefined : new Uint8Array(1);
    pages.push({ kind: "objects", objects: page.bytes(), next, word: { floor: at, rules: 7n } });
  }
  return { differences, pages };
}

describe("objects between two holders", () => {
  it("are taken in at the pace that background work has here, however fast they come, each key at the price of a write", async () => {
    const came = { ...(await pagesOf(12, 256)), answer: undefined };
    const quiet = await move(came);
    const busy = await move({ ...came, share: 1 / 64 });
    expect([quiet.pulledCount, busy.pulledCount]).toEqual([12 * 256, 12 * 256]);
    // a page that has come takes memory
    expect([quiet.heldMs, busy.heldMs]).toEqual([0, 0]);
    // 1.5 MiB, of which one may come at once; the last page is not waited for
    const pacedBytes = 11 * 256 * PULLED_KEY_COST_BYTES - 4 * TRANSFER_PAGE_BYTES;
    expect(quiet.tookMs).toBeLessThan((pacedBytes / TRANSFER_BYTES_PER_SECOND) * 1_100);
    const busyMs = (pacedBytes / MIN_PULLED_BYTES_PER_SECOND) * 1_000;
    expect(busy.tookMs).toBeGreaterThan(busyMs * 0.9);
    expect(busy.tookMs).toBeLessThan(busyMs * 1.1);
  });

  it("are each judged by what was said of the page that they came in, though the next one is asked for meanwhile", async () => {
    const { words } = await move({ ...(await pagesOf(3, 2)), answer: undefined });
    expect(words).toEqual([0, 0, 1, 1, 2, 2]);
  });

  it("are asked for no more once the exchange is another one's, or the node stops; what has come is kept", async () => {
    const came = { ...(await pagesOf(12, 256)), answer: undefined, share: 1 / 64 };
    expect(await move({ ...came, prolongs: 0 })).toMatchObject({ askCount: 0, endedBy: "refused: busy" });
    for (const prolongs of [11, 12, 13, 14]) {
      const lapsed = await move({ ...came, prolongs });
      expect(lapsed.endedBy).toBe("refused: busy");
      expect(lapsed.askCount).toBeGreaterThan(3);
      // but for one that was asked for while the one before was taken in
      expect([0, 1]).toContain(lapsed.askCount - lapsed.pulledCount / 256);
    }
    const stopped = await move({ ...came, stopsAfter: 9 });
    expect(stopped).toMatchObject({ askCount: 9, pulledCount: 9 * 256, endedBy: "this node stops" });
  });

  it("are taken in and counted", async () => {
    expect(await move({ differences: [theirs], answer: await pageOf(1) })).toMatchObject({
      isKept: true,
      movedCount: 1,
      failedCount: 0,
      pulledCount: 1,
    });
  });

  it("that are old and believed are not stored like anybody's", async () => {
    const adopted = { kind: "stored", digest: 1n, isDurable: true } as const;
    const came = { differences: [theirs], answer: await pageOf(1), adopted };
    expect(await move(came)).toMatchObject({ isKept: false, movedCount: 1, pulledCount: 1 });
    const refused = { ...came, adopted: { kind: "refused", reason: "disk_full", detail: "" } as const };
    expect(await move(refused)).toMatchObject({ movedCount: 0, failedCount: 1, pulledCount: 0 });
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

  it("are pushed as made from what the other side has only where that was merged here: it is replaced by them", async () => {
    const other = transferNode(2);
    await writeNth(other, 0);
    const page = new PageWriter();
    const read = await other.replica.readEncoded(nthCopied(0));
    if (read.kind === "object" && read.object !== undefined) page.add(nthCopied(0).key, read.object, 0);
    const answer = { kind: "objects", objects: page.bytes(), next: undefined, word: undefined } as const;
    const both = { differences: [{ ...ours, theirs: 7n }], answer, isSuspect: true };
    expect((await move(both)).bases).toEqual([other.engine.digestOf(nthCopied(0))]);
    for (const reason of ["uncertain", "collected"] as const) {
      const moved = await move({ ...both, adopted: { kind: "refused", reason, detail: "" } });
      expect(moved).toMatchObject({ bases: [0n], pulledCount: 1 });
    }
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
