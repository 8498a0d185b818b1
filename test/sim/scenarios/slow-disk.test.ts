/** Named scenario of a disk that is slow and does not fail. Number and name: research notes on reliability, §6.4. */
import { describe, expect, test } from "vitest";
import type { HealthCheck } from "../../../services/api/ports.ts";
import type { LoadMeter } from "../../../services/base/ports.ts";
import type { Knobs } from "../../../services/coordinator/contract.ts";
import type { StorageEngine } from "../../../storage/engine.ts";
import { engineWith } from "../engine-with.ts";
import { play, type Stage } from "../scenario-stage.ts";
import type { Sabotage } from "../sim-cluster.ts";
import { keyBytesOf, SIM_BUCKET } from "../sim-values.ts";

const IDLE: LoadMeter = {
  memoryLimitBytes: 1e9,
  heapLimitBytes: 1e9,
  read: () => ({ loopDelayMs: 0, utilisation: 0.1 }),
  memory: () => ({ residentBytes: 1e6, heapBytes: 1e6 }),
};
const KNOBS: Knobs = { sloppy: false, timeoutMs: 2_000, explain: false };
const SLOW_NODE = 1;
const SEEDS: readonly string[] = "abcdefghijkl".split("");

/** A disk that takes `extraMs` more for whatever is to be durable on it. */
function slowDisk(sleep: (ms: number) => Promise<void>): { readonly sabotage: Sabotage; extraMs: number } {
  // told late, not begun late: what is begun late may have expired by then, unlike what a slow disk has in hand
  const late = async (call: Promise<void>): Promise<void> => {
    await call;
    if (made.extraMs > 0) await sleep(made.extraMs);
  };
  const made = {
    extraMs: 0,
    sabotage: {
      engine: (engine: StorageEngine, node: number): StorageEngine =>
        node === SLOW_NODE
          ? engineWith(engine, {
              put: (request) => late(engine.put(request)),
              writeDocument: (name, bytes) => late(engine.writeDocument(name, bytes)),
            })
          : engine,
    },
  };
  return made;
}

/** p99 of reads and writes through the other nodes, virtual ms; throws when one fails. */
async function p99Of(on: Stage, count: number): Promise<number> {
  const tookMs: number[] = [];
  for (let n = 0; n < count; n += 1) {
    const { coordinator } = on.node(n % 2 === 0 ? 0 : 2);
    const name = { bucket: SIM_BUCKET, key: keyBytesOf(`slow-${n % 40}`) };
    const startedMs = on.nowMs;
    const put = { name, knobs: KNOBS, contentType: "text/plain", bytes: Buffer.from(`${n}`), context: undefined };
    const answer = n % 4 < 2 ? await coordinator.put(put) : await coordinator.get({ name, knobs: KNOBS });
    if (answer.kind === "failed") throw new Error(answer.detail);
    tookMs.push(on.nowMs - startedMs);
  }
  return tookMs.toSorted((a, b) => a - b)[Math.floor(count * 0.99)] ?? 0;
}

/** In which share of reads through the other nodes the slow one is asked; 0 … 1. */
async function askedShare(on: Stage): Promise<number> {
  let askedCount = 0;
  for (let n = 0; n < 500; n += 1) {
    const name = { bucket: SIM_BUCKET, key: keyBytesOf(`slow-${n % 40}`) };
    const answer = await on.node(n % 2 === 0 ? 0 : 2).coordinator.get({ name, knobs: { ...KNOBS, explain: true } });
    const report = answer.explain?.replicas.find(({ node }) => node === on.node(SLOW_NODE).config.nodeId);
    if (report !== undefined && report.asked !== "nothing") askedCount += 1;
  }
  return askedCount / 500;
}

/** What the other nodes hear of the slow one. */
function isHeardDegraded(on: Stage): boolean {
  return [0, 2].every((at) => {
    const member = on
      .node(at)
      .door.status()
      .members.find(({ node }) => node === on.node(SLOW_NODE).config.nodeId);
    return member?.liveness === "alive" && member.fitness?.isDegraded === true;
  });
}

/** One life in which the slow node's disk becomes slow, and fast again. */
async function tell(seed: string) {
  let stageOf: Stage | undefined;
  const disk = slowDisk((ms) => stageOf?.sleep(ms) ?? Promise.resolve());
  const shape = { seed: `27${seed}`, keyCount: 4, sabotage: disk.sabotage, load: IDLE };
  const { told } = await play(shape, async (on) => {
    stageOf = on;
    await on.allServe();
    await on.settled();
    const quietMs = await p99Of(on, 2_000);
    const askedBefore = await askedShare(on);
    disk.extraMs = 500;
    const slowSinceMs = on.nowMs;
    const working = p99Of(on, 2_000);
    const speed = (): HealthCheck | undefined =>
      on
        .node(SLOW_NODE)
        .status.readyz()
        .find(({ name }) => name === "disk-speed");
    await on.until(() => speed()?.reason.startsWith("degraded") === true, 8_000);
    const saidMs = on.nowMs - slowSinceMs;
    const isHeard = await on.until(() => isHeardDegraded(on), 3_000);
    const check = speed();
    await working;
    const slowMs = await p99Of(on, 2_000);
    const askedMeanwhile = await askedShare(on);
    disk.extraMs = 0;
    const isBack = await on.until(() => !isHeardDegraded(on), 20_000);
    await on.finish();
    return { isHeard, saidMs, check, quietMs, slowMs, isBack, askedBefore, askedMeanwhile };
  });
  return told;
}

describe("scenario 27: slow-node-not-dead", () => {
  test("half a second a write: the node says so within six seconds, others are as fast as before, and it comes back", async () => {
    const mean = { quietMs: 0, slowMs: 0, askedBefore: 0, askedMeanwhile: 0 };
    for (const seed of SEEDS) {
      const told = await tell(seed);
      expect(told, seed).toMatchObject({ isHeard: true, isBack: true, check: { isOk: true } });
      expect(told.check?.reason, seed).toMatch(/^degraded: a write takes \d+ ms/);
      expect(told.saidMs, seed).toBeLessThan(6_000);
      mean.quietMs += told.quietMs / SEEDS.length;
      mean.slowMs += told.slowMs / SEEDS.length;
      mean.askedBefore += told.askedBefore / SEEDS.length;
      mean.askedMeanwhile += told.askedMeanwhile / SEEDS.length;
    }
    // Of one life a p99 is twenty requests, and says little: of all of them it does.
    expect(mean.askedBefore).toBeGreaterThan(0.25);
    expect(mean.askedMeanwhile).toBeLessThan(0.25);
    expect(mean.slowMs).toBeLessThanOrEqual(mean.quietMs * 1.2 + 2);
  });
});
