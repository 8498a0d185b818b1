/** Whom a read asks, what it believes, and when it ends. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type NodeId, parseNodeId } from "../../../services/base/ids.ts";
import { ReadCore } from "../../../services/coordinator/read-core.ts";
import type { ReadNeed } from "../../../services/coordinator/read-verdict.ts";
import { contextOf } from "../../../services/versioning/causal-context.ts";
import { digestOf } from "../../../services/versioning/object-codec.ts";
import { merge } from "../../../services/versioning/sibling-set.ts";
import type { SiblingSet } from "../../../services/versioning/types.ts";

function node(name: string): NodeId {
  const id = parseNodeId(name);
  if (id === undefined) throw new Error(name);
  return id;
}

/** A set with one sibling by each named dot, which has seen `seen` besides. */
function version(actor: number, counter: number, seen: readonly [number, number][] = []): SiblingSet {
  const dots = [[actor, counter] as const, ...seen].map(([a, c]) => ({ actor: a, counter: c }));
  return {
    clock: contextOf(dots, []),
    siblings: [
      { dot: { actor, counter }, expiresAtMs: 0, contentType: "text/plain", bytes: Buffer.from(`${actor}.${counter}`) },
    ],
  };
}

const OLD = version(1, 10);
const NEW = version(2, 20, [[1, 10]]);
const OTHER = version(3, 15);
const GONE: SiblingSet = { clock: OLD.clock, siblings: [] };
const ONE: ReadNeed = { total: 1, owners: 0, n: 3, atLeast: undefined, isLww: false };
const WHOLE = { isSuspect: false };
const SUSPECT = { isSuspect: true };

function read(changed: Partial<ReadNeed> = {}, slots: readonly number[] = [0, 1, 2]): ReadCore {
  const list = slots.map((slot, at) => ({ node: node(`node${at}`), slot, role: "owner" as const }));
  const core = new ReadCore(list, { total: 2, owners: 0, n: 3, atLeast: undefined, isLww: false, ...changed });
  core.start();
  return core;
}

/** Everything the core wants asked now, as `index:question`. */
function asks(core: ReadCore): readonly string[] {
  const wanted: string[] = [];
  for (let index = core.nextAsk(); index >= 0; index = core.nextAsk())
    wanted.push(`${index}:${core.voters[index]?.question}`);
  return wanted;
}

function setOf(core: ReadCore): SiblingSet | undefined {
  return core.verdict.kind === "known" ? core.verdict.set : undefined;
}

