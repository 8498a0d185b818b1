/**
 * Buckets that get fewer replicas, and more again: what was deleted meanwhile, and its tombstone collected by a look that left
 * some slots out, does not come back from them.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  ALL_OTHERS,
  coversAll,
  fingerprintOf,
  isRaisedFor,
  mergedRaises,
  parseRules,
  raisedBetween,
  rulesOf,
} from "../../../services/repair/collect-rules-core.ts";
import type { KeyLocation } from "../../../services/replica/contract.ts";
import { CollectRig } from "../../support/collect-rig.ts";

const TWO_HOURS_MS = 7_200_000;

/** A value at three slots that was deleted at two, and the tombstone collected, while its bucket had two replicas. */
async function loweredAndCollected(): Promise<{
  readonly on: CollectRig;
  readonly key: KeyLocation;
  readonly other: KeyLocation;
}> {
  const on = new CollectRig();
  await on.begin();
  const key = on.locate("key", "few");
  let other = on.locate("other-0");
  for (let at = 1; other.partition !== key.partition; at += 1) other = on.locate(`other-${at}`);
  await on.write(0, key);
  await on.write(0, other);
  on.rules.replicas.set("few", 2);
  on.told(0, 1, 2);
  await on.delete(0, key, [1]);
  await on.pass(TWO_HOURS_MS);
  await on.collect();
  expect([await on.valuesAt(0, key), await on.valuesAt(1, key), await on.valuesAt(2, key)]).toEqual([
    undefined,
    undefined,
    1,
  ]);
  expect(on.node(2).floors.lineOf(key.partition)).toBeGreaterThan(0);
  return { on, key, other };
}

/** `few` has three replicas again; these nodes have not heard of it. */
function raised(on: CollectRig, unheard: readonly number[]): void {
  for (const slot of unheard) on.oldRules.set(slot, { replicas: new Map(on.rules.replicas) });
  on.rules.replicas.delete("few");
  on.told(...[0, 1, 2].filter((slot) => !unheard.includes(slot)));
}

describe("a bucket with more replicas again", () => {
  test("does not get back what was deleted while it had fewer: the slot that was left out is asked for nothing before it was compared", async () => {
    const { on, key, other } = await loweredAndCollected();
    raised(on, []);
    expect(on.hidden(key)).toEqual([false, false, true]);
    expect(on.hidden(other)).toEqual([false, false, false]);
    expect(on.believes(0, 2, key)).toBe(false);
    await on.pass(70_000);
    expect([0, 1, 2].map((slot) => on.node(slot).floors.isBehind(key.partition))).toEqual([false, false, false]);
    expect(on.hidden(key)).toEqual([false, false, false]);
    expect(await on.valuesAt(2, key)).toBeUndefined();
    expect(await on.valuesAt(2, other)).toBe(1);
    expect(on.believes(0, 2, key)).toBe(true);
  });

  test.each([[[2]], [[0, 1]], [[1]]])("nor from or through nodes that have not heard of it: %j", async (unheard) => {
    const { on, key } = await loweredAndCollected();
    raised(on, unheard);
    for (const at of [0, 1]) expect(on.believes(at, 2, key)).toBe(false);
    await on.pass(70_000);
    on.told(...unheard);
    // believed only once the old value is gone
    const isGone = (await on.valuesAt(2, key)) === undefined;
    for (const at of [0, 1]) expect(on.believes(at, 2, key)).toBe(isGone);
    await on.pass(70_000);
    expect(await on.valuesAt(2, key)).toBeUndefined();
    expect(on.hidden(key)).toEqual([false, false, false]);
  });

  test("is not forgotten by a restart, nor by a second one with what was before", async () => {
    const { on, key } = await loweredAndCollected();
    on.away.add(0);
    on.away.add(1);
    raised(on, []);
    await on.restart(2);
    expect(on.node(2).floors.doubtOf(key.partition)).toBe("rules");
    on.rules.replicas.set("few", 2);
    on.told(0, 1, 2);
    await on.restart(2);
    on.rules.replicas.delete("few");
    on.told(0, 1, 2);
    await on.restart(2);
    expect(on.hidden(key)[2]).toBe(true);
    on.away.clear();
    await on.pass(70_000);
    expect(await on.valuesAt(2, key)).toBeUndefined();
    expect(on.hidden(key)).toEqual([false, false, false]);
  });

  test("stays as it is where its n was only lowered", async () => {
    const { on, key } = await loweredAndCollected();
    on.rules.replicas.set("few", 1);
    on.told(0, 1, 2);
    expect([0, 1, 2].map((slot) => on.node(slot).floors.isBehind(key.partition))).toEqual([false, false, false]);
  });

  test("has its tombstones collected only when all members go by the same settings", async () => {
    const on = new CollectRig();
    await on.begin();
    const key = on.locate("key", "few");
    await on.write(0, key);
    await on.delete(0, key);
    await on.pass(TWO_HOURS_MS);
    on.oldRules.set(2, { replicas: new Map([["few", 2]]) });
    await on.collect();
    expect(on.node(0).collecting.status().waiting).toEqual({ "node n3: knows other bucket settings": 1 });
    expect(await on.valuesAt(0, key)).toBe(0);
    on.told(2);
    await on.collect();
    expect(await on.valuesAt(0, key)).toBeUndefined();
  });
});

