/** Named scenarios of load that nodes cannot bear. Numbers and names: research notes on reliability, §6.4. */
import { describe, expect, test } from "vitest";
import type { Stage } from "../scenario-stage.ts";
import { keyName } from "../sim-values.ts";
import { BUSY_NODES, type Doors, playOnProcessors } from "./processors.ts";

const VICTIM = 1;
/** of one attempt; a naive client tries at once again, elsewhere, so many times */
const TIMEOUT_MS = 1_000;
const MAX_ATTEMPTS = 4;
const KEY_COUNT = 200;

/** Clients that try again at once. */
class NaiveCrowd {
  readonly #on: Stage;
  readonly #doors: Doors;
  #goodCount = 0;
  #isOver = false;

  constructor(on: Stage, doors: Doors) {
    this.#on = on;
    this.#doors = doors;
  }

  /** Requests come at their rate, whatever becomes of those before, until `stop`. */
  async arrive(perSecond: number): Promise<void> {
    this.#isOver = false;
    while (!this.#isOver) {
      await this.#on.sleep(this.#on.random.exponential(1_000 / perSecond));
      void this.#request();
    }
  }

  /** So many clients that each wait for their answer. Ends with `stop`. */
  async insist(clientCount: number): Promise<void> {
    this.#isOver = false;
    const client = async (): Promise<void> => {
      while (!this.#isOver) await this.#request();
    };
    await Promise.all(Array.from({ length: clientCount }, client));
  }

  stop(): void {
    this.#isOver = true;
  }

  /** Good answers a second, over so long. */
  async goodput(forMs: number): Promise<number> {
    const before = this.#goodCount;
    await this.#on.sleep(forMs);
    return ((this.#goodCount - before) * 1_000) / forMs;
  }

  async #request(): Promise<void> {
    const { random } = this.#on;
    const work = random.chance(0.5) ? "read" : "write";
    const key = keyName(random.below(KEY_COUNT));
    let node = random.below(BUSY_NODES.length);
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      if ((await this.#doors.ask(node, { work, key, timeoutMs: TIMEOUT_MS })) === "good") {
        this.#goodCount += 1;
        return;
      }
      node = (node + 1) % BUSY_NODES.length;
    }
  }
}

/** What the nodes can do, as clients measure it that wait for their answers. */
async function capacityOf(on: Stage, crowd: NaiveCrowd, clientCount: number): Promise<number> {
  void crowd.insist(clientCount);
  await on.sleep(2_000);
  const capacity = await crowd.goodput(5_000);
  crowd.stop();
  await on.sleep(TIMEOUT_MS);
  return capacity;
}

describe("scenario 26: metastable-retry", () => {
  const LOAD_SHARE = 0.85;

  /** Good answers a second: before, while the node is away, and from 20 to 30 s after its process was started again. */
  const tell = (
    isGated: boolean,
    awayMs: number,
  ): Promise<{ readonly before: number; readonly meanwhile: number; readonly after: number }> =>
    playOnProcessors({ seed: "26a", isGated, slowness: 40 }, async (on, doors) => {
      const crowd = new NaiveCrowd(on, doors);
      void crowd.arrive((await capacityOf(on, crowd, 30)) * LOAD_SHARE);
      await on.sleep(2_000);
      const before = await crowd.goodput(10_000);
      doors.kill(VICTIM);
      const meanwhile = await crowd.goodput(awayMs);
      on.cluster.start(VICTIM);
      await on.sleep(20_000);
      const after = await crowd.goodput(10_000);
      crowd.stop();
      return { before, meanwhile, after };
    });

  test("at 85 % load, with clients that try again at once, a node away for a minute is made up for within half a minute", async () => {
    const told = await tell(true, 60_000);
    expect(told.after).toBeGreaterThanOrEqual(0.95 * told.before);
    // two nodes of three, asked for more than they can do
    expect(told.meanwhile).toBeGreaterThan(0.8 * (2 / 3 / LOAD_SHARE) * told.before);
  });

  test("without what refuses, the same clients keep the cluster down when its cause is long over: the story can tell", async () => {
    const told = await tell(false, 10_000);
    expect(told.after).toBeLessThan(0.5 * told.before);
  });
});

describe("scenario 37: hot-key-flood", () => {
  const HOT_SHARE = 3;
  const QUIET_SHARE = 0.2;
  const TURN_MS = 4_000;

  interface Felt {
    readonly goodShare: number;
    readonly p99Ms: number;
  }

  test("reads of one key at three times what the nodes can do leave the others their answers in time, which as many reads of many keys do not", async () => {
    const told = await playOnProcessors({ seed: "37a", isGated: true, slowness: 10 }, async (on, doors) => {
      const { random } = on;
      const capacity = await capacityOf(on, new NaiveCrowd(on, doors), 200);
      const turn = async (floodKey: (() => string) | undefined): Promise<Felt> => {
        const tookMs: number[] = [];
        let [askedCount, isOver] = [0, false];
        const arrive = async (perSecond: number, ask: () => Promise<void>): Promise<void> => {
          while (!isOver) {
            await on.sleep(random.exponential(1_000 / perSecond));
            void ask();
          }
        };
        void arrive(capacity * QUIET_SHARE, async () => {
          askedCount += 1;
          const sinceMs = on.nowMs;
          const request = {
            work: random.chance(0.5) ? "read" : "write",
            key: keyName(1 + random.below(KEY_COUNT)),
          } as const;
          const answer = await doors.ask(random.below(BUSY_NODES.length), { ...request, timeoutMs: TIMEOUT_MS });
          if (answer === "good") tookMs.push(on.nowMs - sinceMs);
        });
        if (floodKey !== undefined) {
          void arrive(capacity * HOT_SHARE, async () => {
            await doors.ask(random.below(BUSY_NODES.length), { work: "read", key: floodKey(), timeoutMs: TIMEOUT_MS });
          });
        }
        await on.sleep(TURN_MS);
        isOver = true;
        await on.sleep(2 * TIMEOUT_MS);
        const p99Ms = tookMs.toSorted((a, b) => a - b)[Math.floor(tookMs.length * 0.99)] ?? Number.NaN;
        return { goodShare: tookMs.length / askedCount, p99Ms };
      };
      const quiet = await turn(undefined);
      const besideOne = await turn(() => keyName(0));
      const besideMany = await turn(() => keyName(1 + random.below(KEY_COUNT)));
      return { quiet, besideOne, besideMany };
    });
    expect(told.quiet.goodShare).toBe(1);
    expect(told.besideOne.goodShare).toBeGreaterThan(0.97);
    expect(told.besideOne.p99Ms).toBeLessThan(TIMEOUT_MS / 2);
    expect(told.besideMany.goodShare).toBeLessThan(0.9);
    expect(told.besideOne.p99Ms).toBeLessThan(told.besideMany.p99Ms);
  });
});
