/** The outcome of a write, for every mix of what replicas say. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type NodeId, parseNodeId } from "../../../services/base/ids.ts";
import type { Seat } from "../../../services/coordinator/needs.ts";
import { WriteCore, type WriteVerdict } from "../../../services/coordinator/write-core.ts";
import type { WriteWord } from "../../../services/coordinator/write-party-core.ts";

function node(name: string): NodeId {
  const id = parseNodeId(name);
  if (id === undefined) throw new Error(name);
  return id;
}

function seats(slots: readonly number[], fallbacks: readonly number[] = []): readonly Seat[] {
  return slots.map((slot, at) => ({
    node: node(`node${at}`),
    slot,
    role: fallbacks.includes(at) ? ("fallback" as const) : ("owner" as const),
  }));
}

const stored = (slot: number): WriteWord => ({ kind: "stored", slot, digest: 7n, isDurable: true });
const word = (kind: "refused" | "unsent" | "lost" | "failed", reason: string = kind): WriteWord => ({
  kind,
  reason,
  detail: "",
});
const KINDS = ["stored", "refused", "unsent", "lost", "failed", "silent"] as const;
type Kind = (typeof KINDS)[number];

function told(need: { readonly total: number; readonly owners?: number }, list = seats([0, 1, 2])): WriteCore {
  const core = new WriteCore(list, { total: need.total, owners: need.owners ?? 0, n: 3 });
  list.forEach((_, index) => core.onAsked(index));
  return core;
}

function say(core: WriteCore, index: number, kind: Kind): void {
  if (kind === "silent") return;
  core.onWord(index, kind === "stored" ? stored(index) : word(kind));
}

/** The specification, dumb: looks at the whole picture after the deadline. */
function outcomeOf(words: readonly Kind[], total: number): WriteVerdict {
  if (words.filter((kind) => kind === "stored").length >= total) return "applied";
  return words.every((kind) => kind === "refused" || kind === "unsent") ? "not_applied" : "unknown";
}

