import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { BucketRecord, BucketSettings } from "../../../services/base/bucket-settings.ts";
import { xxh64 } from "../../../services/base/hash.ts";
import { type BucketName, parseBucketName } from "../../../services/base/ids.ts";
import { MAX_BUCKETS, MAX_TTL_SECONDS } from "../../../services/base/limits.ts";
import { decodeBucketRecords, encodeBucketRecords, isNewerRecord } from "../../../services/cluster/bucket-codec.ts";
import { BUCKETS_DOCUMENT, BucketDirectory } from "../../../services/cluster/bucket-directory.ts";
import {
  BUCKETS_EXCHANGE_TOPIC,
  BUCKETS_OFFER_TOPIC,
  BucketExchange,
} from "../../../services/cluster/bucket-exchange.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { nodeId } from "./bootstrap-world.ts";
import { KeptLog, MemoryDocuments, TestLinks } from "./cluster-fixtures.ts";

const defaults: BucketSettings = { n: 3, r: 2, w: 2, conflicts: "siblings", blindWrites: "overwrite" };
const lww: BucketSettings = { n: 2, r: 1, w: 2, conflicts: "lww", blindWrites: "reject" };

function bucket(text: string): BucketName {
  const name = parseBucketName(text);
  if (name === undefined) throw new Error(`${text} is a bucket name`);
  return name;
}

const carts = bucket("carts");

function directoryOn(
  documents: MemoryDocuments = new MemoryDocuments(),
  clock: FakeClock = new FakeClock(),
): BucketDirectory {
  return new BucketDirectory({ documents, clock, log: new KeptLog(), defaults });
}

const settingsArbitrary: fc.Arbitrary<BucketSettings> = fc
  .tuple(
    fc.integer({ min: 1, max: 7 }),
    fc.nat(),
    fc.nat(),
    fc.boolean(),
    fc.nat(2),
    fc.constantFrom(0, 1, 60, MAX_TTL_SECONDS),
  )
  .map(([n, r, w, isLww, blind, ttlSeconds]) => ({
    n,
    r: 1 + (r % n),
    w: 1 + (w % n),
    conflicts: isLww ? "lww" : "siblings",
    blindWrites: (["overwrite", "sibling", "reject"] as const)[blind] ?? "reject",
    ...(ttlSeconds === 0 ? {} : { ttlSeconds }),
  }));

const recordArbitrary: fc.Arbitrary<BucketRecord> = fc.record({
  name: fc.constantFrom("a", "b", "carts", "a.b-c_d", "x".repeat(63)),
  version: fc.integer({ min: 1, max: 4 }),
  settings: fc.option(settingsArbitrary, { nil: undefined }),
});