describe("a read", () => {
  test("asks one of R for the object and the others for the digest", () => {
    expect(asks(read())).toEqual(["0:object", "1:digest"]);
    expect(asks(read({ total: 3 }))).toEqual(["0:object", "1:digest", "2:digest"]);
    expect(asks(read({ total: 1 }))).toEqual(["0:object"]);
  });

  test("answers when R slots agree, and repairs nobody", () => {
    const core = read();
    asks(core);
    core.onObject(0, { slot: 0, ...WHOLE }, NEW);
    expect(core.verdict.kind).toBe("pending");
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(NEW));
    expect(core.verdict).toEqual({ kind: "known", set: NEW, digest: digestOf(NEW) });
    expect(core.repairs()).toEqual([]);
  });

  test("fetches what differs, answers the merge, and names who lacks it with what they held", () => {
    const core = read();
    asks(core);
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(OTHER));
    expect(asks(core), "the object under way may be the same").toEqual([]);
    core.onObject(0, { slot: 0, ...WHOLE }, OLD);
    expect(asks(core)).toEqual(["1:object"]);
    core.onObject(1, { slot: 1, ...WHOLE }, OTHER);
    expect(setOf(core)).toEqual(merge(OLD, OTHER));
    expect(core.repairs()).toEqual([
      { node: "node0", digest: digestOf(OLD) },
      { node: "node1", digest: digestOf(OTHER) },
    ]);
  });

  test("repairs only the older of two that follow each other", () => {
    const core = read();
    core.onObject(0, { slot: 0, ...WHOLE }, NEW);
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(OLD));
    core.onObject(1, { slot: 1, ...WHOLE }, OLD);
    expect(setOf(core)).toEqual(NEW);
    expect(core.repairs()).toEqual([{ node: "node1", digest: digestOf(OLD) }]);
  });

  test("reads a fetch that brings a newer version than its digest named", () => {
    const core = read();
    core.onObject(0, { slot: 0, ...WHOLE }, OLD);
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(OTHER));
    core.onObject(1, { slot: 1, ...WHOLE }, NEW);
    expect(setOf(core)).toEqual(NEW);
  });

  test("needs no fetch from a replica that has nothing", () => {
    const core = read();
    asks(core);
    core.onObject(0, { slot: 0, ...WHOLE }, OLD);
    core.onDigest(1, { slot: 1, ...WHOLE }, 0n);
    expect(setOf(core)).toEqual(OLD);
    expect(core.repairs()).toEqual([{ node: "node1", digest: 0n }]);
  });

  test("believes an object, not its index: a digest of another key with the same hash leads to a fetch", () => {
    const core = read();
    asks(core);
    core.onObject(0, { slot: 0, ...WHOLE }, undefined);
    core.onDigest(1, { slot: 1, ...WHOLE }, 99n);
    expect(asks(core)).toEqual(["1:object"]);
    core.onObject(1, { slot: 1, ...WHOLE }, undefined);
    expect(core.verdict).toEqual({ kind: "known", set: undefined, digest: 0n });
  });

  test("asks the next when one refuses, for the object if that was what was refused", () => {
    const core = read();
    asks(core);
    core.onFailed(0, "corrupt_record");
    expect(asks(core)).toEqual(["2:object"]);
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(OLD));
    core.onObject(2, { slot: 2, ...WHOLE }, OLD);
    expect(setOf(core)).toEqual(OLD);
  });

  test("withdraws the vote of a replica whose object cannot be had, and asks another", () => {
    const core = read();
    asks(core);
    core.onObject(0, { slot: 0, ...WHOLE }, OLD);
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(NEW));
    asks(core);
    core.onFailed(1, "link_closed");
    expect(asks(core)).toEqual(["2:digest"]);
    core.onDigest(2, { slot: 2, ...WHOLE }, digestOf(NEW));
    expect(asks(core)).toEqual(["2:object"]);
    core.onObject(2, { slot: 2, ...WHOLE }, NEW);
    expect(setOf(core)).toEqual(NEW);
  });

  test("fails as soon as R slots are out of reach", () => {
    const core = read();
    core.onFailed(0, "unreachable");
    core.onFailed(1, "unreachable");
    expect(core.verdict).toEqual({ kind: "unmet", received: 0 });
  });

  test("counts a slot once that two nodes claim, and asks the third", () => {
    const core = read();
    asks(core);
    core.onObject(0, { slot: 1, ...WHOLE }, OLD);
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(OLD));
    expect(core.verdict.kind).toBe("pending");
    expect(asks(core)).toEqual(["2:digest"]);
    core.onDigest(2, { slot: 2, ...WHOLE }, digestOf(OLD));
    expect(core.verdict.kind).toBe("known");
  });

  test("never counts a slot outside the bucket's n", () => {
    const core = read();
    core.onObject(0, { slot: 3, ...WHOLE }, OLD);
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(OLD));
    expect(core.verdict.kind).toBe("pending");
  });

  test("keeps its verdict when a late or repeated reply comes", () => {
    const core = read();
    core.onObject(0, { slot: 0, ...WHOLE }, OLD);
    core.onObject(0, { slot: 0, ...WHOLE }, NEW);
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(OLD));
    core.onDigest(2, { slot: 2, ...WHOLE }, digestOf(NEW));
    expect(setOf(core)).toEqual(OLD);
    expect(core.nextAsk()).toBe(-1);
  });

  test("ends at the deadline with what it has", () => {
    const core = read();
    core.onObject(0, { slot: 0, ...WHOLE }, OLD);
    core.onDeadline();
    expect(core.verdict).toEqual({ kind: "unmet", received: 1 });
  });
});

