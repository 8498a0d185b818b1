/**
 * Whether the event loop is so late, again and again, that work must be shed by class: first listings, then clients' data. A
 * single pause sheds nothing: when it has been seen it is over. Pure. Must never say anything of peers' work or health checks:
 * those are never shed. Source: reliability notes §4 O3.
 */
import { LOOP_DELAY_SHED_DATA_MS, LOOP_DELAY_SHED_LIST_MS, LOOP_UTILISATION_SHED_LIST } from "../base/load-limits.ts";

/** What the loop can still bear: everything, no listings, or only a few requests of clients. */
export type LoopStrain = "none" | "lists" | "data";

const SAMPLES = 10;
const TELLING = 3;

/** The last second of the event loop, sampled ten times. */
export class LoopStrainCore {
  readonly #delaysMs: number[] = Array.from({ length: SAMPLES }, () => 0);
  readonly #utilisations: number[] = Array.from({ length: SAMPLES }, () => 0);
  #at = 0;

  /** Takes a sample: the longest delay since the last one in ms, the utilisation 0 … 1, and whether clients keep the node busy. */
  sample(loopDelayMs: number, utilisation: number, isBusyWithClients: boolean): LoopStrain {
    this.#delaysMs[this.#at] = loopDelayMs;
    // A listing that has the node to itself keeps the loop as busy as a crowd: it must not shed itself.
    this.#utilisations[this.#at] = isBusyWithClients ? utilisation : 0;
    this.#at = (this.#at + 1) % SAMPLES;
    const lateCount = (limitMs: number): number => this.#delaysMs.filter((delayMs) => delayMs > limitMs).length;
    if (lateCount(LOOP_DELAY_SHED_DATA_MS) >= TELLING) return "data";
    if (lateCount(LOOP_DELAY_SHED_LIST_MS) >= TELLING) return "lists";
    return this.#utilisations.every((one) => one > LOOP_UTILISATION_SHED_LIST) ? "lists" : "none";
  }
}
