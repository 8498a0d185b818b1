/** One direction between two hosts: how long bytes take, whether they pass at all, what goes wrong. */
import type { SimRandom } from "./sim-random.ts";

/** What a path does to bytes. Times are milliseconds, probabilities are per chunk written. */
export interface PathFaults {
  readonly baseDelayMs: number;
  /** mean of the exponential tail on top of the base */
  readonly tailDelayMs: number;
  /** a lost packet: on a stream that is a wait for its retransmission */
  readonly lossProbability: number;
  readonly retransmitMs: number;
  /** the connection breaks, at any byte of what is under way */
  readonly cutProbability: number;
  /** a chunk arrives in two pieces */
  readonly splitProbability: number;
  /** a slow reader or a narrow line; `Infinity`: none */
  readonly bytesPerMs: number;
}

/** A good local network. */
export const CALM: PathFaults = {
  baseDelayMs: 0.1,
  tailDelayMs: 0.1,
  lossProbability: 0,
  retransmitMs: 200,
  cutProbability: 0,
  splitProbability: 0.05,
  bytesPerMs: Infinity,
};

/** The state of one direction; changed by the network's control calls only. */
export class SimPath {
  readonly random: SimRandom;
  faults: PathFaults;
  /** nothing passes: a split */
  isBlocked = false;
  /** nothing passes before this time: a clog */
  cloggedUntilMs = 0;
  #listeners: (() => void)[] = [];

  constructor(random: SimRandom, faults: PathFaults) {
    this.random = random;
    this.faults = faults;
  }

  /** Milliseconds that a chunk takes, beside what is before it. */
  drawDelayMs(): number {
    const { baseDelayMs, tailDelayMs, lossProbability, retransmitMs } = this.faults;
    let delayMs = baseDelayMs + this.random.exponential(tailDelayMs);
    for (let timeoutMs = retransmitMs; this.random.chance(lossProbability) && timeoutMs < 60_000; timeoutMs *= 2) {
      delayMs += timeoutMs;
    }
    return delayMs;
  }

  /** True when bytes that are due may arrive now. */
  isOpenAt(nowMs: number): boolean {
    return !this.isBlocked && nowMs >= this.cloggedUntilMs;
  }

  /** Runs `run` once, when bytes may pass again. */
  whenOpened(run: () => void): void {
    this.#listeners.push(run);
  }

  /** Lets what has waited go on. */
  opened(): void {
    for (const run of this.#listeners.splice(0)) run();
  }
}
