/** Named scenarios of nodes that must not go on: their disk failed, or they are there twice. Numbers and names: research notes on reliability, §6.4. */
import { describe, expect, test } from "vitest";
import { AckLedger } from "../ack-ledger.ts";
import { play } from "../scenario-stage.ts";
import { failOnce, isHeldBy, outcomeOf } from "./failing-disk.ts";
import { runTwins } from "./twins.ts";

const SEEDS = ["a", "b", "c"];
const TWIN_ALARM = /another process speaks under the name n1|the data directory is an old copy/;

describe("scenario 5: fsync-eio-is-fatal", () => {
  const cases = SEEDS.flatMap((seed) => (["write", "fdatasync"] as const).map((operation) => ({ operation, seed })));
  test.each(cases)(
    "one $operation that fails ends the node at once, what it acknowledged it has, and the others serve on (seed $seed)",
    async ({ operation, seed }) => {
      const keyCount = 600;
      const ledger = new AckLedger();
      const failure = { operation, losesPower: seed !== "b", ledger, keyCount };
      const shape = { seed: `5${operation}${seed}`, keyCount, sabotage: ledger };
      const { stage, told } = await play(shape, (on) => failOnce(on, failure));
      expect(stage.violations).toEqual([]);
      const { failedMs, endedMs, puts, held } = told;
      expect(endedMs - failedMs).toBeLessThan(1_000);
      expect(stage.cluster.fatalReasons).toHaveLength(1);

      // whoever waited for n2 when it ended was told that nobody knows, but for those to whom it had said that it has the write
      const waiting = puts.filter((put) => put.startedMs < endedMs && put.endedMs >= endedMs);
      const onN2 = waiting.filter((put) => (put.through === 1 || put.w === "all") && !isHeldBy(1, put));
      expect(onN2.length).toBeGreaterThan(1);
      expect(onN2.map(outcomeOf)).toEqual(onN2.map(() => "unknown"));
      const others = puts.filter(({ through, w, startedMs }) => through !== 1 && w === 2 && startedMs > failedMs);
      expect(others.length).toBeGreaterThan(20);
      expect(others.filter((put) => outcomeOf(put) !== "applied")).toEqual([]);

      // of each key the last write that n2 took, or the one that came over it
      const own = new Map(puts.filter((put) => isHeldBy(1, put)).map(({ key, id }) => [key, id ?? Number.NaN]));
      expect(own.size).toBeGreaterThan(10);
      expect([...own].filter(([key, id]) => held.get(key)?.some((there) => there >= id) !== true)).toEqual([]);
      // what it showed after it had started again was more than the cache of a disk that gave up
      expect([...told.heldAfterPower]).toEqual([...held]);
      // nor had its store said that it holds what the call that failed was to make durable, even if nobody heard it
      expect(told.lost).toEqual([]);
      expect(ledger.acknowledgedCount(1)).toBeGreaterThan(10);
      expect(told).toMatchObject({ recovery: { mode: "unclean", isNewActor: true }, hasNewName: true });
      expect(told).toMatchObject({ isVerified: true, unreadCount: 0 });
    },
  );
});

describe("scenario 25: duplicate-node-id", () => {
  const cases = SEEDS.flatMap((seed) => (["of-running", "of-stopped"] as const).map((cloning) => ({ cloning, seed })));
  test.each(cases)(
    "of a machine and its clone, $cloning, one ends with an alarm; no write is lost, no dot is given twice (seed $seed)",
    async ({ cloning, seed }) => {
      const keyCount = 24;
      const { stage, told } = await play({ seed: `25${cloning}${seed}`, keyCount }, (on) =>
        runTwins(on, { cloning, keyCount }),
      );
      expect(stage.violations).toEqual([]);
      const { left, tookMs, dots, actors } = told;
      expect(left).toHaveLength(1);
      expect(tookMs).toBeLessThan(5_000);
      // by its gossip, or by what others know already of the other's life
      expect(stage.cluster.fatalReasons).toEqual([expect.stringMatching(TWIN_ALARM)]);
      expect(actors.ofClone).toBeDefined();
      expect(actors.ofClone).not.toBe(actors.before);
      expect(told.takenAfter).toBeGreaterThan(10);
      const names = dots.map(({ actor, counter }) => `${actor}.${counter}`);
      expect(names.length).toBeGreaterThan(200);
      expect(new Set(names).size).toBe(names.length);
      expect(told).toMatchObject({ areEqual: true, unreadCount: 0 });
    },
  );
});
