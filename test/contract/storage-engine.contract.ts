/** What every storage engine promises (`storage/engine.ts`), sentence by sentence, checked on all engines alike. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { KeyAddress, ReapEntry, StorageEngine, StoredRecord } from "../../storage/engine.ts";
import { MerkleTree, merkleLeafCount } from "../../storage/merkle-tree.ts";
import {
  addressOf,
  digestOfWrite,
  expiringOf,
  nthAddress,
  scanAll,
  TEST_PARTITIONS,
  tombstoneOf,
  valueOf,
  writeOf,
} from "../support/storage-fixtures.ts";
import { type EngineStand, programContract } from "./storage-programs.ts";

const PARTITION_BITS = Math.log2(TEST_PARTITIONS);

/** The value of a key as a Buffer, which compares fast; undefined when it is absent. */
async function valueIn(engine: StorageEngine, address: KeyAddress): Promise<Buffer | undefined> {
  const record = await engine.get(address);
  return record === undefined ? undefined : Buffer.from(record.value);
}

/** The suite; `make` is called before each test and hands out a stand on an empty store. `programs`: how many random ones. */
export function storageEngineContract(
  name: string,
  make: () => Promise<EngineStand>,
  { programs }: { readonly programs: number } = { programs: 100 },
): void {
  let stand: EngineStand;
  let engine: StorageEngine;
  const reopen = async (how: "clean" | "unclean"): Promise<StorageEngine> => {
    engine = await stand.reopen(how);
    return engine;
  };
  beforeEach(async () => {
    stand = await make();
    engine = stand.engine;
  });
  afterEach(() => stand.dispose());

  describe(`${name}: records`, () => {
    test("a fresh store holds nothing and says so", async () => {
      expect(engine.partitionCount).toBe(TEST_PARTITIONS);
      expect(engine.recovery).toMatchObject({ mode: "fresh", recordCount: 0, corruptRecordCount: 0, isNewActor: true });
      expect(await engine.get(nthAddress(0))).toBeUndefined();
      expect(engine.digestOf(nthAddress(0))).toBe(0n);
      for (let partition = 0; partition < TEST_PARTITIONS; partition += 1) {
        expect(await engine.scan(partition, 0n, 10)).toEqual({ entries: [], nextHash: undefined });
        expect(engine.merkleRoot(partition)).toBe(0n);
      }
      expect(engine.failure).toBeUndefined();
    });

    test("a put that has resolved is read back, by value and by digest; the newest put wins", async () => {
      const address = nthAddress(1);
      await engine.put(writeOf(address, 1));
      expect(await recordIn(engine, address)).toEqual(asRecord(writeOf(address, 1)));
      expect(engine.digestOf(address)).toBe(digestOfWrite(1));
      await engine.put(writeOf(address, 2));
      expect(await recordIn(engine, address)).toEqual(asRecord(writeOf(address, 2)));
      expect(engine.digestOf(address)).toBe(digestOfWrite(2));
    });

    test("a tombstone is a record like any other, and a later put takes its place", async () => {
      const address = nthAddress(1);
      await engine.put(writeOf(address, 1));
      await engine.put(tombstoneOf(address, 2));
      expect(await engine.get(address)).toMatchObject({ isTombstone: true, digest: digestOfWrite(2) });
      expect((await scanAll(engine, address.partition, 10))[0]).toMatchObject({ isTombstone: true });
      await engine.put(writeOf(address, 3));
      expect(await engine.get(address)).toMatchObject({ isTombstone: false, digest: digestOfWrite(3) });
    });

    test.each([0, 1, 7, 8, 9, 200, 479, 511, 512, 513, 4000, 4095, 4096, 4097, 70_000, 1_100_000])(
      "a value of %i bytes comes back byte for byte, before and after a restart",
      async (size) => {
        await engine.put(writeOf(nthAddress(1), 1, 33));
        await engine.put(writeOf(nthAddress(2), 2, size));
        await engine.put(writeOf(nthAddress(3), 3, 33));
        for (const how of ["as is", "clean", "unclean"] as const) {
          if (how !== "as is") await reopen(how);
          expect(await valueIn(engine, nthAddress(2))).toEqual(Buffer.from(valueOf(2, size)));
          expect(await valueIn(engine, nthAddress(3))).toEqual(Buffer.from(valueOf(3, 33)));
        }
      },
    );

    test("every record size from 0 to 600 bytes survives a restart, whatever boundary it falls on", async () => {
      const sizes = Array.from({ length: 601 }, (_, size) => size);
      await Promise.all(sizes.map((size) => engine.put(writeOf(nthAddress(size), size, size))));
      await reopen("unclean");
      for (const size of sizes)
        expect(await valueIn(engine, nthAddress(size))).toEqual(Buffer.from(valueOf(size, size)));
    });

    test("keys of 1 and of 2048 bytes are kept apart from keys that begin alike", async () => {
      const keys = ["k", "kk", "k".repeat(2047), "k".repeat(2048)];
      const addresses = keys.map((key) => addressOf({ partition: 1, low: 77n, key }));
      for (const [serial, address] of addresses.entries()) await engine.put(writeOf(address, serial));
      await reopen("clean");
      for (const [serial, address] of addresses.entries())
        expect(await valueIn(engine, address)).toEqual(Buffer.from(valueOf(serial)));
    });

    test("the store keeps its own bytes: changing what was put or what was got changes nothing", async () => {
      const request = writeOf(nthAddress(1), 1);
      const key = request.address.key.slice();
      await engine.put(request);
      request.value.fill(0);
      request.address.key.fill(0);
      const got = await engine.get({ ...request.address, key });
      got?.value.fill(1);
      expect(await valueIn(engine, { ...request.address, key })).toEqual(Buffer.from(valueOf(1)));
    });
  });

  describe(`${name}: keys of one hash`, () => {
    const first = addressOf({ partition: 2, low: 5n, key: "first" });
    const second = addressOf({ partition: 2, low: 5n, key: "second" });
    const after = addressOf({ partition: 2, low: 6n, key: "after" });

    test("are two keys: each is read, overwritten and deleted by itself", async () => {
      await engine.put(writeOf(first, 1));
      expect(await engine.get(second)).toBeUndefined();
      await engine.put(writeOf(second, 2));
      await engine.put(tombstoneOf(first, 3));
      for (const how of ["as is", "clean", "unclean"] as const) {
        if (how !== "as is") await reopen(how);
        expect(await engine.get(first)).toMatchObject({ isTombstone: true, digest: digestOfWrite(3) });
        expect(await valueIn(engine, second)).toEqual(Buffer.from(valueOf(2)));
        expect([digestOfWrite(2), digestOfWrite(3)]).toContain(engine.digestOf(first));
        expect([digestOfWrite(2), digestOfWrite(3)]).toContain(engine.digestOf(second));
      }
    });

    test("come in one page of a scan, whatever its limit", async () => {
      for (const [serial, address] of [first, second, after].entries()) await engine.put(writeOf(address, serial));
      const page = await engine.scan(2, 0n, 1);
      expect(page.entries.map((entry) => Buffer.from(entry.key).toString()).sort()).toEqual(["first", "second"]);
      expect(page.nextHash).toBe(after.hash);
      const rest = await engine.scan(2, after.hash, 1);
      expect(rest.entries.map((entry) => Buffer.from(entry.key).toString())).toEqual(["after"]);
      expect(rest.nextHash).toBeUndefined();
    });
  });

  describe(`${name}: order and overlap`, () => {
    test("overlapping puts of one key are ordered by call", async () => {
      const address = nthAddress(3);
      const puts = Array.from({ length: 50 }, (_, serial) => engine.put(writeOf(address, serial)));
      await Promise.all(puts);
      expect(await valueIn(engine, address)).toEqual(Buffer.from(valueOf(49)));
      expect(engine.digestOf(address)).toBe(digestOfWrite(49));
      await reopen("unclean");
      expect(await valueIn(engine, address)).toEqual(Buffer.from(valueOf(49)));
    });

    test("overlapping puts of two keys of one hash, both new, leave both", async () => {
      const twins = ["a", "b", "c"].map((key) => addressOf({ partition: 0, low: 9n, key }));
      await Promise.all(
        twins.flatMap((address, at) => [1, 2].map((turn) => engine.put(writeOf(address, at * 10 + turn)))),
      );
      for (const [at, address] of twins.entries())
        expect(await valueIn(engine, address)).toEqual(Buffer.from(valueOf(at * 10 + 2)));
      expect(await scanAll(engine, 0, 1)).toHaveLength(3);
    });

    test("reads and scans between overlapping puts see whole records only", async () => {
      const puts = Array.from({ length: 200 }, (_, serial) => engine.put(writeOf(nthAddress(serial % 7), serial, 300)));
      for (let round = 0; round < 20; round += 1) {
        for (let key = 0; key < 7; key += 1) {
          const record = await engine.get(nthAddress(key));
          if (record === undefined) continue;
          const serial = Number(/#(\d+);/.exec(Buffer.from(record.value).toString("latin1"))?.[1]);
          expect(serial % 7).toBe(key);
          expect(Buffer.from(record.value)).toEqual(Buffer.from(valueOf(serial, 300)));
          expect(record.digest).toBe(digestOfWrite(serial));
        }
      }
      await Promise.all(puts);
    });
  });

  describe(`${name}: scans`, () => {
    test("give a partition's keys in hash order, from a hash on, inclusive, tombstones too, at any limit", async () => {
      const addresses = Array.from({ length: 60 }, (_, n) => nthAddress(n));
      await Promise.all(
        addresses.map((address, n) => engine.put(n % 5 === 0 ? tombstoneOf(address, n) : writeOf(address, n))),
      );
      const expected = addresses
        .map((address, n) => ({ ...address, n }))
        .filter((address) => address.partition === 1)
        .sort((a, b) => (a.hash < b.hash ? -1 : 1));
      for (const limit of [1, 2, 7, 1000]) {
        const found = await scanAll(engine, 1, limit);
        expect(found.map((entry) => ({ ...entry, key: Buffer.from(entry.key) }))).toEqual(
          expected.map(({ hash, key, n }) => ({
            hash,
            key: Buffer.from(key),
            digest: digestOfWrite(n),
            isTombstone: n % 5 === 0,
            mayExpire: false,
          })),
        );
      }
      const middle = expected[7];
      if (middle === undefined) throw new Error("too few keys");
      const page = await engine.scan(1, middle.hash, 3);
      expect(page.entries.map((entry) => entry.hash)).toEqual(expected.slice(7, 10).map((entry) => entry.hash));
      expect(page.nextHash).toBe(expected[10]?.hash);
      const beyond = await engine.scan(1, middle.hash + 1n, 1);
      expect(beyond.entries[0]?.hash).toBe(expected[8]?.hash);
    });
  });

  describe(`${name}: Merkle trees`, () => {
    test("cover the newest digest of every key, tombstones too, and agree with a tree built by hand", async () => {
      const model = new MerkleTree(PARTITION_BITS);
      for (let n = 0; n < 80; n += 1) {
        const address = nthAddress(n);
        await engine.put(writeOf(address, n));
        if (n % 3 === 0) await engine.put(tombstoneOf(address, 1000 + n));
        if (address.partition === 3) model.toggle(address.hash, digestOfWrite(n % 3 === 0 ? 1000 + n : n));
      }
      for (const how of ["as is", "clean", "unclean"] as const) {
        if (how !== "as is") await reopen(how);
        expect(engine.merkleRoot(3)).toBe(model.root());
        expect(engine.merkleChildren(3, [])).toEqual(model.children([]));
        for (let inner = 0; inner < 16; inner += 1) {
          expect(engine.merkleChildren(3, [inner])).toEqual(model.children([inner]));
        }
        const leaves = Array.from({ length: merkleLeafCount }, (_, leaf) => engine.merkleLeaf(3, leaf)).flat();
        const scanned = await scanAll(engine, 3, 100);
        expect(leaves).toEqual(scanned.map(({ hash, digest }) => ({ hash, digest })));
      }
    });
  });

  describe(`${name}: dropping a partition`, () => {
    const keys = Array.from({ length: 40 }, (_, n) => nthAddress(n));

    test("forgets all of its records at once and over any restart, and no record of another", async () => {
      await Promise.all(keys.map((address, n) => engine.put(writeOf(address, n))));
      await engine.put(tombstoneOf(nthAddress(2), 99));
      const others = [0, 1, 3].map((partition) => engine.merkleRoot(partition));
      await engine.dropPartition(2);
      for (const how of ["as is", "clean", "unclean", "clean"] as const) {
        if (how !== "as is") await reopen(how);
        expect(await scanAll(engine, 2, 10)).toEqual([]);
        expect([engine.merkleRoot(2), engine.digestOf(nthAddress(2))]).toEqual([0n, 0n]);
        expect(engine.merkleLeaf(2, 0)).toEqual([]);
        expect(await engine.get(nthAddress(6))).toBeUndefined();
        expect([0, 1, 3].map((partition) => engine.merkleRoot(partition))).toEqual(others);
        expect(engine.stats()).toMatchObject({ keyCount: 30, tombstoneCount: 0 });
        if (how !== "as is") expect(engine.recovery.recordCount).toBe(30);
      }
    });

    test("keeps what is put afterwards, also of the same key, and can be done again", async () => {
      await engine.put(writeOf(nthAddress(2), 1));
      await engine.put(writeOf(nthAddress(6), 2));
      await engine.dropPartition(2);
      await engine.put(writeOf(nthAddress(2), 3));
      for (const how of ["as is", "unclean", "clean"] as const) {
        if (how !== "as is") await reopen(how);
        expect(await valueIn(engine, nthAddress(2))).toEqual(Buffer.from(valueOf(3)));
        expect(await scanAll(engine, 2, 10)).toHaveLength(1);
      }
      await engine.dropPartition(2);
      await engine.dropPartition(2);
      await reopen("unclean");
      expect(await scanAll(engine, 2, 10)).toEqual([]);
    });

    test("is ordered by call among overlapping puts: those before it are gone, those after it are there", async () => {
      const [a, b, c] = [nthAddress(2), nthAddress(6), nthAddress(10)];
      await Promise.all([
        ...[a, b].map((address, n) => engine.put(writeOf(address, n))),
        engine.dropPartition(2),
        ...[b, c].map((address, n) => engine.put(writeOf(address, 10 + n))),
        engine.put(writeOf(nthAddress(1), 20)),
        engine.dropPartition(2),
        engine.put(writeOf(c, 30)),
        engine.put(writeOf(c, 31)),
      ]);
      for (const how of ["as is", "unclean", "clean"] as const) {
        if (how !== "as is") await reopen(how);
        expect((await scanAll(engine, 2, 10)).map((entry) => entry.digest)).toEqual([digestOfWrite(31)]);
        expect(await valueIn(engine, nthAddress(1))).toEqual(Buffer.from(valueOf(20)));
      }
    });

    test("forgets keys of one hash, and what comes after may share it or not", async () => {
      const twins = ["a", "b", "c"].map((key) => addressOf({ partition: 2, low: 9n, key }));
      const [first, second, third] = twins;
      if (first === undefined || second === undefined || third === undefined) throw new Error("three keys");
      await engine.put(writeOf(first, 1));
      await engine.put(writeOf(second, 2));
      await engine.dropPartition(2);
      await engine.put(writeOf(third, 3));
      await reopen("unclean");
      expect(await engine.get(first)).toBeUndefined();
      expect(await valueIn(engine, third)).toEqual(Buffer.from(valueOf(3)));
      await engine.put(writeOf(first, 4));
      await reopen("clean");
      expect(await valueIn(engine, first)).toEqual(Buffer.from(valueOf(4)));
      expect(await engine.get(second)).toBeUndefined();
      expect(await valueIn(engine, third)).toEqual(Buffer.from(valueOf(3)));
    });

    test("of nothing is harmless, and a closing store finishes it with what follows it", async () => {
      await engine.dropPartition(0);
      await engine.put(writeOf(nthAddress(2), 1));
      const dropping = engine.dropPartition(2);
      const put = engine.put(writeOf(nthAddress(6), 2));
      await Promise.all([engine.close(), dropping, put]);
      await expect(engine.dropPartition(2)).rejects.toMatchObject({ code: "STORE_CLOSED" });
      await reopen("clean");
      expect(engine.recovery.mode).toBe("clean");
      expect((await scanAll(engine, 2, 10)).map((entry) => entry.digest)).toEqual([digestOfWrite(2)]);
    });
  });

  describe(`${name}: reaping`, () => {
    const twins = ["a", "b", "c"].map((key) => addressOf({ partition: 1, low: 9n, key }));
    const [twinA, twinB, twinC] = twins;
    if (twinA === undefined || twinB === undefined || twinC === undefined) throw new Error("three keys");
    const entryOf = (address: KeyAddress, serial: number): ReapEntry => ({
      hash: address.hash,
      digest: digestOfWrite(serial),
    });

    test("takes out exactly the records that are named, as if never written, over any restart", async () => {
      const tree = new MerkleTree(PARTITION_BITS);
      for (let n = 0; n < 20; n += 1) {
        const address = nthAddress(4 * n + 1);
        await engine.put(writeOf(address, n, 200));
        await engine.put(n % 2 === 0 ? tombstoneOf(address, 100 + n) : expiringOf(address, 100 + n, 300));
        if (n >= 10) tree.toggle(address.hash, digestOfWrite(100 + n));
      }
      const entries = Array.from({ length: 10 }, (_, n) => entryOf(nthAddress(4 * n + 1), 100 + n));
      const older = Array.from({ length: 20 }, (_, n) => entryOf(nthAddress(4 * n + 1), n));
      expect(await engine.reap(1, older)).toBe(0);
      expect(await engine.reap(1, entries)).toBe(10);
      expect(await engine.reap(1, entries)).toBe(0);
      for (const how of ["as is", "compacted", "clean", "compacted", "unclean", "compacted", "unclean"] as const) {
        if (how === "compacted") await stand.compact();
        else if (how !== "as is") await reopen(how);
        expect((await scanAll(engine, 1, 3)).map((entry) => entry.digest).sort()).toEqual(
          Array.from({ length: 10 }, (_, n) => digestOfWrite(110 + n)).sort(),
        );
        expect([engine.merkleRoot(1), engine.keyCountOf(1), engine.collectableCountOf(1)]).toEqual([
          tree.root(),
          10,
          10,
        ]);
        for (let n = 0; n < 20; n += 1) {
          const address = nthAddress(4 * n + 1);
          expect(engine.digestOf(address)).toBe(n < 10 ? 0n : digestOfWrite(100 + n));
          expect((await engine.get(address))?.digest).toBe(n < 10 ? undefined : digestOfWrite(100 + n));
        }
        const leaves = Array.from({ length: merkleLeafCount }, (_, leaf) => engine.merkleLeaf(1, leaf)).flat();
        expect(leaves).toHaveLength(10);
        expect(engine.stats()).toMatchObject({ keyCount: 5, tombstoneCount: 5 });
      }
    });

    test("lets a key be written again, like one that never was, and reaped again", async () => {
      const address = nthAddress(1);
      for (let round = 0; round < 4; round += 1) {
        await engine.put(writeOf(address, 10 * round + 1));
        await engine.put(tombstoneOf(address, 10 * round + 2));
        expect(await engine.reap(1, [entryOf(address, 10 * round + 2)])).toBe(1);
        if (round === 1) await reopen("unclean");
        if (round === 2) await stand.compact();
        expect(await engine.get(address)).toBeUndefined();
      }
      await engine.put(writeOf(address, 99));
      for (const how of ["as is", "compacted", "clean", "unclean"] as const) {
        if (how === "compacted") await stand.compact();
        else if (how !== "as is") await reopen(how);
        expect(await valueIn(engine, address)).toEqual(Buffer.from(valueOf(99)));
        expect(engine.digestOf(address)).toBe(digestOfWrite(99));
      }
    });

    test("keeps keys of one hash apart: one goes, the others stay, and are found by digest and by key", async () => {
      await engine.put(tombstoneOf(twinA, 1));
      await engine.put(writeOf(twinB, 2));
      expect(await engine.reap(1, [entryOf(twinA, 1)])).toBe(1);
      for (const how of ["as is", "compacted", "clean", "unclean"] as const) {
        if (how === "compacted") await stand.compact();
        else if (how !== "as is") await reopen(how);
        expect([await engine.get(twinA), await engine.get(twinC)]).toEqual([undefined, undefined]);
        expect(await valueIn(engine, twinB)).toEqual(Buffer.from(valueOf(2)));
        for (const twin of twins) expect(engine.digestOf(twin)).toBe(digestOfWrite(2));
        expect(await scanAll(engine, 1, 1)).toHaveLength(1);
      }
      await engine.put(writeOf(twinC, 3));
      expect(await engine.reap(1, [entryOf(twinB, 2)])).toBe(1);
      await engine.put(writeOf(twinA, 4));
      for (const how of ["as is", "clean", "unclean"] as const) {
        if (how !== "as is") await reopen(how);
        expect(await engine.get(twinB)).toBeUndefined();
        expect(await valueIn(engine, twinC)).toEqual(Buffer.from(valueOf(3)));
        expect(await valueIn(engine, twinA)).toEqual(Buffer.from(valueOf(4)));
      }
    });

    test("never takes what is newer than what was named: a put before it or after it stays", async () => {
      const [before, after] = [nthAddress(1), nthAddress(5)];
      await engine.put(tombstoneOf(before, 1));
      await engine.put(tombstoneOf(after, 2));
      const calls = [
        engine.put(writeOf(before, 3)),
        engine.reap(1, [entryOf(before, 1), entryOf(after, 2)]),
        engine.put(writeOf(after, 4)),
      ];
      await Promise.all(calls);
      for (const how of ["as is", "unclean", "clean"] as const) {
        if (how !== "as is") await reopen(how);
        expect(await valueIn(engine, before)).toEqual(Buffer.from(valueOf(3)));
        expect(await valueIn(engine, after)).toEqual(Buffer.from(valueOf(4)));
      }
    });

    test("many at once, and a drop beside it, leave what each says", async () => {
      const addresses = Array.from({ length: 700 }, (_, n) => nthAddress(n));
      await Promise.all(addresses.map((address, n) => engine.put(tombstoneOf(address, n))));
      const entries = addresses.map((address, n) => ({ ...entryOf(address, n), partition: address.partition }));
      const of = (partition: number): ReapEntry[] => entries.filter((entry) => entry.partition === partition);
      const [reaped] = await Promise.all([engine.reap(0, of(0)), engine.dropPartition(1), engine.reap(1, of(1))]);
      expect(reaped).toBe(175);
      await engine.put(writeOf(nthAddress(2), 1000));
      await reopen("unclean");
      expect([0, 1, 2, 3].map((partition) => engine.keyCountOf(partition))).toEqual([0, 0, 175, 175]);
      expect([0, 1, 2, 3].map((partition) => engine.collectableCountOf(partition))).toEqual([0, 0, 174, 175]);
    });

    test("of nothing does nothing, and a closed store refuses it", async () => {
      expect(await engine.reap(0, [])).toBe(0);
      expect(await engine.reap(0, [{ hash: 5n, digest: 6n }])).toBe(0);
      await engine.close();
      await expect(engine.reap(0, [{ hash: 5n, digest: 6n }])).rejects.toMatchObject({ code: "STORE_CLOSED" });
    });

    test("collectable keys are those with tombstones and those that may expire, by scan and by count", async () => {
      const addresses = Array.from({ length: 40 }, (_, n) => nthAddress(4 * n));
      const kinds = [writeOf, tombstoneOf, expiringOf, writeOf];
      for (const [n, address] of addresses.entries()) {
        await engine.put(writeOf(address, 500 + n));
        await engine.put((kinds[n % 4] ?? writeOf)(address, n));
      }
      for (const how of ["as is", "clean", "compacted", "unclean"] as const) {
        if (how === "compacted") await stand.compact();
        else if (how !== "as is") await reopen(how);
        for (const limit of [1, 3, 100]) {
          const found = await scanAll(engine, 0, limit, "scanCollectable");
          const all = (await scanAll(engine, 0, limit)).filter((entry) => entry.isTombstone || entry.mayExpire);
          expect(found).toEqual(all);
          expect(found.map((entry) => [entry.isTombstone, entry.mayExpire].join()).sort()).toEqual([
            ...Array.from({ length: 10 }, () => "false,true"),
            ...Array.from({ length: 10 }, () => "true,false"),
          ]);
        }
        expect(engine.collectableCountOf(0)).toBe(20);
      }
    });
  });

  describe(`${name}: identity and leases`, () => {
    test("a fresh store draws an actor and has no past", () => {
      expect(engine.identity.actor).toBeGreaterThanOrEqual(1);
      expect(engine.identity.actor).toBeLessThan(2 ** 48);
      expect(engine.identity.pastActors).toEqual([]);
    });

    test("a stop that its caller doubts is not clean: nothing is lost, and the actor is drawn anew", async () => {
      const { actor } = engine.identity;
      await engine.put(writeOf(nthAddress(1), 1));
      await engine.close({ isClean: false });
      await reopen("clean");
      expect(engine.recovery).toMatchObject({ mode: "unclean", isNewActor: true, recordCount: 1 });
      expect(engine.identity.pastActors).toEqual([actor]);
      expect(await valueIn(engine, nthAddress(1))).toEqual(Buffer.from(valueOf(1)));
    });

    test("a clean stop keeps the actor; any other start draws a new one and remembers the old", async () => {
      const { actor } = engine.identity;
      await engine.put(writeOf(nthAddress(1), 1));
      await reopen("clean");
      expect(engine.recovery).toMatchObject({ mode: "clean", isNewActor: false, recordCount: 1 });
      expect(engine.identity).toMatchObject({ actor, pastActors: [] });
      await reopen("unclean");
      expect(engine.recovery).toMatchObject({ mode: "unclean", isNewActor: true, recordCount: 1 });
      expect(engine.identity.actor).not.toBe(actor);
      expect(engine.identity.pastActors).toEqual([actor]);
      const second = engine.identity.actor;
      await reopen("unclean");
      expect(engine.identity.pastActors).toEqual([actor, second]);
      await reopen("clean");
      expect(engine.identity.pastActors).toEqual([actor, second]);
    });

    test("a lease only grows, and holds over any restart", async () => {
      await engine.leaseCounters(1_000_000_000_000_000);
      await engine.leaseCounters(500);
      expect(engine.identity.leasedThrough).toBe(1_000_000_000_000_000);
      await reopen("clean");
      expect(engine.identity.leasedThrough).toBeGreaterThanOrEqual(1_000_000_000_000_000);
      await Promise.all([engine.leaseCounters(2_000_000_000_000_000), engine.leaseCounters(3_000_000_000_000_000)]);
      await reopen("unclean");
      expect(engine.identity.leasedThrough).toBeGreaterThanOrEqual(3_000_000_000_000_000);
    });

    test("a renewed actor is another one, durably, and the old one is remembered", async () => {
      const { actor } = engine.identity;
      await engine.renewActor();
      const renewed = engine.identity.actor;
      expect(renewed).not.toBe(actor);
      expect(engine.identity.pastActors).toEqual([actor]);
      await reopen("clean");
      expect(engine.identity).toMatchObject({ actor: renewed, pastActors: [actor] });
    });

    test("no partition is suspect without a reason, and clearing one that is not is harmless", async () => {
      await engine.put(writeOf(nthAddress(1), 1));
      await engine.clearSuspect(1);
      await reopen("clean");
      expect(engine.suspectPartitions()).toEqual([]);
      expect(engine.isSuspect(1)).toBe(false);
    });
  });

  describe(`${name}: documents`, () => {
    test("are replaced whole, absent until written, and survive any restart", async () => {
      expect(engine.readDocument("settings")).toBeUndefined();
      await engine.writeDocument("settings", valueOf(1, 100));
      await engine.writeDocument("settings", valueOf(2, 50));
      await engine.writeDocument("empty", new Uint8Array(0));
      await engine.writeDocument("a-large-1", valueOf(3, 1024 * 1024));
      for (const how of ["as is", "clean", "unclean"] as const) {
        if (how !== "as is") await reopen(how);
        expect(documentIn(engine, "settings")).toEqual(Buffer.from(valueOf(2, 50)));
        expect(documentIn(engine, "empty")).toEqual(Buffer.from(new Uint8Array(0)));
        expect(Buffer.compare(engine.readDocument("a-large-1") ?? new Uint8Array(1), valueOf(3, 1024 * 1024))).toBe(0);
        expect(engine.readDocument("other")).toBeUndefined();
      }
    });

    test("overlapping writes of one document are ordered by call", async () => {
      await Promise.all(Array.from({ length: 10 }, (_, n) => engine.writeDocument("d", valueOf(n, 40))));
      expect(documentIn(engine, "d")).toEqual(Buffer.from(valueOf(9, 40)));
      await reopen("unclean");
      expect(documentIn(engine, "d")).toEqual(Buffer.from(valueOf(9, 40)));
    });
  });

  describe(`${name}: closing`, () => {
    test("finishes the writes that were accepted", async () => {
      const puts = Array.from({ length: 40 }, (_, n) => engine.put(writeOf(nthAddress(n), n, 100)));
      const closing = engine.close();
      const late = engine.put(writeOf(nthAddress(99), 99));
      await expect(late).rejects.toMatchObject({ code: "STORE_CLOSED" });
      await Promise.all(puts);
      await closing;
      await reopen("clean");
      expect(engine.recovery.mode).toBe("clean");
      for (let n = 0; n < 40; n += 1)
        expect(await valueIn(engine, nthAddress(n))).toEqual(Buffer.from(valueOf(n, 100)));
      expect(await engine.get(nthAddress(99))).toBeUndefined();
    });

    test("is idempotent, and a closed store takes and gives nothing more", async () => {
      await Promise.all([engine.close(), engine.close()]);
      await engine.close();
      for (const attempt of [
        () => engine.put(writeOf(nthAddress(1), 1)),
        () => engine.leaseCounters(5),
        () => engine.writeDocument("d", new Uint8Array(1)),
        () => engine.renewActor(),
        async () => engine.get(nthAddress(1)),
        () => engine.scan(0, 0n, 1),
      ]) {
        await expect(attempt()).rejects.toMatchObject({ code: "STORE_CLOSED" });
      }
    });
  });

  describe(`${name}: figures`, () => {
    test("count keys, tombstones and puts", async () => {
      const before = engine.stats();
      await Promise.all([0, 1, 2, 3, 4].map((n) => engine.put(writeOf(nthAddress(n), n))));
      await engine.put(writeOf(nthAddress(1), 11));
      await engine.put(tombstoneOf(nthAddress(2), 12));
      const after = engine.stats();
      expect(after.putCount - before.putCount).toBe(7);
      expect(after.tombstoneCount).toBe(1);
      expect([4, 5]).toContain(after.keyCount);
      expect(after.liveBytes).toBeGreaterThan(5 * 24);
      expect(after.corruptReadCount).toBe(0);
    });
  });

  programContract(name, make, programs);
}

function documentIn(engine: StorageEngine, name: string): Buffer | undefined {
  const bytes = engine.readDocument(name);
  return bytes && Buffer.from(bytes);
}

/** A record in a form that compares, whatever kind of byte array the engine uses. */
function asRecord(record: StoredRecord): object {
  return { value: Buffer.from(record.value), digest: record.digest, isTombstone: record.isTombstone };
}

async function recordIn(engine: StorageEngine, address: KeyAddress): Promise<object | undefined> {
  const record = await engine.get(address);
  return record && asRecord(record);
}
