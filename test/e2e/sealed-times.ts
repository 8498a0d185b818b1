/**
 * For how long writes of a partition waited for its hand-over, over all processes of a cluster: each process's histogram is
 * taken once, before it ends.
 */
import type { RealCluster } from "./cluster.ts";
import { ask } from "./http.ts";

const BUCKET = /^gyre_handover_sealed_seconds_bucket\{le="([^"]+)"\} (\d+)$/;

/** Of all hand-overs so far. */
export class SealedTimes {
  readonly #cluster: RealCluster;
  /** hand-overs that took at most so many seconds, not counted below */
  readonly #counts = new Map<number, number>();

  constructor(cluster: RealCluster) {
    this.#cluster = cluster;
  }

  /** The processes of these nodes end now, or nothing moves any more. */
  async ending(nodes: readonly number[]): Promise<void> {
    for (const node of nodes) {
      const { text } = await ask(`${this.#cluster.url(node)}/metrics`);
      let below = 0;
      for (const line of text.split("\n")) {
        const [, le, running] = BUCKET.exec(line) ?? [];
        if (le === undefined) continue;
        const end = le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le);
        this.#counts.set(end, (this.#counts.get(end) ?? 0) + Number(running) - below);
        below = Number(running);
      }
    }
  }

  /** `3870 partitions sealed: p50 ≤ 12 ms, p99 ≤ 49 ms, longest ≤ 98 ms`: upper ends of buckets. */
  toString(): string {
    const ends = [...this.#counts].filter(([, count]) => count > 0).toSorted(([one], [other]) => one - other);
    const total = ends.reduce((sum, [, count]) => sum + count, 0);
    const endOf = (share: number): string => {
      let running = 0;
      for (const [end, count] of ends) {
        running += count;
        if (running >= total * share) return `${Math.round(end * 1_000)} ms`;
      }
      return "–";
    };
    return `${total} partitions sealed: p50 ≤ ${endOf(0.5)}, p99 ≤ ${endOf(0.99)}, longest ≤ ${endOf(1)}`;
  }
}
