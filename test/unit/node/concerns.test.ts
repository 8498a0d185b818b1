import { expect, it } from "vitest";
import { concernsOf } from "../../../services/node/concerns.ts";
import { nodeId } from "../cluster/bootstrap-world.ts";

const node = nodeId("a");

it("a node that lacks nothing and knows few former members has no concerns, before it is a member too", () => {
  expect(concernsOf({ node, suspectPartitions: 0, set: undefined })).toEqual([]);
  expect(concernsOf({ node, suspectPartitions: 0, set: { fill: 0.74 } })).toEqual([]);
});

it("says what may be missing, and that the room for records runs out while there still is some", () => {
  expect(concernsOf({ node, suspectPartitions: 2, set: { fill: 0.809 } })).toEqual([
    "2 partitions of node a may lack acknowledged writes",
    "records of former members take 80 % of their room: at 100 % nobody can join any more",
  ]);
});

it("records of members that are not taken are told of with the reason, the first of many", () => {
  const refused = Array.from({ length: 5 }, (_, i) => ({ node, key: `k${i}`, reason: "too new" }));
  const concerns = concernsOf({ node, suspectPartitions: 0, set: undefined, refused });
  expect(concerns).toHaveLength(4);
  expect(concerns[0]).toBe("node a does not take the record of node a (key k0) that others have: too new");
  expect(concerns.at(-1)).toBe("node a does not take 2 more records of members that others have");
});

it("records that nobody has any more are told of, with where to look", () => {
  expect(concernsOf({ node, suspectPartitions: 0, lostKeys: 0, set: undefined })).toEqual([]);
  expect(concernsOf({ node, suspectPartitions: 0, lostKeys: 3, set: undefined })).toEqual([
    expect.stringMatching(/^3 records of node a cannot be read and nobody else has them: .*anti-entropy\.records-lost/),
  ]);
});
