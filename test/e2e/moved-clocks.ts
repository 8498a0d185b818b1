/** Three real nodes whose wall clocks a test moves while they run, and what these showed at a time. Must never move another clock. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { pause, RealCluster } from "./cluster.ts";
import { CLOCK_VARIABLE, MOVED_WITHIN_MS } from "./moved-clock.ts";

const HOOK = pathToFileURL(join(import.meta.dirname, "moved-clock.ts")).href;
/** A clock counts milliseconds, and is read a little after the file. */
const SLACK_MS = 5 * MOVED_WITHIN_MS;

/** From the least that a clock can have shown to the most, wall-clock milliseconds. */
export interface ShownTime {
  readonly least: number;
  readonly most: number;
}

/** The nodes and their clocks. */
export class MovedClocks implements AsyncDisposable {
  readonly nodes: RealCluster;
  readonly #directory: string;
  readonly #moves: { readonly atMs: number; readonly aheadMs: number }[][] = [[], [], []];

  private constructor(nodes: RealCluster, directory: string) {
    this.nodes = nodes;
    this.#directory = directory;
  }

  /** Starts the nodes by right clocks. */
  static async start(): Promise<MovedClocks> {
    const directory = mkdtempSync(join(tmpdir(), "gyre-clocks-"));
    const fileOf = (node: number): string => join(directory, String(node));
    for (const node of [0, 1, 2]) writeFileSync(fileOf(node), "0");
    const nodes = await RealCluster.start(3, { NODE_OPTIONS: `--import=${HOOK}` }, (node) => ({
      [CLOCK_VARIABLE]: fileOf(node),
    }));
    const clocks = new MovedClocks(nodes, directory);
    for (const moves of clocks.#moves) moves.push({ atMs: 0, aheadMs: 0 });
    return clocks;
  }

  /** The clock of a node is that far ahead of the true time from now on. */
  set(node: number, aheadMs: number): void {
    this.#moves[node]?.push({ atMs: Date.now(), aheadMs });
    writeFileSync(join(this.#directory, String(node)), String(aheadMs));
  }

  /** All three at once; resolves when the processes go by it. */
  async setAll(aheadMs: readonly number[]): Promise<void> {
    for (const [node, ahead] of aheadMs.entries()) this.set(node, ahead);
    await pause(SLACK_MS);
  }

  /** The clock flips from one end to the other and back. */
  async strobe(node: number, byMs: number): Promise<void> {
    for (let flip = 0; flip < 12; flip += 1) {
      this.set(node, flip % 2 === 0 ? byMs : -byMs);
      await pause(MOVED_WITHIN_MS + 5);
    }
  }

  /** What these clocks showed between two moments of true time. */
  shown(nodes: readonly number[], fromMs: number, toMs: number): ShownTime {
    const aheads = nodes.flatMap((node) => {
      const moves = this.#moves[node] ?? [];
      const isInForce = (at: number): boolean => (moves[at + 1]?.atMs ?? toMs) >= fromMs - SLACK_MS;
      return moves.filter(({ atMs }, at) => atMs <= toMs && isInForce(at)).map(({ aheadMs }) => aheadMs);
    });
    return {
      least: fromMs + Math.min(...aheads) - SLACK_MS,
      most: toMs + Math.max(...aheads) + SLACK_MS,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.nodes[Symbol.asyncDispose]();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
