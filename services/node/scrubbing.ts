/**
 * A scrub of this node's store that someone asks for and waits for: one at a time, whoever else asks waits for the same.
 * Must never stop one because nobody waits any more: what it finds is repaired all the same.
 */
import type { ScrubReport, StorageEngine } from "../../storage/engine.ts";
import type { StoreScrubbed } from "../api/repair-door.ts";
import type { Config } from "../base/config.ts";
import type { Clock } from "../base/ports.ts";

/** What it works with. */
export interface ScrubbingParts {
  readonly config: Pick<Config, "nodeId">;
  readonly engine: Pick<StorageEngine, "scrub" | "stats">;
  readonly clock: Clock;
}

interface UnderWay {
  readonly before: ScrubReport;
  readonly startedMs: number;
  readonly done: Promise<unknown>;
}

/** Scrubs on demand. */
export class Scrubbing {
  readonly #parts: ScrubbingParts;
  #underWay: UnderWay | undefined;

  constructor(parts: ScrubbingParts) {
    this.#parts = parts;
  }

  /** Resolves when a pass over all that was visible is over, or the time is up. Never rejects. */
  async scrub(timeoutMs: number): Promise<StoreScrubbed> {
    const { engine, clock, config } = this.#parts;
    const { before, startedMs, done } = this.#underWay ?? this.#begin();
    const isDone = await new Promise<boolean>((resolve) => {
      const timer = clock.setTimer(timeoutMs, () => resolve(false));
      const end = (isOver: boolean) => (): void => {
        timer.cancel();
        resolve(isOver);
      };
      done.then(end(true), end(false));
    });
    const { readBytes, badCount, lostCount, rebuiltIndexCount } = engine.stats().scrub;
    return {
      node: config.nodeId,
      isDone,
      readBytes: readBytes - before.readBytes,
      rotCount: badCount - before.badCount,
      lostCount: lostCount - before.lostCount,
      rebuiltIndexCount: rebuiltIndexCount - before.rebuiltIndexCount,
      durationMs: Math.round(clock.monotonicMs() - startedMs),
    };
  }

  #begin(): UnderWay {
    const { engine, clock } = this.#parts;
    const done = engine.scrub().finally(() => {
      this.#underWay = undefined;
    });
    done.catch(() => {
      // told by the store itself, and to whoever waits
    });
    const underWay = { before: engine.stats().scrub, startedMs: clock.monotonicMs(), done };
    this.#underWay = underWay;
    return underWay;
  }
}
