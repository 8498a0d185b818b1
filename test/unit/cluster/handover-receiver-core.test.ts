import { beforeEach, describe, expect, it } from "vitest";
import type { HandoverReply, HandoverRequest } from "../../../services/cluster/handover-messages.ts";
import { ReceiverCore } from "../../../services/cluster/handover-receiver-core.ts";
import type { HandoverEffect, HandoverEvent } from "../../../services/cluster/handover-steps.ts";
import { effectOf, FactsByHand, kindsOf, OTHER, SELF, THIRD, TIMES } from "../../support/handover-facts.ts";

const SEALED: HandoverReply = { kind: "sealed", tx: 5, body: "last page", count: 3, root: "beef" };
let world: FactsByHand;
let core: ReceiverCore;

beforeEach(() => {
  world = new FactsByHand();
  world.targets = [SELF];
  core = new ReceiverCore(0, TIMES);
});

function take(event: HandoverEvent): readonly HandoverEffect[] {
  return core.take(event, world.facts);
}

function answer(kind: "req" | "seal" | "ready", reply: HandoverReply | undefined, tx = 5): readonly HandoverEffect[] {
  const request: HandoverRequest =
    kind === "req"
      ? { kind, partition: 0, from: SELF, news: new Uint8Array() }
      : { kind, partition: 0, from: SELF, tx };
  return take({ kind: "answered", from: OTHER, request, reply });
}

function start(): readonly HandoverEffect[] {
  return core.start(OTHER, world.facts);
}

/** As far as the stage that is named; answers what the last step wanted done. */
function reach(stage: "copying" | "finishing" | "ready" | "taking"): readonly HandoverEffect[] {
  start();
  answer("req", { kind: "granted", tx: 5, slot: 2 });
  const copying = take({ kind: "persisted", token: world.write(take({ kind: "cleared" })) });
  if (stage === "copying") return copying;
  take({ kind: "received", tx: 5, result: { kind: "copied" } });
  const finishing = answer("seal", SEALED);
  if (stage === "finishing") return finishing;
  const staged = take({ kind: "finished", tx: 5, result: { kind: "equal" } });
  const ready = take({ kind: "persisted", token: world.write(staged) });
  if (stage === "ready") return ready;
  const taking = answer("ready", { kind: "released", tx: 5, slot: 2 });
  world.write(taking);
  return taking;
}

describe("a receiver fetches a slot", () => {
  it("step by step: request, clear, copy, seal, compare, stage, ask for the release, take", () => {
    expect(effectOf(start(), "ask").request.kind).toBe("req");
    expect(kindsOf(answer("req", { kind: "granted", tx: 5, slot: 2 }))).toEqual(["clear"]);
    const marked = take({ kind: "cleared" });
    expect(effectOf(marked, "persist").changes).toEqual([{ kind: "receiving", partition: 0, from: OTHER }]);
    expect(effectOf(take({ kind: "persisted", token: world.write(marked) }), "receive")).toMatchObject({ tx: 5 });
    const copied = take({ kind: "received", tx: 5, result: { kind: "copied" } });
    expect(effectOf(copied, "ask").request.kind).toBe("seal");
    expect(effectOf(answer("seal", SEALED), "finish").last).toEqual({ body: "last page", count: 3, root: "beef" });
    const staged = take({ kind: "finished", tx: 5, result: { kind: "equal" } });
    expect(kindsOf(staged)).toEqual(["persist"]);
    const asked = take({ kind: "persisted", token: world.write(staged) });
    expect(effectOf(asked, "ask").request).toEqual({ kind: "ready", partition: 0, from: SELF, tx: 5 });
    const taken = answer("ready", { kind: "released", tx: 5, slot: 2 });
    expect(kindsOf(taken)).toEqual(["persist"]);
    const held = take({ kind: "persisted", token: world.write(taken) });
    expect(kindsOf(held)).toEqual(["hold", "ended"]);
    expect(world.ledger.slots[0]).toBe(2);
  });

  it("without clearing again when it had begun with that donor before", () => {
    world.apply({ kind: "receiving", partition: 0, from: OTHER });
    start();
    expect(kindsOf(answer("req", { kind: "granted", tx: 5, slot: 2 }))).toEqual(["receive"]);
  });

  it("asking for the seal again while its answer is lost, but not for ever", () => {
    reach("copying");
    take({ kind: "received", tx: 5, result: { kind: "copied" } });
    expect(kindsOf(answer("seal", undefined))).toEqual(["ask"]);
    expect(kindsOf(answer("seal", undefined))).toEqual(["ask"]);
    expect(effectOf(answer("seal", undefined), "ended").outcome).toMatchObject({ why: "silent" });
  });

  it("copying on, and asking later, while another holder is away", () => {
    reach("copying");
    take({ kind: "received", tx: 5, result: { kind: "copied" } });
    const waiting = answer("seal", { kind: "refused", reason: "others_down" });
    expect(kindsOf(waiting)).toEqual(["timer"]);
    expect(kindsOf(take({ kind: "timer", token: effectOf(waiting, "timer").token }))).toEqual(["receive"]);
  });

  it("giving way to others when another holder stays away", () => {
    reach("copying");
    const refused: HandoverReply = { kind: "refused", reason: "others_down" };
    const kinds: string[] = [];
    for (let round = 0; round < 5; round += 1) {
      take({ kind: "received", tx: 5, result: { kind: "copied" } });
      const [effect] = answer("seal", refused);
      kinds.push(effect?.kind ?? "nothing");
      if (effect?.kind === "timer") take({ kind: "timer", token: effect.token });
    }
    expect(kinds).toEqual(["timer", "timer", "timer", "timer", "ended"]);
  });
});