describe("a replica that holds no slot any more", () => {
  test("loses the vote that it had, and another is asked in its place for what it was asked", () => {
    const core = read();
    asks(core);
    core.onObject(0, { slot: 0, ...WHOLE }, OLD);
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(NEW));
    expect(asks(core)).toEqual(["1:object"]);
    core.onAstray(1, "moved", { node: node("node7"), slot: 1, role: "owner" });
    expect(asks(core)).toEqual(["3:digest"]);
    core.onDigest(3, { slot: 1, ...WHOLE }, digestOf(OLD));
    expect(setOf(core), "two slots").toEqual(OLD);
  });

  test("keeps the read waiting for its slot, and no longer than there is looking", () => {
    const core = read({}, [0, 1]);
    asks(core);
    core.onObject(0, { slot: 0, ...WHOLE }, OLD);
    core.onAstray(1, "not_owner", undefined);
    expect(core.verdict.kind).toBe("pending");
    core.askHolders([{ node: node("node1"), slot: 1, role: "owner" }]);
    expect(asks(core)).toEqual(["1:digest"]);
    core.onAstray(1, "not_owner", undefined);
    core.onSearchOver();
    expect(core.verdict).toEqual({ kind: "unmet", received: 1 });
  });

  test("is no reason to believe a store that may have lost data before the time is up", () => {
    const core = read();
    asks(core);
    core.onObject(0, { slot: 0, ...SUSPECT }, OLD);
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(OLD));
    core.onAstray(2, "not_owner", undefined);
    expect(core.verdict.kind).toBe("pending");
    core.onDeadline();
    expect(setOf(core)).toEqual(OLD);
  });
});

describe("absence", () => {
  test("is R owners that have nothing", () => {
    const core = read();
    core.onObject(0, { slot: 0, ...WHOLE }, undefined);
    core.onDigest(1, { slot: 1, ...WHOLE }, 0n);
    expect(core.verdict).toEqual({ kind: "known", set: undefined, digest: 0n });
  });

  test("is not proved by a store that may have lost it: another owner is asked", () => {
    const core = read();
    asks(core);
    core.onObject(0, { slot: 0, ...SUSPECT }, undefined);
    expect(asks(core)).toEqual(["2:object"]);
    core.onDigest(1, { slot: 1, ...WHOLE }, 0n);
    expect(core.verdict.kind).toBe("pending");
    core.onObject(2, { slot: 2, ...WHOLE }, undefined);
    expect(core.verdict.kind).toBe("known");
  });

  test("stays unproved when no whole store is left to ask", () => {
    const core = read();
    core.onObject(0, { slot: 0, ...SUSPECT }, undefined);
    core.onDigest(1, { slot: 1, ...WHOLE }, 0n);
    core.onFailed(2, "unreachable");
    expect(core.verdict).toEqual({ kind: "unmet", received: 1 });
  });

  test("in a suspect store is repaired by what the others hold", () => {
    const core = read();
    core.onObject(0, { slot: 0, ...SUSPECT }, undefined);
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(OLD));
    core.onObject(2, { slot: 2, ...WHOLE }, OLD);
    expect(setOf(core)).toEqual(OLD);
    expect(core.repairs()).toEqual([{ node: "node0", digest: 0n }]);
  });
});

describe("a deletion", () => {
  test("is the word of R owners", () => {
    const core = read();
    core.onObject(0, { slot: 0, ...WHOLE }, GONE);
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(GONE));
    expect(setOf(core)).toEqual(GONE);
  });

  test("kept by a stand-in is none: not alone, not beside an owner", () => {
    for (const total of [1, 2]) {
      const core = read({ total, standIns: 1 });
      asks(core);
      if (total === 1) core.onFailed(0, "unreachable");
      else core.onObject(0, { slot: 0, ...WHOLE }, GONE);
      for (const index of [1, 2]) {
        asks(core);
        core.onFailed(index, "unreachable");
      }
      expect(core.wantsStandIn).toBe(true);
      core.onStandIn(node("other"));
      expect(asks(core).length).toBe(1);
      core.onObject(3, { slot: core.voters[3]?.slot ?? -1, ...WHOLE, isStandIn: true }, GONE);
      expect(core.verdict).toEqual({ kind: "unmet", received: total - 1, isGone: true });
    }
  });

  test("kept by a stand-in waits for the owners that are slow", () => {
    const core = read({ total: 1, standIns: 1 }, [0]);
    asks(core);
    core.onSlow(() => false);
    core.onStandIn(node("other"));
    core.onObject(1, { slot: 0, ...WHOLE, isStandIn: true }, GONE);
    expect(core.verdict.kind).toBe("pending");
    core.onObject(0, { slot: 0, ...WHOLE }, NEW);
    expect(setOf(core)).toEqual(merge(GONE, NEW));
  });

  test("in a suspect store is none either: what was written after it may be lost there", () => {
    const core = read();
    core.onObject(0, { slot: 0, ...SUSPECT }, GONE);
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(GONE));
    expect(core.verdict.kind).toBe("pending");
    core.onFailed(2, "unreachable");
    expect(core.verdict).toEqual({ kind: "unmet", received: 1, isGone: true });
  });

  test("is whatever the calendar says is gone", () => {
    const calendar = { isGone: (set: SiblingSet) => set === OLD };
    const core = new ReadCore([{ node: node("node0"), slot: 0, role: "owner" }], { ...ONE, standIns: 1 }, calendar);
    core.start();
    asks(core);
    core.onFailed(0, "unreachable");
    core.onStandIn(node("other"));
    core.onObject(1, { slot: 0, ...WHOLE, isStandIn: true }, OLD);
    expect(core.verdict).toEqual({ kind: "unmet", received: 0, isGone: true });
  });
});

