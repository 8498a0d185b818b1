import { beforeEach, describe, expect, it } from "vitest";
import type { HandoverReply, HandoverRequest } from "../../../services/cluster/handover-messages.ts";
import { answerMint, type MintAnswer } from "../../../services/cluster/handover-mint-answer-core.ts";
import { MintCore } from "../../../services/cluster/handover-mint-core.ts";
import type { HandoverEffect, HandoverEvent } from "../../../services/cluster/handover-steps.ts";
import {
  effectOf,
  FactsByHand,
  FOURTH,
  kindsOf,
  nodeOf,
  OTHER,
  SELF,
  THIRD,
  TIMES,
} from "../../support/handover-facts.ts";

let world: FactsByHand;
let core: MintCore;

beforeEach(() => {
  world = new FactsByHand();
  world.targets = [SELF, OTHER, THIRD];
  world.others = [OTHER, THIRD];
  world.holders = [
    { key: OTHER, slot: 0 },
    { key: THIRD, slot: 1 },
  ];
  core = new MintCore(0, { times: TIMES, sourceCount: 2, otherSlotCount: 2 });
});

function take(event: HandoverEvent): readonly HandoverEffect[] {
  return core.take(event, world.facts);
}

const QUERY: HandoverRequest = {
  ...{ kind: "mint-query", partition: 0, from: SELF, tx: 1, slot: 2 },
  ...{ members: "all", news: new Uint8Array([1]) },
};

function answer(from: string, reply: HandoverReply | undefined): readonly HandoverEffect[] {
  return take({ kind: "answered", from, request: QUERY, reply });
}

const merged = (from: string, slot: number | undefined): readonly HandoverEffect[] =>
  take({ kind: "merged", from, tx: 1, slot, isSuspect: false });

/** `slot`: it gave what it still has. */
const suspect = (from: string, slot: number | undefined): readonly HandoverEffect[] =>
  take({ kind: "merged", from, tx: 1, slot, isSuspect: true });

/** Begun, and everyone asked. */
function begin(): readonly HandoverEffect[] {
  return take({ kind: "persisted", token: world.write(core.start(2, world.facts)) });
}

/** All have left the slot, the quiet time is over, and the partition is cleared. */
function copying(): readonly HandoverEffect[] {
  begin();
  answer(OTHER, { kind: "vacant", tx: 1 });
  const quiet = effectOf(answer(THIRD, { kind: "vacant", tx: 1 }), "timer");
  take({ kind: "timer", token: quiet.token });
  return take({ kind: "cleared" });
}

