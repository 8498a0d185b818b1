/** The coordinator as its callers see it: answers, outcomes, counts, codes, deadlines, over fake replicas and time. */
import { describe, expect, test } from "vitest";
import type { GetAnswer, WriteAnswer } from "../../../services/coordinator/contract.ts";
import { includes } from "../../../services/versioning/causal-context.ts";
import type { CausalContext } from "../../../services/versioning/types.ts";
import { FakeCluster, knobs } from "../../support/fake-cluster.ts";

function valuesOf(answer: GetAnswer): readonly string[] {
  if (answer.kind !== "found") return [answer.kind === "failed" ? answer.code : answer.kind];
  return answer.set.siblings.map((sibling) => Buffer.from(sibling.bytes).toString()).sort();
}

function contextOf(answer: GetAnswer | WriteAnswer): CausalContext {
  if (answer.kind === "applied" || answer.kind === "deleted") return answer.context;
  if (answer.kind === "found") return answer.set.clock;
  throw new Error(`no context in ${answer.kind}`);
}

describe("a write", () => {
  test("is applied at W owners, and says so with its counts", async () => {
    const cluster = new FakeCluster();
    const answer = await cluster.put(0, "a");
    expect(answer).toMatchObject({
      kind: "applied",
      siblingCount: 1,
      acks: { required: 2, received: 2, owners: 2, fallbacks: 0, durable: 2 },
    });
    expect(cluster.node(0).coordinator.counters).toMatchObject({ writeCount: 1, appliedCount: 1, forwardCount: 0 });
  });

  test("tells every replica how much time is left, its own too", async () => {
    const cluster = new FakeCluster();
    await cluster.put(0, "a", { knobs: knobs({ timeoutMs: 300 }) });
    // this one looks first what is there: a trip to another owner and back
    await cluster.delete(2, { knobs: knobs({ timeoutMs: 200 }) });
    await cluster.clock.advance(10);
    expect(cluster.node(0).replica.budgets).toEqual([300, 197]);
    expect(cluster.node(2).replica.budgets).toEqual([299, 198]);
  });

  test("tells the others what is left when its dot came late, not what there was when it began", async () => {
    const cluster = new FakeCluster();
    const { replica } = cluster.node(0);
    replica.isSealed = true;
    cluster.clock.setTimer(120, () => {
      replica.isSealed = false;
    });
    await cluster.put(0, "a", { knobs: knobs({ timeoutMs: 300 }) });
    await cluster.clock.advance(10);
    expect(cluster.node(1).replica.budgets).toEqual([179]);
  });

  test("is refused as overloaded, and applied nowhere, when its replica cannot take it now", async () => {
    const cluster = new FakeCluster({ nodeCount: 4 });
    cluster.node(0).replica.storeFault = "overloaded";
    const overloaded = { code: "overloaded", outcome: "not_applied", retryable: true };
    expect(await cluster.put(0, "a")).toMatchObject(overloaded);
    expect(await cluster.delete(0)).toMatchObject(overloaded);
    expect(cluster.sent.map(({ request }) => request.kind)).toEqual(["digest"]);
    for (const node of cluster.nodes) node.replica.storeFault = "overloaded";
    expect(await cluster.put(3, "a")).toMatchObject(overloaded);
    expect(cluster.nodes.flatMap((node) => node.replica.everStored)).toEqual([]);
  });

  test("is not applied when its replica refuses it for the time it waited", async () => {
    const cluster = new FakeCluster();
    cluster.node(0).replica.storeFault = "expired";
    expect(await cluster.put(0, "a")).toMatchObject({ code: "quorum_not_met", outcome: "not_applied" });
    expect(cluster.sent).toEqual([]);
  });

  test("reaches all owners in the turn in which its dot is minted", async () => {
    const cluster = new FakeCluster();
    await cluster.put(0, "a");
    expect(cluster.sent.map((call) => [call.to, call.request.kind])).toEqual([
      ["node1", "store"],
      ["node2", "store"],
    ]);
    await cluster.clock.advance(10);
    expect(cluster.nodes.map((node) => node.replica.held.size)).toEqual([1, 1, 1]);
  });

  test("gives a context that covers the one it was given and its own dot", async () => {
    const cluster = new FakeCluster();
    const first = await cluster.put(0, "a");
    const second = await cluster.put(1, "b", { context: contextOf(first) });
    if (second.kind !== "applied") throw new Error(second.kind);
    expect(includes(second.context, contextOf(first))).toBe(true);
    expect(includes(second.context, { vector: [], detached: [second.dot] })).toBe(true);
  });

  test("with the same context as another through another node stands beside it, and a third resolves both", async () => {
    const cluster = new FakeCluster();
    const base = contextOf(await cluster.put(0, "base"));
    await cluster.put(0, "left", { context: base });
    await cluster.put(1, "right", { context: base });
    const seen = await cluster.get(2);
    expect(valuesOf(seen)).toEqual(["left", "right"]);
    await cluster.put(2, "both", { context: contextOf(seen) });
    for (const at of [0, 1, 2]) expect(valuesOf(await cluster.get(at))).toEqual(["both"]);
  });

  test("without context replaces what the coordinating replica holds, or nothing, or is refused, as the bucket says", async () => {
    const overwrite = new FakeCluster();
    for (const [at, value] of ["a", "b", "c"].entries()) await overwrite.put(at, value);
    expect(valuesOf(await overwrite.get(0))).toEqual(["c"]);
    const sibling = new FakeCluster({ settings: { blindWrites: "sibling" } });
    for (const [at, value] of ["a", "b", "c"].entries()) await sibling.put(at, value);
    expect(valuesOf(await sibling.get(0))).toEqual(["a", "b", "c"]);
    const reject = new FakeCluster({ settings: { blindWrites: "reject" } });
    expect(await reject.put(0, "a")).toMatchObject({
      code: "context_required",
      outcome: "not_applied",
      retryable: false,
    });
    expect(reject.nodes.map((node) => node.replica.everStored.length)).toEqual([0, 0, 0]);
    expect(await overwrite.put(0, "d", { blind: "reject" })).toMatchObject({ code: "context_required" });
    expect(await overwrite.put(0, "d", { blind: "sibling" })).toMatchObject({ siblingCount: 2 });
  });

  test("overwrites nothing in a bucket that rejects it, whatever it asks for, and may still make a key", async () => {
    const cluster = new FakeCluster({ nodeCount: 4, settings: { blindWrites: "reject" } });
    for (const at of [0, 3]) {
      const refused = await cluster.put(at, "a", { blind: "overwrite" });
      expect(refused).toMatchObject({ code: "context_required", outcome: "not_applied" });
    }
    expect(cluster.nodes.map((node) => node.replica.everStored.length)).toEqual([0, 0, 0, 0]);
    for (const [at, value] of [0, 3].entries()) {
      expect(await cluster.put(value, `${at}`, { blind: "sibling" })).toMatchObject({ siblingCount: at + 1 });
    }
    expect(valuesOf(await cluster.get(0))).toEqual(["0", "1"]);
  });

  test("that demands more replicas than the bucket has names the parameter", async () => {
    const cluster = new FakeCluster();
    expect(await cluster.put(0, "a", { knobs: knobs({ w: 4 }) })).toMatchObject({
      code: "quorum_exceeds_n",
      outcome: "not_applied",
      facts: { parameter: "w", value: 4, n: 3 },
    });
    expect(await cluster.get(0, { knobs: knobs({ pr: 4 }) })).toMatchObject({
      code: "quorum_exceeds_n",
      facts: { parameter: "pr" },
    });
  });

  test("of a value over the limit is refused with the limit and the size", async () => {
    const cluster = new FakeCluster();
    const answer = await cluster.put(0, "", { bytes: new Uint8Array(1024 * 1024 + 1) });
    expect(answer).toMatchObject({
      code: "value_too_large",
      outcome: "not_applied",
      facts: { limit: 1_048_576, size: 1_048_577 },
    });
  });

  test("that would make too many siblings is refused with the facts, and leaves no trace", async () => {
    const cluster = new FakeCluster({ settings: { blindWrites: "sibling" } });
    for (let at = 0; at < 64; at += 1) await cluster.put(0, `v${at}`);
    const sentCount = cluster.sent.length;
    expect(await cluster.put(0, "one more")).toMatchObject({ code: "too_many_siblings", outcome: "not_applied" });
    expect(cluster.sent.length).toBe(sentCount);
  });
});

