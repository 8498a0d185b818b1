/** The leader of collections, over holders that are not there: which partitions have their turn, and what roots it tells. */
import { describe, expect, test } from "vitest";
import type { HolderTable } from "../../../services/placement/holder-table.ts";
import { CollectFloors } from "../../../services/repair/collect-floors-core.ts";
import { CollectLeader, type LeaderParts } from "../../../services/repair/collect-leader.ts";
import { type AskedQuestion, encodeAnswer, parseQuestion } from "../../../services/repair/collect-messages.ts";
import type { CollectSweep } from "../../../services/repair/collect-sweep.ts";
import type { PairViews, SlotRules } from "../../../services/repair/exchange-view.ts";
import { EventLog } from "../../support/replica-fixture.ts";
import { nodeIdOf } from "../../support/sim-peers.ts";

const NODES = [1, 2, 3].map((at) => nodeIdOf(`n${at}`));
const READY = { readyCount: 1, tombstoneCount: 1, oldestCounter: 1, nextCounter: 0 };

interface Fakes {
  readonly partitionCount: number;
  readonly root?: (partition: number, slot: number) => bigint | Promise<bigint>;
  readonly plainRoot?: () => bigint;
}

/** A leader of all partitions; everyone finds all copies different. `asked`: what was asked of whom. */
function leaderOf({ partitionCount, root = () => 1n, plainRoot = () => 1n }: Fakes) {
  const asked: AskedQuestion[] = [];
  const claims = NODES.map((node, slot) => ({ node, slot }));
  const leader = new CollectLeader({
    self: NODES[0],
    store: { collectableCountOf: () => 1, isSuspect: () => false, merkleRoot: plainRoot, partitionCount },
    floors: new CollectFloors(partitionCount),
    sweep: { census: async () => READY } as unknown as CollectSweep,
    views: {
      sightOf: (partition: number, slots: { readonly peer: number }) => ({ partition, higherSlot: slots.peer }),
      root: ({ partition, higherSlot }: { readonly partition: number; readonly higherSlot: number }) =>
        root(partition, higherSlot),
    } as unknown as PairViews,
    rules: { fingerprint: () => 7n } as unknown as SlotRules,
    times: { minAgeMs: 1, settleMs: 1, everyMs: 1, hearMs: 1 },
    table: () => ({ replicaCount: 3, claimsOf: () => claims }) as unknown as HolderTable,
    slotOf: () => 0,
    isMoving: () => false,
    members: () => NODES,
    isAlive: () => true,
    membersHash: () => "all",
    clock: { wallMicros: () => 1e12 } as LeaderParts["clock"],
    log: new EventLog(),
    ask: async (_to, _topic, body) => {
      const question = parseQuestion(body)?.question;
      if (question === undefined) return undefined;
      asked.push(question);
      if (question.kind === "promise") return encodeAnswer({ kind: "promised" });
      if (question.kind === "look")
        return encodeAnswer({ kind: "looked", verdicts: question.items.map(() => "differs") });
      return encodeAnswer({ kind: question.kind === "hints" ? "hints" : "noted", partitions: [] });
    },
    pause: async () => undefined,
    isStopped: () => false,
  } as LeaderParts);
  return { leader, asked };
}

describe("a leader", () => {
  test("of more partitions than a round has room for takes all in turn, though the first never come to an end", async () => {
    const { leader, asked } = leaderOf({ partitionCount: 1_200 });
    for (let round = 0; round < 3; round += 1) await leader.lead();
    const seen = new Set(asked.flatMap((question) => (question.kind === "hints" ? question.partitions : [])));
    expect(seen.size).toBe(1_200);
  });

  test("tells all holders roots of one moment: none while its copy changes between them", async () => {
    let version = 1n;
    const still = leaderOf({
      partitionCount: 1,
      root: async (_, slot) => BigInt(slot) + 100n,
      plainRoot: () => version,
    });
    await still.leader.lead();
    const rootsOf = (asked: readonly AskedQuestion[]): ReadonlySet<bigint> =>
      new Set(asked.flatMap((question) => (question.kind === "look" ? question.items.map(({ root }) => root) : [])));
    expect(rootsOf(still.asked)).toEqual(new Set([100n, 101n, 102n]));
    const moving = leaderOf({
      partitionCount: 1,
      root: async (_, slot) => {
        version += 1n;
        return BigInt(slot) + 100n;
      },
      plainRoot: () => version,
    });
    await moving.leader.lead();
    for (const root of [100n, 101n, 102n]) expect(rootsOf(moving.asked)).not.toContain(root);
  });
});
