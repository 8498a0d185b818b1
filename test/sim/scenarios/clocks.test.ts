/** Named scenarios of clocks and of restarts in order. Numbers and names: research notes on reliability, §6.4. */
import { describe, expect, test } from "vitest";
import { play } from "../scenario-stage.ts";
import { keepBusy } from "./busy.ts";

const SEEDS = ["a", "b", "c"];
/** Minutes, as operators and broken time servers move clocks. */
const MOST_MS = 288_000;
const HOUR_MS = 3_600_000;

describe("scenario 15: clock-scramble", () => {
  test.each(SEEDS)(
    "wall clocks that jump by minutes and back by an hour lose nothing and stop nobody (seed %s)",
    async (seed) => {
      const keyCount = 8;
      const { stage } = await play({ seed: `15${seed}`, keyCount }, async (on) => {
        on.isStrict = true;
        let isOver = false;
        const business = { keyCount, thinkMs: 100, isOver: () => isOver };
        const clients = Array.from({ length: 5 }, () => keepBusy(on, on.client(), business));
        for (let jump = 0; jump < 60; jump += 1) {
          const node = on.random.below(3);
          const isBack = jump % 20 === 19;
          on.cluster.jumpClock(node, isBack ? -HOUR_MS : (on.random.float() * 2 - 1) * MOST_MS);
          if (on.random.chance(0.1)) {
            on.cluster.end(node, { kind: "kill" });
            on.cluster.start(node);
          }
          await on.sleep(on.random.float() * 300);
        }
        isOver = true;
        await Promise.all(clients);
        await on.finish();
      });
      expect(stage.violations).toEqual([]);
      // Where disks are slow, two or three nodes are down at a time for a good part of the ten seconds.
      expect(stage.counts.applied).toBeGreaterThan(80);
    },
  );
});

describe("scenario 28: rolling-restart", () => {
  test.each(SEEDS)(
    "five nodes stopped in order, one after the other: clients hardly notice, every stop is clean (seed %s)",
    async (seed) => {
      const keyCount = 8;
      const { stage, told } = await play({ seed: `28${seed}`, memberCount: 5, keyCount }, async (on) => {
        on.isStrict = true;
        let isOver = false;
        const business = { keyCount, thinkMs: 60, isOver: () => isOver };
        const clients = Array.from({ length: 5 }, () => keepBusy(on, on.client(), business));
        const starts: string[] = [];
        for (let node = 0; node < 5; node += 1) {
          await on.sleep(500);
          await on.cluster.stop(node);
          await on.allServe();
          starts.push(on.node(node).engine.recovery.mode);
        }
        isOver = true;
        await Promise.all(clients);
        await on.finish();
        return starts;
      });
      expect(stage.violations).toEqual([]);
      expect(told).toEqual(["clean", "clean", "clean", "clean", "clean"]);
      const { applied, notApplied, unknown } = stage.counts;
      expect(applied).toBeGreaterThan(200);
      expect(notApplied + unknown).toBeLessThan(applied / 20);
    },
  );
});
