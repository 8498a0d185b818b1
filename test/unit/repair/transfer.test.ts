/** Copying a partition from its holder to the next one, over the bytes of a link. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TRANSFER_PAGE_BYTES } from "../../../services/base/limits.ts";
import { parseEntries } from "../../../services/repair/transfer-page-core.ts";
import type { StorageEngine } from "../../../storage/engine.ts";
import { CorruptRecordError } from "../../../storage/errors.ts";
import { putOf, writeTo } from "../../support/replica-fixture.ts";
import {
  COPIED,
  carried,
  nthCopied,
  sourceOf,
  type TransferNode,
  transferNode,
  writeNth,
} from "../../support/transfer-fixture.ts";

const TX = 7;
const nothing = (): void => undefined;

/** A donor with so many keys, and an empty receiver that holds no slot. */
async function pair(keyCount: number): Promise<{ readonly from: TransferNode; readonly to: TransferNode }> {
  const from = transferNode(1);
  const to = transferNode(2);
  to.fixture.slots.slot = -1;
  await Promise.all(Array.from({ length: keyCount }, (_, n) => writeNth(from, n)));
  from.donor.openAttempt(COPIED, TX);
  return { from, to };
}

/** Seals, takes the last page, compares; as a hand-over does. */
async function finished(from: TransferNode, to: TransferNode, tx = TX): Promise<{ readonly kind: string }> {
  await from.replica.closeGate(COPIED);
  const last = await from.donor.seal(COPIED, tx);
  const result = await to.receiver.finish(COPIED, sourceOf(from, tx), { ...last, body: carried(last.body) });
  from.replica.openGate(COPIED);
  return result;
}

