/** Named scenarios of deletes: they stay, and their tombstones go in the end. Numbers: research notes on reliability, §6.4. */
import { describe, expect, test } from "vitest";
import { play, type Stage } from "../scenario-stage.ts";
import type { SimClient } from "../sim-client.ts";
import { SIM_PARTITIONS } from "../sim-machine.ts";
import { keyName, SIM_BUCKET } from "../sim-values.ts";

const POWER = { kind: "power", outcome: { pages: "dropped", names: "dropped" } } as const;
const UNHEARD_MS = 8_000;
const HOUR_MS = 3_600_000;
const KEYS = 24;

/** Writes or deletes the keys from `first` on, every `step`-th, each once, through any node; answers how many were applied. */
async function each(
  on: Stage,
  client: SimClient,
  what: { readonly kind: "put" | "delete"; readonly first: number; readonly step: number },
): Promise<number> {
  let count = 0;
  for (let at = what.first; at < KEYS; at += what.step) {
    const door = on.anyDoor();
    if (door === undefined) continue;
    const basis = client.seen(keyName(at)) ?? (what.kind === "put" ? "blind-sibling" : "blind-overwrite");
    const answer = await client.write(door, keyName(at), { kind: what.kind, basis });
    if (answer !== "gone" && answer.kind === "applied") count += 1;
  }
  return count;
}

/** A node takes its tombstones out by itself, as if age were proof. */
async function reapByTimer(on: Stage, node: number): Promise<void> {
  const { engine } = on.node(node);
  for (let partition = 0; partition < SIM_PARTITIONS; partition += 1) {
    const { entries } = await engine.scanCollectable(partition, 0n, 1_000);
    await engine.reap(partition, entries);
  }
}

function tombstonesAt(on: Stage, nodes: readonly number[]): number {
  return nodes.reduce((sum, node) => sum + on.node(node).engine.stats().tombstoneCount, 0);
}

describe("scenario 6: delete-no-resurrection", () => {
  test.each(["a", "b", "c"])(
    "what was deleted while a node was away stays deleted, and its tombstone waits for that node (seed %s)",
    async (seed) => {
      const { stage, told } = await play({ seed: `6${seed}`, memberCount: 4, keyCount: KEYS }, async (on) => {
        const client = on.client({ sloppy: true });
        await each(on, client, { kind: "put", first: 0, step: 1 });
        await on.sleep(60_000);
        on.cluster.end(2, POWER);
        await on.sleep(UNHEARD_MS);
        const deletedCount = await each(on, client, { kind: "delete", first: 0, step: 2 });
        // longer than hints are kept, and many times the age from which tombstones may go
        await on.sleep(4 * HOUR_MS);
        const away = [0, 1, 3].map((node) => on.node(node).collecting.status());
        const heldBefore = tombstonesAt(on, [0, 1, 3]);
        await on.allServe();
        const isClean = await on.until(() => tombstonesAt(on, [0, 1, 2, 3]) === 0, 6 * HOUR_MS);
        const after = [0, 1, 2, 3].map((node) => on.node(node).collecting.status());
        await each(on, client, { kind: "put", first: 0, step: 4 });
        await on.finish();
        return { deletedCount, away, heldBefore, isClean, after };
      });
      expect(stage.violations).toEqual([]);
      expect(told.deletedCount).toBe(KEYS / 2);
      expect(told.away.map((status) => status.collected)).toEqual([0, 0, 0]);
      expect(told.heldBefore).toBeGreaterThanOrEqual(told.deletedCount * 2);
      const reasons = told.away.flatMap((status) => Object.keys(status.waiting));
      expect(new Set(reasons)).toEqual(new Set(["node n3 is away"]));
      expect(told.isClean, JSON.stringify(told.after)).toBe(true);
      expect(told.after.reduce((sum, status) => sum + status.collected, 0)).toBeGreaterThan(told.heldBefore);
    },
  );
});

describe("a delete without a context, through an owner that has missed writes", () => {
  // Seeds with which the node that is back has links to the others, and not yet what it missed.
  test.each(["b", "c"])("removes what the other owners have (seed %s)", async (seed) => {
    const { stage, told } = await play({ seed: `blind${seed}`, memberCount: 4, keyCount: KEYS }, async (on) => {
      const client = on.client();
      await each(on, client, { kind: "put", first: 0, step: 1 });
      await on.sleep(60_000);
      on.cluster.end(0, POWER);
      await on.sleep(UNHEARD_MS);
      await each(on, client, { kind: "put", first: 0, step: 1 });
      on.cluster.start(0);
      // at once: what it missed has not been handed over yet
      await on.until(() => on.door(0) !== undefined, 60_000);
      const [back, other] = [on.door(0), on.door(1)];
      if (back === undefined || other === undefined) throw new Error("a node does not run");
      const blind = on.client();
      const lacking = await lackedBy(on, 0);
      const left: string[] = [];
      let appliedCount = 0;
      for (const key of lacking.slice(0, 4)) {
        const answer = await blind.write(back, key, { kind: "delete", basis: "blind-overwrite" });
        if (answer === "gone" || answer.kind !== "applied") continue;
        appliedCount += 1;
        const read = await blind.read(other, key);
        if (read === "gone" || read.kind !== "deleted") left.push(key);
      }
      await on.finish();
      return { lackingCount: lacking.length, appliedCount, left };
    });
    expect(stage.violations).toEqual([]);
    expect(told.lackingCount).toBeGreaterThan(3);
    // a delete that is refused removes nothing, and proves nothing
    expect(told.appliedCount).toBeGreaterThan(0);
    expect(told.left).toEqual([]);
  });
});