describe("a receiver begins nothing", () => {
  it.each<readonly [string, () => unknown]>([
    ["holds a slot of the partition", () => (world.ledger.slots[0] = 0)],
    ["is not to hold one", () => (world.targets = [OTHER])],
    ["keeps an old copy that is not settled", () => world.ledger.retained.add(0)],
    ["mints a slot of it", () => world.ledger.minting.set(0, { slot: 1, tx: 1 })],
    ["has not told a majority that it is here", () => (world.isIntroduced = false)],
    ["leaves", () => (world.isStaying = false)],
    ["knows that the donor is removed", () => (world.removed = [OTHER])],
  ])("while it %s", (_why, prepare) => {
    prepare();
    expect(start()).toEqual([]);
  });
});

describe("a receiver stages", () => {
  it("no copy that differs from the donor's sealed one", () => {
    reach("finishing");
    const effects = take({ kind: "finished", tx: 5, result: { kind: "differs", reason: "root" } });
    expect(effectOf(effects, "ended").outcome).toMatchObject({ why: "differs" });
    expect(world.ledger.staged.size).toBe(0);
  });

  it("no transfer that it has consumed, however it is granted", () => {
    world.apply({ kind: "staged", partition: 0, staged: { from: OTHER, tx: 5, slot: 2 } });
    world.apply({ kind: "taken", partition: 0, slot: 2 });
    world.ledger.slots[0] = -1;
    start();
    expect(effectOf(answer("req", { kind: "granted", tx: 5, slot: 2 }), "ended").outcome).toMatchObject({
      why: "unwanted",
    });
  });

  it("no slot that was promised to a minter meanwhile", () => {
    reach("finishing");
    world.apply({ kind: "promised", partition: 0, slot: 2, promise: { to: THIRD, tx: 1, isOver: false } });
    const effects = take({ kind: "finished", tx: 5, result: { kind: "equal" } });
    expect(effectOf(effects, "ended").outcome).toMatchObject({ why: "promised" });
  });

  it("no slot when its node leaves meanwhile, though the table that says so is not made yet", () => {
    reach("finishing");
    world.isStaying = false;
    const effects = take({ kind: "finished", tx: 5, result: { kind: "equal" } });
    expect(effectOf(effects, "ended").outcome).toMatchObject({ why: "unwanted" });
    expect(world.ledger.staged.size).toBe(0);
  });

  it("a slot whose minter gives it away itself, or has left, or was removed", () => {
    const promise = { to: THIRD, tx: 1, isOver: false };
    const isStaged = (prepare: () => unknown): boolean => {
      world = new FactsByHand();
      world.targets = [SELF];
      core = new ReceiverCore(0, TIMES);
      reach("finishing");
      world.apply({ kind: "promised", partition: 0, slot: 2, promise });
      prepare();
      return kindsOf(take({ kind: "finished", tx: 5, result: { kind: "equal" } })).includes("persist");
    };
    const promised = { kind: "promised", partition: 0, slot: 2 } as const;
    expect(isStaged(() => world.apply({ ...promised, promise: { ...promise, to: OTHER } }))).toBe(true);
    expect(isStaged(() => (world.left = [THIRD]))).toBe(true);
    expect(isStaged(() => (world.removed = [THIRD]))).toBe(true);
    expect(isStaged(() => undefined)).toBe(false);
  });

  it("only after asking whether the promise in its way is still needed", () => {
    world.apply({ kind: "promised", partition: 0, slot: 2, promise: { to: THIRD, tx: 1, isOver: false } });
    start();
    const effects = answer("req", { kind: "granted", tx: 5, slot: 2 });
    const { to, request } = effectOf(effects, "ask");
    expect([to, request.kind]).toEqual([THIRD, "mint-check"]);
    world.write(take({ kind: "answered", from: THIRD, request, reply: { kind: "over", tx: 1 } }));
    start();
    expect(kindsOf(answer("req", { kind: "granted", tx: 6, slot: 2 }))).toEqual(["clear"]);
  });
});