describe("a write", () => {
  test("has the outcome that its replicas' words allow, for every mix of them", () => {
    for (const total of [1, 2, 3]) {
      for (const a of KINDS)
        for (const b of KINDS)
          for (const c of KINDS) {
            const core = told({ total });
            [a, b, c].forEach((kind, index) => say(core, index, kind));
            core.onDeadline();
            expect(core.verdict, `${a} ${b} ${c} towards ${total}`).toBe(outcomeOf([a, b, c], total));
          }
    }
  });

  test("is applied at the moment of the W-th distinct slot", () => {
    const core = told({ total: 2 });
    core.onWord(1, stored(1));
    expect(core.verdict).toBe("pending");
    core.onWord(0, stored(0));
    expect(core.verdict).toBe("applied");
  });

  test("keeps its verdict when a third reply, a repeated or a late one comes, and still counts the third", () => {
    const core = told({ total: 2 });
    core.onWord(0, stored(0));
    expect(core.onWord(0, stored(0))).toBe(false);
    expect(core.verdict).toBe("pending");
    core.onWord(1, stored(1));
    expect(core.onWord(2, stored(2))).toBe(true);
    expect(core.onWord(2, word("lost"))).toBe(false);
    expect(core.verdict).toBe("applied");
    expect(core.counts()).toEqual({ received: 3, owners: 3, fallbacks: 0, durable: 3 });
  });

  test("counts a slot once that two nodes claim", () => {
    const core = told({ total: 2 });
    core.onWord(0, stored(1));
    core.onWord(1, stored(1));
    expect(core.verdict).toBe("pending");
    expect(core.counts().received).toBe(1);
    core.onWord(2, word("refused"));
    expect(core.verdict, "the other one's holder may yet be found").toBe("pending");
    core.onSearchOver();
    expect(core.verdict).toBe("unknown");
  });

  test("does not count a slot outside the bucket's n", () => {
    const core = told({ total: 2 });
    core.onWord(0, stored(0));
    core.onWord(1, stored(3));
    expect(core.counts().received).toBe(1);
    expect(core.verdict).toBe("pending");
  });

  test("ends as unknown as soon as W is out of reach and a trace exists", () => {
    const core = told({ total: 2 });
    core.onWord(0, stored(0));
    core.onWord(1, word("unsent"));
    expect(core.verdict).toBe("pending");
    core.onWord(2, word("refused"));
    expect(core.verdict).toBe("unknown");
  });

  test("waits for the rest while no trace exists: their refusals make it certain that nothing was done", () => {
    const core = told({ total: 2 });
    core.onWord(0, word("refused", "disk_full"));
    core.onWord(1, word("refused", "disk_full"));
    expect(core.verdict).toBe("pending");
    core.onWord(2, word("refused", "disk_full"));
    expect(core.verdict).toBe("not_applied");
    expect(core.receivedBut("disk_full")).toBe(3);
  });

  test("without any reply is unknown at the deadline, once it was sent", () => {
    const core = told({ total: 2 });
    core.onDeadline();
    expect(core.verdict).toBe("unknown");
  });

  test("that ended before it was sent is not applied", () => {
    const core = new WriteCore(seats([0, 1, 2]), { total: 2, owners: 0, n: 3 });
    core.onAsked(0);
    core.onWord(0, word("refused", "expired"));
    expect(core.verdict).toBe("pending");
    core.onSendingOver();
    expect(core.verdict).toBe("not_applied");
  });

  test("with pw counts owners beside all", () => {
    const core = told({ total: 2, owners: 2 }, seats([0, 1, 2], [2]));
    core.onWord(0, stored(0));
    core.onWord(2, { kind: "stored", slot: 2, digest: 7n, isDurable: true, isStandIn: true });
    expect(core.counts()).toEqual({ received: 2, owners: 1, fallbacks: 1, durable: 2 });
    expect(core.verdict).toBe("pending");
    core.onWord(1, stored(1));
    expect(core.verdict).toBe("applied");
  });

  test("with pw is out of reach when an owner is missing, whatever the fallbacks store", () => {
    const core = told({ total: 2, owners: 2 }, seats([0, 1, 2], [2]));
    core.onWord(0, stored(0));
    core.onWord(1, word("unsent"));
    expect(core.verdict).toBe("unknown");
  });

  test("is never not_applied when any replica ever stored it, in any order and with any loss", () => {
    const reached = new Set<string>();
    const reply = fc.record({
      // what the replica really does, and what of it is heard
      does: fc.boolean(),
      heard: fc.constantFrom("word", "lost", "failed", "nothing"),
      slot: fc.integer({ min: 0, max: 3 }),
    });
    fc.assert(
      fc.property(
        fc.array(reply, { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 1, max: 4 }),
        fc.infiniteStream(fc.nat(4)),
        (replies, total, order) => {
          const list = seats(replies.map((_, at) => at));
          const core = new WriteCore(list, { total, owners: 0, n: 4 });
          list.forEach((_, index) => core.onAsked(index));
          const pending = replies.map((_, index) => index);
          while (pending.length > 0) {
            const [index] = pending.splice((order.next().value ?? 0) % pending.length, 1);
            const what = replies[index ?? 0];
            if (what === undefined || index === undefined || what.heard === "nothing") continue;
            if (what.heard !== "word") core.onWord(index, word(what.heard));
            else core.onWord(index, what.does ? stored(what.slot) : word("refused"));
            if (core.verdict === "not_applied") break;
          }
          core.onDeadline();
          reached.add(core.verdict);
          const slots = new Set(
            replies.filter((what) => what.does && what.heard === "word" && what.slot < 4).map((what) => what.slot),
          );
          if (core.verdict === "not_applied")
            expect(replies.every((what) => !what.does && what.heard === "word")).toBe(true);
          if (core.verdict === "applied") expect(slots.size).toBeGreaterThanOrEqual(total);
          expect(core.verdict).not.toBe("pending");
        },
      ),
      { numRuns: 1_000 },
    );
    expect([...reached].toSorted()).toEqual(["applied", "not_applied", "unknown"]);
  });
});