describe("a write with owners missing", () => {
  test("goes on with one down", async () => {
    const cluster = new FakeCluster();
    cluster.node(2).isAway = true;
    expect(await cluster.put(0, "a")).toMatchObject({ kind: "applied", acks: { received: 2 } });
    expect(cluster.node(0).missed).toMatchObject([{ owner: "node2", slot: 2, reason: "unreachable" }]);
  });

  test("is refused at once when W is known to be out of reach, and never appears", async () => {
    const cluster = new FakeCluster();
    cluster.node(1).isAway = true;
    cluster.node(2).isAway = true;
    const startMs = cluster.clock.monotonicMs();
    const answer = await cluster.put(0, "a");
    expect(cluster.clock.monotonicMs() - startMs).toBeLessThan(2);
    expect(answer).toMatchObject({
      kind: "failed",
      code: "quorum_not_met",
      outcome: "not_applied",
      retryable: true,
      required: 2,
      received: 0,
    });
    if (answer.kind !== "failed") throw new Error(answer.kind);
    expect(answer.replicas?.map((report) => report.answer)).toEqual(["not_asked", "unreachable", "unreachable"]);
    for (const node of cluster.nodes) expect(node.replica.everStored).toEqual([]);
    expect(cluster.node(0).missed).toEqual([]);
  });

  test("whose owners fall silent after it was sent is unknown, at its deadline and not before, nor long after", async () => {
    const cluster = new FakeCluster({ fateOf: () => ({ thereMs: -1, backMs: -1 }) });
    const answer = await cluster.put(0, "a", { knobs: knobs({ timeoutMs: 300 }) });
    expect(cluster.clock.monotonicMs()).toBeGreaterThanOrEqual(300);
    expect(cluster.clock.monotonicMs()).toBeLessThanOrEqual(310);
    expect(answer).toMatchObject({ code: "quorum_not_met", outcome: "unknown", required: 2, received: 1 });
  });

  test("keeps counting after its answer: who stays silent is named to the sink of hints", async () => {
    const cluster = new FakeCluster();
    cluster.fateOf = (_from, to) => (to === "node2" ? { thereMs: -1, backMs: -1 } : { thereMs: 1, backMs: 1 });
    await cluster.put(0, "a", { knobs: knobs({ timeoutMs: 100 }) });
    expect(cluster.node(0).missed).toEqual([]);
    await cluster.clock.advance(200);
    expect(cluster.node(0).missed).toMatchObject([{ owner: "node2", reason: "timeout" }]);
    expect(cluster.node(0).coordinator.counters.lateReplyCount).toBe(1);
  });

  test("is unknown at once when W falls out of reach after it was stored here", async () => {
    const cluster = new FakeCluster();
    for (const at of [1, 2]) cluster.node(at).replica.storeFault = "shutting_down";
    const answer = await cluster.put(0, "a");
    expect(cluster.clock.monotonicMs()).toBeLessThan(20);
    expect(answer).toMatchObject({ code: "quorum_not_met", outcome: "unknown", received: 1 });
  });

  test("is applied by the others when only the local append fails for space", async () => {
    const cluster = new FakeCluster();
    cluster.node(0).replica.appendFault = "disk_full";
    expect(await cluster.put(0, "a")).toMatchObject({ kind: "applied", acks: { received: 2 } });
    await cluster.clock.advance(10);
    expect(cluster.nodes.map((node) => node.replica.held.size)).toEqual([0, 1, 1]);
  });

  test("is `disk_full` and not applied when every disk is full, and names nobody to the sink of hints", async () => {
    const cluster = new FakeCluster();
    cluster.node(0).replica.appendFault = "disk_full";
    for (const at of [1, 2]) cluster.node(at).replica.storeFault = "disk_full";
    expect(await cluster.put(0, "a")).toMatchObject({ code: "disk_full", outcome: "not_applied", retryable: true });
    for (const node of cluster.nodes) expect(node.replica.everStored).toEqual([]);
    expect(cluster.node(0).missed).toEqual([]);
  });

  test("is handed to another owner when this one can do nothing itself", async () => {
    const cluster = new FakeCluster();
    for (const reason of ["disk_full", "corrupt_record", "shutting_down", "not_owner"] as const) {
      cluster.node(0).replica.storeFault = reason;
      expect(await cluster.put(0, reason), reason).toMatchObject({ kind: "applied", acks: { received: 2 } });
    }
  });

  test("that nobody can take says why", async () => {
    const cluster = new FakeCluster();
    for (const node of cluster.nodes) node.replica.storeFault = "disk_full";
    const answer = await cluster.put(0, "a");
    expect(answer).toMatchObject({ code: "disk_full", outcome: "not_applied" });
    if (answer.kind !== "failed") throw new Error(answer.kind);
    expect(answer.replicas?.map((report) => report.answer)).toEqual(["disk_full", "disk_full", "disk_full"]);
  });
});

