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

it("records that nobody has any more are told of, with where to look", () => {
  expect(concernsOf({ node, suspectPartitions: 0, lostKeys: 0, set: undefined })).toEqual([]);
  expect(concernsOf({ node, suspectPartitions: 0, lostKeys: 3, set: undefined })).toEqual([
    expect.stringMatching(/^3 records of node a cannot be read and nobody else has them: .*anti-entropy\.records-lost/),
  ]);
});
