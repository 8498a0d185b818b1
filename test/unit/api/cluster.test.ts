/** The verdict, GET /v1/cluster, /v1/cluster/health, /v1/ring: the documents that operators and scripts read. */
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import type { ActiveMove, ClusterStatus } from "../../../services/api/cluster-door.ts";
import { agreementOf, spanText, verdictOf } from "../../../services/api/verdict.ts";
import { type ApiNode, apiNode, clusterMember, clusterStatus, node } from "../../support/api-node.ts";

let here: ApiNode;
beforeEach(() => {
  here = apiNode();
});

const get = async (url: string): Promise<{ status: number; body: Record<string, unknown> }> => {
  const reply = await here.api.inject({ url });
  return { status: reply.statusCode, body: reply.json() };
};
const FIT = { isDiskWritable: true, isDegraded: false, loopDelayMs: 2, health: 0 };
const move: ActiveMove = {
  partition: 5,
  slot: 1,
  from: node("n2"),
  to: node("n4"),
  phase: "copying",
  bytes: 1_000,
  keys: 10,
  stalled: undefined,
};

describe("the verdict", () => {
  it("is healthy when nothing is wrong, also while slots move and nodes join or leave", () => {
    const moves = { partitionsLeft: 9, copiesLeft: 12, bytesPerSecond: 1e6, etaSeconds: 40, active: [move] };
    const members = [
      clusterMember("n1"),
      clusterMember("n2", { status: "leaving", outgoing: 12 }),
      clusterMember("n4", { status: "joining", slotsHeld: 0, incoming: 12 }),
    ];
    expect(verdictOf(clusterStatus({ moves, members }), "all")).toEqual({
      verdict: "healthy",
      reasons: [],
      partitionsWithoutQuorum: 0,
    });
  });

  it.each<{ readonly name: string; readonly change: Partial<ClusterStatus>; readonly says: string }>([
    {
      name: "a member that is down",
      change: { members: [clusterMember("n2", { liveness: "dead", sinceMs: 12_400 })] },
      says: "node n2 is down, for 12 s",
    },
    {
      name: "a member that is suspected",
      change: { members: [clusterMember("n2", { liveness: "suspect", sinceMs: 300 })] },
      says: "node n2 has not answered probes for 0.3 s",
    },
    {
      name: "a member that was stopped",
      change: { members: [clusterMember("n2", { liveness: "left", sinceMs: 7_300_000 })] },
      says: "node n2 was stopped 2 h ago",
    },
    {
      name: "a member that was never heard",
      change: { members: [clusterMember("n2", { liveness: "unknown" })] },
      says: "nothing has been heard of node n2 yet",
    },
    {
      name: "a disk that takes no writes",
      change: {
        members: [clusterMember("n3", { fitness: { ...FIT, isDiskWritable: false } })],
      },
      says: "the disk of node n3 takes no writes",
    },
    {
      name: "a disk that is slow",
      change: { members: [clusterMember("n3", { fitness: { ...FIT, isDegraded: true } })] },
      says: "the disk of node n3 is slow: others ask it last",
    },
    {
      name: "a slot that nobody holds",
      change: { vacant: [{ partition: 3, slot: 1 }] },
      says: "1 slots are held by nobody since their holder was removed",
    },
    {
      name: "a move that stands still",
      change: {
        moves: {
          partitionsLeft: 1,
          copiesLeft: 1,
          bytesPerSecond: 0,
          etaSeconds: undefined,
          active: [
            { ...move, stalled: "n2 does not answer" },
            { ...move, partition: 6, stalled: "n2 does not answer" },
          ],
        },
      },
      says: "2 moves stand still: n2 does not answer",
    },
    {
      name: "what the node itself says",
      change: { concerns: ["2 partitions of this node may lack writes"] },
      says: "2 partitions of this node may lack writes",
    },
  ])("is degraded by $name", ({ change, says }) => {
    expect(verdictOf(clusterStatus(change), "quorum")).toEqual({
      verdict: "degraded",
      reasons: [says],
      partitionsWithoutQuorum: 0,
    });
  });

  it("does not mind nodes that are out of the ring", () => {
    const out = (["waiting", "left", "removed"] as const).map((status) =>
      clusterMember(`x-${status}`, { status, liveness: "dead" }),
    );
    expect(verdictOf(clusterStatus({ members: [clusterMember("n1"), ...out] }), "quorum").verdict).toBe("healthy");
  });

  it("is unavailable before the cluster is made, and says what is waited for", () => {
    const facts = clusterStatus({ waitingFor: "1 of 3 expected members seen", reachableHolders: [], partitions: 0 });
    expect(verdictOf(facts, "one")).toMatchObject({
      verdict: "unavailable",
      reasons: ["1 of 3 expected members seen"],
    });
  });

  it("is unavailable at a level exactly when a partition has fewer holders up than the level asks for", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 20 }),
        fc.integer({ min: 1, max: 5 }),
        (holders, replicas) => {
          const facts = clusterStatus({ reachableHolders: holders, replicas, partitions: holders.length });
          const needs = { one: 1, quorum: Math.floor(replicas / 2) + 1, all: replicas };
          for (const level of ["one", "quorum", "all"] as const) {
            const short = holders.filter((count) => count < needs[level]).length;
            const { verdict, partitionsWithoutQuorum, reasons } = verdictOf(facts, level);
            expect(partitionsWithoutQuorum).toBe(short);
            expect(verdict === "unavailable").toBe(short > 0);
            expect(verdict === "healthy").toBe(reasons.length === 0);
            expect(verdict === "healthy").toBe(holders.every((count) => count >= replicas));
          }
        },
      ),
    );
  });

  it.each([
    [400, "0.4 s"],
    [9_990, "10.0 s"],
    [12_400, "12 s"],
    [300_000, "5 min"],
    [10_800_000, "3 h"],
    [180_000_000, "2 d"],
  ])("says %d ms as %s", (ms, text) => {
    expect(spanText(ms)).toBe(text);
  });
});

