/**
 * Whether a simulated cluster has healed since a disk was lost: with W copies each, acknowledged writes outlive one lost disk,
 * and the next one only once what lay on the first lies elsewhere again. That is more than every slot being held: the other
 * copy may have been a hint. Must never look at what clients wrote; that is the oracle's.
 */
import type { RingLook } from "./ring-look.ts";
import type { SimCluster } from "./sim-cluster.ts";
import { SIM_PARTITIONS, SIM_REPLICAS } from "./sim-machine.ts";

/** Begun when a disk is lost. */
export class HealWatch {
  readonly #cluster: SimCluster;
  readonly #look: RingLook;
  /** partitions whose holders did not yet agree, at any moment since */
  readonly #unequal: Set<number> = new Set(Array.from({ length: SIM_PARTITIONS }, (_, partition) => partition));
  /** nodes that have not yet been without hints, at any moment since */
  readonly #keeping: Set<number>;

  constructor(cluster: SimCluster, look: RingLook) {
    this.#cluster = cluster;
    this.#look = look;
    const nodes = Array.from({ length: cluster.size }, (_, node) => node);
    this.#keeping = new Set(nodes.filter((node) => cluster.isInService(node)));
  }

  /** Looks again; to be asked over and over. O(partitions that are left). */
  isHealed(): boolean {
    for (const partition of this.#unequal) if (this.#isEqual(partition)) this.#unequal.delete(partition);
    for (const node of this.#keeping) if (this.#isFree(node)) this.#keeping.delete(node);
    return this.#unequal.size + this.#keeping.size === 0;
  }

  #isEqual(partition: number): boolean {
    const holders = this.#look.holdersOf(partition);
    const roots = holders.map((node) => this.#cluster.inside(node)?.engine.merkleRoot(partition));
    return holders.length === SIM_REPLICAS && new Set(roots).size === 1;
  }

  /** A disk that was lost meanwhile keeps nothing. */
  #isFree(node: number): boolean {
    if (!this.#cluster.isInService(node)) return true;
    return this.#cluster.inside(node) !== undefined && this.#cluster.hintsAt(node).length === 0;
  }
}
