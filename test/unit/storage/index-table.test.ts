import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type IndexEntry, IndexTable } from "../../../storage/index-table.ts";

const partitionBits = 10;
const partition = 0x2a5n;
const prefix = partition << 54n;

/** The dumb version: an array kept in hash order. */
class SortedModel {
  readonly entries: IndexEntry[] = [];

  insert(entry: IndexEntry): void {
    const at = this.entries.findIndex((other) => other.hash > entry.hash);
    this.entries.splice(at < 0 ? this.entries.length : at, 0, entry);
  }
}

const kinds = [0, 1, 2, 3] as const;

function entryOf(hash: bigint, serial: number): IndexEntry {
  return {
    hash,
    digest: (BigInt(serial) * 0x9e3779b97f4a7c15n + 1n) & 0xffff_ffff_ffff_ffffn,
    segment: (serial * 2_654_435_761) >>> 0,
    offset: ((serial * 48_271) % 0x1_0000_0000) * 8,
    length: 8 * (1 + ((serial * 69_621) % 0x0fff_ffff)),
    kind: kinds[serial % 4] ?? 0,
  };
}

function entryAt(table: IndexTable, slot: number): IndexEntry {
  return {
    hash: table.hashAt(slot),
    digest: table.digestAt(slot),
    segment: table.segmentAt(slot),
    offset: table.offsetAt(slot),
    length: table.lengthAt(slot),
    kind: table.kindAt(slot),
  };
}

function allFrom(table: IndexTable, fromHash: bigint): IndexEntry[] {
  const found: IndexEntry[] = [];
  table.forEachFrom(fromHash, (slot) => {
    found.push(entryAt(table, slot));
    return true;
  });
  return found;
}

function slotsOf(table: IndexTable, hash: bigint): number[] {
  const slots: number[] = [];
  for (let slot = table.find(hash); slot >= 0; slot = table.findNext(slot, hash)) slots.push(slot);
  return slots;
}

const bySerial = (a: IndexEntry, b: IndexEntry): number => (a.digest < b.digest ? -1 : 1);
const sortedByHash = (entries: readonly IndexEntry[]): IndexEntry[] =>
  [...entries].sort((a, b) => (a.hash === b.hash ? bySerial(a, b) : a.hash < b.hash ? -1 : 1));

/** Hashes spread, crowded at both ends of the partition, crowded in one home slot, and simply equal. */
const hashArbitrary = fc.oneof(
  fc.bigInt(0n, (1n << 54n) - 1n),
  fc.bigInt(0n, 7n),
  fc.bigInt((1n << 54n) - 8n, (1n << 54n) - 1n),
  fc.bigInt(0n, 15n).map((low) => (0x1234n << 38n) + low),
  fc.bigInt(0n, 3n).map((high) => (high << 52n) + 5n),
);
const commandArbitrary = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("insert" as const), hash: hashArbitrary }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("remove" as const), pick: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("replace" as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("scan" as const), hash: hashArbitrary }) },
);
type Command = typeof commandArbitrary extends fc.Arbitrary<infer T> ? T : never;

function slotHolding(table: IndexTable, wanted: IndexEntry): number {
  const slot = slotsOf(table, wanted.hash).find((candidate) => table.digestAt(candidate) === wanted.digest);
  if (slot === undefined) throw new Error("an entry of the model is not in the table");
  return slot;
}

function apply(
  table: IndexTable,
  model: SortedModel,
  step: { readonly command: Command; readonly serial: number },
): void {
  const { command, serial } = step;
  if (command.kind === "insert") {
    const entry = entryOf(prefix + command.hash, serial);
    table.insert(entry);
    model.insert(entry);
    return;
  }
  if (command.kind === "scan") {
    const from = prefix + command.hash;
    expect(sortedByHash(allFrom(table, from))).toEqual(sortedByHash(model.entries.filter((e) => e.hash >= from)));
    return;
  }
  const at = command.pick % Math.max(1, model.entries.length);
  const victim = model.entries[at];
  if (victim === undefined) return;
  if (command.kind === "remove") {
    table.removeAt(slotHolding(table, victim));
    model.entries.splice(at, 1);
    return;
  }
  const entry = entryOf(victim.hash, serial);
  table.replaceAt(slotHolding(table, victim), entry);
  model.entries[at] = entry;
}