describe("a node that owns nothing", () => {
  test("hands a write to an owner once, and coordinates reads itself", async () => {
    const cluster = new FakeCluster({ nodeCount: 4 });
    const answer = await cluster.put(3, "a", { knobs: knobs({ explain: true }) });
    expect(answer).toMatchObject({ kind: "applied", acks: { received: 2 }, explain: { forwardedTo: "node0" } });
    expect(cluster.sent[0]).toMatchObject({
      from: "node3",
      to: "node0",
      request: { kind: "ask", topic: "coordinate" },
    });
    expect(valuesOf(await cluster.get(3))).toEqual(["a"]);
    expect(cluster.node(3).coordinator.counters.forwardCount).toBe(1);
  });

  test("tries the next owner when one is away or does nothing", async () => {
    const cluster = new FakeCluster({ nodeCount: 4 });
    cluster.node(0).isAway = true;
    cluster.node(1).replica.storeFault = "corrupt_record";
    cluster.node(2).replica.slot = 2;
    const answer = await cluster.put(3, "a", { knobs: knobs({ w: 1, explain: true }) });
    expect(answer).toMatchObject({ kind: "applied", explain: { forwardedTo: "node2" } });
  });

  test("never lets a write be handed on again", async () => {
    const cluster = new FakeCluster({ nodeCount: 4 });
    for (const node of cluster.nodes) node.replica.slot = -1;
    const answer = await cluster.put(3, "a", { knobs: knobs({ timeoutMs: 300 }) });
    expect(answer).toMatchObject({ code: "quorum_not_met", outcome: "not_applied" });
    expect(new Set(cluster.sent.map((call) => call.from))).toEqual(new Set(["node3"]));
    expect(cluster.sent.length, "all three, again after each wait of 20 to 100 ms").toBeLessThanOrEqual(45);
  });

  test("answers unknown when the owner falls silent, and tries nobody else", async () => {
    const cluster = new FakeCluster({ nodeCount: 4, fateOf: () => ({ thereMs: 1, backMs: -1 }) });
    const answer = await cluster.put(3, "a", { knobs: knobs({ timeoutMs: 200 }) });
    expect(answer).toMatchObject({ code: "quorum_not_met", outcome: "unknown" });
    expect(cluster.sent.filter((call) => call.from === "node3").length).toBe(1);
    expect(cluster.clock.monotonicMs()).toBeLessThanOrEqual(210);
  });

  test("hears an owner's `unknown` with its counts before it gives up itself", async () => {
    const cluster = new FakeCluster({ nodeCount: 4 });
    cluster.fateOf = (from) => (from === "node3" ? { thereMs: 1, backMs: 1 } : { thereMs: -1, backMs: -1 });
    const answer = await cluster.put(3, "a", { knobs: knobs({ timeoutMs: 200 }) });
    expect(answer).toMatchObject({ code: "quorum_not_met", outcome: "unknown", required: 2, received: 1 });
    expect(cluster.clock.monotonicMs()).toBeLessThanOrEqual(200);
  });

  test("passes on an owner's refusal as it is", async () => {
    const cluster = new FakeCluster({ nodeCount: 4, settings: { blindWrites: "reject" } });
    expect(await cluster.put(3, "a")).toMatchObject({ code: "context_required", outcome: "not_applied" });
    expect(await cluster.delete(3)).toMatchObject({ kind: "applied" });
  });
});

