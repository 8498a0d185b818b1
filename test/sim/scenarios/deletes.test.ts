/** Named scenarios of deletes: they stay, and their tombstones go in the end. Numbers: research notes on reliability, §6.4. */
import { describe, expect, test } from "vitest";
import { play, type Stage } from "../scenario-stage.ts";
import type { SimClient } from "../sim-client.ts";
import { keyName } from "../sim-values.ts";

const LONG = 240_000;
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

function tombstonesAt(on: Stage, nodes: readonly number[]): number {
  return nodes.reduce((sum, node) => sum + on.node(node).engine.stats().tombstoneCount, 0);
}

describe("scenario 6: delete-no-resurrection", () => {
  test.each(["a", "b", "c"])(
    "what was deleted while a node was away stays deleted, and its tombstone waits for that node (seed %s)",
    { timeout: LONG },
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
