/** Pages: what fits in one, where the next one goes on, and bytes that are no page. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TRANSFER_PAGE_BYTES, TRANSFER_PAGE_OBJECTS } from "../../../services/base/limits.ts";
import type { KeyLister } from "../../../services/repair/transfer-listing.ts";
import {
  differingLeaves,
  hashLister,
  isLeafIn,
  leafHashesOf,
  leafLister,
} from "../../../services/repair/transfer-listing.ts";
import { PageFiller } from "../../../services/repair/transfer-page.ts";
import {
  encodeCursor,
  PageWriter,
  PartJoiner,
  parseCursor,
  parseEntries,
} from "../../../services/repair/transfer-page-core.ts";
import type { StorageEngine } from "../../../storage/engine.ts";
import { openMemoryEngine } from "../../../storage/memory-engine.ts";
import { seededDraws } from "../../support/seeded.ts";
import { addressOf, nthAddress, TEST_PARTITIONS, writeOf } from "../../support/storage-fixtures.ts";
import { WaitClock } from "../../support/transfer-fixture.ts";

const PARTITION = 2;

function engineOf(): StorageEngine {
  return openMemoryEngine({ partitionCount: TEST_PARTITIONS, random: seededDraws(1) });
}

/** Everything that the pages of a list hold, put together again, by key. */
async function readAll(
  engine: StorageEngine,
  list: KeyLister,
): Promise<{ objects: Map<string, Buffer>; pages: number }> {
  const filler = new PageFiller({ store: engine, clock: new WaitClock() });
  const joiner = new PartJoiner();
  const objects = new Map<string, Buffer>();
  let pages = 0;
  let cursor: Uint8Array | undefined;
  do {
    const page = await filler.page({ partition: PARTITION, list, cursor });
    pages += 1;
    expect(page.sizeBytes).toBeLessThanOrEqual(TRANSFER_PAGE_BYTES);
    expect(page.objects.length).toBe(page.sizeBytes);
    for (const entry of parseEntries(page.objects) ?? expect.unreachable("a page that parses")) {
      const object = joiner.join(entry) ?? expect.unreachable("parts that follow each other");
      const key = Buffer.from(entry.key).toString("latin1");
      expect(objects.has(key)).toBe(false);
      if (object !== "more") objects.set(key, Buffer.from(object));
    }
    cursor = page.next;
  } while (cursor !== undefined);
  return { objects, pages };
}

const everyLeaf = new Uint8Array(32).fill(0xff);

