/** Random programs over a storage engine, in agreement with the memory engine after every step. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { KeyAddress, ScanEntry, StorageEngine } from "../../storage/engine.ts";
import { openMemoryEngine } from "../../storage/memory-engine.ts";
import { seededDraws } from "../support/seeded.ts";
import { addressOf, expiringOf, scanAll, TEST_PARTITIONS, tombstoneOf, writeOf } from "../support/storage-fixtures.ts";

/** An engine on some store, and what a test may do to the store. */
export interface EngineStand {
  readonly engine: StorageEngine;
  /** "clean": closes the engine (if it is open) and opens the store again; "unclean": lets it crash instead */
  readonly reopen: (how: "clean" | "unclean") => Promise<StorageEngine>;
  /** compacts all that can be, where the engine knows how */
  readonly compact: () => Promise<void>;
  readonly dispose: () => Promise<void>;
}

/** Eight keys, three of them of one hash, two of them neighbours. */
const KEYS: readonly KeyAddress[] = [
  addressOf({ partition: 0, low: 10n, key: "alone" }),
  addressOf({ partition: 1, low: 20n, key: "twin-a" }),
  addressOf({ partition: 1, low: 20n, key: "twin-b" }),
  addressOf({ partition: 1, low: 20n, key: "twin-c" }),
  addressOf({ partition: 1, low: 21n, key: "neighbour" }),
  addressOf({ partition: 3, low: (1n << 62n) - 1n, key: "last" }),
  addressOf({ partition: 3, low: 0n, key: "first" }),
  addressOf({ partition: 2, low: 99n, key: "x".repeat(300) }),
];

const keyArbitrary = fc.nat({ max: KEYS.length - 1 });
const stepArbitrary = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant("put" as const), key: keyArbitrary, size: fc.nat({ max: 700 }) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("delete" as const), key: keyArbitrary }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("burst" as const),
      keys: fc.array(keyArbitrary, { minLength: 2, maxLength: 12 }),
      size: fc.nat({ max: 300 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("expiring" as const), key: keyArbitrary, size: fc.nat({ max: 200 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("reap" as const), keys: fc.array(keyArbitrary, { maxLength: 6 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("compact" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("reopen" as const),
      how: fc.constantFrom("clean" as const, "unclean" as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("lease" as const), through: fc.nat() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("drop" as const),
      partition: fc.nat({ max: TEST_PARTITIONS - 1 }),
      /** written in the same turn: before the drop, and after it */
      before: fc.array(keyArbitrary, { maxLength: 5 }),
      after: fc.array(keyArbitrary, { maxLength: 5 }),
    }),
  },
);
type Step = typeof stepArbitrary extends fc.Arbitrary<infer T> ? T : never;

/** Everything that the contract lets a caller see, in a form that two engines can be compared by. */
async function viewOf(engine: StorageEngine, limit: number): Promise<object> {
  const values = [];
  for (const address of KEYS) {
    const record = await engine.get(address);
    values.push(record && { ...record, value: Buffer.from(record.value).toString("base64") });
  }
  const partitions = [];
  for (let partition = 0; partition < TEST_PARTITIONS; partition += 1) {
    const entries = await scanAll(engine, partition, limit);
    const hashes = entries.map((entry) => entry.hash);
    partitions.push({
      root: engine.merkleRoot(partition),
      count: engine.keyCountOf(partition),
      collectableCount: engine.collectableCountOf(partition),
      collectable: inOneOrder(await scanAll(engine, partition, limit, "scanCollectable")),
      hashes,
      entries: inOneOrder(entries),
    });
  }
  return { values, partitions, tombstoneCount: engine.stats().tombstoneCount, suspects: engine.suspectPartitions() };
}

/** Scan results with the keys of one hash in one order: the contract leaves theirs open. */
function inOneOrder(entries: readonly ScanEntry[]): object[] {
  const named = entries.map((entry) => ({ ...entry, key: Buffer.from(entry.key).toString("latin1") }));
  return named.sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** The engine under test and the model, led through the same steps. */
class Pair {
  readonly stand: EngineStand;
  readonly model: StorageEngine = openMemoryEngine({ partitionCount: TEST_PARTITIONS, random: seededDraws(1) });
  real: StorageEngine;
  #serial = 0;

  constructor(stand: EngineStand) {
    this.stand = stand;
    this.real = stand.engine;
  }

  async step(step: Step): Promise<void> {
    if (step.kind === "put") await this.#write([step.key], step.size);
    else if (step.kind === "delete") await this.#write([step.key], undefined);
    else if (step.kind === "expiring") await this.#write([step.key], step.size, true);
    else if (step.kind === "reap") await this.#reap(step.keys);
    else if (step.kind === "burst") await this.#write(step.keys, step.size);
    else if (step.kind === "compact") await this.stand.compact();
    else if (step.kind === "reopen") this.real = await this.stand.reopen(step.how);
    else if (step.kind === "drop") await this.#drop(step);
    else {
      await this.model.leaseCounters(step.through);
      await this.real.leaseCounters(step.through);
    }
  }

  /** All calls are made in one turn: their order says what is left. */
  async #drop(step: Extract<Step, { kind: "drop" }>): Promise<void> {
    const calls = [this.#write(step.before, 40)];
    calls.push(this.real.dropPartition(step.partition), this.model.dropPartition(step.partition));
    calls.push(this.#write(step.after, 50));
    await Promise.all(calls);
  }

  /** What is held of these keys goes; of those that are not held a made-up record, which changes nothing. */
  async #reap(keys: readonly number[]): Promise<void> {
    for (const partition of [0, 1, 2, 3]) {
      const entries = [];
      for (const key of keys) {
        const address = KEYS[key];
        if (address?.partition !== partition) continue;
        entries.push({ hash: address.hash, digest: (await this.model.get(address))?.digest ?? 77n });
      }
      const [reaped, expected] = [await this.real.reap(partition, entries), await this.model.reap(partition, entries)];
      if (reaped !== expected) throw new Error(`${reaped} records were reaped instead of ${expected}`);
    }
  }

  async #write(keys: readonly number[], size: number | undefined, mayExpire = false): Promise<void> {
    const puts: Promise<void>[] = [];
    for (const key of keys) {
      const address = KEYS[key];
      if (address === undefined) continue;
      this.#serial += 1;
      const value = mayExpire ? expiringOf : writeOf;
      const request = size === undefined ? tombstoneOf(address, this.#serial) : value(address, this.#serial, size);
      puts.push(this.real.put(request), this.model.put(request));
    }
    await Promise.all(puts);
  }
}

/** Random programs; each draws a new store. */
export function programContract(name: string, make: () => Promise<EngineStand>, count: number): void {
  describe(`${name}: any program`, () => {
    test("of puts, deletes, bursts, compactions, restarts and crashes agrees with the model", async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(stepArbitrary, { maxLength: 40, size: "max" }), async (steps) => {
          const pair = new Pair(await make());
          try {
            const ends: Step[] = [
              { kind: "reopen", how: "unclean" },
              { kind: "reopen", how: "clean" },
            ];
            for (const [at, step] of [...steps, ...ends].entries()) {
              await pair.step(step);
              if (at % 8 !== 0 && at < steps.length - 1) continue;
              const limit = 1 + (at % 4);
              expect(await viewOf(pair.real, limit)).toEqual(await viewOf(pair.model, limit));
              expect(pair.real.identity.leasedThrough).toBeGreaterThanOrEqual(pair.model.identity.leasedThrough);
            }
          } finally {
            await pair.stand.dispose();
          }
        }),
        { numRuns: count },
      );
    });
  });
}
