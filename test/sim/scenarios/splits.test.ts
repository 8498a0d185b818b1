/** Named scenarios of splits and bad links. Numbers and names: research notes on reliability, §6.4. */
import { describe, expect, test } from "vitest";
import { play, type Stage } from "../scenario-stage.ts";
import { keyName } from "../sim-values.ts";
import { keepBusy } from "./busy.ts";

/** Cuts every link between the two groups. */
function split(stage: Stage, left: readonly number[], right: readonly number[]): void {
  const { cluster } = stage;
  for (const one of left)
    for (const other of right) cluster.network.partition(cluster.hostOf(one), cluster.hostOf(other));
}

const SEEDS = ["a", "b", "c"];

/** Every node sees another majority: each is cut from the two opposite ones. */
function cutMajoritiesRing(stage: Stage, size: number): void {
  for (let node = 0; node < size; node += 1) {
    const opposite = (node + 2) % size;
    stage.cluster.network.partition(stage.cluster.hostOf(node), stage.cluster.hostOf(opposite));
  }
}

describe("scenario 4: partition-halves-siblings", () => {
  test.each(SEEDS)(
    "six clients write through a ring of majorities for a minute: nothing is lost, owners end alike (seed %s)",
    async (seed) => {
      const keyCount = 6;
      const { stage } = await play({ seed: `4${seed}`, memberCount: 5, keyCount }, async (on) => {
        let isOver = false;
        const business = { keyCount, thinkMs: 400, isOver: () => isOver };
        const clients = Array.from({ length: 6 }, () => keepBusy(on, on.client(), business));
        cutMajoritiesRing(on, 5);
        await on.sleep(60_000);
        on.cluster.network.heal();
        isOver = true;
        await Promise.all(clients);
        await on.finish();
      });
      expect(stage.violations).toEqual([]);
      expect(stage.counts.applied).toBeGreaterThan(100);
    },
  );
});

describe("scenario 13: honest-outcomes", () => {
  test.each(SEEDS)(
    "on links that lose two fifths of all frames, whatever was not applied leaves no trace (seed %s)",
    async (seed) => {
      const keyCount = 10;
      const { stage } = await play({ seed: `13${seed}`, keyCount }, async (on) => {
        let isOver = false;
        const business = { keyCount, thinkMs: 60, isOver: () => isOver };
        on.cluster.network.setAllFaults({ lossProbability: 0.4, cutProbability: 0.01 });
        const clients = Array.from({ length: 6 }, () => keepBusy(on, on.client({ timeoutMs: 150 }), business));
        await on.sleep(30_000);
        isOver = true;
        await Promise.all(clients);
        on.cluster.network.setAllFaults({ lossProbability: 0, cutProbability: 0 });
        await on.finish();
      });
      expect(stage.violations).toEqual([]);
      const { applied, notApplied, unknown } = stage.counts;
      expect(applied + notApplied + unknown).toBeGreaterThan(500);
      expect(Math.min(applied, unknown)).toBeGreaterThan(5);
    },
  );
});

describe("scenario 19: asymmetric-partition", () => {
  test.each(SEEDS)(
    "what one node says is not heard by another for five minutes: hardly any flapping, writes go on (seed %s)",
    async (seed) => {
      const keyCount = 6;
      const { stage, told } = await play({ seed: `19${seed}`, memberCount: 5, keyCount }, async (on) => {
        let isOver = false;
        const deaths = (): number => on.cluster.eventCounts.get("gossip.member-dead") ?? 0;
        const before = deaths();
        const business = { keyCount, thinkMs: 2_000, isOver: () => isOver };
        const clients = Array.from({ length: 4 }, () => keepBusy(on, on.client({ sloppy: true }), business));
        await on.sleep(1_000);
        on.cluster.network.block("n1", "n2");
        await on.sleep(300_000);
        on.cluster.network.heal();
        isOver = true;
        await Promise.all(clients);
        await on.finish();
        return deaths() - before;
      });
      expect(stage.violations).toEqual([]);
      // at most one a minute
      expect(told).toBeLessThanOrEqual(5);
      expect(stage.counts.notApplied + stage.counts.unknown).toBeLessThan(stage.counts.applied / 20);
    },
  );
});

