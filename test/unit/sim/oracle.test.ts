/** The oracle must fail when it should: each rule is shown a history that breaks it, and one that does not. */
import { describe, expect, test } from "vitest";
import { Oracle, type WriteRecord } from "../../sim/oracle.ts";

const KEY = "k";
const write = (id: number, part: Partial<WriteRecord> = {}): WriteRecord => ({
  id,
  key: KEY,
  kind: "put",
  saw: [],
  invokedAt: id * 10,
  returnedAt: id * 10 + 5,
  outcome: "applied",
  ...part,
});
const oracleOf = (...writes: readonly WriteRecord[]): Oracle => {
  const oracle = new Oracle();
  for (const one of writes) oracle.begin(one);
  return oracle;
};
const rulesOf = (oracle: Oracle): readonly string[] => [...new Set(oracle.violations.map((found) => found.rule))];
const readAt = (saw: readonly number[], invokedAt: number) => ({
  key: KEY,
  saw,
  invokedAt,
  returnedAt: invokedAt + 5,
  isStrict: true,
});

describe("what the slots have before anything is repaired", () => {
  test("an acknowledged write must be in a quorum of them, as it was or superseded", () => {
    const oracle = oracleOf(write(1), write(2, { saw: [1] }), write(3));
    oracle.onSlots(KEY, [[2, 3], [1], [3]], 2);
    expect(rulesOf(oracle)).toEqual(["too-few-copies"]);
    expect(oracle.violations.map((found) => found.detail.slice(0, 5))).toEqual(["put 2"]);
  });
  test("one that was seen and never acknowledged may be in one slot", () => {
    const oracle = oracleOf(write(1, { returnedAt: Number.POSITIVE_INFINITY }));
    oracle.onSlots(KEY, [[1], [], []], 2);
    expect(oracle.violations).toEqual([]);
  });
});

describe("what is left at the end", () => {
  test("an acknowledged write that nobody replaced must be there", () => {
    const oracle = oracleOf(write(1), write(2));
    oracle.onFinal(KEY, [1], "n1");
    expect(rulesOf(oracle)).toEqual(["acknowledged-write-lost"]);
  });
  test("both of two blind siblings standing is no violation", () => {
    const oracle = oracleOf(write(1), write(2));
    oracle.onFinal(KEY, [1, 2], "n1");
    expect(oracle.violations).toEqual([]);
  });
  test("a write replaced by one that had seen it may be gone", () => {
    const oracle = oracleOf(write(1), write(2, { saw: [1] }), write(3, { saw: [2] }));
    oracle.onFinal(KEY, [3], "n1");
    expect(oracle.violations).toEqual([]);
  });
  test("the replacer's absence is no excuse: the survivor itself must be there", () => {
    const oracle = oracleOf(write(1), write(2, { saw: [1], outcome: "unknown" }));
    oracle.onFinal(KEY, [], "n1");
    expect(rulesOf(oracle)).toEqual(["acknowledged-write-lost"]);
  });
  test("a write superseded by an acknowledged one must not come back", () => {
    const oracle = oracleOf(write(1), write(2, { saw: [1] }));
    oracle.onFinal(KEY, [1, 2], "n1");
    expect(rulesOf(oracle)).toEqual(["resurrected"]);
  });
  test("a deleted value must not come back", () => {
    const oracle = oracleOf(write(1), write(2, { kind: "delete", saw: [1] }));
    oracle.onFinal(KEY, [1], "n1");
    expect(rulesOf(oracle)).toEqual(["resurrected"]);
  });
  test("a write that was answered not_applied must be nowhere", () => {
    const oracle = oracleOf(write(1, { outcome: "not_applied" }));
    oracle.onFinal(KEY, [1], "n1");
    expect(rulesOf(oracle)).toEqual(["dishonest-not-applied"]);
  });
  test("a blind overwrite excuses what it may have replaced, and must be there itself", () => {
    const replaced = oracleOf(write(1), write(2, { saw: undefined }));
    replaced.onFinal(KEY, [2], "n1");
    expect(replaced.violations).toEqual([]);
    const lost = oracleOf(write(1), write(2, { saw: undefined }));
    lost.onFinal(KEY, [], "n1");
    expect(rulesOf(lost)).toEqual(["acknowledged-write-lost"]);
  });
  test("a blind overwrite that ended before a write began cannot have replaced it", () => {
    const oracle = oracleOf(write(1, { saw: undefined }), write(2));
    oracle.onFinal(KEY, [1], "n1");
    expect(rulesOf(oracle)).toEqual(["acknowledged-write-lost"]);
  });
  test("replicas that end differently have diverged", () => {
    const oracle = oracleOf(write(1));
    oracle.onConvergence(KEY, ["a", "a", "b"]);
    expect(rulesOf(oracle)).toEqual(["divergence"]);
  });
});

describe("what a read returns", () => {
  test("only values that were written", () => {
    const oracle = oracleOf(write(1));
    oracle.onRead(readAt([1, 9], 100));
    expect(rulesOf(oracle)).toEqual(["phantom-value"]);
  });
  test("no two values of which one had seen the other", () => {
    const oracle = oracleOf(write(1), write(2, { saw: [1], outcome: "unknown" }));
    oracle.onRead({ ...readAt([1, 2], 100), isStrict: false });
    expect(rulesOf(oracle)).toEqual(["not-an-antichain"]);
  });
  test("a strict read sees every write acknowledged before it began", () => {
    const oracle = oracleOf(write(1), write(2));
    oracle.onRead(readAt([1], 100));
    expect(rulesOf(oracle)).toEqual(["stale-read"]);
  });
  test("a strict read may miss a write that ended after it began", () => {
    const oracle = oracleOf(write(1), write(2, { returnedAt: 200 }));
    oracle.onRead(readAt([1], 100));
    expect(oracle.violations).toEqual([]);
  });
  test("a strict read never returns what an earlier acknowledged write had replaced", () => {
    const oracle = oracleOf(write(1), write(2, { saw: [1] }));
    oracle.onRead(readAt([1], 100));
    expect(rulesOf(oracle)).toContain("resurrected");
  });
  test("an unknown write that was seen counts as applied from then on", () => {
    const oracle = oracleOf(write(1, { outcome: "unknown" }));
    oracle.onRead(readAt([1], 100));
    oracle.onFinal(KEY, [], "n1");
    expect(rulesOf(oracle)).toEqual(["acknowledged-write-lost"]);
  });
});
