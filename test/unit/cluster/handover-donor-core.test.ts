import { beforeEach, describe, expect, it } from "vitest";
import { DonorCore } from "../../../services/cluster/handover-donor-core.ts";
import type { HandoverReply, HandoverRequest } from "../../../services/cluster/handover-messages.ts";
import type { HandoverEffect, HandoverEvent } from "../../../services/cluster/handover-steps.ts";
import { effectOf, FactsByHand, kindsOf, OTHER, SELF, THIRD, TIMES } from "../../support/handover-facts.ts";

const LAST = { body: "last page", count: 3, root: "beef" };
let world: FactsByHand;
let core: DonorCore;

beforeEach(() => {
  world = new FactsByHand(1);
  world.targets = [OTHER];
  world.holders = [
    { key: SELF, slot: 1 },
    { key: THIRD, slot: 0 },
  ];
  core = new DonorCore(0, TIMES);
});

function take(event: HandoverEvent): readonly HandoverEffect[] {
  return core.take(event, world.facts);
}

function ask(kind: "seal" | "ready", tx: number, from = OTHER): readonly HandoverEffect[] {
  return take({ kind: "request", call: 9, request: { kind, partition: 0, from, tx } });
}

function req(from = OTHER, call = 1): readonly HandoverEffect[] {
  const request: HandoverRequest = { kind: "req", partition: 0, from, news: new Uint8Array() };
  return take({ kind: "request", call, request });
}

function replyIn(effects: readonly HandoverEffect[]): HandoverReply {
  return effectOf(effects, "reply").reply;
}

/** Grants an attempt; answers its number. */
function granted(from = OTHER): number {
  const token = world.write(req(from));
  const reply = replyIn(take({ kind: "persisted", token }));
  if (reply.kind !== "granted") throw new Error(`not granted but ${reply.kind}`);
  return reply.tx;
}

function sealed(tx: number): void {
  ask("seal", tx);
  take({ kind: "sealed", tx, last: LAST });
}

describe("a donor grants", () => {
  it("an attempt only after its number is durable, and notes changes from then on", () => {
    const effects = req();
    expect(kindsOf(effects)).toEqual(["persist"]);
    const token = world.write(effects);
    expect(world.ledger.txCounter).toBe(1);

    const then = take({ kind: "persisted", token });
    expect(kindsOf(then)).toEqual(["open-attempt", "timer", "reply"]);
    expect(replyIn(then)).toEqual({ kind: "granted", tx: 1, slot: 1 });
  });

  it("the same attempt to one that asks again, another number to one that asks after its end", () => {
    const first = granted();
    expect(replyIn(req())).toEqual({ kind: "granted", tx: first, slot: 1 });
    ask("seal", first);
    take({ kind: "seal-failed", tx: first });
    expect(granted()).toBe(first + 1);
  });

  it("nothing to a second receiver while the first is being served", () => {
    granted();
    world.targets = [OTHER, THIRD];
    expect(replyIn(req(THIRD))).toEqual({ kind: "refused", reason: "busy", holder: "node-b" });
  });

  it("the slot to another when the first receiver is no longer to have one", () => {
    granted();
    world.targets = [THIRD];
    const effects = req(THIRD);
    expect(kindsOf(effects)).toEqual(["close-attempt", "persist"]);
  });

  const refused: readonly (readonly [string, () => void, HandoverReply])[] = [
    ["a node that keeps its slot", () => (world.targets = [SELF, OTHER]), { kind: "refused", reason: "not_departing" }],
    ["an asker that is not to have one", () => (world.targets = [THIRD]), { kind: "refused", reason: "not_target" }],
    ["an asker that is removed", () => (world.removed = [OTHER]), { kind: "refused", reason: "removed" }],
    ["a donor that is removed", () => (world.removed = [SELF]), { kind: "refused", reason: "removed" }],
    [
      "a partition of which another holder is away",
      () => (world.dead = [THIRD]),
      { kind: "refused", reason: "others_down" },
    ],
    ["a node without a slot", () => (world.ledger.slots[0] = -1), { kind: "refused", reason: "no_slot" }],
  ];
  it.each(refused)("nothing for %s", (_who, prepare, reply) => {
    prepare();
    expect(replyIn(req())).toEqual(reply);
  });
});