describe("scenario 20: read-your-writes-strict", () => {
  test.each(SEEDS)(
    "a session that shows what it has seen never reads anything older, whatever crashes (seed %s)",
    async (seed) => {
      const keyCount = 4;
      const { stage } = await play({ seed: `20${seed}`, keyCount }, async (on) => {
        on.isStrict = true;
        let isOver = false;
        const business = { keyCount, thinkMs: 80, isOver: () => isOver };
        const clients = Array.from({ length: 4 }, () => keepBusy(on, on.client({ pr: 2, pw: 2 }), business));
        for (let round = 0; round < 12; round += 1) {
          const node = on.random.below(3);
          if (on.random.chance(0.5))
            on.cluster.end(node, { kind: "power", outcome: { pages: "torn", names: "applied" } });
          else on.cluster.network.partition(on.cluster.hostOf(node), on.cluster.hostOf((node + 1) % 3));
          await on.sleep(500 + on.random.float() * 1_000);
          on.cluster.network.heal();
          on.cluster.start(node);
        }
        isOver = true;
        await Promise.all(clients);
        await on.finish();
      });
      expect(stage.violations).toEqual([]);
      expect(stage.counts.found).toBeGreaterThan(100);
    },
  );
});

describe("scenario 21: sibling-bound", () => {
  test("blind writers meet the limit of siblings with an honest refusal, and one reader who writes resolves them", async () => {
    const { stage, told } = await play({ seed: "21", keyCount: 1 }, async (on) => {
      const refusals: string[] = [];
      for (let at = 0; at < 90; at += 1) {
        const door = on.anyDoor();
        if (door === undefined) continue;
        const answer = await on.client().write(door, keyName(0), { kind: "put", basis: "blind-sibling" });
        if (answer !== "gone" && answer.kind === "failed") refusals.push(`${answer.code} ${answer.outcome}`);
      }
      const reader = on.client();
      const door = on.anyDoor();
      if (door === undefined) throw new Error("nobody serves");
      await reader.read(door, keyName(0));
      const basis = reader.seen(keyName(0));
      if (basis === undefined) throw new Error("nothing was read");
      const resolved = await reader.write(door, keyName(0), { kind: "put", basis });
      const siblings = resolved !== "gone" && resolved.kind === "applied" ? resolved.siblingCount : -1;
      for (let at = 0; at < 20; at += 1) {
        const again = reader.seen(keyName(0));
        if (again !== undefined) await reader.write(door, keyName(0), { kind: "put", basis: again });
      }
      await on.finish();
      return { refusals, siblings, most: basis.saw.length };
    });
    expect(stage.violations).toEqual([]);
    expect(told.refusals.length).toBeGreaterThan(0);
    expect(new Set(told.refusals)).toEqual(new Set(["too_many_siblings not_applied"]));
    expect(told.most).toBeLessThanOrEqual(64);
    expect(told.siblings).toBe(1);
  });
});

describe("scenario 29: membership-on-both-sides", () => {
  test.each(SEEDS)(
    "a join on one side of a split and a leave on the other end, once it heals, in one table with every slot held once (seed %s)",
    async (seed) => {
      const keyCount = 8;
      const { stage, told } = await play({ seed: `29${seed}`, memberCount: 5, keyCount }, async (on) => {
        const { cluster } = on;
        let isOver = false;
        const business = { keyCount, thinkMs: 300, isOver: () => isOver };
        const clients = Array.from({ length: 4 }, () => keepBusy(on, on.client({ sloppy: true }), business));
        const joiner = cluster.addMachine();
        const leaver = 4;
        split(on, [0, 1, joiner], [2, 3, leaver]);
        cluster.wipe(joiner, "auto");
        cluster.start(joiner);
        const left = await on.node(2).operator.order(on.node(leaver).config.nodeId, { kind: "leave" });
        const statusSeenBy = (node: number, of: number): string | undefined =>
          on
            .node(node)
            .membership.set?.records()
            .find(({ nodeId }) => nodeId === cluster.hostOf(of))?.status;
        const isJoining = await on.until(() => statusSeenBy(1, joiner) === "joining", 60_000);
        await on.sleep(20_000);
        const apart = {
          left: left.kind,
          isJoining,
          recordHashes: new Set([0, 2].map((node) => on.node(node).membership.recordsHash)).size,
          joinerSeenAcross: statusSeenBy(2, joiner),
          leaverSeenAcross: statusSeenBy(0, leaver),
        };
        cluster.network.heal();
        await on.settled();
        isOver = true;
        await Promise.all(clients);
        await on.finish();
        return {
          apart,
          joiner: statusSeenBy(0, joiner),
          leaver: statusSeenBy(joiner, leaver),
          unrest: on.look.unrest(),
        };
      });
      expect(stage.violations).toEqual([]);
      expect(told.apart).toEqual({
        left: "done",
        isJoining: true,
        recordHashes: 2,
        joinerSeenAcross: undefined,
        leaverSeenAcross: "normal",
      });
      expect([told.joiner, told.leaver, told.unrest]).toEqual(["normal", "left", []]);
    },
  );
});