describe("a replica of this node that throws", () => {
  const bug = new RangeError("a bug");
  const defect = { event: "coordinator.defect", error: bug };

  test("before the dot was minted leaves a write not applied, and the error in the log", async () => {
    const cluster = new FakeCluster();
    cluster.node(0).replica.write = () => Promise.reject(bug);
    expect(await cluster.put(0, "a")).toMatchObject({ code: "internal_error", outcome: "not_applied" });
    expect(cluster.log.facts).toEqual([expect.objectContaining(defect)]);
    expect(cluster.sent).toEqual([]);
  });

  test("after the dot was minted leaves it to the others, and the error in the log", async () => {
    const cluster = new FakeCluster();
    const { replica } = cluster.node(0);
    const write = replica.write.bind(replica);
    replica.write = (location, intent, onMinted) => write(location, intent, onMinted).then(() => Promise.reject(bug));
    expect(await cluster.put(0, "a")).toMatchObject({ kind: "applied", acks: { received: 2 } });
    expect(await cluster.put(0, "b", { knobs: knobs({ w: 3 }) })).toMatchObject({ outcome: "unknown" });
    expect(cluster.log.facts).toEqual([expect.objectContaining(defect), expect.objectContaining(defect)]);
  });

  test.each([
    {
      name: "at once",
      read: () => {
        throw bug;
      },
    },
    { name: "later", read: () => Promise.reject(bug) },
  ])("$name has no vote in a read, which others answer, and the error is in the log", async ({ read }) => {
    const cluster = new FakeCluster();
    await cluster.put(0, "a");
    await cluster.clock.advance(10);
    cluster.node(0).replica.read = read;
    expect(valuesOf(await cluster.get(0))).toEqual(["a"]);
    expect(cluster.log.facts).toEqual([expect.objectContaining(defect)]);
  });
});