describe("a slot of which a disk was set back", () => {
  test("catches up with one that has all its keys, not with one that a bucket leaves out", async () => {
    const { on, key } = await loweredAndCollected();
    // slot 1 from before the delete: slot 2 cannot tell, for it is not asked about this bucket
    const again = await on.write(0, key, { others: [1] });
    expect(again.siblingCount).toBe(1);
    const before = on.copyOf(1);
    await on.delete(0, key, [1]);
    await on.pass(TWO_HOURS_MS);
    await on.collect();
    on.away.add(0);
    await on.restart(1, before);
    expect(on.hidden(key)[1]).toBe(true);
    await on.pass(70_000);
    expect(on.hidden(key)[1]).toBe(true);
    on.away.clear();
    await on.pass(70_000);
    expect(await on.valuesAt(1, key)).toBeUndefined();
    expect(on.hidden(key)[1]).toBe(false);
  });
});

describe("rules", () => {
  const some = fc.dictionary(fc.constantFrom("a", "b", "c"), fc.integer({ min: 1, max: 5 }));
  const rules = fc.record({ standard: fc.integer({ min: 1, max: 5 }), named: some });
  const made = ({ standard, named }: { standard: number; named: Record<string, number> }) =>
    rulesOf({ standard, named: Object.entries(named) }, 4);
  const nOf = ({ standard, named }: ReturnType<typeof made>, name: string) => new Map(named).get(name) ?? standard;

  test("are equal by their fingerprint exactly when no bucket differs", () => {
    fc.assert(
      fc.property(rules, rules, (one, other) => {
        const [left, right] = [made(one), made(other)];
        const isSame = ["a", "b", "c", "d"].every((name) => nOf(left, name) === nOf(right, name));
        expect(fingerprintOf(left) === fingerprintOf(right)).toBe(isSame);
      }),
    );
  });

  test("that raise a bucket past a slot are seen, whatever else they change; those that lower are none", () => {
    fc.assert(
      fc.property(rules, rules, fc.nat(3), (one, other, slot) => {
        const [before, now] = [made(one), made(other)];
        const isRaised = ["a", "b", "c", "d"].some(
          (name) => nOf(before, name) <= slot && nOf(now, name) > nOf(before, name),
        );
        if (isRaised) expect(isRaisedFor(slot, raisedBetween(before, now))).toBe(true);
        const isNowhere = ["a", "b", "c", "d"].every((name) => nOf(now, name) <= nOf(before, name));
        if (isNowhere) expect(raisedBetween(before, now)).toEqual([]);
      }),
    );
  });

  test("remember the least that a bucket had", () => {
    const once = raisedBetween(made({ standard: 3, named: { a: 1 } }), made({ standard: 3, named: { a: 2 } }));
    const twice = raisedBetween(made({ standard: 3, named: { a: 2 } }), made({ standard: 3, named: {} }));
    expect(mergedRaises(once, twice)).toEqual([["a", 1]]);
    expect(raisedBetween(made({ standard: 1, named: {} }), made({ standard: 2, named: {} }))).toEqual([
      [ALL_OTHERS, 1],
    ]);
  });

  test.each([
    [1, 0, { b: 2 }, true],
    [0, 1, { b: 1 }, true],
    [0, 1, { b: 2 }, true],
    [0, 2, { b: 2 }, false],
    [1, 2, { b: 2 }, false],
    [1, 2, { b: 1 }, true],
    [2, 1, { b: 2 }, true],
    [0, 2, {}, true],
  ])("say with whom a slot can catch up: slot %i with slot %i, %o: %s", (own, peer, named, isWhole) => {
    expect(coversAll(rulesOf({ standard: 3, named: Object.entries(named) }, 3), own, peer)).toBe(isWhole);
  });

  test("read back as written; other texts are none", () => {
    fc.assert(
      fc.property(rules, (one) => {
        expect(parseRules(JSON.stringify(made(one)))).toEqual(made(one));
      }),
    );
    for (const text of [
      "",
      "{}",
      "null",
      "[]",
      '{"standard":0,"named":[],"raised":[]}',
      '{"standard":1,"named":[["a"]],"raised":[]}',
    ]) {
      expect(parseRules(text)).toBeUndefined();
    }
  });
});