describe("a minter", () => {
  it("binds itself durably before it asks anyone, then asks everyone", () => {
    const effects = core.start(2, world.facts);
    expect(kindsOf(effects)).toEqual(["persist"]);
    const asked = take({ kind: "persisted", token: world.write(effects) });
    expect(asked.flatMap((effect) => (effect.kind === "ask" ? [effect.to] : []))).toEqual([OTHER, THIRD]);
    expect(world.ledger.promises.get(0)?.get(2)).toEqual({ to: SELF, tx: 1, isOver: false });
  });

  it("waits quietly when all have answered, and copies only then", () => {
    begin();
    expect(answer(OTHER, { kind: "vacant", tx: 1 })).toEqual([]);
    const last = answer(THIRD, { kind: "vacant", tx: 1 });
    expect(effectOf(last, "timer").delayMs).toBe(TIMES.mintQuietMs);
    expect(kindsOf(take({ kind: "timer", token: effectOf(last, "timer").token }))).toEqual(["clear"]);
  });

  it("takes the slot when enough distinct other slots are merged, and tells all that it is over", () => {
    expect(effectOf(copying(), "merge").from).toBe(OTHER);
    expect(effectOf(merged(OTHER, 0), "merge").from).toBe(THIRD);
    const taken = merged(THIRD, 1);
    expect(kindsOf(taken)).toEqual(["persist"]);
    const held = take({ kind: "persisted", token: world.write(taken) });
    expect(kindsOf(held)).toEqual(["hold", "ask", "ask", "ended"]);
    expect([world.ledger.slots[0], world.ledger.minting.size]).toEqual([2, 0]);
  });

  it("counts slots, not nodes: two copies of one slot are one", () => {
    copying();
    world.holders = [
      { key: OTHER, slot: 0 },
      { key: THIRD, slot: 0 },
    ];
    const effects = merged(OTHER, 0);
    expect(kindsOf(effects)).toEqual(["timer"]);
    expect(core.stage).toBe("short");
  });

  it("tries others, and waits for more, while a source fails", () => {
    copying();
    expect(effectOf(merged(OTHER, undefined), "merge").from).toBe(THIRD);
    const short = merged(THIRD, 1);
    expect(core.stage).toBe("short");
    expect(effectOf(take({ kind: "timer", token: effectOf(short, "timer").token }), "merge").from).toBe(OTHER);
  });

  it("takes what a suspect source still has when nobody else is left, and the slot when all others are merged", () => {
    copying();
    expect(effectOf(suspect(OTHER, undefined), "merge")).toMatchObject({ from: THIRD, takesSuspect: false });
    expect(effectOf(merged(THIRD, 1), "merge")).toMatchObject({ from: OTHER, takesSuspect: true });
    expect(kindsOf(suspect(OTHER, 0))).toEqual(["persist"]);
  });

  it("does not count a suspect source while there are slots that are not merged", () => {
    core = new MintCore(0, { times: TIMES, sourceCount: 3, otherSlotCount: 4 });
    world.holders = [
      { key: OTHER, slot: 0 },
      { key: THIRD, slot: 1 },
      { key: FOURTH, slot: 3 },
    ];
    copying();
    suspect(OTHER, undefined);
    merged(THIRD, 1);
    expect(effectOf(merged(FOURTH, 3), "merge")).toMatchObject({ from: OTHER, takesSuspect: true });
    const short = suspect(OTHER, 0);
    expect(core.stage).toBe("short");
    const again = take({ kind: "timer", token: effectOf(short, "timer").token });
    expect(effectOf(again, "merge")).toMatchObject({ from: OTHER, takesSuspect: false });
    expect(kindsOf(merged(OTHER, 0))).toEqual(["persist"]);
  });

  it("asks a suspect source for what it still has once, and then pauses", () => {
    copying();
    suspect(OTHER, undefined);
    merged(THIRD, 1);
    expect(kindsOf(suspect(OTHER, undefined))).toEqual(["timer"]);
    expect(core.stage).toBe("short");
  });

  it("asks those that were silent again, and those only", () => {
    const timer = effectOf(begin(), "timer");
    answer(OTHER, { kind: "vacant", tx: 1 });
    answer(THIRD, undefined);
    const again = take({ kind: "timer", token: timer.token });
    expect(effectOf(again, "ask").to).toBe(THIRD);
  });

  it("asks a member that it hears of late, and copies anew after its answer", () => {
    copying();
    world.others = [OTHER, THIRD, FOURTH];
    expect(effectOf(merged(OTHER, 0), "ask").to).toBe(FOURTH);
    const quiet = effectOf(answer(FOURTH, { kind: "vacant", tx: 1 }), "timer");
    take({ kind: "timer", token: quiet.token });
    expect(effectOf(take({ kind: "cleared" }), "merge").from).toBe(OTHER);
  });

  it.each(["not_vacant", "stale"] as const)("gives up for good when it hears: %s", (reason) => {
    begin();
    const token = world.write(answer(OTHER, { kind: "refused", reason }));
    const ended = take({ kind: "persisted", token });
    expect(ended.at(-1)?.kind).toBe("ended");
    expect([world.ledger.minting.size, world.ledger.slots[0]]).toEqual([0, -1]);
  });

  it("leaves what it has merged marked as a copy that was begun when it gives up", () => {
    copying();
    expect(core.isMerging({ from: OTHER, tx: 1 })).toBe(true);
    world.targets = [OTHER, THIRD, FOURTH];
    world.write(take({ kind: "review" }));
    expect(world.ledger.receiving.get(0)).toBe(SELF);
    expect(core.isMerging({ from: OTHER, tx: 1 })).toBe(false);
  });

  it("takes no answer to an earlier minting", () => {
    begin();
    answer(OTHER, { kind: "vacant", tx: 7 });
    answer(THIRD, { kind: "vacant", tx: 1 });
    expect(core.stage).toBe("asking");
  });

  it("asks all again after a restart, under the same number", () => {
    begin();
    core = new MintCore(0, { times: TIMES, sourceCount: 2, otherSlotCount: 2 });
    const asked = take({ kind: "review" });
    expect(asked.flatMap((effect) => (effect.kind === "ask" ? [effect.request] : []))).toEqual([QUERY, QUERY]);
  });

  it("stops when it is not to hold the partition any more", () => {
    begin();
    world.targets = [OTHER, THIRD, FOURTH];
    world.write(take({ kind: "review" }));
    expect(world.ledger.minting.size).toBe(0);
  });

  it.each<readonly [string, () => unknown]>([
    ["holds a slot", () => (world.ledger.slots[0] = 0)],
    ["has a copy staged", () => world.ledger.staged.set(0, { from: OTHER, tx: 1, slot: 2 })],
    ["is removed itself", () => (world.removed = [SELF])],
    ["has not told a majority that it is here", () => (world.isIntroduced = false)],
    ["leaves", () => (world.isStaying = false)],
  ])("begins nothing while it %s", (_why, prepare) => {
    prepare();
    expect(core.start(2, world.facts)).toEqual([]);
  });

  it("asks about a promise of its own to another before it begins", () => {
    world.apply({ kind: "promised", partition: 0, slot: 2, promise: { to: OTHER, tx: 3, isOver: false } });
    const { request, to } = effectOf(core.start(2, world.facts), "ask");
    expect(request.kind).toBe("mint-check");
    world.write(take({ kind: "answered", from: to, request, reply: { kind: "over", tx: 3 } }));
    expect(kindsOf(core.start(2, world.facts))).toEqual(["persist"]);
  });
});