describe("a read", () => {
  test("does not take a link that breaks at once for a quick replica", async () => {
    const cluster = new FakeCluster({ nodeCount: 4 });
    const slow = { thereMs: 10, backMs: 10 };
    const quick = { thereMs: 1, backMs: 1 };
    cluster.fateOf = (_from, to) => (to === "node0" ? slow : quick);
    const all = { knobs: knobs({ r: "all" }) };
    await cluster.get(3, all);
    cluster.fateOf = (_from, to) => (to === "node0" ? { ...slow, breaksMs: 0.1 } : quick);
    for (let times = 0; times < 40; times += 1) await cluster.get(3, all);
    cluster.sent.length = 0;
    await cluster.get(3, { knobs: knobs({ r: 1 }) });
    expect(cluster.sent[0]?.to).not.toBe("node0");
  });

  test("costs one local read and one digest when replicas agree", async () => {
    const cluster = new FakeCluster();
    await cluster.put(0, "a");
    await cluster.clock.advance(10);
    cluster.sent.length = 0;
    expect(valuesOf(await cluster.get(1))).toEqual(["a"]);
    expect(cluster.sent.map((call) => call.request.kind)).toEqual(["digest"]);
    expect(cluster.node(1).replica.readCount).toBe(1);
  });

  test("finds nothing only by R owners, something deleted with its context", async () => {
    const cluster = new FakeCluster();
    expect(await cluster.get(0)).toEqual({ kind: "not_found" });
    const written = await cluster.put(0, "a");
    const removed = await cluster.delete(1, { context: contextOf(written) });
    const answer = await cluster.get(2);
    expect(answer.kind).toBe("deleted");
    expect(includes(contextOf(answer), contextOf(removed))).toBe(true);
    await cluster.put(0, "again", { context: contextOf(answer) });
    expect(valuesOf(await cluster.get(1))).toEqual(["again"]);
  });

  test("is 503, not an older value, when the owner that had the newer one has lost it", async () => {
    const cluster = new FakeCluster();
    await cluster.put(0, "old");
    await cluster.clock.advance(50);
    cluster.node(0).isAway = true;
    expect((await cluster.put(1, "new")).kind).toBe("applied");
    cluster.node(0).isAway = false;
    cluster.node(1).replica.held.clear();
    cluster.node(1).replica.isSuspectStore = true;
    cluster.node(2).isAway = true;
    expect(valuesOf(await cluster.get(0))).toEqual(["quorum_not_met"]);
  });

  test("of a key whose owners may have lost it is 503, not 404", async () => {
    const cluster = new FakeCluster();
    for (const at of [0, 1]) cluster.node(at).replica.isSuspectStore = true;
    expect(await cluster.get(0)).toMatchObject({ code: "quorum_not_met", outcome: "not_applied", received: 0 });
  });

  test("repairs after its answer whoever it found behind", async () => {
    const cluster = new FakeCluster();
    cluster.node(1).isAway = true;
    await cluster.put(0, "a");
    cluster.node(1).isAway = false;
    let heldAtAnswer = -1;
    const reading = cluster.node(1).coordinator.get({ name: cluster.name(), knobs: knobs({ explain: true }) });
    const noted = reading.then((answer) => {
      heldAtAnswer = cluster.node(1).replica.held.size;
      return answer;
    });
    const answer = await cluster.run(noted);
    expect(valuesOf(answer)).toEqual(["a"]);
    expect(answer).toMatchObject({ explain: { repaired: ["node1"] } });
    expect(heldAtAnswer).toBe(0);
    await cluster.clock.advance(10);
    expect(cluster.node(1).replica.held.size).toBe(1);
    expect(cluster.node(1).repair.counts()).toMatchObject({ repairedCount: 1, failedCount: 0, queuedNow: 0 });
    expect(await cluster.get(1, { knobs: knobs({ explain: true }) })).toMatchObject({ explain: { repaired: [] } });
  });

  test("with two owners down fails at once with counts and reasons", async () => {
    const cluster = new FakeCluster();
    for (const at of [1, 2]) cluster.node(at).isAway = true;
    const answer = await cluster.get(0);
    expect(answer).toMatchObject({ code: "quorum_not_met", required: 2, received: 1 });
    if (answer.kind !== "failed") throw new Error(answer.kind);
    expect(answer.replicas?.map((report) => report.answer)).toEqual(["ok", "unreachable", "unreachable"]);
    expect(cluster.clock.monotonicMs()).toBeLessThan(2);
  });

  test("hedges a slow replica within 60 ms and answers without it", async () => {
    const cluster = new FakeCluster();
    await cluster.put(0, "a");
    await cluster.clock.advance(10);
    cluster.fateOf = (_from, to) => (to === "node1" ? { thereMs: 1_000, backMs: 1 } : { thereMs: 1, backMs: 1 });
    const startMs = cluster.clock.monotonicMs();
    const answer = await cluster.get(0, { knobs: knobs({ explain: true }) });
    expect(answer).toMatchObject({ kind: "found", explain: { hedged: true } });
    expect(cluster.clock.monotonicMs() - startMs).toBeLessThanOrEqual(60);
    const next = await cluster.get(0, { knobs: knobs({ explain: true }) });
    expect(next, "the slow one is asked last from now on").toMatchObject({ explain: { hedged: false } });
  });

  test("asks nobody beside a slow replica while this node sheds, and does again once that is over", async () => {
    const cluster = new FakeCluster();
    await cluster.put(0, "a");
    await cluster.clock.advance(10);
    cluster.fateOf = (_from, to) => (to === "node1" ? { thereMs: 300, backMs: 1 } : { thereMs: 1, backMs: 1 });
    cluster.isShedding = true;
    const explain = { knobs: knobs({ explain: true }) };
    const startMs = cluster.clock.monotonicMs();
    expect(await cluster.get(0, explain)).toMatchObject({ kind: "found", explain: { hedged: false } });
    expect(cluster.clock.monotonicMs() - startMs).toBeGreaterThanOrEqual(300);
    cluster.isShedding = false;
    cluster.fateOf = (_from, to) => (to === "node2" ? { thereMs: 300, backMs: 1 } : { thereMs: 1, backMs: 1 });
    expect(await cluster.get(0, explain)).toMatchObject({ kind: "found", explain: { hedged: true } });
  });

  test("waits out a slow replica when nobody is left to ask beside it", async () => {
    const cluster = new FakeCluster();
    await cluster.put(0, "a");
    cluster.fateOf = () => ({ thereMs: 100, backMs: 100 });
    expect(valuesOf(await cluster.get(0, { knobs: knobs({ r: 3 }) }))).toEqual(["a"]);
  });

  test("fails at its deadline when the owners are silent", async () => {
    const cluster = new FakeCluster({ fateOf: () => ({ thereMs: -1, backMs: -1 }) });
    expect(await cluster.get(0, { knobs: knobs({ timeoutMs: 500 }) })).toMatchObject({ code: "quorum_not_met" });
    expect(cluster.clock.monotonicMs()).toBeGreaterThanOrEqual(500);
    expect(cluster.clock.monotonicMs()).toBeLessThanOrEqual(510);
  });

  test("that demands a version passes over older replicas, or says `stale`", async () => {
    const cluster = new FakeCluster();
    await cluster.put(0, "old");
    await cluster.clock.advance(10);
    cluster.node(2).isAway = true;
    const written = contextOf(await cluster.put(0, "new"));
    cluster.node(2).isAway = false;
    await cluster.clock.advance(10);
    const one = { knobs: knobs({ r: 1 }) };
    expect(valuesOf(await cluster.get(2, one))).toEqual(["old"]);
    expect(valuesOf(await cluster.get(2, { ...one, atLeast: written }))).toEqual(["new"]);
    for (const at of [0, 1]) cluster.node(at).isAway = true;
    cluster.node(2).replica.held.clear();
    expect(valuesOf(await cluster.get(2, { ...one, atLeast: written }))).toEqual(["stale"]);
  });

  test("of a last-write-wins bucket gives one value", async () => {
    const cluster = new FakeCluster({ settings: { conflicts: "lww", blindWrites: "sibling" } });
    for (const [at, value] of ["a", "b", "c"].entries()) {
      await cluster.put(at, value);
      await cluster.clock.advance(5);
    }
    expect(valuesOf(await cluster.get(0))).toEqual(["c"]);
  });

  test("does not show a value whose time is over", async () => {
    const cluster = new FakeCluster();
    await cluster.put(0, "a");
    await cluster.clock.advance(10);
    const nowMs = cluster.clock.wallMicros() / 1_000;
    for (const { replica } of cluster.nodes) {
      for (const [key, set] of replica.held) {
        const siblings = set.siblings.map((sibling) => ({ ...sibling, expiresAtMs: nowMs + 5 }));
        replica.held.set(key, { clock: set.clock, siblings });
      }
    }
    expect((await cluster.get(0)).kind).toBe("found");
    await cluster.clock.advance(10);
    expect((await cluster.get(0)).kind).toBe("deleted");
  });

  test("says of a copy that is not to be believed yet that it is in doubt, never that it holds nothing", async () => {
    const cluster = new FakeCluster();
    for (const at of [1, 2]) cluster.node(at).replica.isSuspectStore = true;
    const failed = await cluster.get(0);
    expect(failed).toMatchObject({ code: "quorum_not_met", outcome: "not_applied", retryable: true, received: 1 });
    if (failed.kind !== "failed") throw new Error("no quorum");
    expect(failed.replicas?.map(({ answer, digest }) => [answer, digest])).toEqual([
      ["ok", "0000000000000000"],
      ["in_doubt", undefined],
      ["in_doubt", undefined],
    ]);
    expect(failed.detail).toContain("What 2 more hold is not to be believed yet");
  });

  test("explains who was asked for what and what they said", async () => {
    const cluster = new FakeCluster();
    await cluster.put(0, "a");
    await cluster.clock.advance(10);
    const answer = await cluster.get(0, { knobs: knobs({ explain: true }) });
    if (answer.kind !== "found") throw new Error(answer.kind);
    expect(answer.explain).toMatchObject({ coordinator: "node0", ringHash: "0000000000000abc", hedged: false });
    expect(answer.explain?.replicas).toMatchObject([
      { node: "node0", role: "owner", slot: 0, zone: "zone-node0", asked: "object", answer: "ok", hint: false },
      { node: "node1", slot: 1, asked: "digest", answer: "ok" },
      { node: "node2", slot: 2, asked: "nothing", answer: "not_asked" },
    ]);
    expect(answer.explain?.replicas[0]?.digest).toMatch(/^[0-9a-f]{16}$/);
    expect((await cluster.get(0)).kind === "found" && "explain" in (await cluster.get(0))).toBe(false);
  });
});

describe("an operation that has ended", () => {
  test("leaves no timer behind", async () => {
    const cluster = new FakeCluster();
    await cluster.put(0, "a");
    await cluster.get(1);
    await cluster.clock.advance(2_100);
    expect(cluster.clock.plannedCount).toBe(0);
  });
});