describe("bucket settings", () => {
  it("are the defaults until a bucket is made, and again after it is removed", async () => {
    const directory = directoryOn();
    expect(directory.settingsOf(carts)).toBe(defaults);
    expect(await directory.put(carts, lww)).toEqual({ kind: "changed", settings: lww, memberCount: 1 });
    expect(directory.settingsOf(carts)).toEqual(lww);
    expect(directory.isExplicit(carts)).toBe(true);
    expect(directory.list()).toEqual([{ name: carts, settings: lww }]);
    expect(await directory.delete(carts)).toEqual({ kind: "changed", settings: defaults, memberCount: 1 });
    expect(directory.settingsOf(carts)).toBe(defaults);
    expect(directory.list()).toEqual([]);
  });

  it("are durable before they are answered, and there again after a restart", async () => {
    const documents = new MemoryDocuments();
    await directoryOn(documents).put(carts, lww);
    expect(documents.files.has(BUCKETS_DOCUMENT)).toBe(true);
    expect(directoryOn(documents).settingsOf(carts)).toEqual(lww);
  });

  it("change in part, the rest staying as it holds", async () => {
    const directory = directoryOn();
    await directory.put(carts, lww);
    await directory.patch(carts, { w: 1 });
    expect(directory.settingsOf(carts)).toEqual({ ...lww, w: 1 });
  });

  it.each([
    ["n is a whole number from 1 to the cluster's N, which is 3", { n: 4 }],
    ["n is a whole number from 1 to the cluster's N, which is 3", { n: 0 }],
    ["r is a whole number from 1 to n, which would be 1", { n: 1 }],
    ["w is a whole number from 1 to n, which would be 3", { w: 1.5 }],
    ["r is a whole number from 1 to n, which would be 3", { r: 4 }],
  ])("keep the rules, or nothing changes: %s", async (detail, change) => {
    const documents = new MemoryDocuments();
    const directory = directoryOn(documents);
    expect(await directory.patch(carts, change)).toEqual({ kind: "invalid", detail });
    expect(directory.settingsOf(carts)).toBe(defaults);
    expect(documents.writeCount).toBe(0);
  });

  it("say so when they could not be made durable, and are not in force then", async () => {
    const documents = new MemoryDocuments();
    documents.failure = new Error("no space");
    const directory = directoryOn(documents);
    expect((await directory.put(carts, lww)).kind).toBe("failed");
    expect(directory.settingsOf(carts)).toBe(defaults);
    await expect(directory.merge([{ name: "carts", version: 1, settings: lww }])).rejects.toThrow("no space");
    expect([directory.settingsOf(carts), directory.records()]).toEqual([defaults, []]);
    documents.failure = undefined;
    expect((await directory.patch(carts, { w: 1 })).kind).toBe("changed");
    expect(directoryOn(documents).settingsOf(carts)).toEqual({ ...defaults, w: 1 });
  });

  it("are in force, and known to others, only once they are durable here", async () => {
    const documents = new MemoryDocuments();
    const directory = directoryOn(documents);
    const changing = directory.put(carts, lww);
    const merging = directory.merge([{ name: "other", version: 1, settings: lww }]);
    while (documents.writeCount === 0) {
      expect(directory.settingsOf(carts)).toBe(defaults);
      expect(directory.records()).toEqual([]);
      await Promise.resolve();
    }
    await Promise.all([changing, merging]);
    expect(directory.settingsOf(bucket("other"))).toEqual(lww);
    expect(directoryOn(documents).digest()).toBe(directory.digest());
  });

  it("take changes of one bucket one after the other: neither undoes the other", async () => {
    const directory = directoryOn();
    await Promise.all([directory.patch(carts, { w: 1 }), directory.patch(carts, { conflicts: "lww" })]);
    expect(directory.settingsOf(carts)).toEqual({ ...defaults, w: 1, conflicts: "lww" });
  });

  it("refuse a corrupt document rather than forget every bucket", () => {
    const documents = new MemoryDocuments();
    documents.files.set(BUCKETS_DOCUMENT, Buffer.from("rubbish that is long enough"));
    expect(() => directoryOn(documents)).toThrow("the document of buckets is corrupt");
  });

  it("follow the cluster's N and defaults once they are agreed", async () => {
    const directory = directoryOn();
    await directory.put(carts, { ...defaults, n: 3, r: 3, w: 2 });
    directory.configure({ replicaCount: 1, defaults: { ...defaults, n: 1, r: 1, w: 1 } });
    expect(directory.settingsOf(carts)).toEqual({ ...defaults, n: 1, r: 1, w: 1 });
    expect(directory.defaults().n).toBe(1);
  });

  it("are found by the address of a key as by the bucket's name", async () => {
    const directory = directoryOn();
    await directory.put(carts, lww);
    await directory.put(bucket("cart"), { ...lww, r: 2 });
    expect(directory.settingsOfKey(Buffer.from("carts\0alice"))).toEqual(lww);
    expect(directory.settingsOfKey(Buffer.from("cart\0s\0alice"))).toEqual({ ...lww, r: 2 });
    expect(directory.settingsOfKey(Buffer.from("cartsx\0alice"))).toBe(defaults);
    expect(directory.settingsOfKey(Buffer.from("carts"))).toBe(defaults);
    await directory.delete(carts);
    expect(directory.settingsOfKey(Buffer.from("carts\0alice"))).toBe(defaults);
  });
});