describe("an asked member", () => {
  const query: HandoverRequest = { ...QUERY, from: OTHER, tx: 4 };
  const reply = (): MintAnswer => {
    const answered = answerMint(query, world.facts);
    if (answered === undefined) throw new Error("no answer");
    return answered;
  };

  it("leaves the slot to the asker, durably, and then takes it from nobody", () => {
    const answered = reply();
    expect(answered.reply).toEqual({ kind: "vacant", tx: 4 });
    world.apply(...answered.changes);
    expect(world.ledger.promises.get(0)?.get(2)).toEqual({ to: OTHER, tx: 4, isOver: false });
    expect(reply().reply).toEqual({ kind: "vacant", tx: 4 });
  });

  const present: readonly (readonly [string, () => unknown])[] = [
    ["holds the slot", () => (world.ledger.slots[0] = 2)],
    ["has it staged", () => world.ledger.staged.set(0, { from: THIRD, tx: 1, slot: 2 })],
    ["has given it to somebody who has not said that it arrived", () => give(false)],
  ];
  it.each(present)("says that the slot is not lost when it %s", (_why, prepare) => {
    prepare();
    expect(reply()).toEqual({ changes: [], reply: { kind: "refused", reason: "not_vacant" }, checks: [] });
  });

  it.each<readonly [string, () => unknown]>([
    ["holds another slot of the partition", () => (world.ledger.slots[0] = 1)],
    ["gave it to somebody long ago", () => give(true)],
    ["gave it to a member that was removed", () => (give(false), (world.removed = [THIRD]))],
  ])("leaves it when it %s", (_why, prepare) => {
    prepare();
    expect(reply().reply.kind).toBe("vacant");
  });

  it("gives up what it has staged of a removed member, in the same write", () => {
    world.ledger.staged.set(0, { from: THIRD, tx: 1, slot: 2 });
    world.removed = [THIRD];
    const { changes } = reply();
    expect(changes.map((change) => change.kind)).toEqual(["staged", "promised"]);
    world.apply(...changes);
    expect(world.ledger.staged.size).toBe(0);
  });

  it("leaves it to one at a time, and asks that one whether it is still needed", () => {
    world.apply({ kind: "promised", partition: 0, slot: 2, promise: { to: THIRD, tx: 9, isOver: false } });
    const answered = reply();
    expect(answered.reply).toEqual({ kind: "refused", reason: "promised", promisedTo: THIRD });
    expect(effectOf(answered.checks, "ask")).toMatchObject({ to: THIRD, request: { kind: "mint-check", tx: 9 } });
  });

  it("refuses one that knows other members, or is removed", () => {
    world.members = "others";
    expect(reply().reply).toEqual({ kind: "refused", reason: "view_differs" });
    world.removed = [OTHER];
    expect(reply().reply).toEqual({ kind: "refused", reason: "removed" });
  });

  it("does not bind itself again by a late double of a minting that is over", () => {
    world.apply(...reply().changes);
    const over = answerMint({ ...query, kind: "mint-end" }, world.facts);
    world.apply(...(over?.changes ?? []));
    expect(reply().reply).toEqual({ kind: "refused", reason: "stale" });
  });

  it("tells whether a minting of its own is still open", () => {
    const check = (tx: number) =>
      answerMint({ kind: "mint-check", partition: 0, from: OTHER, tx, slot: 2 }, world.facts)?.reply.kind;
    world.ledger.minting.set(0, { slot: 2, tx: 3 });
    expect([check(3), check(2)]).toEqual(["open", "over"]);
  });

  function give(isSettled: boolean): void {
    const released = { to: THIRD, toNode: nodeOf(THIRD), tx: 1, slot: 2, atMs: 0, isSettled };
    world.ledger.released.set(0, released);
  }
});
