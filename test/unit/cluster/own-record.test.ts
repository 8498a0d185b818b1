import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeOwnRecord,
  emptyOwnRecord,
  encodeOwnRecord,
  firstSlotsOf,
  OWN_RECORD_DOCUMENT,
  type OwnRecord,
  type Proposal,
} from "../../../services/cluster/own-record.ts";
import { openOwnRecord } from "../../../services/cluster/own-record-check.ts";
import { PLACEMENT_RULE } from "../../../services/placement/placement-table.ts";
import { nodeId, settingsFor } from "./bootstrap-world.ts";
import { KeptLog, MemoryDocuments } from "./cluster-fixtures.ts";

const shape = { expect: 3, replicaCount: 3 };
const settings = settingsFor("b", shape);
const { clusterName, partitionCount, replicaCount, bucketDefaults } = settings;
const members = ["a", "b", "c"].map((name) => settingsFor(name, shape).node);
const config: Proposal["config"] = {
  clusterId: "0123456789abcdef0123456789abcdef",
  clusterName,
  partitionCount,
  replicaCount,
  hashName: "xxh64",
  placementRule: PLACEMENT_RULE,
  members,
  bucketDefaults,
};
const proposal: Proposal = { proposer: nodeId("a"), attempt: 2, lineage: "f".repeat(32), config };
const empty = emptyOwnRecord(nodeId("b"), "test");
const prepared: OwnRecord = { ...empty, revision: 1, stage: { kind: "prepared", proposal } };
const member: OwnRecord = {
  ...empty,
  revision: 2,
  attempt: 1,
  lineage: "e".repeat(32),
  stage: { kind: "member", proposal, slots: firstSlotsOf(config, nodeId("b")) },
};

describe("a node's own record", () => {
  it.each([
    ["empty", empty],
    ["prepared", prepared],
    ["member", member],
  ])("reads back as written: %s", (_, record) => {
    expect(decodeOwnRecord(encodeOwnRecord(record))).toEqual({ kind: "record", record });
  });

  it("holds the slots that the placement gives, each slot of each partition once among the members", () => {
    const slots = members.map((one) => firstSlotsOf(config, one.id));
    for (let partition = 0; partition < partitionCount; partition += 1) {
      expect(slots.map((held) => held[partition]).toSorted()).toEqual([0, 1, 2]);
    }
  });

  it("is corrupt, never empty, when any byte of it changed", () => {
    const bytes = encodeOwnRecord(prepared);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const damaged = Uint8Array.from(bytes);
        damaged[at] = (damaged[at] ?? 0) ^ flip;
        expect(decodeOwnRecord(damaged).kind).toBe("corrupt");
      }),
    );
  });

  it("is corrupt when it was cut short, and absent only when there is none", () => {
    const bytes = encodeOwnRecord(member);
    for (const size of [0, 1, 8, 9, bytes.length - 1]) {
      expect(decodeOwnRecord(bytes.subarray(0, size)).kind).toBe("corrupt");
    }
    expect(decodeOwnRecord(undefined)).toEqual({ kind: "absent" });
  });
});

describe("opening a data directory", () => {
  function documentsWith(record: OwnRecord): MemoryDocuments {
    const documents = new MemoryDocuments();
    documents.files.set(OWN_RECORD_DOCUMENT, encodeOwnRecord(record));
    return documents;
  }

  it("refuses another node id, naming both", () => {
    const open = (): OwnRecord => openOwnRecord(documentsWith(member), settingsFor("c", shape), new KeptLog());
    expect(open).toThrow("the data directory belongs to node b, this process is configured as c");
  });

  it("refuses another cluster name, naming both", () => {
    const open = (): OwnRecord =>
      openOwnRecord(documentsWith(empty), { ...settings, clusterName: "other" }, new KeptLog());
    expect(open).toThrow("the data directory belongs to cluster test, this process is configured for other");
  });

  it("refuses a corrupt record", () => {
    const documents = documentsWith(member);
    documents.files.set(OWN_RECORD_DOCUMENT, encodeOwnRecord(member).subarray(0, 50));
    expect(() => openOwnRecord(documents, settings, new KeptLog())).toThrow("checksum does not match");
  });

  it("warns of what the configuration says in vain: Q and N are those of the record", () => {
    const log = new KeptLog();
    const record = openOwnRecord(documentsWith(member), { ...settings, partitionCount: 256, replicaCount: 2 }, log);
    expect(record).toEqual(member);
    expect(log.lines).toEqual([
      { level: "warn", event: "cluster.setting-overruled", setting: "partitions (Q)", recorded: 64, configured: 256 },
      { level: "warn", event: "cluster.setting-overruled", setting: "replicas (N)", recorded: 3, configured: 2 },
    ]);
  });

  it.each([
    ["no record", new MemoryDocuments()],
    ["a promise", documentsWith(prepared)],
    ["a member", documentsWith(member)],
  ])("warns of a Q that is not the store's: %s", (_, documents) => {
    const log = new KeptLog();
    openOwnRecord(documents, { ...settings, configuredPartitionCount: 256 }, log);
    expect(log.lines).toEqual([
      { level: "warn", event: "cluster.setting-overruled", setting: "partitions (Q)", recorded: 64, configured: 256 },
    ]);
  });

  it("warns of nothing else before the node is a member", () => {
    const log = new KeptLog();
    openOwnRecord(documentsWith(prepared), { ...settings, replicaCount: 2 }, log);
    expect(log.lines).toEqual([]);
  });
});
