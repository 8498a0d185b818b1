/** Named scenarios of healing without reads: hints and anti-entropy alone. Numbers and names: research notes on reliability, §6.4. */
import { describe, expect, test } from "vitest";
import { play, type Stage } from "../scenario-stage.ts";
import type { SimClient } from "../sim-client.ts";
import { keyName } from "../sim-values.ts";

const SEEDS = ["a", "b", "c"];
const POWER = { kind: "power", outcome: { pages: "dropped", names: "dropped" } } as const;
/** Until gossip holds a node for dead, and nobody waits for it any more. */
const UNHEARD_MS = 8_000;
const HEALED_WITHIN_MS = 1_800_000;

/** Writes the keys, each once, through any node; answers how many were applied. */
async function writeAll(on: Stage, client: SimClient, keyCount: number): Promise<number> {
  let count = 0;
  for (let at = 0; at < keyCount; at += 1) {
    const door = on.anyDoor();
    if (door === undefined) continue;
    const key = keyName(at);
    const answer = await client.write(door, key, { kind: "put", basis: client.seen(key) ?? "blind-sibling" });
    if (answer !== "gone" && answer.kind === "applied") count += 1;
  }
  return count;
}

describe("scenario 3: wiped-disk-rejoin", () => {
  test.each(SEEDS)(
    "a node whose disk is gone comes back under its name while clients write: nothing is lost (seed %s)",
    async (seed) => {
      const keyCount = 40;
      const { stage } = await play({ seed: `3${seed}`, memberCount: 4, keyCount }, async (on) => {
        const client = on.client();
        await writeAll(on, client, keyCount);
        await on.sleep(1_000);
        on.cluster.wipe(1, "auto");
        await on.sleep(500);
        on.cluster.start(1);
        await writeAll(on, client, keyCount);
        await on.allServe();
        await on.settled();
        await writeAll(on, client, keyCount);
        await on.finish();
      });
      expect(stage.violations).toEqual([]);
    },
  );
});

describe("scenario 16: hint-durable-before-ack", () => {
  test.each(SEEDS)(
    "a stand-in that loses power right after the answer still brings the write to its owner (seed %s)",
    async (seed) => {
      const { stage, told } = await play({ seed: `16${seed}`, memberCount: 5, keyCount: 1 }, async (on) => {
        const key = keyName(0);
        const [first = 0, second = 1, third = 2] = on.ownersOf(key);
        on.cluster.end(second, POWER);
        on.cluster.end(third, POWER);
        await on.sleep(UNHEARD_MS);
        const client = on.client({ sloppy: true, w: 2 });
        const door = on.door(first);
        if (door === undefined) throw new Error("an owner does not run");
        const answer = await client.write(door, key, { kind: "put", basis: "blind-sibling" });
        // at once: everyone who is left loses power, and what was not durable is gone
        for (let node = 0; node < 5; node += 1) on.cluster.end(node, POWER);
        // the owner that has it stays away: only hints can bring the write to the others
        for (let node = 0; node < 5; node += 1) if (node !== first) on.cluster.start(node);
        const hasIt = async (node: number): Promise<boolean> =>
          on.cluster.inside(node) !== undefined && (await on.heldIds(node, key))?.length === 1;
        const startedMs = on.nowMs;
        while (!((await hasIt(second)) || (await hasIt(third))) && on.nowMs < startedMs + 120_000) await on.sleep(100);
        const tookMs = on.nowMs - startedMs;
        await on.finish();
        return { answer, tookMs };
      });
      expect(stage.violations).toEqual([]);
      // the owner that is left, or both stand-ins before it: whoever was first to have it durably
      const acks = told.answer !== "gone" && told.answer.kind === "applied" ? told.answer.acks : undefined;
      expect(acks).toMatchObject({ received: 2, durable: 2 });
      expect(acks?.fallbacks).toBeGreaterThanOrEqual(1);
      expect(told.tookMs).toBeLessThan(60_000);
    },
  );
});

describe("scenario 17: hint-overflow-flags-repair", () => {
  test.each(SEEDS)(
    "a node is away for twice the window, others give up hints and flag partitions: it gets everything (seed %s)",
    async (seed) => {
      const keyCount = 60;
      const config = { hintsMaxBytes: 16_384, hintsWindowMs: 120_000 };
      const { stage, told } = await play({ seed: `17${seed}`, memberCount: 5, keyCount, config }, async (on) => {
        const client = on.client({ sloppy: true });
        await writeAll(on, client, keyCount);
        on.cluster.end(1, { kind: "kill" });
        await on.sleep(UNHEARD_MS);
        let applied = await writeAll(on, client, keyCount);
        await on.sleep(150_000);
        applied += await writeAll(on, client, keyCount);
        await on.sleep(90_000);
        const kept = [0, 2, 3, 4].map((node) => on.node(node).hints());
        await on.allServe();
        const areEqual = await on.until(() => on.areRootsEqual(), HEALED_WITHIN_MS);
        const isDelivered = await on.until(
          () => [0, 1, 2, 3, 4].every((node) => on.node(node).hints().count + on.node(node).hints().markerCount === 0),
          HEALED_WITHIN_MS,
        );
        const isRepaired = await on.until(
          () => [0, 1, 2, 3, 4].every((node) => on.node(node).hints().flaggedPartitions === 0),
          HEALED_WITHIN_MS,
        );
        await on.finish();
        return { applied, kept, areEqual, isDelivered, isRepaired };
      });
      expect(stage.violations).toEqual([]);
      expect(told.applied).toBe(120);
      expect(told.kept.reduce((sum, { flaggedPartitions }) => sum + flaggedPartitions, 0)).toBeGreaterThan(0);
      expect(told).toMatchObject({ areEqual: true, isDelivered: true, isRepaired: true });
    },
  );
});

