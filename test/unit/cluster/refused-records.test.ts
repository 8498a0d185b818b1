import { describe, expect, it } from "vitest";
import { RefusedRecords } from "../../../services/cluster/refused-records.ts";
import type { MemberRecord } from "../../../services/placement/member-record.ts";
import { MembershipRig } from "./membership-rig.ts";

const rig = new MembershipRig(["n1", "n2"]);
const { membership, log } = rig.begin("n1");
const [first] = membership.set?.records() ?? [];
if (first === undefined) throw new Error("no record");
const recordOf = (version: number, key: string = first.key): MemberRecord => ({ ...first, key, version });

describe("a record that is refused", () => {
  it("is told once, however often it comes", () => {
    const refused = new RefusedRecords();
    const told = Array.from({ length: 50 }, (_, i) => refused.add(recordOf(7), "too new", i * 1_000));
    expect(told.filter(Boolean)).toHaveLength(1);
    expect(told[0]).toBe(true);
    expect(refused.shown(60_000)).toMatchObject([{ node: first.nodeId, key: first.key, reason: "too new" }]);
  });

  it("is told again as another version, less and less often", () => {
    const refused = new RefusedRecords();
    const told = Array.from({ length: 20 }, (_, i) => refused.add(recordOf(i), "too new", 0));
    expect(told.flatMap((isTold, i) => (isTold ? [i + 1] : []))).toEqual([1, 2, 4, 8, 16]);
  });

  it("is shown until it is taken, or has not come for two minutes", () => {
    const refused = new RefusedRecords();
    refused.add(recordOf(7), "too new", 0);
    expect(refused.shown(119_999)).toHaveLength(1);
    expect(refused.shown(120_000)).toEqual([]);
    refused.add(recordOf(7), "too new", 130_000);
    expect(refused.shown(130_000)).toHaveLength(1);
    refused.forget(first.key);
    expect(refused.shown(130_000)).toEqual([]);
  });

  it("takes no more room than 64 of them, and old ones make room", () => {
    const refused = new RefusedRecords();
    const told = Array.from({ length: 100 }, (_, i) => refused.add(recordOf(1, `k${i}`), "too many", 0));
    expect(told.filter(Boolean)).toHaveLength(64);
    expect(refused.add(recordOf(1, "later"), "too many", 120_000)).toBe(true);
  });
});

it("offered by a member at every comparison, is told once, and the node says why it does not take it", async () => {
  const wrong = { ...recordOf(1, "f".repeat(16)), weight: 1_000 };
  for (let i = 0; i < 5; i += 1) await membership.merge({ records: [wrong], removals: [] });
  expect(log.lines.filter(({ event }) => event === "membership.record-refused")).toHaveLength(1);
  expect(membership.refused()).toMatchObject([{ key: wrong.key }]);
});
