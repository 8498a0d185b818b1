/** The bounds of one run through the store: entries, time, and the event loop's turn in between. */
import { describe, expect, test } from "vitest";
import { xxh64 } from "../../../services/base/hash.ts";
import { parseBucketName } from "../../../services/base/ids.ts";
import { LIST_SCAN_ENTRIES, LIST_SCAN_STEP } from "../../../services/base/limits.ts";
import {
  partitionAt,
  type ScanFound,
  type ScanParts,
  scanRun,
  startOf,
} from "../../../services/coordinator/bucket-scan.ts";
import type { KeyScan, ScannedKey } from "../../../services/coordinator/needs.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { TurnClock } from "../../support/turn-clock.ts";

const PARTITIONS = 64;
const LAST = PARTITIONS - 1;
const MAX_TURNS = 1_000;

/** Keys of one bucket by their hashes: every `livingEvery`-th lives, the others are tombstones. */
function storedKeys(count: number, livingEvery: number): readonly ScannedKey[] {
  return Array.from({ length: count }, (_, at) => {
    const key = Buffer.from(`carts\0${at}`);
    return { hash: xxh64(key), key, isTombstone: at % livingEvery !== 0 };
  }).toSorted((a, b) => (a.hash < b.hash ? -1 : 1));
}

function textsOf(entries: readonly ScannedKey[]): readonly string[] {
  return entries.filter((entry) => !entry.isTombstone).map(({ key }) => Buffer.from(key).toString().slice(6));
}

/** A store in memory that counts what it is asked for. */
class CountingScan implements KeyScan {
  entryCount = 0;
  stepCount = 0;
  readonly #byPartition: readonly ScannedKey[][] = Array.from({ length: PARTITIONS }, () => []);

  constructor(entries: readonly ScannedKey[]) {
    for (const entry of entries) this.#byPartition[partitionAt(entry.hash, PARTITIONS)]?.push(entry);
  }

  async scan(partition: number, fromHash: bigint, limit: number): ReturnType<KeyScan["scan"]> {
    const held = this.#byPartition[partition] ?? [];
    const first = held.findIndex(({ hash }) => hash >= fromHash);
    const rest = first < 0 ? [] : held.slice(first, first + limit + 1);
    const entries = rest.slice(0, limit);
    this.stepCount += 1;
    this.entryCount += entries.length;
    return { entries, nextHash: rest[limit]?.hash };
  }
}

/** One run from a hash to the last partition, as long as it likes but for what a test says. */
function run(
  scan: KeyScan,
  {
    clock,
    from = 0n,
    stopAtMs = 1e9,
  }: { readonly clock: FakeClock; readonly from?: bigint; readonly stopAtMs?: number },
): Promise<ScanFound | undefined> {
  const bucket = parseBucketName("carts");
  if (bucket === undefined) throw new Error("a bucket's name");
  const local: ScanParts["local"] = { readEncoded: () => ({ kind: "object", object: undefined }) };
  const parts = { clock, scan, local, partitionCount: PARTITIONS, slotOf: () => 0 };
  return scanRun(parts, { bucket, prefix: new Uint8Array(0), from, through: LAST, limit: 1e9, stopAtMs });
}

/** What a run has told by now; undefined: it goes on. */
function told(running: Promise<ScanFound | undefined>): () => ScanFound | undefined {
  let found: ScanFound | undefined;
  void running.then((one) => {
    found = one;
  });
  return () => found;
}

/** Time runs until the run is over. */
async function over(running: Promise<ScanFound | undefined>, clock: FakeClock): Promise<ScanFound> {
  const found = told(running);
  for (let turn = 0; turn < MAX_TURNS; turn += 1) {
    const is = found();
    if (is !== undefined) return is;
    await clock.advance(0);
  }
  throw new Error("the run never ends");
}

describe("a scan over tombstones", () => {
  const entries = storedKeys(2.5 * LIST_SCAN_ENTRIES, 1_000);

  test("stops within one step of its bound on entries, with a cursor", async () => {
    const clock = new FakeClock();
    const scan = new CountingScan(entries);
    const found = await over(run(scan, { clock }), clock);
    expect(found.next).toBeDefined();
    expect(scan.entryCount).toBeGreaterThanOrEqual(LIST_SCAN_ENTRIES);
    expect(scan.entryCount).toBeLessThan(LIST_SCAN_ENTRIES + LIST_SCAN_STEP);
  });

  test("goes on from its cursor to the end: every key once, in order, and nothing is looked at twice", async () => {
    const clock = new FakeClock();
    const scan = new CountingScan(entries);
    const shown: string[] = [];
    let runCount = 0;
    for (let from: bigint | undefined = 0n; from !== undefined; runCount += 1) {
      const found: ScanFound = await over(run(scan, { clock, from }), clock);
      for (const key of found.keys) shown.push(Buffer.from(key).toString());
      from = found.next;
    }
    expect(shown).toEqual(textsOf(entries));
    expect([runCount, scan.entryCount]).toEqual([3, entries.length]);
  });

  test("gives way after every step that has read something, and after no other", async () => {
    const clock = new TurnClock();
    const scan = new CountingScan(entries);
    void run(scan, { clock });
    const stepCounts: number[] = [];
    for (let turn = 0; turn < 10; turn += 1) {
      await clock.advance(0);
      stepCounts.push(scan.stepCount);
      clock.endTurn();
    }
    expect(stepCounts).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    const empty = new CountingScan([]);
    expect(await run(empty, { clock: new TurnClock() })).toEqual({ keys: [], next: undefined });
    expect(empty.stepCount).toBe(PARTITIONS);
  });

  test("stops when its time is up, and goes on where it stopped", async () => {
    const clock = new TurnClock();
    const scan = new CountingScan(entries);
    const found = told(run(scan, { clock, stopAtMs: 90 }));
    for (let turn = 0; turn < 20; turn += 1) {
      await clock.advance(10);
      clock.endTurn();
    }
    const next = found()?.next ?? 0n;
    // one at the start, one every 10 ms, and none after the ninetieth
    expect(scan.stepCount).toBe(10);
    expect(entries.filter(({ hash }) => hash < next)).toHaveLength(scan.entryCount);
  });

  test("makes one step even when its time is up before it begins", async () => {
    const clock = new TurnClock();
    const scan = new CountingScan(entries);
    const from = startOf(1, PARTITIONS) ?? 0n;
    const found = told(run(scan, { clock, from, stopAtMs: 0 }));
    await clock.advance(0);
    expect(scan.stepCount).toBe(1);
    expect(found()?.next).toBeGreaterThan(from);
  });
});