describe("pages", () => {
  test("hold every object once, whatever the sizes, also of keys that share a hash", async () => {
    const sizes = fc.array(
      fc.record({
        low: fc.constantFrom(0n, 1n, 1n << 40n, 1n << 61n, (1n << 62n) - 1n),
        size: fc.oneof(
          fc.nat({ max: 300 }),
          fc.nat({ max: 3 * TRANSFER_PAGE_BYTES }),
          fc.integer({ min: TRANSFER_PAGE_BYTES - 80, max: TRANSFER_PAGE_BYTES + 10 }),
        ),
      }),
      { maxLength: 40 },
    );
    await fc.assert(
      fc.asyncProperty(sizes, async (records) => {
        const engine = engineOf();
        const expected = new Map<string, Buffer>();
        for (const [n, { low, size }] of records.entries()) {
          const request = writeOf(addressOf({ partition: PARTITION, low, key: `k${n}` }), n, size + 1);
          await engine.put(request);
          expected.set(`k${n}`, Buffer.from(request.value));
        }
        const { objects } = await readAll(engine, leafLister(engine, PARTITION, everyLeaf));
        expect([...objects.keys()].toSorted()).toEqual([...expected.keys()].toSorted());
        for (const [key, value] of expected) expect(objects.get(key)?.equals(value)).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  test("are bounded in objects too, and thousands of keys of one hash come in several", async () => {
    const engine = engineOf();
    const count = TRANSFER_PAGE_OBJECTS * 2 + 5;
    for (let n = 0; n < count; n += 1) {
      await engine.put(writeOf(addressOf({ partition: PARTITION, low: 77n, key: `twin-${n}` }), n, 8));
    }
    const { objects, pages } = await readAll(engine, leafLister(engine, PARTITION, everyLeaf));
    expect([objects.size, pages]).toEqual([count, 3]);
  });

  test("list only the leaves that differ, or the hashes that were asked for", async () => {
    const engine = engineOf();
    const other = engineOf();
    for (let n = 0; n < 2_000; n += 1) {
      await engine.put(writeOf(nthAddress(n), n));
      if (n % 400 !== 2) await other.put(writeOf(nthAddress(n), n));
    }
    const bits = differingLeaves(leafHashesOf(engine, PARTITION), leafHashesOf(other, PARTITION));
    const { objects } = await readAll(engine, leafLister(engine, PARTITION, bits));
    const missing = [2, 402, 802, 1202, 1602].map((n) => `key-${n}`);
    expect([...objects.keys()]).toEqual(expect.arrayContaining(missing));
    expect(objects.size).toBeLessThan(50);
    const leafCount = Array.from({ length: 256 }, (_, leaf) => isLeafIn(bits, leaf)).filter(Boolean).length;
    expect(leafCount).toBeLessThanOrEqual(5);
    const hashes = [6, 10, 1602].map((n) => nthAddress(n).hash).toSorted((a, b) => (a < b ? -1 : 1));
    const some = await readAll(engine, hashLister(engine, PARTITION, [0n, ...hashes, 2n ** 64n - 1n]));
    expect([...some.objects.keys()].toSorted()).toEqual(["key-10", "key-1602", "key-6"]);
  });

  test("read a large object once, and few small ones that find no room", async () => {
    const engine = engineOf();
    await engine.put(writeOf(addressOf({ partition: PARTITION, low: 5n, key: "large" }), 1, 20 * TRANSFER_PAGE_BYTES));
    for (let n = 0; n < 600; n += 1) await engine.put(writeOf(nthAddress(2 + 4 * n), n, 1_500));
    let readCount = 0;
    const store = {
      get: (address: Parameters<StorageEngine["get"]>[0]) => {
        readCount += 1;
        return engine.get(address);
      },
    };
    const filler = new PageFiller({ store, clock: new WaitClock() });
    let cursor: Uint8Array | undefined;
    let pages = 0;
    do {
      const list = leafLister(engine, PARTITION, everyLeaf);
      cursor = (await filler.page({ partition: PARTITION, list, cursor })).next;
      pages += 1;
    } while (cursor !== undefined);
    expect(readCount).toBeLessThan(601 + 2 * pages);
  });
});

describe("bytes of a page or a cursor", () => {
  test("are what was written", () => {
    const page = new PageWriter();
    expect(page.add(Buffer.from("a"), Buffer.from("first"), 0)).toBe(5);
    expect(page.add(Buffer.from("b"), Buffer.alloc(TRANSFER_PAGE_BYTES), 0)).toBe(0);
    expect(parseEntries(page.bytes())).toEqual([
      { key: Buffer.from("a"), totalBytes: 5, offset: 0, part: Buffer.from("first") },
    ]);
    const cursor = { hash: 2n ** 64n - 1n, offset: 77, digest: 5n, key: Buffer.from("a") };
    expect(parseCursor(encodeCursor(cursor))).toEqual(cursor);
  });

  test("that are anything else never throw, and never claim more than they hold", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const entries = parseEntries(bytes);
        const total = entries?.reduce((sum, { key, part }) => sum + 14 + key.length + part.length, 0);
        expect(total === undefined || total === bytes.length).toBe(true);
        const cursor = parseCursor(bytes);
        if (cursor !== undefined) expect(Buffer.compare(encodeCursor(cursor), bytes)).toBe(0);
      }),
      { numRuns: 500 },
    );
  });

  test("that were changed anywhere are no page, or one whose parts do not join to a foreign object", () => {
    const page = new PageWriter();
    page.add(Buffer.from("key"), Buffer.from("a value"), 0);
    const bytes = Buffer.from(page.bytes());
    for (let at = 0; at < 14; at += 1) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 0x11;
      const joined = (parseEntries(changed) ?? []).map((entry) => new PartJoiner().join(entry));
      expect(joined.every((each) => each === undefined || each === "more" || each.length <= 10)).toBe(true);
    }
  });

  test("of parts that do not follow each other are refused, and a new beginning is taken", () => {
    const joiner = new PartJoiner();
    const key = Buffer.from("k");
    const part = (offset: number, text: string, totalBytes = 6) => ({
      key,
      totalBytes,
      offset,
      part: Buffer.from(text),
    });
    expect(joiner.join(part(2, "cd"))).toBeUndefined();
    expect(joiner.join(part(0, "ab"))).toBe("more");
    expect(joiner.join(part(4, "ef"))).toBeUndefined();
    expect(joiner.join({ ...part(2, "cd"), key: Buffer.from("other") })).toBeUndefined();
    expect(joiner.join(part(0, "xy"))).toBe("more");
    expect(joiner.join(part(2, "cd", 7))).toBeUndefined();
    expect(joiner.join(part(2, "zw"))).toBe("more");
    expect(Buffer.from(joiner.join(part(4, "!!")) as Uint8Array).toString()).toBe("xyzw!!");
    expect(joiner.join(part(4, "!!"))).toBeUndefined();
  });
});
