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
          const slots = new Set(
            replies.filter((what) => what.does && what.heard === "word" && what.slot < 4).map((what) => what.slot),
          );
          if (core.verdict === "not_applied")
            expect(replies.every((what) => !what.does && what.heard === "word")).toBe(true);
          if (core.verdict === "applied") expect(slots.size).toBeGreaterThanOrEqual(total);
          expect(core.verdict).not.toBe("pending");
        },
      ),
    );
  });
});
