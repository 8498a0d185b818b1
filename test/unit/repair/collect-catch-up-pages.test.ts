/** Pages of one that is caught up with: what they must say, and how much of the index they cost. */
import { describe, expect, test } from "vitest";
import { CATCH_UP_KEYS } from "../../../services/base/limits.ts";
import { CatchUpAnswers } from "../../../services/repair/collect-catch-up-answers.ts";
import { encodePage, type Page, parsePage } from "../../../services/repair/collect-catch-up-pages.ts";
import { CollectFloors } from "../../../services/repair/collect-floors-core.ts";
import { hexOf } from "../../../services/repair/collect-messages.ts";
import { UnprovedKeys } from "../../../services/repair/collect-unproved-core.ts";
import type { HashRange } from "../../../storage/engine.ts";

const MARK = { floor: 100, expiryMs: 0 };
const listed = (hash: bigint) => ({ hash, digest: hash + 1n, key: Buffer.from(`key-${hash}`) });

describe("a page", () => {
  test("reads back as written, with what is lost or without", () => {
    for (const lost of [[], [3n, 5n]]) {
      const page = encodePage({ keys: [listed(1n), listed(4n)], lost, next: 9n });
      expect(page["lost"]).toHaveLength(lost.length);
      expect(parsePage(page)).toEqual({ keys: [listed(1n), listed(4n)], lost: new Set(lost), next: 9n });
    }
  });

  test.each([
    ["says nothing of what is lost", { lost: undefined }],
    ["names what is no hash", { lost: ["x"] }],
    ["says it in another way", { lost: "none" }],
    ["goes on at what is no hash", { next: "x" }],
    ["has no keys", { listed: undefined }],
    ["ends within a key", { listed: Buffer.alloc(17) }],
  ])("that %s is none", (_what, change) => {
    const page = encodePage({ keys: [listed(1n)], lost: [], next: undefined });
    expect(parsePage(page)).toBeDefined();
    expect(parsePage({ ...page, ...change })).toBeUndefined();
  });
});

/** One that holds every hash from 0 on, so many, and has lost those that `isLost`. */
function answersOf(
  count: number,
  isLost: (hash: bigint) => boolean,
  {
    kept = [],
    unread = [],
    digestOf = (hash) => hash + 1n,
    whileRead = () => undefined,
  }: {
    readonly kept?: readonly bigint[];
    readonly unread?: readonly bigint[];
    readonly digestOf?: (hash: bigint) => bigint;
    readonly whileRead?: () => void;
  } = {},
) {
  const hashes = Array.from({ length: count }, (_, at) => BigInt(at));
  const ranges: HashRange[] = [];
  let looked = 0;
  const now = { slot: 0, rules: 1n };
  const floors = new CollectFloors(1);
  floors.catchUp(0, MARK);
  const unproved = new UnprovedKeys(floors);
  unproved.keep(0, MARK.floor, kept);
  const answers = new CatchUpAnswers({
    store: {
      isSuspect: () => false,
      scan: async (_partition, fromHash, limit) => {
        const from = hashes.filter((hash) => hash >= fromHash && !isLost(hash));
        const entries = from.slice(0, limit).map((hash) => {
          return { ...listed(hash), digest: digestOf(hash), isTombstone: false, mayExpire: false };
        });
        whileRead();
        return { entries, nextHash: from[limit], ...(unread.length === 0 ? {} : { unread }) };
      },
      unreadableIn: (_partition, range) => {
        if (range === undefined) throw new Error("the whole index");
        ranges.push(range);
        const inside: bigint[] = [];
        for (const hash of hashes) {
          if (hash < range.fromHash) continue;
          if ((range.beforeHash !== undefined && hash >= range.beforeHash) || inside.length >= range.limit) break;
          looked += 1;
          if (isLost(hash)) inside.push(hash);
        }
        return inside;
      },
    },
    replica: {
      slotOf: () => now.slot,
      readEncoded: async () => {
        whileRead();
        return { kind: "object", object: undefined, digest: 0n };
      },
    },
    floors,
    unproved,
    rules: { isExempt: () => false, isAnyExempt: () => false, fingerprint: () => 1n },
    rulesOfMarks: () => now.rules,
  });
  const answer = (what: object): Promise<unknown> =>
    answers.answer({ partition: 0, line: 100, peerSlot: 0, ownSlot: 1, rules: hexOf(1n), ...what });
  const pageFrom = async (from: bigint): Promise<Page> => {
    const page = parsePage(await answer({ from: hexOf(from) }));
    if (page === undefined) throw new Error("no page");
    return page;
  };
  const all = async (): Promise<readonly Page[]> => {
    const pages: Page[] = [];
    for (let from: bigint | undefined = 0n; from !== undefined; from = pages.at(-1)?.next) {
      pages.push(await pageFrom(from));
      if (pages.length > count) throw new Error("pages without end");
    }
    return pages;
  };
  return { all, answer, ranges, now, looked: () => looked };
}

