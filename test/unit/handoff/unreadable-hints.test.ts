/** Hints that cannot be read: an error that passes costs nothing, one that stays ends in a flag. */
import { describe, expect, test } from "vitest";
import { HINT_READ_TRIES, HINT_RETRY_MIN_MS, MAX_UNREADABLE_HINTS } from "../../../services/base/hint-limits.ts";
import { UnreadableHints } from "../../../services/handoff/unreadable-hints.ts";
import type { Minted } from "../../../services/replica/contract.ts";
import { HandoffRig, type RigNode } from "../../support/handoff-rig.ts";

const WHOLE_WAY_MS = 120_000;
const COUNT = 6;

interface Scene {
  readonly rig: HandoffRig;
  readonly away: RigNode;
  readonly keeper: RigNode;
  readonly minted: readonly Minted[];
}

/** Hints for slot 1, whose holder is away, on the simulated disk of the first fallback. */
async function scene(): Promise<Scene> {
  const rig = await HandoffRig.started({ isOnDisk: true });
  const first = rig.nth(7, 0);
  const away = rig.holderOf(first, 1);
  const keeper = rig.fallbacksOf(first)[0] ?? away;
  rig.crash(away);
  const minted: Minted[] = [];
  for (let n = 0; n < COUNT; n += 1) {
    const one = await rig.during(rig.write(rig.nth(7, n), 0, "x".repeat(400)));
    minted.push(one);
    const kept = await rig.during(rig.life(keeper).handoff.fallback.store(rig.nth(7, n), 1, one));
    expect(kept.kind).toBe("stored");
  }
  return { rig, away, keeper, minted };
}

async function coveredCount({ rig, minted }: Scene): Promise<number> {
  let count = 0;
  for (const [n, { object }] of minted.entries()) if (await rig.covers(rig.nth(7, n), 1, object)) count += 1;
  return count;
}

function lostEvents({ keeper }: Scene): number {
  return keeper.log.events.filter((event) => event === "hints.lost").length;
}

describe("a hint that cannot be read", () => {
  test.each([1, 2, 4, 7])("for %i reads is delivered all the same once it can be", async (times) => {
    const here = await scene();
    const { rig, away, keeper } = here;
    const heal = keeper.disks.sim.inject({ on: ["read", "readSync"], code: "EIO", path: "hints", times });
    await rig.start(away);
    expect(await rig.until(() => rig.life(away).engine.keyCountOf(7) === COUNT, WHOLE_WAY_MS)).toBe(true);
    expect(await coveredCount(here)).toBe(COUNT);
    expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
    expect(lostEvents(here)).toBe(0);
    heal();
  });

  test("is kept anew once it can be read: for two slots it goes when both have it, and nothing is called lost", async () => {
    const here = await scene();
    const { rig, away, keeper, minted } = here;
    const second = rig.holderOf(rig.nth(7, 0), 2);
    rig.crash(second);
    for (const [n, one] of minted.entries())
      await rig.during(rig.life(keeper).handoff.fallback.store(rig.nth(7, n), 2, one));
    const heal = keeper.disks.sim.inject({ on: ["read", "readSync"], code: "EIO", path: "hints", times: 3 });
    await rig.start(away);
    expect(await rig.until(() => rig.life(away).engine.keyCountOf(7) === COUNT, WHOLE_WAY_MS)).toBe(true);
    await rig.pass(30_000);
    await rig.start(second);
    expect(await rig.until(() => rig.life(second).engine.keyCountOf(7) === COUNT, WHOLE_WAY_MS)).toBe(true);
    expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
    expect(lostEvents(here)).toBe(0);
    heal();
  });

  test("keeps whoever waits waiting until that is decided", async () => {
    const here = await scene();
    const { rig, away, keeper } = here;
    const heal = keeper.disks.sim.inject({ on: ["read", "readSync"], code: "EIO", path: "hints" });
    await rig.start(away);
    const waited = await rig.during(rig.life(keeper).handoff.flush.wait(1_500));
    expect(waited).toMatchObject({ isDone: false, left: [{ target: away.id }] });
    heal();
    expect(await rig.during(rig.life(keeper).handoff.flush.wait(60_000))).toMatchObject({ isDone: true });
    expect(await coveredCount(here)).toBe(COUNT);
  });

  test("ever is lost after some tries: the partition is flagged, and nothing goes on for ever", async () => {
    const here = await scene();
    const { rig, away, keeper } = here;
    keeper.disks.sim.inject({ on: ["read", "readSync"], code: "EIO", path: "hints" });
    await rig.start(away);
    expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
    expect(lostEvents(here)).toBeGreaterThan(0);
    // to the node that holds a slot of it: anti-entropy runs there
    const isFlagged = (): boolean => rig.nodes.some(({ life }) => life?.handoff.flags.isFlagged(7) === true);
    expect(isFlagged()).toBe(true);
    await rig.pass(60_000);
    expect(rig.life(keeper).handoff.flags.isFlagged(7)).toBe(false);
    const errors = keeper.log.events.length;
    await rig.pass(600_000);
    expect(keeper.log.events.length).toBe(errors);
  });
});

describe("tries", () => {
  test("are a second apart, so many, and then it is lost", () => {
    let nowMs = 0;
    const hints = new UnreadableHints({ monotonicMs: () => nowMs });
    for (let n = 1; n < HINT_READ_TRIES; n += 1) {
      for (let again = 0; again < 5; again += 1) expect(hints.noteFailure(1n)).toBe("again");
      nowMs += HINT_RETRY_MIN_MS;
    }
    expect([hints.noteFailure(1n), hints.noteFailure(1n)]).toEqual(["lost", "lost before"]);
    hints.forget(1n);
    expect(hints.noteFailure(1n)).toBe("again");
  });

  test("are counted for so many at a time; one more is lost at once", () => {
    const hints = new UnreadableHints({ monotonicMs: () => 0 });
    for (let n = 0; n < MAX_UNREADABLE_HINTS; n += 1) expect(hints.noteFailure(n)).toBe("again");
    expect(hints.noteFailure(-1)).toBe("lost");
    hints.forget(0);
    expect(hints.noteFailure(-1)).toBe("again");
  });
});