describe("bucket records", () => {
  it("read back as written, sorted by name", () => {
    const sets = fc.uniqueArray(recordArbitrary, { selector: (record) => record.name });
    fc.assert(
      fc.property(sets, (records) => {
        const read = decodeBucketRecords(encodeBucketRecords(records));
        const sorted = records.toSorted((left, right) => (left.name < right.name ? -1 : 1));
        expect(read).toEqual({ kind: "records", records: sorted });
      }),
    );
  });

  it("of the version without times to live are read, and mean for ever", () => {
    const old = Buffer.from(encodeBucketRecords([{ name: "carts", version: 7, settings: lww }]).subarray(0, -4));
    old[0] = 1;
    old.writeBigUInt64BE(xxh64(old.subarray(9)), 1);
    expect(decodeBucketRecords(old)).toEqual({
      kind: "records",
      records: [{ name: "carts", version: 7, settings: lww }],
    });
  });

  it("are corrupt when any byte changed or is missing, and never throw", () => {
    const bytes = encodeBucketRecords([{ name: "carts", version: 7, settings: lww }]);
    for (let at = 0; at < bytes.length; at += 1) {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ 0x41;
      expect(decodeBucketRecords(damaged).kind).toBe("corrupt");
      expect(decodeBucketRecords(bytes.subarray(0, at)).kind).toBe("corrupt");
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        expect(decodeBucketRecords(noise).kind).toBe("corrupt");
      }),
    );
  });

  it("fit into a document of 1 MiB when there are as many as may be", () => {
    const records = Array.from({ length: MAX_BUCKETS }, (_, index) => ({
      name: index.toString().padStart(63, "x"),
      version: 2 ** 52,
      settings: defaults,
    }));
    expect(encodeBucketRecords(records).length).toBeLessThanOrEqual(1_048_576);
  });

  it("meet in the same outcome in any order: the higher version, then the higher bytes", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc
          .array(recordArbitrary, { maxLength: 12 })
          .chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length }))),
        async ([records, shuffled]) => {
          const one = directoryOn();
          const other = directoryOn();
          for (const record of records) await one.merge([record]);
          await other.merge(shuffled);
          expect(other.digest()).toBe(one.digest());
          for (const record of records) expect(await one.merge([record])).toBe(0);
        },
      ),
    );
  });

  it("are replaced only by newer ones", () => {
    const record = { name: "carts", version: 5, settings: lww };
    expect(isNewerRecord(record, undefined)).toBe(true);
    expect(isNewerRecord(record, record)).toBe(false);
    expect(isNewerRecord({ ...record, version: 6, settings: undefined }, record)).toBe(true);
    expect(isNewerRecord({ ...record, version: 4 }, record)).toBe(false);
  });

  it("change after what was seen, though this node's clock is behind", async () => {
    const directory = directoryOn();
    await directory.merge([{ name: "carts", version: 2 ** 52, settings: defaults }]);
    await directory.put(carts, lww);
    expect(directory.settingsOf(carts)).toEqual(lww);
    expect(directory.records()[0]?.version).toBe(2 ** 52 + 1);
  });

  it("are bounded in number, also when they come from others", async () => {
    const log = new KeptLog();
    const directory = new BucketDirectory({ documents: new MemoryDocuments(), clock: new FakeClock(), log, defaults });
    const many = Array.from({ length: MAX_BUCKETS }, (_, index) => ({ name: `b${index}`, version: 1, settings: lww }));
    expect(await directory.merge([...many, { name: "one-more", version: 1, settings: lww }])).toBe(MAX_BUCKETS);
    expect(log.lines).toMatchObject([{ level: "error", event: "buckets.too-many", bucket: "one-more" }]);
    expect(await directory.put(carts, lww)).toEqual({
      kind: "invalid",
      detail: `a cluster has at most ${MAX_BUCKETS} buckets`,
    });
    expect((await directory.put(bucket("b7"), defaults)).kind).toBe("changed");
  });
});

