/** Named scenarios of crashes and lost disks. Numbers and names: research notes on reliability, §6.4. */
import { describe, expect, test } from "vitest";
import type { Dot } from "../../../services/versioning/types.ts";
import { play } from "../scenario-stage.ts";
import { keyName } from "../sim-values.ts";
import { keepBusy } from "./busy.ts";
import { losePowerTogether } from "./power-cuts.ts";

const SEEDS = ["a", "b", "c"];

describe("scenario 1: kill-all-no-loss", () => {
  test.each(SEEDS)(
    "five nodes lose power at once in mid-write: no acknowledged write is lost (seed %s)",
    async (seed) => {
      const keyCount = 12;
      const { stage } = await play({ seed: `1${seed}`, memberCount: 5, keyCount }, (on) =>
        losePowerTogether(on, { keyCount, rounds: 4 }),
      );
      expect(stage.violations).toEqual([]);
      expect(stage.counts.applied).toBeGreaterThan(200);
    },
  );
});

describe("scenario 2: dot-reuse-after-crash", () => {
  test.each(SEEDS)(
    "a coordinator whose disk forgot its last writes never gives their names to others (seed %s)",
    async (seed) => {
      const { stage, told } = await play({ seed: `2${seed}`, keyCount: 4 }, async (on) => {
        const dots: Dot[] = [];
        const client = on.client();
        const writeHere = async (count: number): Promise<void> => {
          for (let at = 0; at < count; at += 1) {
            const door = on.door(0);
            if (door === undefined) throw new Error("n1 does not run");
            const answer = await client.write(door, keyName(at % 4), { kind: "put", basis: "blind-sibling" });
            if (answer !== "gone" && answer.kind === "applied") dots.push(answer.dot);
          }
        };
        await writeHere(8);
        on.cluster.takeSnapshot(0);
        await writeHere(16);
        on.cluster.end(0, { kind: "rollback" });
        await on.allServe();
        await writeHere(24);
        await on.finish();
        return dots;
      });
      expect(stage.violations).toEqual([]);
      const names = told.map(({ actor, counter }) => `${actor}.${counter}`);
      expect(names.length).toBeGreaterThan(40);
      expect(new Set(names).size).toBe(names.length);
    },
  );
});

describe("scenario 24: backup-restore-old", () => {
  test.each(SEEDS)(
    "a node restored from an old copy with its mark of a clean stop draws a new actor and converges (seed %s)",
    async (seed) => {
      const { stage, told } = await play({ seed: `24${seed}`, keyCount: 6 }, async (on) => {
        const client = on.client();
        const write = async (key: string): Promise<void> => {
          const door = on.anyDoor();
          if (door !== undefined)
            await client.write(door, key, { kind: "put", basis: client.seen(key) ?? "blind-sibling" });
        };
        for (let at = 0; at < 30; at += 1) await write(keyName(at % 6));
        const before = on.node(0).engine.identity.actor;
        await on.cluster.stop(0);
        on.cluster.takeSnapshot(0);
        await on.allServe();
        // a day of work that the copy knows nothing of
        for (let at = 0; at < 60; at += 1) await write(keyName(at % 6));
        on.cluster.end(0, { kind: "rollback" });
        await on.allServe();
        for (let at = 0; at < 30; at += 1) await write(keyName(at % 6));
        const after = on.node(0).engine.identity.actor;
        await on.finish();
        return { before, after };
      });
      expect(stage.violations).toEqual([]);
      expect(told.after).not.toBe(told.before);
    },
  );
});

describe("scenario 10: pause-past-everything", () => {
  test.each(SEEDS)(
    "a coordinator stopped for two minutes in mid-request acknowledges nothing stale and comes back (seed %s)",
    async (seed) => {
      const keyCount = 8;
      const { stage, told } = await play({ seed: `10${seed}`, keyCount }, async (on) => {
        on.isStrict = true;
        let isOver = false;
        const clients = Array.from({ length: 5 }, () =>
          keepBusy(on, on.client(), { keyCount, thinkMs: 1_000, isOver: () => isOver }),
        );
        await on.sleep(400);
        on.cluster.pause(1);
        await on.sleep(120_000);
        on.cluster.resume(1);
        const isBack = await on.until(() => on.cluster.doors().length === 3, 10_000);
        await on.sleep(500);
        isOver = true;
        await Promise.all(clients);
        await on.finish();
        return { isBack };
      });
      expect(stage.violations).toEqual([]);
      expect(told.isBack).toBe(true);
      expect(stage.counts.applied).toBeGreaterThan(300);
    },
  );
});