describe("a suspect store", () => {
  test("is believed for what it has when nobody better is left", () => {
    const core = read();
    core.onObject(0, { slot: 0, ...SUSPECT }, OLD);
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(OLD));
    expect(core.verdict.kind).toBe("pending");
    core.onFailed(2, "unreachable");
    expect(setOf(core)).toEqual(OLD);
  });

  test("whose absence is all that is left beside one vote gives no quorum", () => {
    const core = read();
    core.onObject(0, { slot: 0, ...WHOLE }, OLD);
    core.onDigest(1, { slot: 1, ...SUSPECT }, 0n);
    expect(core.verdict.kind).toBe("pending");
    core.onFailed(2, "unreachable");
    expect(core.verdict).toEqual({ kind: "unmet", received: 1 });
  });

  test("whose absence is known does not keep others from making the quorum", () => {
    const core = read();
    core.onObject(0, { slot: 0, ...WHOLE }, OLD);
    core.onDigest(1, { slot: 1, ...SUSPECT }, 0n);
    core.onDigest(2, { slot: 2, ...WHOLE }, digestOf(OLD));
    expect(setOf(core)).toEqual(OLD);
    expect(core.repairs()).toEqual([{ node: "node1", digest: 0n }]);
  });

  test("does not hide a newer version that a whole store has", () => {
    const core = read();
    core.onObject(0, { slot: 0, ...SUSPECT }, OLD);
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(OLD));
    core.onDigest(2, { slot: 2, ...WHOLE }, digestOf(NEW));
    core.onObject(2, { slot: 2, ...WHOLE }, NEW);
    expect(setOf(core)).toEqual(NEW);
  });

  test("is believed at the deadline for what it has", () => {
    const core = read();
    core.onObject(0, { slot: 0, ...SUSPECT }, OLD);
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(OLD));
    core.onDeadline();
    expect(setOf(core)).toEqual(OLD);
  });
});

describe("a slow replica", () => {
  test("is hedged by the next one, for the object if nobody else brings it", () => {
    const core = read();
    asks(core);
    expect(core.canHedge).toBe(true);
    core.onSlow(() => false);
    expect(asks(core)).toEqual(["2:object"]);
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(OLD));
    core.onObject(2, { slot: 2, ...WHOLE }, OLD);
    expect(setOf(core)).toEqual(OLD);
  });

  test("still counts when it answers after all", () => {
    const core = read();
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(OLD));
    core.onSlow(() => false);
    core.onObject(0, { slot: 0, ...WHOLE }, OLD);
    expect(setOf(core)).toEqual(OLD);
  });

  test("cannot be hedged when all are asked", () => {
    expect(read({ total: 3 }).canHedge).toBe(false);
  });
});

