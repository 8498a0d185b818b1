/**
 * The pulse of a disk whose store refuses puts: the log engine on a simulated disk, told of by the keeper of records. A store
 * refuses at once when its queue is full, most of all while the disk hangs; a full disk refuses however fast it is.
 */
import { describe, expect, test } from "vitest";
import { DISK_BAD_LOOKS, DISK_GOOD_LOOKS, DISK_LOOK_MS } from "../../../services/base/load-limits.ts";
import { DiskPulse } from "../../../services/calm/disk-pulse.ts";
import type { DiskState } from "../../../services/calm/disk-pulse-core.ts";
import { RecordKeeper } from "../../../services/replica/record-keeper.ts";
import type { StorageEngine } from "../../../storage/engine.ts";
import { openLogEngine } from "../../../storage/log-engine.ts";
import { SimDisk } from "../../sim/sim-disk.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { seededDraws } from "../../support/seeded.ts";
import { nthAddress, TEST_PARTITIONS, writeOf } from "../../support/storage-fixtures.ts";

/** Writes that a store accepts before they are durable. */
const QUEUE_RECORDS = 500;
const quiet = (): void => undefined;

/** The time that a disk takes to make bytes durable; `Infinity`: until `release`. */
class Flushes {
  readonly #clock: FakeClock;
  readonly #held: (() => void)[] = [];
  tookMs = 1;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  setTimer(delayMs: number, run: () => void): void {
    if (delayMs === Number.POSITIVE_INFINITY) this.#held.push(run);
    else this.#clock.setTimer(delayMs, run);
  }

  release(): void {
    this.tookMs = 1;
    for (const run of this.#held.splice(0)) run();
  }
}

/** A store on a disk of its own, and the pulse that the keeper of its records tells of each put. */
class Store {
  readonly clock: FakeClock;
  readonly disk: SimDisk;
  readonly flushes: Flushes;
  readonly pulse: DiskPulse;
  /** the pulse's states since the start, one after the other */
  readonly told: DiskState[] = [];
  /** how many puts ended so */
  readonly ends = new Map<string, number>();
  /** the fewest that had not ended when another one began */
  leastWaiting = Number.POSITIVE_INFINITY;
  readonly #keeper: RecordKeeper;
  #waitingCount = 0;
  #serial = 0;

  private constructor(engine: StorageEngine, at: Pick<Store, "clock" | "disk" | "flushes">) {
    this.clock = at.clock;
    this.disk = at.disk;
    this.flushes = at.flushes;
    this.pulse = new DiskPulse({
      clock: at.clock,
      log: { info: quiet, warn: quiet },
      writeCanary: () => engine.writeDocument("canary", new Uint8Array(1)),
      loopDelayMs: () => 0,
      onState: (state) => void this.told.push(state),
    });
    this.#keeper = new RecordKeeper({
      store: engine,
      slots: { slotOf: () => 0 },
      isDurable: true,
      pulse: this.pulse,
      clock: this.clock,
    });
  }

  /** One that has taken its first writes. */
  static async open(queueRecords = QUEUE_RECORDS): Promise<Store> {
    const clock = new FakeClock();
    const flushes = new Flushes(clock);
    const delayMs = (name: string): number => (name === "write" || name === "fdatasync" ? flushes.tookMs : 0);
    const disk = new SimDisk({ random: seededDraws(1), latency: { clock: flushes, delayMs } });
    const opening = openLogEngine({
      ...{ disk, clock, random: seededDraws(7), log: { info: quiet, warn: quiet, error: quiet } },
      ...{ partitionCount: TEST_PARTITIONS, durability: "fsync", queueRecords, diskReserveBytes: 0 },
      ...{ segmentBytes: 2 ** 20, isCompactionAutomatic: false, scrubPassMs: 0 },
    });
    await clock.advance(1_000);
    const store = new Store(await opening, { clock, disk, flushes });
    store.pulse.start();
    await store.putEvery(100, 2_000);
    if (store.ends.get("stored") !== 20) throw new Error(`ended: ${JSON.stringify([...store.ends])}`);
    return store;
  }

  /** Begins a put. */
  put(): void {
    this.leastWaiting = Math.min(this.leastWaiting, this.#waitingCount);
    this.#waitingCount += 1;
    const request = writeOf(nthAddress(this.#serial % 100), this.#serial);
    this.#serial += 1;
    void this.#keeper.ended(request, this.#keeper.begin(request)).then((result) => {
      this.#waitingCount -= 1;
      const end = result.kind === "refused" ? result.reason : result.kind;
      this.ends.set(end, (this.ends.get(end) ?? 0) + 1);
    });
  }

  /** Begins a put every so often, for so long. */
  async putEvery(pauseMs: number, durationMs: number): Promise<void> {
    for (let passedMs = 0; passedMs < durationMs; passedMs += pauseMs) {
      this.put();
      await this.clock.advance(pauseMs);
    }
  }
}

