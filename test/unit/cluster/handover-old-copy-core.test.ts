import { beforeEach, describe, expect, it } from "vitest";
import { OldCopyCore } from "../../../services/cluster/handover-old-copy-core.ts";
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
let core: OldCopyCore;

beforeEach(() => {
  world = new FactsByHand(1);
  const released = { to: OTHER, toNode: nodeOf(OTHER), tx: 3, slot: 1, atMs: 0, isSettled: false };
  world.apply({ kind: "released", partition: 0, released });
  core = new OldCopyCore(0, TIMES);
});

function take(event: HandoverEvent): readonly HandoverEffect[] {
  return core.take(event, world.facts);
}

const answered = (kind: "settled" | "open", tx = 3): readonly HandoverEffect[] =>
  take({
    kind: "answered",
    from: OTHER,
    request: { kind: "settle", partition: 0, from: SELF, tx },
    reply: { kind, tx },
  });

/** The receiver has said that the slot arrived. */
function settled(): readonly HandoverEffect[] {
  take({ kind: "review" });
  return take({ kind: "persisted", token: world.write(answered("settled")) });
}

describe("an old copy", () => {
  it("is asked about until its receiver says that the slot arrived", () => {
    const first = take({ kind: "review" });
    expect(effectOf(first, "ask")).toMatchObject({ to: OTHER, request: { kind: "settle", tx: 3 } });
    expect(answered("open")).toEqual([]);
    expect(kindsOf(take({ kind: "timer", token: effectOf(first, "timer").token }))).toEqual(["ask", "timer"]);
  });

  it("is dropped when it arrived, and all of it was found there, and not before", () => {
    expect(kindsOf(settled())).toEqual(["prove"]);
    expect(kindsOf(take({ kind: "proved", isCovered: true }))).toEqual(["drop"]);
    const token = world.write(take({ kind: "dropped" }));
    expect(world.ledger.retained.size).toBe(0);
    expect(take({ kind: "persisted", token })).toEqual([]);
    expect(core.isIdle).toBe(true);
  });

  it("is kept while something of it is missing there, and looked at again", () => {
    settled();
    const pause = effectOf(take({ kind: "proved", isCovered: false }), "timer");
    expect(pause.delayMs).toBe(TIMES.retryMaxMs);
    expect(kindsOf(take({ kind: "timer", token: pause.token }))).toEqual(["prove"]);
  });

  it("is proved and dropped after a restart too", () => {
    settled();
    core = new OldCopyCore(0, TIMES);
    expect(kindsOf(take({ kind: "review" }))).toEqual(["prove"]);
  });

  it("is not settled by the answer about another transfer", () => {
    take({ kind: "review" });
    expect(answered("settled", 2)).toEqual([]);
    expect(world.ledger.released.get(0)?.isSettled).toBe(false);
  });

  it("is settled by the word of its receiver that it has left: it could not with the slot on its way to it", () => {
    world.left = [OTHER];
    world.holders = [{ key: THIRD, slot: 1 }];
    const token = world.write(take({ kind: "review" }));
    expect(world.ledger.released.get(0)?.isSettled).toBe(true);
    expect(effectOf(take({ kind: "persisted", token }), "prove").to).toBe(THIRD);
  });

  it("is looked for at who holds the slot now, when the receiver has passed it on", () => {
    settled();
    take({ kind: "proved", isCovered: true });
    core = new OldCopyCore(0, TIMES);
    world.holders = [
      { key: FOURTH, slot: 0 },
      { key: THIRD, slot: 1 },
    ];
    expect(effectOf(take({ kind: "review" }), "prove").to).toBe(THIRD);
    const tried = [0, 1, 2].map(() => {
      const pause = effectOf(take({ kind: "proved", isCovered: false }), "timer");
      return effectOf(take({ kind: "timer", token: pause.token }), "prove").to;
    });
    expect(tried).toEqual([OTHER, FOURTH, THIRD]);
  });

  it("is not looked for at holders of higher slots while there is one that counts for all of its keys", () => {
    settled();
    world.holders = [
      { key: OTHER, slot: 1 },
      { key: THIRD, slot: 2 },
      { key: FOURTH, slot: 0 },
    ];
    core = new OldCopyCore(0, TIMES);
    let proof = effectOf(take({ kind: "review" }), "prove");
    const tried = [0, 1, 2].map(() => {
      const { to, highestSlot } = proof;
      const pause = effectOf(take({ kind: "proved", isCovered: false }), "timer");
      proof = effectOf(take({ kind: "timer", token: pause.token }), "prove");
      return [to, highestSlot];
    });
    expect(tried).toEqual([
      [OTHER, 1],
      [FOURTH, 1],
      [OTHER, 1],
    ]);
  });

  it("is looked for at holders of higher slots when its own is vacant: who makes that anew merges what they hold", () => {
    world.ledger.released.delete(0);
    world.targets = [SELF];
    world.holders = [{ key: THIRD, slot: 2 }];
    expect(effectOf(take({ kind: "review" }), "prove")).toMatchObject({
      to: THIRD,
      highestSlot: Number.POSITIVE_INFINITY,
    });
    core = new OldCopyCore(0, TIMES);
    world.holders = [...world.holders, { key: FOURTH, slot: 0 }];
    expect(effectOf(take({ kind: "review" }), "prove")).toMatchObject({ to: FOURTH, highestSlot: 0 });
  });

  it("is kept when its receiver was removed, until another holder has all of it", () => {
    world.removed = [OTHER];
    expect(kindsOf(take({ kind: "review" }))).toEqual(["timer"]);
    core = new OldCopyCore(0, TIMES);
    world.holders = [{ key: THIRD, slot: 1 }];
    expect(effectOf(take({ kind: "review" }), "prove").to).toBe(THIRD);
    expect(kindsOf(take({ kind: "proved", isCovered: true }))).toEqual(["drop"]);
  });

  it("is kept when its receiver was removed and its room is needed, until another holder has all of it", () => {
    world.removed = [OTHER];
    world.targets = [SELF];
    world.holders = [{ key: THIRD, slot: 0 }];
    expect(effectOf(take({ kind: "review" }), "prove").to).toBe(THIRD);
    expect(kindsOf(take({ kind: "proved", isCovered: true }))).toEqual(["drop"]);
  });

  it("of an earlier life is proved like any other", () => {
    world.ledger.released.delete(0);
    world.targets = [SELF];
    expect(kindsOf(take({ kind: "review" }))).toEqual(["timer"]);
    core = new OldCopyCore(0, TIMES);
    world.holders = [{ key: THIRD, slot: 2 }];
    expect(kindsOf(take({ kind: "review" }))).toEqual(["prove"]);
  });
});