describe("a copy of a partition", () => {
  test("ends with the same keys and versions, tombstones too", async () => {
    const { from, to } = await pair(500);
    await from.replica.write(nthCopied(3), { kind: "delete", context: undefined }, nothing);
    const progress: number[] = [];
    const result = await to.receiver.receive(COPIED, sourceOf(from, TX), (sizeBytes) => progress.push(sizeBytes));
    expect(result).toEqual({ kind: "copied" });
    const { pageCount, objectCount, sizeBytes } = from.donor.counts();
    expect(await finished(from, to)).toEqual({ kind: "equal" });
    expect(await to.receiver.summary(COPIED)).toEqual(await from.receiver.summary(COPIED));
    expect(to.engine.keyCountOf(COPIED)).toBe(500);
    expect(objectCount).toBeGreaterThanOrEqual(500);
    expect(progress.reduce((sum, each) => sum + each, 0)).toBe(sizeBytes);
    expect(pageCount).toBeGreaterThan(1);
  });

  test("of nothing is equal at once", async () => {
    const { from, to } = await pair(0);
    expect(await to.receiver.receive(COPIED, sourceOf(from, TX), nothing)).toEqual({ kind: "copied" });
    expect(await finished(from, to)).toEqual({ kind: "equal" });
  });

  test("goes in pages of bounded size, the largest object that clients can make in parts", async () => {
    const { from, to } = await pair(20);
    const half = 8 * 1024 * 1024 - 4096;
    for (const blind of ["overwrite", "sibling"] as const) {
      const put = putOf("y".repeat(half), undefined, blind);
      expect(await from.replica.write(nthCopied(4), put, nothing)).toMatchObject({ kind: "stored" });
    }
    await writeNth(from, 5, TRANSFER_PAGE_BYTES - 200);
    await writeNth(from, 6, TRANSFER_PAGE_BYTES);
    await writeNth(from, 7, TRANSFER_PAGE_BYTES - 2_000);
    const source = sourceOf(from, TX);
    expect(await to.receiver.receive(COPIED, source, nothing)).toEqual({ kind: "copied" });
    expect(Math.max(...source.answers.map((answer) => answer.sizeBytes))).toBeLessThan(TRANSFER_PAGE_BYTES + 4096);
    expect(await finished(from, to)).toEqual({ kind: "equal" });
    expect(from.fixture.store.calls.filter((call) => call === "get").length).toBeLessThan(60);
  });

  test("takes in what is written meanwhile: changed, new and deleted keys, large ones too", async () => {
    const { from, to } = await pair(3_000);
    let at = 0;
    const source = sourceOf(from, TX, async (kind) => {
      if (kind !== "pull") return true;
      at += 1;
      await writeNth(from, at, 60);
      await writeNth(from, 3_000 + at);
      await from.replica.write(nthCopied(2_999 - at), { kind: "delete", context: undefined }, nothing);
      if (at === 2) await writeNth(from, 10, 3 * TRANSFER_PAGE_BYTES);
      return true;
    });
    expect(await to.receiver.receive(COPIED, source, nothing)).toEqual({ kind: "copied" });
    expect(at).toBeGreaterThan(1);
    await writeNth(from, 4_000, 3 * TRANSFER_PAGE_BYTES);
    expect(await finished(from, to)).toEqual({ kind: "equal" });
  });

  test("sends a large object again from its beginning when it changes between two parts", async () => {
    const { from, to } = await pair(3);
    await writeNth(from, 1, 5 * TRANSFER_PAGE_BYTES);
    let at = 0;
    const source = sourceOf(from, TX, async () => {
      at += 1;
      if (at === 3) await writeNth(from, 1, 4 * TRANSFER_PAGE_BYTES);
      return true;
    });
    expect(await to.receiver.receive(COPIED, source, nothing)).toEqual({ kind: "copied" });
    expect(await finished(from, to)).toEqual({ kind: "equal" });
  });

  test("that was cut short costs only what differs when it is begun again, whoever has died", async () => {
    const { from, to } = await pair(4_000);
    const whole = sourceOf(from, TX, (_kind, count) => count < 3);
    expect(await to.receiver.receive(COPIED, whole, nothing)).toEqual({ kind: "failed", reason: "no answer" });
    const already = to.engine.keyCountOf(COPIED);
    expect(already).toBeGreaterThan(1_000);
    for (const died of [from, to]) died.restart();
    expect(await to.receiver.receive(COPIED, sourceOf(from, TX), nothing)).toMatchObject({ kind: "failed" });
    from.donor.openAttempt(COPIED, 8);
    expect(await to.receiver.receive(COPIED, sourceOf(from, 8), nothing)).toEqual({ kind: "copied" });
    // a leaf is sent whole: the one that the cut went through
    expect(from.donor.counts().objectCount).toBeLessThan(4_000 - already + 100);
    expect(await finished(from, to, 8)).toEqual({ kind: "equal" });
    const again = sourceOf(from, 8);
    await to.receiver.receive(COPIED, again, nothing);
    expect(again.answers.reduce((sum, answer) => sum + answer.sizeBytes, 0)).toBeLessThan(1_000);
  });

  test("begins anew with nothing when more is held than the donor has: keys, or versions", async () => {
    for (const isNewKey of [true, false]) {
      const { from, to } = await pair(50);
      to.fixture.slots.slot = 0;
      await writeTo(to.fixture, nthCopied(isNewKey ? 60 : 7), putOf("only here", undefined, "sibling"));
      to.fixture.slots.slot = -1;
      expect(await to.receiver.receive(COPIED, sourceOf(from, TX), nothing)).toEqual({ kind: "copied" });
      expect(await finished(from, to)).toEqual({ kind: "equal" });
    }
  });

  test("that turns out unequal under the seal is not called equal, and the next one begins with nothing", async () => {
    const { from, to } = await pair(50);
    await to.receiver.receive(COPIED, sourceOf(from, TX), nothing);
    to.fixture.slots.slot = 0;
    await writeTo(to.fixture, nthCopied(70), putOf("only here"));
    to.fixture.slots.slot = -1;
    expect(await finished(from, to)).toMatchObject({ kind: "differs" });
    from.donor.openAttempt(COPIED, 8);
    const source = sourceOf(from, 8);
    expect(await to.receiver.receive(COPIED, source, nothing)).toEqual({ kind: "copied" });
    expect(await finished(from, to, 8)).toEqual({ kind: "equal" });
  });

  test("that is unequal for no reason that pages show is begun with nothing as well", async () => {
    const { from, to } = await pair(50);
    await to.receiver.receive(COPIED, sourceOf(from, TX), nothing);
    const last = await from.donor.seal(COPIED, TX);
    const other = { body: carried(last.body), count: last.count, root: "1" };
    expect(await to.receiver.finish(COPIED, sourceOf(from, TX), other)).toMatchObject({ kind: "differs" });
    expect(to.fixture.store.calls).not.toContain("drop");
    from.donor.openAttempt(COPIED, 8);
    await to.receiver.receive(COPIED, sourceOf(from, 8), nothing);
    expect(to.fixture.store.calls.filter((call) => call === "drop")).toHaveLength(1);
    expect(await finished(from, to, 8)).toEqual({ kind: "equal" });
  });

  test("compares again when more has changed than is remembered", async () => {
    const { from, to } = await pair(10);
    let isFirst = true;
    const source = sourceOf(from, TX, async (kind) => {
      if (kind !== "pull" || !isFirst) return true;
      isFirst = false;
      await writeNth(from, 11);
      from.overflow();
      return true;
    });
    expect(await to.receiver.receive(COPIED, source, nothing)).toEqual({ kind: "copied" });
    expect(source.answers.filter(({ question }) => JSON.stringify(question).includes('"begin"'))).toHaveLength(2);
    expect(await finished(from, to)).toEqual({ kind: "equal" });
  });

  test("clears what an older tenure left, and only then", async () => {
    const { from, to } = await pair(20);
    await to.receiver.clearLeftovers(COPIED);
    expect(to.fixture.store.calls).not.toContain("drop");
    await to.receiver.receive(COPIED, sourceOf(from, TX), nothing);
    await to.receiver.clearLeftovers(COPIED);
    expect(to.engine.keyCountOf(COPIED)).toBe(0);
    expect(await to.receiver.summary(COPIED)).toEqual({ count: 0, root: "0" });
  });

  test("of several holders into one holds what any of them had", async () => {
    const [a, b, to] = [transferNode(1), transferNode(2), transferNode(3)];
    to.fixture.slots.slot = -1;
    for (let n = 0; n < 30; n += 1) await writeNth(a, n);
    for (let n = 20; n < 60; n += 1) await writeNth(b, n);
    for (const node of [a, b]) {
      const source = {
        pull: (body: unknown) => node.donor.copy(COPIED, carried(body), false),
        changes: async () => undefined,
      };
      expect(await to.receiver.merge(COPIED, source, nothing)).toEqual({ kind: "copied" });
    }
    expect(to.engine.keyCountOf(COPIED)).toBe(60);
    to.fixture.slots.slot = 0;
    const both = await to.replica.read(nthCopied(25));
    expect(both.kind === "object" && both.set?.siblings.length).toBe(2);
  });
});

