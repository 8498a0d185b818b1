/** Missed writes of owners, partitions that are flagged, and what is given up by which rule. */
import { describe, expect, test } from "vitest";
import { HandoffRig, type RigNode } from "../../support/handoff-rig.ts";

const WHOLE_WAY_MS = 120_000;
const HOUR_MS = 3_600_000;

/** An owner that is away, and the owner that coordinates. */
function owners(rig: HandoffRig, partition = 7): { readonly self: RigNode; readonly away: RigNode } {
  const location = rig.nth(partition, 0);
  return { self: rig.holderOf(location, 0), away: rig.holderOf(location, 1) };
}

/** A version that a stand-in keeps for an owner that is away. */
async function keptForAway(rig: HandoffRig): Promise<{
  readonly keeper: RigNode;
  readonly location: ReturnType<HandoffRig["nth"]>;
  readonly minted: Awaited<ReturnType<HandoffRig["write"]>>;
}> {
  const { away } = owners(rig);
  const location = rig.nth(7, 0);
  const keeper = rig.fallbacksOf(location)[0] ?? away;
  rig.crash(away);
  const minted = await rig.write(location, 0, "kept");
  await rig.life(keeper).handoff.fallback.store(location, 1, minted);
  return { keeper, location, minted };
}

/** A write at slot 0 that the holder of slot 1 missed. */
async function missed(rig: HandoffRig, n: number, text = `value ${n}`): Promise<void> {
  const location = rig.nth(7, n);
  const minted = await rig.write(location, 0, text);
  rig.life(rig.holderOf(location, 0)).handoff.missedWrites.missed({ location, slot: 1, ...minted });
}