describe("all pages of a partition", () => {
  test("look at each place of the index once", async () => {
    const isLost = (hash: bigint): boolean => hash % 100n === 7n;
    const { all, ranges, looked } = answersOf(5 * CATCH_UP_KEYS, isLost);
    const pages = await all();
    expect(pages).toHaveLength(5);
    expect(ranges.map(({ beforeHash }) => beforeHash)).toEqual(pages.map(({ next }) => next));
    expect(looked()).toBe(5 * CATCH_UP_KEYS);
    expect(pages.reduce((sum, { lost }) => sum + lost.size, 0)).toBe(52);
    for (const { lost, next } of pages) for (const hash of lost) expect(next === undefined || hash < next).toBe(true);
  });

  test("end where more is lost than fits, and name each key and each loss once", async () => {
    const isLost = (hash: bigint): boolean => hash >= 10n && hash < 10n + 3n * BigInt(CATCH_UP_KEYS);
    const { all } = answersOf(4 * CATCH_UP_KEYS, isLost);
    const pages = await all();
    const lost = pages.flatMap((page) => [...page.lost]);
    const keys = pages.flatMap((page) => page.keys.map(({ hash }) => hash));
    expect(Math.max(...pages.map((page) => page.lost.size))).toBeLessThanOrEqual(CATCH_UP_KEYS);
    expect([lost.length, new Set(lost).size]).toEqual([3 * CATCH_UP_KEYS, 3 * CATCH_UP_KEYS]);
    expect([keys.length, new Set(keys).size]).toEqual([CATCH_UP_KEYS, CATCH_UP_KEYS]);
  });

  test("name keys without proof like losses, in their place", async () => {
    const { all } = answersOf(2 * CATCH_UP_KEYS, (hash) => hash === 5n, { kept: [5n, 6n, 1_500n] });
    const pages = await all();
    expect(pages.map(({ lost }) => [...lost])).toEqual([[5n, 6n], [1_500n]]);
  });

  test("name a record that was given up as lost, not as a key", async () => {
    const { all } = answersOf(3, () => false, { digestOf: (hash) => (hash === 1n ? 0n : 9n) });
    const [page] = await all();
    expect([page?.keys.map(({ hash }) => hash), [...(page?.lost ?? [])]]).toEqual([[0n, 2n], [1n]]);
  });

  test("name what could not be read for them, though it can be by now", async () => {
    const { all } = answersOf(9, (hash) => hash === 5n, { unread: [3n, 5n], kept: [7n] });
    expect((await all()).map(({ lost }) => [...lost])).toEqual([[3n, 5n, 7n]]);
  });
});

describe("an answer", () => {
  const list = { from: hexOf(0n) };
  const fetch = { keys: [{ hash: hexOf(1n), key: Buffer.from("key-1") }] };

  test.each([
    ["the slot goes", { slot: -1 }],
    ["other bucket settings come", { rules: 2n }],
  ])("is none when %s while it is made: what it lacks would look deleted", async (_what, change) => {
    for (const what of [list, fetch]) {
      const { answer, now } = answersOf(9, () => false, { whileRead: () => Object.assign(now, change) });
      expect(await answer(what)).toBeNull();
      const { answer: steady } = answersOf(9, () => false);
      expect(await steady(what)).not.toBeNull();
    }
  });
});