describe("a store that refuses puts because its queue is full", () => {
  test("does not make a disk that hangs well, which it is again once it takes what waited", async () => {
    const store = await Store.open();
    store.flushes.tookMs = Number.POSITIVE_INFINITY;
    for (let n = 0; n < QUEUE_RECORDS; n += 1) store.put();
    await store.clock.advance(6_000);
    expect(store.told).toEqual(["slow", "degraded"]);
    await store.putEvery(5, 10_000);
    expect([store.told, store.ends.get("overloaded")]).toEqual([["slow", "degraded"], 2_000]);
    expect(store.pulse.words).toContain("nothing has become durable for 16000 ms");
    store.flushes.release();
    await store.clock.advance(100);
    await store.putEvery(100, (DISK_GOOD_LOOKS + 1) * DISK_LOOK_MS);
    expect([store.told.slice(2), store.ends.get("overloaded")]).toEqual([["well"], 2_000]);
  });

  test("does not make one fast that takes half a second for each group of writes", async () => {
    const store = await Store.open(50);
    store.flushes.tookMs = 500;
    await store.putEvery(5, (DISK_BAD_LOOKS + 1) * DISK_LOOK_MS);
    expect(store.ends.get("overloaded")).toBeGreaterThan(store.ends.get("stored") ?? 0);
    expect(store.told).toEqual(["slow", "degraded"]);
    expect(store.pulse.medianMs).toBeGreaterThan(400);
  });
});

describe("a store that refuses puts because its disk is full", () => {
  const full = { on: ["write"], code: "ENOSPC" } as const;

  test("has no slow disk for that, though nothing becomes durable and some put always waits", async () => {
    const store = await Store.open();
    store.disk.inject(full);
    store.flushes.tookMs = 150;
    store.put();
    store.leastWaiting = Number.POSITIVE_INFINITY;
    await store.putEvery(100, 20_000);
    expect([store.leastWaiting > 0, store.told]).toEqual([true, []]);
    expect([store.ends.get("stored"), (store.ends.get("disk_full") ?? 0) > 190]).toEqual([20, true]);
  });

  test("has one that is still degraded, until a canary becomes durable", async () => {
    const store = await Store.open();
    store.flushes.tookMs = 600;
    await store.putEvery(100, (DISK_BAD_LOOKS + 2) * DISK_LOOK_MS);
    await store.clock.advance(600);
    expect(store.told).toEqual(["slow", "degraded"]);
    store.flushes.tookMs = 1;
    const canariesBefore = store.pulse.canaryCount;
    const makeRoom = store.disk.inject(full);
    await store.putEvery(100, 20_000);
    expect([store.told, store.ends.get("disk_full")]).toEqual([["slow", "degraded"], 200]);
    expect(store.pulse.canaryCount - canariesBefore).toBeGreaterThan(15);
    makeRoom();
    await store.clock.advance((DISK_GOOD_LOOKS + 1) * DISK_LOOK_MS);
    expect(store.told).toEqual(["slow", "degraded", "well"]);
  });
});

describe("a store that has failed", () => {
  test("says nothing of its disk any more: neither that it is well, nor that it hangs", async () => {
    const store = await Store.open();
    store.flushes.tookMs = 2_500;
    store.disk.inject({ on: ["write"], code: "EIO" });
    await store.putEvery(100, 15_000);
    expect([store.ends.get("failed"), store.ends.get("stored")]).toEqual([150, 20]);
    expect([store.told, store.pulse.stallMs]).toEqual([["slow"], 0]);
  });
});