describe("a donor seals", () => {
  it("only while the other holders look alive", () => {
    const tx = granted();
    world.dead = [THIRD];
    expect(replyIn(ask("seal", tx))).toEqual({ kind: "refused", reason: "others_down" });
    world.dead = [];
    expect(kindsOf(ask("seal", tx))).toEqual(["timer", "seal"]);
  });

  it("once, and answers the same page to whoever lost it", () => {
    const tx = granted();
    ask("seal", tx);
    const page = { kind: "sealed", tx, ...LAST };
    expect(replyIn(take({ kind: "sealed", tx, last: LAST }))).toEqual(page);
    expect(replyIn(ask("seal", tx))).toEqual(page);
  });

  it("for a bounded time: then writes go on and the attempt is over for good", () => {
    const tx = granted();
    sealed(tx);
    expect(kindsOf(take({ kind: "timer", token: tx }))).toEqual(["unseal", "close-attempt"]);
    expect(replyIn(ask("ready", tx))).toEqual({ kind: "over", tx });
    expect(world.ledger.slots[0]).toBe(1);
  });

  it("pages of the running attempt, and of no other", () => {
    const tx = granted();
    const pull = (of: number) =>
      take({ kind: "request", call: 3, request: { kind: "pull", partition: 0, from: OTHER, tx: of, body: "leaves" } });
    expect(effectOf(pull(tx), "serve").slot).toBe(1);
    expect(replyIn(pull(tx + 1))).toEqual({ kind: "over", tx: tx + 1 });
  });
});

describe("a donor releases", () => {
  it("when the sealed attempt asks, and says so only when that is durable", () => {
    const tx = granted();
    sealed(tx);
    const effects = ask("ready", tx);
    expect(kindsOf(effects)).toEqual(["persist"]);
    const token = world.write(effects);
    expect(world.ledger.slots[0]).toBe(-1);

    const then = take({ kind: "persisted", token });
    expect(kindsOf(then)).toEqual(["hold", "unseal", "close-attempt", "reply"]);
    expect(effectOf(then, "hold").slot).toBe(-1);
    expect(replyIn(then)).toEqual({ kind: "released", tx, slot: 1 });
  });

  it("again to whoever lost the word, from the ledger alone", () => {
    const tx = granted();
    sealed(tx);
    world.write(ask("ready", tx));
    core = new DonorCore(0, TIMES);

    expect(replyIn(ask("ready", tx))).toEqual({ kind: "released", tx, slot: 1 });
    expect(replyIn(req())).toEqual({ kind: "released", tx, slot: 1 });
    expect(replyIn(ask("ready", tx, THIRD))).toEqual({ kind: "over", tx });
  });

  it("nothing for a late READY of an older attempt, though another is sealed for the same receiver", () => {
    const first = granted();
    sealed(first);
    take({ kind: "timer", token: first });
    const second = granted();
    sealed(second);

    expect(replyIn(ask("ready", first))).toEqual({ kind: "over", tx: first });
    expect(core.attempt?.stage).toBe("sealed");
    expect(world.ledger.slots[0]).toBe(1);
  });

  it("nothing while the copy is not sealed: that attempt is over", () => {
    const tx = granted();
    expect(replyIn(ask("ready", tx))).toEqual({ kind: "over", tx });
    expect(core.isIdle).toBe(true);
  });

  it.each<readonly [string, () => unknown, string | undefined]>([
    ["the receiver was removed", () => (world.removed = [OTHER]), "removed"],
    ["this node is to keep its slot after all", () => (world.targets = [SELF, OTHER]), undefined],
  ])("nothing when %s", (_why, prepare, reason) => {
    const tx = granted();
    sealed(tx);
    prepare();
    const reply = replyIn(ask("ready", tx));
    expect(reply).toEqual(reason === undefined ? { kind: "over", tx } : { kind: "refused", reason });
    expect(world.ledger.slots[0]).toBe(1);
  });

  it("although the seal's time runs out while the release is being written", () => {
    const tx = granted();
    sealed(tx);
    const token = world.write(ask("ready", tx));
    expect(take({ kind: "timer", token: tx })).toEqual([]);
    expect(replyIn(take({ kind: "persisted", token }))).toEqual({ kind: "released", tx, slot: 1 });
  });
});

describe("a donor gives up", () => {
  it("an attempt of which it hears nothing", () => {
    const tx = granted();
    world.nowMs = TIMES.idleMs;
    expect(kindsOf(take({ kind: "timer", token: -tx }))).toEqual(["close-attempt"]);
  });

  it("no attempt that still asks for pages", () => {
    const tx = granted();
    world.nowMs = 20_000;
    take({ kind: "request", call: 3, request: { kind: "changes", partition: 0, from: OTHER, tx, body: 0 } });
    world.nowMs = TIMES.idleMs;
    expect(effectOf(take({ kind: "timer", token: -tx }), "timer").delayMs).toBe(20_000);
  });

  it("a seal at once when its receiver is removed", () => {
    sealed(granted());
    world.removed = [OTHER];
    expect(kindsOf(take({ kind: "review" }))).toEqual(["unseal", "close-attempt"]);
  });
});
