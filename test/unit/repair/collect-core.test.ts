/** The leader of a collection: whom it asks what, and what ends a partition's part in a round. */
import { describe, expect, test } from "vitest";
import type { NodeId } from "../../../services/base/ids.ts";
import {
  type CollectAnswer,
  type CollectQuestion,
  CollectRound,
  type RoundPlan,
} from "../../../services/repair/collect-core.ts";
import { nodeIdOf } from "../../support/sim-peers.ts";

const [A, B, C, D] = ["a", "b", "c", "d"].map(nodeIdOf) as [NodeId, NodeId, NodeId, NodeId];

const PLAN: RoundPlan = {
  mark: { floor: 1_000, expiryMs: 1 },
  self: A,
  members: [A, B, C, D],
  partitions: [7, 8].map((partition) => ({
    partition,
    holders: [A, B, C].map((node, slot) => ({ node, slot })),
  })),
};

/** What everybody says when nothing is in the way. */
function fine(question: CollectQuestion): CollectAnswer {
  switch (question.kind) {
    case "promise":
      return { kind: "promised" };
    case "hints":
      return { kind: "hints", partitions: [] };
    case "look":
      return { kind: "looked", verdicts: question.pairs.map(() => "equal") };
    case "note":
      return { kind: "noted", partitions: question.partitions };
    case "reap":
      return { kind: "reaped", partitions: question.partitions };
  }
}

type Say = (node: NodeId, question: CollectQuestion) => CollectAnswer | undefined;

/** Runs a round to its end; the questions that were asked, stage by stage. */
function play(say: Say, looks = 3): { readonly round: CollectRound; readonly asked: readonly string[] } {
  const round = new CollectRound(PLAN, looks);
  const asked: string[] = [];
  for (let stages = 0; round.stage !== "over" && stages < 30; stages += 1) {
    asked.push(`${round.stage}: ${[...round.questions().keys()].join()}`);
    for (const [node, question] of round.questions()) {
      const answer = say(node, question);
      if (answer !== undefined) round.answered(node, answer);
    }
    round.proceed();
  }
  return { round, asked };
}

describe("a round", () => {
  test("asks all members to promise, itself last, then for hints; then all holders to look, to note, to reap", () => {
    const { round, asked } = play((_, question) => fine(question));
    expect(asked).toEqual([
      "promise: b,c,d",
      "own-promise: a",
      "settle: ",
      "hints: a,b,c,d",
      "look: a,b,c",
      "note: a,b,c",
      "reap: a,b,c",
    ]);
    expect([...round.reaped]).toEqual([7, 8]);
    expect([...round.waiting]).toEqual([]);
  });

  test.each([
    ["a member that is away", "promise", undefined, "node d is away"],
    [
      "a member whose clock is behind",
      "promise",
      { kind: "refused", reason: "has a clock that is behind" },
      "node d: has a clock that is behind",
    ],
    ["a member that says nothing of its hints", "hints", undefined, "node d is away"],
  ] as const)("ends for all partitions with %s", (_what, kind, answer, reason) => {
    const { round } = play((node, question) => (node === D && question.kind === kind ? answer : fine(question)));
    expect([...round.reaped]).toEqual([]);
    expect([...round.waiting]).toEqual([
      [7, reason],
      [8, reason],
    ]);
  });

  test("leaves out the partitions of which a member keeps something for others", () => {
    const { round } = play((node, question) =>
      node === D && question.kind === "hints" ? { kind: "hints", partitions: [8] } : fine(question),
    );
    expect([...round.reaped]).toEqual([7]);
    expect(round.waiting.get(8)).toBe("node d keeps writes for others");
  });

  test.each([
    ["not_held", "node c: a slot is on its way"],
    ["suspect", "node c: a copy may lack records"],
    ["moving", "node c: a slot is on its way"],
    ["behind", "node c: a copy is older than the last collection"],
    ["later", "node c: a later collection has begun"],
  ] as const)("leaves out a partition whose holder says %s", (verdict, reason) => {
    const { round } = play((node, question) =>
      node === C && question.kind === "look"
        ? { kind: "looked", verdicts: question.pairs.map(({ partition }) => (partition === 8 ? verdict : "equal")) }
        : fine(question),
    );
    expect([...round.reaped]).toEqual([7]);
    expect(round.waiting.get(8)).toBe(reason);
  });

  test("looks again at all holders of what differs, and only that, and gives up after some looks", () => {
    const looks: string[] = [];
    const { round } = play((node, question) => {
      if (question.kind !== "look") return fine(question);
      looks.push(`${node}: ${question.pairs.map(({ partition }) => partition).join()}`);
      const verdicts = question.pairs.map(({ partition }) => (partition === 8 && node === B ? "differs" : "equal"));
      return { kind: "looked", verdicts } as const;
    });
    expect(looks).toEqual(["a: 7,8", "b: 7,8", "c: 7,8", "a: 8", "b: 8", "c: 8", "a: 8", "b: 8", "c: 8"]);
    expect([...round.reaped]).toEqual([7]);
    expect(round.waiting.get(8)).toBe("the copies differ");
  });

  test("goes on with what is equal at the second look", () => {
    let lookCount = 0;
    const { round } = play((node, question) => {
      if (question.kind !== "look" || node !== B) return fine(question);
      lookCount += 1;
      return { kind: "looked", verdicts: question.pairs.map(() => (lookCount === 1 ? "differs" : "equal")) };
    });
    expect([...round.reaped]).toEqual([7, 8]);
  });

  test.each([
    ["says that it has not noted", { kind: "noted", partitions: [7] }, [7], "node b has changed meanwhile"],
    ["does not answer", undefined, [], "node b is away"],
    ["answers another question", { kind: "promised" }, [], "node b has changed meanwhile"],
  ] as const)("has nobody reap what a holder may not have noted: it %s", (_what, answer, reaped, reason) => {
    const told: (readonly number[])[] = [];
    const { round } = play((node, question) => {
      if (question.kind === "reap") told.push(question.partitions);
      return node === B && question.kind === "note" ? answer : fine(question);
    });
    expect([...round.reaped]).toEqual(reaped);
    expect(told.every((partitions) => partitions.join() === reaped.join())).toBe(true);
    expect(round.waiting.get(8)).toBe(reason);
  });

  test("is done when all have noted, though one cannot be told to reap: it hears of it from others", () => {
    const { round } = play((node, question) => (node === C && question.kind === "reap" ? undefined : fine(question)));
    expect([...round.reaped]).toEqual([7, 8]);
  });

  test("takes one answer of each, and none of nodes that were not asked", () => {
    const round = new CollectRound(PLAN, 1);
    round.answered(A, { kind: "refused", reason: "was not asked" });
    round.answered(B, { kind: "promised" });
    round.answered(B, { kind: "refused", reason: "says otherwise now" });
    for (const node of [C, D]) round.answered(node, { kind: "promised" });
    round.proceed();
    expect([round.stage, round.waiting.size]).toEqual(["own-promise", 0]);
  });
});
