/**
 * Partitions of which acknowledged records may be missing here. Believed at once, written down as soon as the disk
 * takes it; taken back only when that is durable. Source: reliability notes §3.6 (after PAR, FAST 2018).
 * Must never be forgotten by a restart.
 */
import type { ManifestChange } from "./format/manifest-edit.ts";
import type { Manifest } from "./manifest.ts";

/** The suspect partitions. */
export class Suspicion {
  readonly #manifest: Manifest;
  readonly #partitions: Set<number>;
  /** edits under way that say "suspect", and that nothing later takes back */
  readonly #writing = new Map<number, Promise<void>>();
  /** partitions that are being cleared, and in which nothing was found since that was asked for */
  readonly #clearing = new Map<number, object>();

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

  /**
   * Suspects a partition from now on; resolves when that is durable. Rejects as `Manifest.append`: then it is believed
   * all the same, and the next call tries again.
   */
  add(partition: number): Promise<void> {
    this.#partitions.add(partition);
    const underWay = this.#writing.get(partition);
    if (underWay !== undefined) return underWay;
    const isTakenBack = this.#clearing.delete(partition);
    if (!isTakenBack && this.#manifest.state.suspects.has(partition)) return Promise.resolve();
    const writing = this.#write(partition).finally(() => {
      if (this.#writing.get(partition) === writing) this.#writing.delete(partition);
    });
    this.#writing.set(partition, writing);
    return writing;
  }

  /**
   * Declares a partition whole again, durably; it stays suspect when something is found in it meanwhile. `because`: what
   * makes it whole, in the same edit. Rejects as `Manifest.append`.
   */
  async clear(partition: number, because: readonly ManifestChange[] = []): Promise<void> {
    if (because.length === 0 && !this.#partitions.has(partition)) return;
    const asked = {};
    this.#clearing.set(partition, asked);
    // an edit that is under way comes before this one, and no longer says what holds
    this.#writing.delete(partition);
    try {
      await this.#manifest.append([...because, { kind: "cleared", partition }]);
      if (this.#clearing.get(partition) === asked) this.#partitions.delete(partition);
    } finally {
      if (this.#clearing.get(partition) === asked) this.#clearing.delete(partition);
    }
  }

  /** Makes durable what could not be when it was found. Rejects as `Manifest.append`. */
  async retry(): Promise<void> {
    for (const partition of this.all()) await this.add(partition);
  }

  async #write(partition: number): Promise<void> {
    await this.#manifest.append([{ kind: "suspect", partition }]);
  }
}