describe("the index of a partition", () => {
  test("agrees with a sorted array on any program of inserts, replacements, removals and scans", () => {
    fc.assert(
      fc.property(fc.array(commandArbitrary, { maxLength: 250, size: "max" }), (commands) => {
        const table = new IndexTable(partitionBits);
        const model = new SortedModel();
        commands.forEach((command, index) => {
          apply(table, model, { command, serial: index + 1 });
        });
        expect(table.count).toBe(model.entries.length);
        const hashes = allFrom(table, prefix).map((entry) => entry.hash);
        expect(hashes).toEqual(model.entries.map((entry) => entry.hash));
        expect(sortedByHash(allFrom(table, 0n))).toEqual(sortedByHash(model.entries));
        for (const { hash } of model.entries) {
          expect(slotsOf(table, hash)).toHaveLength(model.entries.filter((other) => other.hash === hash).length);
          if (!model.entries.some((other) => other.hash === hash + 1n)) expect(table.find(hash + 1n)).toBe(-1);
        }
      }),
      { numRuns: 300 },
    );
  });

  test.each([0, 1, 6, 12, 31, 32])(
    "keeps hash order with %i partition bits, at both ends of the hash space",
    (bits) => {
      const table = new IndexTable(bits);
      const top = bits === 0 ? 0n : ((1n << BigInt(bits)) - 1n) << BigInt(64 - bits);
      const span = 1n << BigInt(64 - bits);
      const hashes = [0n, 1n, span / 3n, span / 2n, span - 2n, span - 1n].map((hash) => top + hash);
      for (const [serial, hash] of [...hashes].reverse().entries()) table.insert(entryOf(hash, serial));
      expect(allFrom(table, 0n).map((entry) => entry.hash)).toEqual(hashes);
      for (const hash of hashes) expect(table.hashAt(table.find(hash))).toBe(hash);
    },
  );

  test("costs nothing while empty, and gives its memory back when emptied", () => {
    const table = new IndexTable(partitionBits);
    expect(table.bytes).toBe(0);
    expect(table.find(prefix)).toBe(-1);
    for (let serial = 0; serial < 5000; serial += 1) table.insert(entryOf(scattered(serial), serial));
    expect(table.bytes).toBeGreaterThan(5000 * 28);
    for (let serial = 0; serial < 4900; serial += 1) table.removeAt(table.find(scattered(serial)));
    expect(table.bytes).toBeLessThan(100 * 28 * 4);
    expect(allFrom(table, 0n)).toHaveLength(100);
    for (let serial = 4900; serial < 5000; serial += 1) table.removeAt(table.find(scattered(serial)));
    expect(table.bytes).toBe(0);
  });

  test("takes at most 40 bytes a key from a thousand keys on, load factor included", () => {
    const table = new IndexTable(partitionBits);
    let worst = 0;
    for (let serial = 0; serial < 60_000; serial += 1) {
      table.insert(entryOf(scattered(serial), serial));
      if (serial >= 1000) worst = Math.max(worst, table.bytes / table.count);
    }
    expect(worst).toBeLessThanOrEqual(40);
    expect(table.count).toBe(60_000);
  });

  test("stops a scan as soon as the visitor says so", () => {
    const table = new IndexTable(partitionBits);
    for (let serial = 0; serial < 50; serial += 1) table.insert(entryOf(scattered(serial), serial));
    let visits = 0;
    table.forEachFrom(0n, () => (visits += 1) < 7);
    expect(visits).toBe(7);
  });

  test("refuses an entry that its words cannot hold, and a replacement of another hash", () => {
    const table = new IndexTable(partitionBits);
    const entry = entryOf(prefix, 1);
    expect(() => table.insert({ ...entry, offset: 12 })).toThrow("offset");
    expect(() => table.insert({ ...entry, offset: 2 ** 35 })).toThrow("offset");
    expect(() => table.insert({ ...entry, length: 0 })).toThrow("length");
    expect(() => table.insert({ ...entry, segment: 2 ** 32 })).toThrow("segment");
    expect(table.count).toBe(0);
    expect(allFrom(table, 0n)).toEqual([]);
    table.insert({ ...entry, offset: 2 ** 35 - 8, length: 2 ** 31 - 8, segment: 2 ** 32 - 1, kind: 3 });
    const stored = entryAt(table, table.find(prefix));
    expect(stored).toMatchObject({ offset: 2 ** 35 - 8, length: 2 ** 31 - 8, segment: 2 ** 32 - 1, kind: 3 });
    expect(() => table.replaceAt(table.find(prefix), entryOf(prefix + 1n, 2))).toThrow("same hash");
  });
});

/** A fixed pseudo-random hash of the partition for each serial. */
function scattered(serial: number): bigint {
  let word = (BigInt(serial) + 1n) * 0x9e3779b97f4a7c15n;
  word = ((word ^ (word >> 30n)) * 0xbf58476d1ce4e5b9n) & 0xffff_ffff_ffff_ffffn;
  return prefix + ((word ^ (word >> 27n)) & ((1n << 54n) - 1n));
}

describe("keys that come in the order of their hashes, as a copied partition's do", () => {
  const stepOf = (count: number): bigint => (1n << 54n) / BigInt(count + 1);
  const nth = (n: number, count: number): bigint => prefix + BigInt(n) * stepOf(count);

  test("are found at every moment, with those between them absent", () => {
    const table = new IndexTable(partitionBits);
    const count = 700;
    for (let n = 0; n < count; n += 1) {
      table.insert(entryOf(nth(n, count), n));
      for (const m of [0, n >> 1, n - 1, n]) {
        if (m < 0) continue;
        const slot = table.find(nth(m, count));
        expect(slot >= 0 && table.hashAt(slot)).toBe(nth(m, count));
        expect(table.find(nth(m, count) + 1n)).toBe(-1);
      }
      const from = nth(n >> 2, count) + 1n;
      let first = -1n;
      table.forEachFrom(from, (slot) => {
        first = table.hashAt(slot);
        return false;
      });
      const expected = (n >> 2) + 1;
      expect(first).toBe(expected <= n ? nth(expected, count) : -1n);
    }
  });

  // steps that grow with the number of keys would take minutes here
  test("cost about as much as others: the search does not walk through all that came before", () => {
    const table = new IndexTable(partitionBits);
    const count = 300_000;
    for (let n = 0; n < count; n += 1) table.insert(entryOf(nth(n, count), n));
    for (let n = 0; n < count; n += 1) if (table.find(nth(n, count)) < 0) expect.unreachable("it is there");
    expect(table.count).toBe(count);
  });
});