describe("a receiver with a staged copy", () => {
  it("goes on asking for its release after a restart", () => {
    world.apply({ kind: "staged", partition: 0, staged: { from: OTHER, tx: 5, slot: 2 } });
    expect(effectOf(take({ kind: "review" }), "ask").request).toMatchObject({ kind: "ready", tx: 5 });
  });

  it("asks again until it is answered, however long that takes", () => {
    let timer = effectOf(reach("ready"), "timer");
    for (let round = 0; round < 20; round += 1) {
      expect(answer("ready", undefined)).toEqual([]);
      const again: readonly HandoverEffect[] = take({ kind: "timer", token: timer.token });
      expect(effectOf(again, "ask").request.kind).toBe("ready");
      timer = effectOf(again, "timer");
    }
    expect(timer.delayMs).toBe(TIMES.retryMaxMs);
  });

  it("takes no release of another transfer, nor an answer to another question", () => {
    reach("ready");
    expect(answer("ready", { kind: "released", tx: 4, slot: 2 })).toEqual([]);
    expect(answer("ready", { kind: "released", tx: 5, slot: 2 }, 4)).toEqual([]);
    expect(answer("ready", { kind: "refused", reason: "busy" })).toEqual([]);
  });

  it("gives it up when the donor says that the transfer is over", () => {
    reach("ready");
    const token = world.write(answer("ready", { kind: "over", tx: 5 }));
    expect(world.ledger.staged.size).toBe(0);
    expect(effectOf(take({ kind: "persisted", token }), "ended").outcome).toMatchObject({ why: "over" });
  });

  it("gives up what it has staged of a donor that has left: that one could not with a release that nobody consumed", () => {
    const { token } = effectOf(reach("ready"), "timer");
    world.left = [OTHER];
    const effects = take({ kind: "timer", token });
    const over = take({ kind: "persisted", token: world.write(effects) });
    expect(effectOf(over, "ended").outcome).toMatchObject({ why: "over" });
    expect(world.ledger.staged.size).toBe(0);
  });

  it("accepts no release of a donor that was removed", () => {
    reach("ready");
    world.removed = [OTHER];
    world.write(answer("ready", { kind: "released", tx: 5, slot: 2 }));
    expect([world.ledger.slots[0], world.ledger.staged.size]).toEqual([-1, 0]);
  });

  it("serves by the slot only when that is durable, and takes it once", () => {
    reach("taking");
    expect(answer("ready", { kind: "released", tx: 5, slot: 2 })).toEqual([]);
    expect(core.stage).toBe("taking");
  });
});

describe("a donor that asks whether its slot arrived", () => {
  const settle = (tx: number): HandoverReply => {
    const request: HandoverRequest = { kind: "settle", partition: 0, from: OTHER, tx };
    return effectOf(take({ kind: "request", call: 1, request }), "reply").reply;
  };

  it("hears yes only when it was durably taken", () => {
    reach("ready");
    expect(settle(5)).toEqual({ kind: "open", tx: 5 });
    const token = world.write(answer("ready", { kind: "released", tx: 5, slot: 2 }));
    expect(settle(5)).toEqual({ kind: "open", tx: 5 });
    take({ kind: "persisted", token });
    expect(settle(5)).toEqual({ kind: "settled", tx: 5 });
    expect(settle(6)).toEqual({ kind: "open", tx: 6 });
  });
});