describe("a write that an owner missed at an owner", () => {
  test("leaves a marker without a copy, from which the object of the main store is delivered", async () => {
    const rig = await HandoffRig.started();
    const { self, away } = owners(rig);
    rig.crash(away);
    for (let n = 0; n < 10; n += 1) await missed(rig, n);
    await rig.pass(1_000);
    const view = rig.life(self).handoff.view();
    expect(view).toMatchObject({ count: 0, markerCount: 10, targets: [{ node: away.id, markerCount: 10 }] });
    expect(rig.life(self).hints.stats().liveBytes).toBeLessThan(10 * 30);
    expect(rig.life(self).handoff.hasHintsOf(7)).toBe(false);
    await rig.start(away);
    expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
    for (let n = 0; n < 10; n += 1) {
      const held = await rig.life(self).engine.get(rig.nth(7, n));
      expect(await rig.covers(rig.nth(7, n), 1, held?.value ?? new Uint8Array(0))).toBe(true);
    }
  });

  test("is marked once, however often the key is written, and the last version is delivered", async () => {
    const rig = await HandoffRig.started();
    const { self, away } = owners(rig);
    rig.crash(away);
    for (let n = 0; n < 10; n += 1) {
      await missed(rig, 0, `again ${n}`);
      await rig.pass(n < 5 ? 10 : 200);
    }
    expect(rig.life(self).hints.stats().putCount).toBeLessThan(3);
    await rig.start(away);
    expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
    const held = await rig.life(self).engine.get(rig.nth(7, 0));
    expect(await rig.covers(rig.nth(7, 0), 1, held?.value ?? new Uint8Array(0))).toBe(true);
  });

  test("that comes while its marker is settled is not lost with it", async () => {
    const shape: { onOffer?: () => void } = {};
    const rig = await HandoffRig.started({
      onAsk: ({ topic }) => {
        if (topic === "hints.take") shape.onOffer?.();
        return undefined;
      },
    });
    const { self, away } = owners(rig);
    rig.crash(away);
    await missed(rig, 0);
    await rig.pass(1_000);
    let writing: Promise<void> | undefined;
    shape.onOffer = () => {
      writing ??= missed(rig, 0, "meanwhile");
    };
    await rig.start(away);
    expect(await rig.until(() => writing !== undefined && rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
    const held = await rig.life(self).engine.get(rig.nth(7, 0));
    expect(await rig.covers(rig.nth(7, 0), 1, held?.value ?? new Uint8Array(0))).toBe(true);
  });

  test("is marked with its time and its slots, which a crash does not forget", async () => {
    const rig = await HandoffRig.started();
    const { self, away } = owners(rig);
    rig.crash(away);
    await missed(rig, 0);
    await rig.pass(HOUR_MS);
    rig.crash(self);
    await rig.start(self);
    await rig.pass(1);
    const [target, ...others] = rig.life(self).handoff.view().targets;
    expect(others).toEqual([]);
    expect(target?.oldestAgeMs).toBeGreaterThanOrEqual(HOUR_MS - 1_000);
  });

  test("is stored there first when it is not there, and marked then", async () => {
    const rig = await HandoffRig.started();
    const { self, away } = owners(rig);
    const location = rig.nth(7, 0);
    rig.crash(away);
    const minted = await rig.write(location, 2, "elsewhere");
    rig.life(self).handoff.missedWrites.missed({ location, slot: 1, ...minted });
    await rig.pass(1_000);
    expect(await rig.covers(location, 0, minted.object)).toBe(true);
    expect(rig.life(self).handoff.view()).toMatchObject({ count: 0, markerCount: 1 });
  });

  test("is kept whole by a coordinator that holds no slot of it", async () => {
    const rig = await HandoffRig.started();
    const { away } = owners(rig);
    const location = rig.nth(7, 0);
    const coordinator = rig.fallbacksOf(location)[0] ?? away;
    rig.crash(away);
    const minted = await rig.write(location, 0, "forwarded");
    rig.life(coordinator).handoff.missedWrites.missed({ location, slot: 1, ...minted });
    await rig.pass(1_000);
    expect(rig.life(coordinator).handoff.view()).toMatchObject({ count: 1, markerCount: 0 });
    await rig.start(away);
    expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
    expect(await rig.covers(location, 1, minted.object)).toBe(true);
  });
});

describe("what is given up", () => {
  test("markers older than the window: their partition is flagged first, then they go", async () => {
    const rig = await HandoffRig.started({ windowMs: HOUR_MS });
    const { self, away } = owners(rig);
    rig.crash(away);
    await missed(rig, 0);
    await rig.pass(HOUR_MS - 60_000);
    expect(rig.life(self).handoff.view()).toMatchObject({ markerCount: 1, flaggedPartitions: 0 });
    await rig.pass(120_000);
    expect(rig.life(self).handoff.view()).toMatchObject({ markerCount: 0, flaggedPartitions: 1 });
    expect(rig.life(self).handoff.flags.flaggedPartitions()).toEqual([7]);
    rig.crash(self);
    await rig.start(self);
    expect(rig.life(self).handoff.flags.isFlagged(7)).toBe(true);
  });

  test("objects older than the window, once an owner has them: and a flag is brought to an owner", async () => {
    const rig = await HandoffRig.started({ windowMs: HOUR_MS });
    const { keeper, location } = await keptForAway(rig);
    await rig.pass(HOUR_MS - 60_000);
    expect(rig.keptCount()).toBe(1);
    expect(await rig.until(() => rig.keptCount() === 0, 300_000)).toBe(true);
    expect(rig.life(keeper).handoff.view().delivered).toMatchObject({ deliveredCount: 0, givenUpCount: 1 });
    const isAtOwner = (): boolean =>
      [0, 2].some((slot) => rig.life(rig.holderOf(location, slot)).handoff.flags.isFlagged(7));
    expect(await rig.until(() => isAtOwner() && !rig.life(keeper).handoff.flags.isFlagged(7), 60_000)).toBe(true);
  });

  test("objects that are older than the window, though their keeper crashed again and again", async () => {
    const rig = await HandoffRig.started({ windowMs: HOUR_MS });
    const { keeper } = await keptForAway(rig);
    for (let crashes = 0; crashes < 5; crashes += 1) {
      await rig.pass(HOUR_MS / 6);
      rig.crash(keeper);
      await rig.start(keeper);
    }
    await rig.pass(1);
    const [kept] = rig.life(keeper).handoff.view().targets;
    expect(kept?.oldestAgeMs).toBeGreaterThan((5 / 6) * HOUR_MS - 60_000);
    expect(rig.keptCount()).toBe(1);
    expect(await rig.until(() => rig.keptCount() === 0, HOUR_MS / 2)).toBe(true);
    expect(rig.life(keeper).handoff.view().delivered).toMatchObject({ deliveredCount: 0, givenUpCount: 1 });
  });

  test("never an object that no owner has confirmed, however old: without room more is refused", async () => {
    const rig = await HandoffRig.started({ windowMs: HOUR_MS, maxBytes: 40_000 });
    const location = rig.nth(7, 0);
    const [keeper] = rig.fallbacksOf(location);
    if (keeper === undefined) throw new Error("no fallback");
    const minted = [];
    for (let n = 0; n < 60; n += 1) minted.push(await rig.write(rig.nth(7, n), 0, "x".repeat(1_000)));
    for (const slot of [0, 1, 2]) rig.crash(rig.holderOf(location, slot));
    const { fallback } = rig.life(keeper).handoff;
    const results = [];
    for (const [n, version] of minted.entries()) results.push(await fallback.store(rig.nth(7, n), 1, version));
    const storedCount = results.filter(({ kind }) => kind === "stored").length;
    expect(storedCount).toBeGreaterThan(20);
    expect(storedCount).toBeLessThan(40);
    expect(results.at(-1)).toMatchObject({
      kind: "refused",
      reason: "overloaded",
      detail: expect.stringMatching(/full/),
    });
    await rig.pass(5 * HOUR_MS);
    expect(rig.keptCount()).toBe(storedCount);
    expect(rig.life(keeper).handoff.hasHintsOf(7)).toBe(true);
    // and one owner is enough to make room again
    await rig.start(rig.holderOf(location, 2));
    expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
    expect(await fallback.store(rig.nth(7, 59), 1, minted[59] ?? minted[0] ?? neverHappens())).toMatchObject({
      kind: "stored",
    });
  });

  test("everything, by a node that leaves: to any owner, and flagged", async () => {
    const rig = await HandoffRig.started();
    const { keeper, minted } = await keptForAway(rig);
    keeper.isLeaving = true;
    const late = rig.life(keeper).handoff.fallback.store(rig.nth(7, 1), 1, minted);
    expect(await late).toMatchObject({ kind: "refused", reason: "shutting_down" });
    expect(await rig.until(() => rig.keptCount() === 0, 60_000)).toBe(true);
    expect(await rig.until(() => keeper.hasDrained, 60_000)).toBe(true);
    expect(rig.life(keeper).handoff.isDrained).toBe(true);
    expect(rig.nodes.filter(({ life }) => life?.handoff.flags.isFlagged(7) === true)).toHaveLength(1);
  });
});

describe("flags", () => {
  test("keep no miss from being marked, and are raised again only by what could not be: so that they can be cleared", async () => {
    const rig = await HandoffRig.started();
    const { self, away } = owners(rig);
    rig.crash(away);
    const { flags } = rig.life(self).handoff;
    await flags.flag([7]);
    const count = flags.flagCountOf(7);
    for (let n = 0; n < 10; n += 1) {
      await missed(rig, n);
      await rig.pass(1_000);
    }
    expect(flags.flagCountOf(7)).toBe(count);
    expect(rig.life(self).handoff.view()).toMatchObject({ markerCount: 10, flaggedPartitions: 1 });
    await flags.clearFlag(7, count);
    expect(flags.isFlagged(7)).toBe(false);
    await rig.start(away);
    expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
    const held = await rig.life(self).engine.get(rig.nth(7, 9));
    expect(await rig.covers(rig.nth(7, 9), 1, held?.value ?? new Uint8Array(0))).toBe(true);
  });

  test("are raised again by markers that are dropped: the comparison under way began before those misses", async () => {
    const rig = await HandoffRig.started({ windowMs: HOUR_MS });
    const { self, away } = owners(rig);
    rig.crash(away);
    const { flags } = rig.life(self).handoff;
    await flags.flag([7]);
    const count = flags.flagCountOf(7);
    await missed(rig, 0);
    await rig.pass(HOUR_MS + 60_000);
    expect(rig.life(self).handoff.view()).toMatchObject({ markerCount: 0, flaggedPartitions: 1 });
    await flags.clearFlag(7, count);
    expect(flags.isFlagged(7)).toBe(true);
  });

  test("of a partition that this node holds no more are brought to a holder, however quiet it was before", async () => {
    const rig = await HandoffRig.started();
    await rig.pass(60_000);
    const location = rig.nth(7, 0);
    const former = rig.fallbacksOf(location)[0] ?? rig.node(0);
    rig.life(former).handoff.flags.raise(7);
    expect(await rig.until(() => !rig.life(former).handoff.flags.isFlagged(7), 60_000)).toBe(true);
    expect(rig.nodes.filter(({ life }) => life?.handoff.flags.isFlagged(7) === true)).toHaveLength(1);
  });

  test("that were raised again after the comparison began are not cleared by its end", async () => {
    const rig = await HandoffRig.started();
    const { flags } = rig.life(rig.node(0)).handoff;
    await flags.flag([3, 9]);
    expect(flags.flaggedPartitions()).toEqual([3, 9]);
    const before = flags.flagCountOf(3);
    flags.raise(3);
    await flags.clearFlag(3, before);
    await flags.clearFlag(9, flags.flagCountOf(9));
    expect(flags.flaggedPartitions()).toEqual([3]);
    await flags.clearFlag(3, flags.flagCountOf(3));
    expect(flags.flaggedPartitions()).toEqual([]);
  });

  test("stand for all that a node holds after anything but a clean stop: its last notes may be missing", async () => {
    const rig = await HandoffRig.started();
    const node = rig.node(1);
    await rig.during(rig.stop(node));
    await rig.start(node);
    expect(rig.life(node).handoff.flags.count).toBe(0);
    rig.crash(node);
    await rig.start(node);
    const held = rig.holders.filter((slots) => slots.includes(node.id)).length;
    expect(rig.life(node).handoff.flags.count).toBe(held);
  });

  test("stand for partitions of the hint store in which records may be lost, and its own suspicion ends", async () => {
    const rig = await HandoffRig.started();
    const node = rig.node(1);
    await rig.during(rig.stop(node));
    node.disks.hints.suspects.add(5).add(64 + 6);
    await rig.start(node);
    expect(await rig.until(() => node.disks.hints.suspects.size === 0, 30_000)).toBe(true);
    const flagged = new Set(rig.nodes.flatMap(({ life }) => life?.handoff.flags.flaggedPartitions() ?? []));
    expect(flagged).toEqual(new Set([5, 6]));
  });
});

function neverHappens(): never {
  throw new Error("there is a version");
}