describe("what cannot be read is never an absence", () => {
  const withStore = async (change: (engine: StorageEngine) => StorageEngine) => {
    const from = transferNode(1, change);
    const to = transferNode(2);
    to.fixture.slots.slot = -1;
    for (let n = 0; n < 40; n += 1) await writeNth(from, n);
    from.donor.openAttempt(COPIED, TX);
    return to.receiver.receive(COPIED, sourceOf(from, TX), nothing);
  };
  const proxied = (engine: StorageEngine, over: Partial<StorageEngine>): StorageEngine =>
    new Proxy(engine, {
      get: (target, name) => {
        const value = Reflect.get(name in over ? over : target, name);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });

  test("a corrupt record refuses the page", async () => {
    const result = await withStore((engine) =>
      proxied(engine, {
        get: (address) => {
          if (address.hash === nthCopied(17).hash) throw new CorruptRecordError({ segment: 1, offset: 64 });
          return engine.get(address);
        },
      }),
    );
    expect(result).toEqual({ kind: "failed", reason: "refused: corrupt_record" });
  });

  test("a suspect partition refuses every page, and one that becomes so while it is listed", async () => {
    expect(await withStore((engine) => proxied(engine, { isSuspect: () => true }))).toEqual({
      kind: "failed",
      reason: "refused: suspect",
      isSuspect: true,
    });
    let isSuspect = false;
    const from = transferNode(1, (engine) =>
      proxied(engine, {
        isSuspect: () => isSuspect,
        scan: async (partition, fromHash, limit) => {
          const page = await engine.scan(partition, fromHash, limit);
          isSuspect = true;
          return { ...page, entries: page.entries.slice(1) };
        },
      }),
    );
    await writeNth(from, 1);
    from.donor.openAttempt(COPIED, TX);
    const begin = { kind: "begin", leaves: new Uint8Array(2048) };
    expect(await from.donor.pull(COPIED, TX, begin)).toEqual({ kind: "refused", reason: "suspect" });
    expect(from.donor.counts()).toEqual({ pageCount: 0, objectCount: 0, sizeBytes: 0, refusedCount: 1 });
  });

  test("what a suspect partition still has is given to who asks for it in these words", async () => {
    const from = transferNode(1, (engine) => proxied(engine, { isSuspect: () => true }));
    const to = transferNode(2);
    to.fixture.slots.slot = -1;
    for (let n = 0; n < 40; n += 1) await writeNth(from, n);
    const merge = (takesSuspect: boolean): Promise<unknown> => {
      const pull = (body: unknown) => from.donor.copy(COPIED, carried(body), takesSuspect);
      return to.receiver.merge(COPIED, { pull, changes: async () => undefined }, nothing);
    };
    expect(await merge(false)).toEqual({ kind: "failed", reason: "refused: suspect", isSuspect: true });
    expect(await merge(true)).toEqual({ kind: "copied" });
    expect(to.engine.keyCountOf(COPIED)).toBe(40);
  });

  test("a store that stops refuses, and an attempt that is not open has no pages", async () => {
    const { from, to } = await pair(5);
    expect(await to.receiver.receive(COPIED, sourceOf(from, 99), nothing)).toEqual({
      kind: "failed",
      reason: "refused: no_attempt",
    });
    from.donor.closeAttempt(COPIED, 99);
    from.donor.closeAttempt(COPIED, TX);
    expect((await from.donor.seal(COPIED, TX)).body).toEqual({ kind: "refused", reason: "no_attempt" });
    from.donor.openAttempt(COPIED, TX);
    await from.engine.close();
    expect(await to.receiver.receive(COPIED, sourceOf(from, TX), nothing)).toEqual({
      kind: "failed",
      reason: "refused: stopping",
    });
  });

  test("pages that are cut, strange or of another partition fail, and store nothing of another key", async () => {
    const { from, to } = await pair(5);
    const first = await from.donor.pull(COPIED, TX, { kind: "begin", leaves: new Uint8Array(2048) });
    if (first.kind !== "pulled") throw new Error(first.kind);
    for (const objects of [first.objects.subarray(1), Buffer.alloc(20), first.objects.subarray(0, 30)]) {
      const source = { pull: async () => ({ ...first, objects }), changes: async () => undefined };
      expect(await to.receiver.receive(COPIED, source, nothing)).toEqual({ kind: "failed", reason: "malformed page" });
    }
    const foreign = { pull: async () => first, changes: async () => undefined };
    expect(await to.receiver.receive(COPIED + 1, foreign, nothing)).toMatchObject({ kind: "failed" });
    expect(to.engine.keyCountOf(COPIED + 1)).toBe(0);
  });
});

test("a batch of changes is answered again until it is acknowledged, and then no more", async () => {
  const { from } = await pair(0);
  for (let n = 0; n < 10; n += 1) await writeNth(from, n);
  const ask = (body: object) => from.donor.changes(COPIED, TX, body);
  const first = await ask({ kind: "batch", ack: 0 });
  expect(first).toMatchObject({ kind: "changed", batch: 1, remainingCount: 0 });
  await writeNth(from, 11);
  expect(await ask({ kind: "batch", ack: 0 })).toMatchObject({ batch: 1, remainingCount: 1 });
  expect(await ask({ kind: "batch", ack: 9 })).toMatchObject({ batch: 1, remainingCount: 1 });
  const second = await ask({ kind: "batch", ack: 1 });
  expect(second).toMatchObject({ batch: 2, remainingCount: 0 });
  if (first.kind !== "changed" || second.kind !== "changed") throw new Error("no pages");
  expect(second.objects.length).toBeLessThan(first.objects.length / 5);
});

test("the seal hands out what was not acknowledged, again and again, and says what must be held", async () => {
  const { from } = await pair(0);
  for (let n = 0; n < 5; n += 1) await writeNth(from, n);
  const batch = await from.donor.changes(COPIED, TX, { kind: "batch", ack: 0 });
  for (let n = 5; n < 10; n += 1) await writeNth(from, n);
  await from.replica.closeGate(COPIED);
  const [first, second] = [await from.donor.seal(COPIED, TX), await from.donor.seal(COPIED, TX)];
  if (batch.kind !== "changed" || first.body.kind !== "changed" || second.body.kind !== "changed") {
    throw new Error("no pages");
  }
  expect([batch, first.body].map(({ objects }) => parseEntries(objects)?.length)).toEqual([5, 10]);
  expect(second.body.objects).toEqual(first.body.objects);
  expect(first).toMatchObject({ count: 10, root: from.engine.merkleRoot(COPIED).toString(16) });
});

test("work of a transfer gives the event loop its turn", async () => {
  const { from, to } = await pair(2_000);
  from.clock.tickMs = 0.5;
  to.clock.tickMs = 0.5;
  await to.receiver.receive(COPIED, sourceOf(from, TX), nothing);
  expect(from.clock.deferCount).toBeGreaterThan(20);
  expect(to.clock.deferCount).toBeGreaterThan(20);
});

test("any course of writes, cuts, deaths and seals ends equal, or says that it did not", async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("write" as const), key: fc.nat({ max: 60 }), size: fc.constantFrom(10, 50_000) }),
    fc.record({ kind: fc.constant("receive" as const), answers: fc.nat({ max: 12 }) }),
    fc.record({ kind: fc.constantFrom("donor dies" as const, "receiver dies" as const, "seal" as const) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const from = transferNode(1);
      const to = transferNode(2);
      to.fixture.slots.slot = -1;
      let tx = 1;
      let isOpen = false;
      const open = (): void => {
        if (!isOpen) from.donor.openAttempt(COPIED, tx);
        isOpen = true;
      };
      const ends = [{ kind: "receive", answers: 1e6 } as const, { kind: "seal" } as const];
      for (const [at, each] of [...steps, ...ends].entries()) {
        if (each.kind === "write") await writeNth(from, each.key, each.size);
        if (each.kind === "receive") {
          open();
          let key = 0;
          const source = sourceOf(from, tx, async (_kind, count) => {
            key += 1;
            if (key < 20) await writeNth(from, (key * 7) % 61, 30);
            return count <= each.answers;
          });
          await to.receiver.receive(COPIED, source, nothing);
        }
        if (each.kind === "receiver dies") to.restart();
        if (each.kind === "donor dies") {
          from.restart();
          tx += 1;
          isOpen = false;
        }
        if (each.kind === "seal" && isOpen) {
          const result = await finished(from, to, tx);
          const isEqual = from.engine.merkleRoot(COPIED) === to.engine.merkleRoot(COPIED);
          expect(result.kind === "equal").toBe(isEqual);
          if (at > steps.length) expect(result.kind).toBe("equal");
          from.donor.closeAttempt(COPIED, tx);
          tx += 1;
          isOpen = false;
        }
      }
    }),
    { numRuns: 150 },
  );
});