describe("agreement", () => {
  it("holds when every member that can be asked knows the same records", () => {
    expect(agreementOf(clusterStatus())).toEqual({ isAgreed: true, differing: [] });
    const members = [
      clusterMember("n1"),
      clusterMember("n2", { recordsHash: "00000000000000dd" }),
      clusterMember("n3", { recordsHash: "00000000000000dd", liveness: "dead" }),
      clusterMember("n4", { recordsHash: undefined }),
      clusterMember("n5", { recordsHash: "00000000000000dd", status: "removed" }),
    ];
    expect(agreementOf(clusterStatus({ members }))).toEqual({ isAgreed: false, differing: ["n2"] });
  });
});

describe("GET /v1/cluster", () => {
  it("is one document with nothing left out", async () => {
    const { status, body } = await get("/v1/cluster");
    expect(status).toBe(200);
    expect(body).toEqual({
      verdict: "healthy",
      reasons: [],
      cluster: "gyre",
      clusterId: "c1",
      node: "n1",
      waitingFor: null,
      partitions: 64,
      replicas: 3,
      ringHash: "00000000000000ff",
      recordsHash: "00000000000000cc",
      agreed: true,
      differing: [],
      members: expect.any(Array),
      moves: { partitionsLeft: 0, copiesLeft: 0, bytesPerSecond: 0, etaSeconds: 0, active: [], stalled: [] },
      underReplicated: { count: 0, partitions: [] },
      vacantSlots: { count: 0, slots: [] },
      pendingPlan: null,
      details: { recovery: { mode: "clean" } },
    });
    expect(body["members"]).toHaveLength(3);
    expect((body["members"] as readonly unknown[])[0]).toEqual({
      node: "n1",
      memberKey: "00000000000000a1",
      status: "normal",
      liveness: "alive",
      sinceMs: 60_000,
      fitness: { diskWritable: true, degraded: false, loopDelayMs: 1, health: 0 },
      address: "127.0.0.1:4501",
      zone: "z1",
      host: "h1",
      weight: 1,
      slotsHeld: 64,
      slotsTarget: 64,
      incoming: 0,
      outgoing: 0,
      recordsHash: "00000000000000cc",
    });
  });

  it("shows what is unknown as null, and long lists by their first entries", async () => {
    const unknown = { slot: undefined, from: undefined, bytes: undefined, keys: undefined };
    const active = [{ ...move, ...unknown, phase: "minting", stalled: "too few sources" } as const];
    here.door.facts = clusterStatus({
      members: [clusterMember("n1", { fitness: undefined, recordsHash: undefined, sinceMs: 1.6 })],
      moves: { partitionsLeft: 64, copiesLeft: 64, bytesPerSecond: 10.4, etaSeconds: undefined, active },
      reachableHolders: new Uint8Array(64).fill(2),
      vacant: Array.from({ length: 64 }, (_, partition) => ({ partition, slot: 2 })),
      pendingPlan: {
        planHash: "00112233445566aa",
        changes: [{ kind: "weight", node: node("n1"), weight: 2 }],
        ageMs: 1_000.4,
      },
    });
    const { body } = await get("/v1/cluster");
    expect(body).toMatchObject({
      verdict: "degraded",
      members: [{ fitness: null, recordsHash: null, sinceMs: 2 }],
      moves: {
        copiesLeft: 64,
        bytesPerSecond: 10,
        etaSeconds: null,
        active: [
          { slot: null, from: null, to: "n4", phase: "minting", bytes: null, keys: null, stalled: "too few sources" },
        ],
        stalled: ["1 move stands still: too few sources"],
      },
      underReplicated: { count: 64 },
      vacantSlots: { count: 64 },
      pendingPlan: { planHash: "00112233445566aa", changes: [{ kind: "weight", node: "n1", weight: 2 }], ageMs: 1_000 },
    });
    expect((body["underReplicated"] as { partitions: unknown[] }).partitions).toHaveLength(16);
    expect((body["vacantSlots"] as { slots: unknown[] }).slots).toHaveLength(16);
  });
});

