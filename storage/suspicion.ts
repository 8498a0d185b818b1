/**
 * Partitions of which acknowledged records may be missing here. Believed at once, written down as soon as the disk
 * takes it; taken back only when that is durable. Source: reliability notes §3.6 (after PAR, FAST 2018).
 * Must never be forgotten by a restart.
 */
import type { Manifest } from "./manifest.ts";

/** The suspect partitions. */
export class Suspicion {
  readonly #manifest: Manifest;
  readonly #partitions: Set<number>;

  constructor(manifest: Manifest) {
    this.#manifest = manifest;
    this.#partitions = new Set(manifest.state.suspects);
  }

  /** Whether a partition is suspect. */
  has(partition: number): boolean {
    return this.#partitions.has(partition);
  }

  /** All suspect partitions, ascending. */
  all(): readonly number[] {
    return [...this.#partitions].sort((a, b) => a - b);
  }

  /** Suspects a partition from now on; resolves when that is durable. Rejects as `Manifest.append`. */
  async add(partition: number): Promise<void> {
    if (this.#partitions.has(partition)) return;
    this.#partitions.add(partition);
    await this.#manifest.append([{ kind: "suspect", partition }]);
  }

  /** Declares a partition whole again, durably. Rejects as `Manifest.append`. */
  async clear(partition: number): Promise<void> {
    if (!this.#partitions.has(partition)) return;
    await this.#manifest.append([{ kind: "cleared", partition }]);
    this.#partitions.delete(partition);
  }
}