/** The keys of which a node that owns them has another value than the next owner. */
async function lackedBy(on: Stage, node: number): Promise<readonly string[]> {
  const lacking: string[] = [];
  for (let at = 0; at < KEYS; at += 1) {
    const key = keyName(at);
    const owners = on.ownersOf(key);
    const other = owners.find((owner) => owner !== node);
    if (!owners.includes(node) || other === undefined) continue;
    const [here, there] = [await on.heldIds(node, key), await on.heldIds(other, key)];
    if (JSON.stringify(here) !== JSON.stringify(there)) lacking.push(key);
  }
  return lacking;
}

describe("a disk set back to before the deletes", () => {
  test.each(["a", "b"])(
    "comes back after the tombstones have gone, and brings nothing back (seed %s)",
    async (seed) => {
      const { stage, told } = await play({ seed: `back${seed}`, keyCount: KEYS }, async (on) => {
        const client = on.client();
        await each(on, client, { kind: "put", first: 0, step: 1 });
        await on.sleep(60_000);
        on.cluster.takeSnapshot(2);
        await each(on, client, { kind: "delete", first: 0, step: 2 });
        const isClean = await on.until(() => tombstonesAt(on, [0, 1, 2]) === 0, 6 * HOUR_MS);
        on.cluster.end(2, { kind: "rollback" });
        await on.sleep(UNHEARD_MS);
        on.cluster.start(2);
        await on.allServe();
        await on.sleep(300_000);
        const held = await Promise.all(Array.from({ length: KEYS / 2 }, (_, at) => on.heldIds(2, keyName(2 * at))));
        await on.finish();
        return { isClean, values: held.flat().filter((id) => id !== undefined) };
      });
      expect(stage.violations).toEqual([]);
      expect(told).toEqual({ isClean: true, values: [] });
    },
  );
});

describe("a bucket with one replica for a while, and three again", () => {
  test.each(["a", "b"])(
    "gets nothing back of what was deleted meanwhile from the slots that were left out (seed %s)",
    async (seed) => {
      const { stage, told } = await play({ seed: `rules${seed}`, keyCount: KEYS }, async (on) => {
        const client = on.client();
        await each(on, client, { kind: "put", first: 0, step: 1 });
        await on.sleep(60_000);
        await on.node(1).buckets.patch(SIM_BUCKET, { n: 1, r: 1, w: 1 });
        await on.sleep(5_000);
        const deletedCount = await each(on, client, { kind: "delete", first: 0, step: 2 });
        const isClean = await on.until(() => tombstonesAt(on, [0, 1, 2]) === 0, 6 * HOUR_MS);
        const leftCount = (await heldValues(on)).length;
        await on.node(2).buckets.patch(SIM_BUCKET, { n: 3, r: 2, w: 2 });
        const seen: unknown[] = [];
        for (let at = 0; at < KEYS; at += 2) {
          const door = on.anyDoor();
          if (door !== undefined) seen.push(await client.read(door, keyName(at)));
        }
        await on.sleep(600_000);
        const values = await heldValues(on);
        await on.finish();
        return { deletedCount, isClean, leftCount, values };
      });
      expect(stage.violations).toEqual([]);
      expect(told).toMatchObject({ deletedCount: KEYS / 2, isClean: true, values: [] });
      // without them there would be nothing that could come back
      expect(told.leftCount).toBeGreaterThan(KEYS / 2);
    },
  );
});

/** Values of the keys that were deleted, at any node. */
async function heldValues(on: Stage): Promise<readonly number[]> {
  const held: number[] = [];
  for (let at = 0; at < KEYS; at += 2) {
    for (const node of [0, 1, 2]) held.push(...((await on.heldIds(node, keyName(at))) ?? []));
  }
  return held;
}

describe("the oracle finds", () => {
  test("tombstones that are taken out by age, while a node that has the values is away", async () => {
    const { stage } = await play({ seed: "timer", keyCount: KEYS }, async (on) => {
      const client = on.client();
      await each(on, client, { kind: "put", first: 0, step: 1 });
      await on.sleep(60_000);
      on.cluster.end(2, POWER);
      await on.sleep(UNHEARD_MS);
      await each(on, client, { kind: "delete", first: 0, step: 2 });
      await on.sleep(HOUR_MS);
      for (const node of [0, 1]) await reapByTimer(on, node);
      await on.allServe();
      await on.sleep(HOUR_MS);
      await on.finish();
    });
    expect(stage.violations.length).toBeGreaterThan(0);
  });
});
