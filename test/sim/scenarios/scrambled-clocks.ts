/** Wall clocks of a stage as a scenario has set them, and what they showed at a time. Must never ask a node what time it is. */
import type { Stage } from "../scenario-stage.ts";
import { EPOCH_MS } from "../sim-clock.ts";
import { SIM_REPLICAS } from "../sim-machine.ts";

/** How far broken time servers move clocks. */
export const MOST_MS: number = 288_000;
/** How far operators do. */
export const HOUR_MS: number = 3_600_000;
/** What clocks are wrong by beside that: a fifth of a second at a start, and the drift of hours. */
export const UNSAID_MS: number = 3_000;

/** From the least that a clock can have shown to the most, wall-clock milliseconds. */
export interface WallRange {
  readonly least: number;
  readonly most: number;
}

/** The clocks of the founders of a stage. */
export class ScrambledClocks {
  readonly #on: Stage;
  readonly #moves: { readonly atMs: number; readonly aheadMs: number }[][];

  constructor(on: Stage) {
    this.#on = on;
    this.#moves = Array.from({ length: SIM_REPLICAS }, () => [{ atMs: 0, aheadMs: 0 }]);
  }

  /** The clock is that far ahead of the true time from now on. */
  set(node: number, aheadMs: number): void {
    this.#on.cluster.jumpClock(node, aheadMs - (this.#moves[node]?.at(-1)?.aheadMs ?? 0));
    this.#note(node, aheadMs);
  }

  /** The clock flips from one end to the other and back, ten times within a tenth of a second. */
  async strobe(node: number): Promise<void> {
    for (let flip = 0; flip < 20; flip += 1) {
      this.set(node, flip % 2 === 0 ? MOST_MS : -MOST_MS);
      await this.#on.sleep(5);
    }
  }

  /** The process is killed and starts again, by a right clock. */
  restart(node: number): void {
    this.#on.cluster.end(node, { kind: "kill" });
    this.#on.cluster.start(node);
    this.#note(node, 0);
  }

  /** What these clocks showed between two moments of virtual time. */
  rangeOf(nodes: readonly number[], fromMs: number, toMs: number): WallRange {
    const aheads = nodes.flatMap((node) => {
      const moves = this.#moves[node] ?? [];
      return moves.filter(({ atMs }, at) => atMs <= toMs && (moves[at + 1]?.atMs ?? toMs) >= fromMs);
    });
    const ends = aheads.map(({ aheadMs }) => aheadMs);
    return {
      least: EPOCH_MS + fromMs + Math.min(...ends) - UNSAID_MS,
      most: EPOCH_MS + toMs + Math.max(...ends) + UNSAID_MS,
    };
  }

  #note(node: number, aheadMs: number): void {
    this.#moves[node]?.push({ atMs: this.#on.nowMs, aheadMs });
  }
}