describe("GET /v1/cluster/health", () => {
  it("is 200 while every partition serves at the level, also degraded, and 503 when some do not", async () => {
    expect(await get("/v1/cluster/health?consistency=all")).toMatchObject({
      status: 200,
      body: { verdict: "healthy", consistency: "all" },
    });
    here.door.facts = clusterStatus({ reachableHolders: new Uint8Array(64).fill(2) });
    expect(await get("/v1/cluster/health")).toMatchObject({
      status: 200,
      body: { verdict: "degraded", consistency: "quorum" },
    });
    expect(await get("/v1/cluster/health?consistency=all")).toMatchObject({
      status: 503,
      body: { code: "quorum_not_met", verdict: "unavailable", partitionsWithoutQuorum: 64 },
    });
    expect((await get("/v1/cluster/health?consistency=one")).status).toBe(200);
    expect((await get("/v1/cluster/health?consistency=some")).status).toBe(400);
  });
});

describe("GET /v1/ring", () => {
  it("is the whole ring, or a page of it with where the next one begins", async () => {
    const whole = (await get("/v1/ring")).body;
    expect([(whole["partitions"] as unknown[]).length, whole["partitionCount"], whole["next"]]).toEqual([64, 64, null]);
    const page = (await get("/v1/ring?from=60&limit=3")).body;
    expect(page).toMatchObject({
      ringHash: "00000000000000ff",
      partitions: [{ partition: 60, owners: ["n1", "n2", "n3"], pending: [], departing: [], vacant: [] }, {}, {}],
      next: 63,
    });
    expect((await get("/v1/ring?from=63&limit=3")).body).toMatchObject({ partitions: [{ partition: 63 }], next: null });
    expect((await get("/v1/ring?from=64")).body).toMatchObject({ partitions: [], next: null });
  });

  it.each(["from=-1", "limit=0", "limit=many", "limit=9999", "page=2"])("refuses ?%s", async (query) => {
    expect(await get(`/v1/ring?${query}`)).toMatchObject({ status: 400, body: { code: "invalid_request" } });
  });

  it("tells who holds a key", async () => {
    expect((await get("/v1/ring/b/a%2Fb")).body).toEqual({
      bucket: "b",
      key: "a/b",
      ringHash: "00000000000000ff",
      partition: 7,
      owners: ["n1", "n2", "n3"],
      pending: [],
      departing: [],
      fallbacks: [],
      vacant: [],
      healing: {
        holders: [
          { node: "n2", lastVerifiedAt: "2023-11-14T22:13:20.000Z" },
          { node: "n3", lastVerifiedAt: null },
        ],
        tombstonesWaitFor: "node n3 is away",
      },
    });
  });

  it("leaves out when holders were compared where this node is none of them: null would say never", async () => {
    here.door.isHolder = false;
    expect((await get("/v1/ring/b/a%2Fb")).body["healing"]).toEqual({
      holders: [{ node: "n2" }, { node: "n3" }],
      tombstonesWaitFor: "node n3 is away",
    });
  });
});