describe("scenario 22: merkle-idle-silence", () => {
  test("on a cluster in which nothing differs an hour of anti-entropy compares roots and moves nothing", async () => {
    const { stage, told } = await play({ seed: "22", keyCount: 60 }, async (on) => {
      await writeAll(on, on.client(), 60);
      const areEqual = await on.until(() => on.areRootsEqual(), HEALED_WITHIN_MS);
      await on.sleep(600_000);
      const before = [0, 1, 2].map((node) => on.node(node).healing.status());
      await on.sleep(3_600_000);
      const after = [0, 1, 2].map((node) => on.node(node).healing.status());
      await on.finish();
      return { areEqual, before, after };
    });
    expect(stage.violations).toEqual([]);
    expect(told.areEqual).toBe(true);
    for (const [node, status] of told.after.entries()) {
      const before = told.before[node];
      expect(status).toMatchObject({
        exchanges: before?.exchanges,
        pulledKeys: before?.pulledKeys,
        suspectPartitions: 0,
      });
      expect([status.pushedKeys, status.sentBytes]).toEqual([before?.pushedKeys, before?.sentBytes]);
      expect(status.neverVerified).toBe(0);
      expect(status.oldestUnverified?.ageMs).toBeLessThan(3_600_000);
    }
    expect(told.after.reduce((sum, status) => sum + status.comparedRoots, 0)).toBeGreaterThan(
      told.before.reduce((sum, status) => sum + status.comparedRoots, 0),
    );
  });
});

describe("scenario 23: merkle-tree-lies", () => {
  test.each(SEEDS)(
    "after crashes of all kinds trees say what the stores hold, and repair comes to an end (seed %s)",
    async (seed) => {
      const { stage, told } = await play({ seed: `23${seed}`, keyCount: 40 }, async (on) => {
        const client = on.client();
        for (let round = 0; round < 6; round += 1) {
          await writeAll(on, client, 40);
          const node = on.random.below(3);
          const pages = (["dropped", "torn", "garbage", "random"] as const)[on.random.below(4)] ?? "dropped";
          on.cluster.end(node, { kind: "power", outcome: { pages, names: "applied" } });
          await writeAll(on, client, 40);
          await on.allServe();
        }
        const areEqual = await on.until(() => on.areRootsEqual(), HEALED_WITHIN_MS);
        const isQuiet = await on.until(
          () => [0, 1, 2].every((node) => on.node(node).healing.status().suspectPartitions === 0),
          HEALED_WITHIN_MS,
        );
        for (let node = 0; node < 3; node += 1) on.cluster.end(node, { kind: "kill" });
        await on.allServe();
        const areEqualAgain = on.areRootsEqual();
        await on.finish();
        return { areEqual, isQuiet, areEqualAgain };
      });
      expect(stage.violations).toEqual([]);
      // equal before and after a start, which builds every tree anew from the store
      expect(told).toEqual({ areEqual: true, isQuiet: true, areEqualAgain: true });
    },
  );
});

describe("scenario 9: bitrot-minority", () => {
  test.each(SEEDS)(
    "bits that flip on one of three disks are never read, all are found and mended, none spreads (seed %s)",
    async (seed) => {
      const keyCount = 120;
      const { stage, told } = await play({ seed: `9${seed}`, keyCount }, async (on) => {
        on.isStrict = true;
        const client = on.client();
        for (let round = 0; round < 2; round += 1) await writeAll(on, client, keyCount);
        await on.sleep(2_000);
        on.cluster.rot(1, 60, on.random.fork("rot"));
        let notFound = 0;
        const readAll = async (): Promise<void> => {
          for (let at = 0; at < keyCount; at += 1) {
            const door = on.door(at % 3);
            const answer = door === undefined ? undefined : await client.read(door, keyName(at));
            if (answer !== "gone" && answer?.kind !== "found") notFound += 1;
          }
        };
        await readAll();
        const scrubbed = await on.node(1).engine.scrub();
        await readAll();
        const areEqual = await on.until(() => on.areRootsEqual(), HEALED_WITHIN_MS);
        const isTrusted = await on.until(() => on.node(1).engine.suspectPartitions().length === 0, HEALED_WITHIN_MS);
        // rotten bytes leave with the segments that held them
        let again = await on.node(1).engine.scrub();
        for (let pass = 0; pass < 4 && again.badCount > 0; pass += 1) {
          await on.sleep(60_000);
          again = await on.node(1).engine.scrub();
        }
        const others = [0, 2].map((node) => on.node(node).engine.stats().corruptReadCount);
        await on.finish();
        return { notFound, areEqual, isTrusted, scrubbed, again, others, restarts: on.cluster.fatalReasons.length };
      });
      expect(stage.violations).toEqual([]);
      expect(told.scrubbed.badCount).toBeGreaterThan(5);
      expect(told).toMatchObject({ notFound: 0, areEqual: true, isTrusted: true, others: [0, 0], restarts: 0 });
      expect(told.again.badCount).toBe(0);
    },
  );
});

describe("anti-entropy alone", () => {
  test.each(SEEDS)(
    "a node that was away for half of the writes has them all in the end, though nobody reads (seed %s)",
    async (seed) => {
      const { stage, told } = await play({ seed: `ae${seed}`, keyCount: 60 }, async (on) => {
        const client = on.client();
        await writeAll(on, client, 60);
        on.cluster.end(2, { kind: "kill" });
        await writeAll(on, client, 60);
        await on.allServe();
        const areEqual = await on.until(() => on.areRootsEqual(), HEALED_WITHIN_MS);
        await on.finish();
        return areEqual;
      });
      expect(stage.violations).toEqual([]);
      expect(told).toBe(true);
    },
  );
});