describe("a write with stand-ins", () => {
  const standIn = (at: number): NodeId => node(`standin${at}`);

  function sloppy(need: { readonly total: number; readonly owners?: number; readonly standIns?: number }): WriteCore {
    const list = seats([0, 1, 2]);
    const core = new WriteCore(list, { owners: 0, n: 3, standIns: 6, ...need });
    list.forEach((_, index) => core.onAsked(index));
    return core;
  }

  test("is open as long as one may be told, and decided when none may any more", () => {
    const core = sloppy({ total: 2 });
    for (const index of [0, 1, 2]) core.onWord(index, word("refused"));
    expect([core.verdict, core.nextVacant()]).toEqual(["pending", 0]);
    core.onStandInsOver();
    expect([core.verdict, core.nextVacant()]).toEqual(["not_applied", -1]);
  });

  test("names each slot that nobody stands for once, and again when its stand-in is missing too, up to the limit", () => {
    const core = sloppy({ total: 3, standIns: 3 });
    core.onWord(1, word("unsent"));
    core.onWord(2, word("lost"));
    expect(core.nextVacant()).toBe(1);
    expect(core.standIn(1, standIn(1))).toBe(3);
    expect(core.nextVacant()).toBe(2);
    core.standIn(2, standIn(2));
    expect(core.nextVacant()).toBe(-1);
    core.onWord(3, word("refused"));
    expect(core.nextVacant()).toBe(1);
    core.standIn(1, standIn(3));
    core.onWord(5, word("refused"));
    expect([core.nextVacant(), core.verdict], "three were told").toEqual([-1, "unknown"]);
  });

  test("counts the slot of a slow owner once, whoever stores it, and waits for neither when the other has", () => {
    const core = sloppy({ total: 2 });
    core.onWord(0, stored(0));
    core.onSlow(1);
    core.standIn(core.nextVacant(), standIn(1));
    core.onWord(3, { kind: "stored", slot: 1, digest: 7n, isDurable: true, isStandIn: true });
    expect([core.verdict, core.counts()]).toEqual(["applied", { received: 2, owners: 1, fallbacks: 1, durable: 2 }]);
    core.onWord(1, stored(1));
    expect(core.counts()).toEqual({ received: 2, owners: 2, fallbacks: 0, durable: 2 });
  });

  test("with pw is out of reach when an owner is missing, and tells nobody for it", () => {
    const core = sloppy({ total: 3, owners: 3 });
    core.onWord(0, stored(0));
    core.onWord(1, word("unsent"));
    expect([core.verdict, core.nextVacant()]).toEqual(["unknown", -1]);
  });

  test("is never not_applied when anybody ever stored it, nor applied without W slots, whatever is said in any order", () => {
    const reached = new Set<string>();
    const saying = fc.record({
      does: fc.nat(4).map((drawn) => drawn === 0),
      heard: fc.constantFrom("word", "word", "word", "word", "word", "lost", "failed", "slow", "nothing"),
    });
    const need = fc.record({ total: fc.integer({ min: 1, max: 3 }), standIns: fc.nat(6) });
    fc.assert(
      fc.property(
        fc.array(saying, { minLength: 9, maxLength: 9 }),
        need,
        fc.infiniteStream(fc.nat(8)),
        (says, wanted, order) => {
          const { total } = wanted;
          const core = sloppy(wanted);
          const asked = new Set<number>();
          const heard = new Set<number>();
          for (let step = 0; step < 40 && core.verdict === "pending"; step += 1) {
            for (let at = core.nextVacant(); at >= 0; at = core.nextVacant()) core.standIn(at, standIn(step * 10 + at));
            const waiting = core.parties.flatMap(({ state }, index) => (state === "asked" ? [index] : []));
            for (const index of waiting) asked.add(index);
            const index = waiting[(order.next().value ?? 0) % Math.max(1, waiting.length)];
            const what = index === undefined ? undefined : says[index];
            if (index === undefined || what === undefined || what.heard === "nothing") continue;
            if (what.heard === "slow") core.onSlow(index);
            else if (what.heard !== "word") core.onWord(index, word(what.heard));
            else {
              heard.add(index);
              const slot = core.parties[index]?.slot ?? 0;
              const kept = { kind: "stored", slot, digest: 7n, isDurable: true } as const;
              const own = index > 2 ? { ...kept, isStandIn: true as const } : kept;
              core.onWord(index, what.does ? own : word("refused"));
            }
          }
          core.onDeadline();
          reached.add(core.verdict);
          const storedSlots = new Set([...heard].filter((at) => says[at]?.does).map((at) => core.parties[at]?.slot));
          if (core.verdict === "applied") expect(storedSlots.size).toBeGreaterThanOrEqual(total);
          if (core.verdict === "not_applied") {
            expect([...asked].every((at) => heard.has(at) && says[at]?.does === false)).toBe(true);
          }
          expect(core.verdict).not.toBe("pending");
          expect(core.parties.length).toBeLessThanOrEqual(9);
        },
      ),
      { numRuns: 1_000 },
    );
    expect([...reached].toSorted()).toEqual(["applied", "not_applied", "unknown"]);
  });
});