describe("the exchange of bucket settings", () => {
  interface Peer {
    readonly directory: BucketDirectory;
    readonly exchange: BucketExchange;
  }

  function peersOf(names: readonly string[]): {
    readonly clock: FakeClock;
    readonly links: TestLinks;
    readonly peers: readonly Peer[];
  } {
    const clock = new FakeClock();
    const links = new TestLinks();
    const peers = names.map((name) => {
      const directory = directoryOn(new MemoryDocuments(), clock);
      const id = nodeId(name);
      const exchange = new BucketExchange({ directory, peers: links.from(id), clock, log: new KeptLog() });
      directory.shareWith(exchange.share);
      const { offerHandler, exchangeHandler } = exchange;
      links.handlers.set(
        id,
        new Map([
          [BUCKETS_OFFER_TOPIC, offerHandler],
          [BUCKETS_EXCHANGE_TOPIC, exchangeHandler],
        ]),
      );
      return { directory, exchange };
    });
    return { clock, links, peers };
  }

  it("tells every linked member of a change, and counts who has it", async () => {
    const { clock, links, peers } = peersOf(["a", "b", "c"]);
    const [a, b, c] = peers;
    for (const name of ["b", "c"]) a?.exchange.peerUp(nodeId(name));
    await clock.advance(10);
    links.cut.add("a>c");
    expect(await a?.directory.put(carts, lww)).toEqual({ kind: "changed", settings: lww, memberCount: 2 });
    expect(b?.directory.settingsOf(carts)).toEqual(lww);
    expect(c?.directory.settingsOf(carts)).toBe(defaults);
  });

  it("reaches a member that an offer did not reach, as soon as it can be reached", async () => {
    const { clock, links, peers } = peersOf(["a", "c"]);
    const [a, c] = peers;
    a?.exchange.peerUp(nodeId("c"));
    await clock.advance(10);
    links.cut.add("a>c");
    await a?.directory.put(carts, lww);
    await clock.advance(3_000);
    links.cut.clear();
    await clock.advance(2_000);
    expect(c?.directory.settingsOf(carts)).toEqual(lww);
    // nothing is tried again: what is left is the comparison
    expect(clock.plannedCount).toBe(1);
    a?.exchange.stop();
    expect(clock.plannedCount).toBe(0);
  });

  it("finds by comparing, member after member, what neither a push nor a new link brought", async () => {
    const { clock, peers } = peersOf(["a", "b", "c"]);
    const [a, b, c] = peers;
    for (const name of ["b", "c"]) a?.exchange.peerUp(nodeId(name));
    await clock.advance(100);
    await c?.directory.merge([{ name: "carts", version: 7, settings: lww }]);
    await clock.advance(10_000);
    expect(a?.directory.settingsOf(carts)).toEqual(lww);
    await clock.advance(10_000);
    expect(b?.directory.settingsOf(carts)).toEqual(lww);
  });

  it("brings both sides to the newest of each when a link comes up, removals included", async () => {
    const { clock, peers } = peersOf(["a", "b"]);
    const [a, b] = peers;
    await a?.directory.put(carts, lww);
    await b?.directory.merge(a?.directory.records() ?? []);
    await clock.advance(5);
    await a?.directory.delete(carts);
    await b?.directory.put(bucket("other"), lww);
    a?.exchange.peerUp(nodeId("b"));
    await clock.advance(100);
    expect(a?.directory.digest()).toBe(b?.directory.digest());
    expect(b?.directory.settingsOf(carts)).toBe(defaults);
    expect(a?.directory.settingsOf(bucket("other"))).toEqual(lww);
  });

  it("sends one digest and no records when both know the same", async () => {
    const { clock, links, peers } = peersOf(["a", "b"]);
    const [a, b] = peers;
    await a?.directory.put(carts, lww);
    await b?.directory.merge(a?.directory.records() ?? []);
    a?.exchange.peerUp(nodeId("b"));
    await clock.advance(4_000);
    expect(links.callCount).toBe(1);
    expect(await b?.exchange.exchangeHandler(nodeId("a"), { digest: a?.directory.digest() }, 1_000)).toEqual({
      digest: b?.directory.digest(),
    });
  });

  it("refuses an offer that is no set of records", async () => {
    const [a] = peersOf(["a"]).peers;
    for (const body of [undefined, {}, { records: "text" }, { records: Buffer.from("rubbish") }]) {
      expect(await a?.exchange.offerHandler(nodeId("b"), body, 1_000)).toMatchObject({ reason: "bad_request" });
    }
  });
});