describe("a reader that demands a version", () => {
  const atLeast = NEW.clock;

  test("is not answered by older replicas while another may have it", () => {
    const core = read({ atLeast });
    asks(core);
    core.onObject(0, { slot: 0, ...WHOLE }, OLD);
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(OLD));
    expect(core.verdict.kind).toBe("pending");
    expect(asks(core)).toEqual(["2:digest"]);
    core.onDigest(2, { slot: 2, ...WHOLE }, digestOf(NEW));
    expect(asks(core)).toEqual(["2:object"]);
    core.onObject(2, { slot: 2, ...WHOLE }, NEW);
    expect(setOf(core)).toEqual(NEW);
    expect(core.repairs().map((target) => target.node)).toEqual(["node0", "node1"]);
  });

  test("is told `stale` when nobody within reach has it", () => {
    const core = read({ atLeast });
    core.onObject(0, { slot: 0, ...WHOLE }, OLD);
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(OLD));
    core.onFailed(2, "unreachable");
    expect(core.verdict).toEqual({ kind: "stale", received: 2 });
  });

  test("is told `stale` about an absence, and at the deadline", () => {
    const absent = read({ atLeast, total: 1 }, [0]);
    absent.onObject(0, { slot: 0, ...WHOLE }, undefined);
    expect(absent.verdict.kind).toBe("stale");
    const late = read({ atLeast });
    late.onObject(0, { slot: 0, ...WHOLE }, OLD);
    late.onDigest(1, { slot: 1, ...WHOLE }, digestOf(OLD));
    late.onDeadline();
    expect(late.verdict.kind).toBe("stale");
  });

  test("is answered by a merge that covers it though no single replica does", () => {
    const both = merge(OLD, OTHER);
    const core = read({ atLeast: both.clock });
    core.onObject(0, { slot: 0, ...WHOLE }, OLD);
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(OTHER));
    core.onObject(1, { slot: 1, ...WHOLE }, OTHER);
    expect(setOf(core)).toEqual(both);
  });
});

describe("a last-write-wins bucket", () => {
  test("repairs with the reduced version, so that repair ends", () => {
    const core = read({ isLww: true });
    core.onObject(0, { slot: 0, ...WHOLE }, OLD);
    core.onDigest(1, { slot: 1, ...WHOLE }, digestOf(OTHER));
    core.onObject(1, { slot: 1, ...WHOLE }, OTHER);
    expect(setOf(core)?.siblings.map((sibling) => sibling.dot)).toEqual([{ actor: 3, counter: 15 }]);
  });
});

describe("in any order of replies, losses and hedges, a read", () => {
  const HELD = [undefined, OLD, NEW, OTHER];

  test("ends, and its answer covers what R distinct slots hold", () => {
    const replica = fc.record({
      held: fc.constantFrom(...HELD),
      slot: fc.integer({ min: 0, max: 4 }),
      isSuspect: fc.boolean(),
      fate: fc.constantFrom("answers", "answers", "answers", "fails", "silent"),
    });
    fc.assert(
      fc.property(
        fc.array(replica, { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 1, max: 4 }),
        fc.infiniteStream(fc.nat(1_000)),
        (replicas, total, draws) => {
          const core = read(
            { total, n: 4 },
            replicas.map((_, at) => at % 4),
          );
          const open: number[] = [];
          for (let steps = 0; core.verdict.kind === "pending"; steps += 1) {
            expect(steps).toBeLessThan(100);
            for (let index = core.nextAsk(); index >= 0; index = core.nextAsk()) open.push(index);
            if (core.verdict.kind !== "pending") break;
            const able = open.filter((index) => replicas[index]?.fate !== "silent");
            if (able.length === 0) {
              if (core.canHedge) core.onSlow(() => false);
              else core.onDeadline();
              continue;
            }
            const index = able[(draws.next().value ?? 0) % able.length] ?? 0;
            open.splice(open.indexOf(index), 1);
            const what = replicas[index];
            if (what === undefined || what.fate === "fails") core.onFailed(index, "refused");
            else if (core.voters[index]?.question === "object") core.onObject(index, what, what.held);
            else core.onDigest(index, what, what.held === undefined ? 0n : digestOf(what.held));
          }
          if (core.verdict.kind !== "known") return;
          const answer = core.verdict.set;
          const voters = core.voters.filter(
            (voter) => voter.state === "answered" && (answer === undefined ? voter.digest === 0n : true),
          );
          const believed = answer === undefined ? voters.filter((voter) => !voter.isSuspect) : voters;
          const covered = believed.filter((voter) => {
            const held = replicas[core.voters.indexOf(voter)]?.held;
            return held === undefined || (answer !== undefined && digestOf(merge(answer, held)) === digestOf(answer));
          });
          const slots = new Set(covered.map((voter) => voter.slot).filter((slot) => slot < 4));
          expect(slots.size).toBeGreaterThanOrEqual(total);
        },
      ),
      { numRuns: 500 },
    );
  });
});
