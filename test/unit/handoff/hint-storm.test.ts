/** Scenario 18, hint-storm, of the research notes on reliability (§6.4), in virtual time: many hold much for one that returns. */
import { describe, expect, test } from "vitest";
import {
  HINT_INTAKE_BYTES_PER_SECOND,
  HINT_TAKE_BYTES,
  MIN_HINT_INTAKE_BYTES_PER_SECOND,
} from "../../../services/base/hint-limits.ts";
import { HandoffRig } from "../../support/handoff-rig.ts";

const VALUE_BYTES = 4_096;
const KEYS = 600;

describe("scenario 18: hint-storm", () => {
  test.each([1, 0.1, 0.02])(
    "a node that comes back to four full stand-ins takes what its share of %d allows, from all of them, until it has all",
    async (share) => {
      const takenAt: { readonly atMs: number; readonly sizeBytes: number; readonly from: string }[] = [];
      const rig = await HandoffRig.started({
        backgroundShare: () => share,
        onAsk: ({ topic, sizeBytes, from }) => {
          // as text, bytes take about four times their size
          if (topic === "hints.take") takenAt.push({ atMs: rig.scheduler.nowMs, sizeBytes: sizeBytes / 4, from });
          return undefined;
        },
      });
      const back = rig.node(0);
      const partitions = rig.holders.flatMap((slots, partition) => (slots.includes(back.id) ? [partition] : []));
      rig.crash(back);
      const keepers = rig.nodes.filter((node) => node !== back);
      let expectedCount = 0;
      for (let n = 0; n < KEYS; n += 1) {
        const partition = partitions[n % partitions.length] ?? 0;
        const slot = rig.holders[partition]?.indexOf(back.id) ?? 0;
        const location = rig.nth(partition, Math.floor(n / partitions.length));
        const minted = await rig.write(location, (slot + 1) % 3, "x".repeat(VALUE_BYTES));
        const keeper = keepers[n % keepers.length] ?? back;
        await rig.life(keeper).handoff.fallback.store(location, slot, minted);
        expectedCount += 1;
      }
      const backMs = rig.scheduler.nowMs;
      await rig.start(back);
      expect(await rig.until(() => rig.keptCount() === 0, 600_000)).toBe(true);
      const tookMs = rig.scheduler.nowMs - backMs;
      const keyCount = partitions.reduce((sum, at) => sum + rig.life(back).engine.keyCountOf(at), 0);
      expect(keyCount).toBe(expectedCount);
      const totalBytes = takenAt.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
      // a second's worth, what may come at once after a rest, and what each of them was allowed before it heard of the others
      const rate = Math.max(MIN_HINT_INTAKE_BYTES_PER_SECOND, HINT_INTAKE_BYTES_PER_SECOND * share);
      const allowedBytes = rate * 1.25 + keepers.length * Math.min(HINT_TAKE_BYTES, rate * 0.25);
      for (const { atMs } of takenAt) {
        const inSecond = takenAt.filter((other) => other.atMs >= atMs && other.atMs < atMs + 1_000);
        expect(inSecond.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)).toBeLessThan(allowedBytes);
      }
      expect(totalBytes).toBeLessThan(KEYS * VALUE_BYTES * 1.5);
      expect(tookMs).toBeLessThan(60_000);
    },
  );
});
