/** A hint for a slot whose tombstones were collected goes only when the slot has what of it was not deleted. */
import { describe, expect, test } from "vitest";
import { encodedDigestOf, encodeSet } from "../../../services/versioning/object-codec.ts";
import { EMPTY, merge, put } from "../../../services/versioning/sibling-set.ts";
import type { Dot, SiblingSet } from "../../../services/versioning/types.ts";
import { HandoffRig } from "../../support/handoff-rig.ts";

const LINE = 1_000;

function valueOf(dot: Dot): SiblingSet {
  const sibling = { dot, expiresAtMs: 0, contentType: "text/plain", bytes: Buffer.from("v") };
  return put(EMPTY, { context: EMPTY.clock, sibling });
}

const old = valueOf({ actor: 8, counter: 500 });
const acknowledged = valueOf({ actor: 7, counter: 2_000 });

/** A hint for slot 1 of a version with these values; the slot's holder says whether it is certain of what it lacks. */
async function hinted(set: SiblingSet) {
  const owner = { isCertain: false };
  const rig = await HandoffRig.started({
    collectedAt: () => ({ lineOf: () => LINE, isCertain: () => owner.isCertain }),
  });
  const location = rig.nth(7, 0);
  const object = encodeSet(set);
  const [keeper] = rig.fallbacksOf(location);
  if (keeper === undefined) throw new Error("no fallback");
  const version = { baseDigest: 0n, digest: encodedDigestOf(object), object };
  await rig.during(rig.life(keeper).handoff.fallback.store(location, 1, version));
  return { rig, location, owner };
}

describe("a hint with a value from below the line", () => {
  test("stays while its owner is uncertain, and has kept nothing of it", async () => {
    const { rig, location, owner } = await hinted(merge(old, acknowledged));
    await rig.pass(60_000);
    expect(rig.keptCount()).toBe(1);
    expect(rig.life(rig.holderOf(location, 1)).replica.digestOf(location)).toBe(0n);
    owner.isCertain = true;
    expect(await rig.until(() => rig.keptCount() === 0, 120_000)).toBe(true);
    expect(await rig.covers(location, 1, encodeSet(acknowledged))).toBe(true);
  });

  test("goes when its owner is certain that all of it was deleted", async () => {
    const { rig, location, owner } = await hinted(old);
    owner.isCertain = true;
    expect(await rig.until(() => rig.keptCount() === 0, 120_000)).toBe(true);
    expect(rig.life(rig.holderOf(location, 1)).replica.digestOf(location)).toBe(0n);
  });
});
