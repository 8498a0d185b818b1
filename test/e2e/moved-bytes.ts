/**
 * What a change of the ring moved, against the least that could have been moved: bytes that nodes say they received for
 * hand-overs, over the mean bytes of a copy × the copies that some node holds at the end and did not at the beginning.
 * Must never hide what a killed process had received: it is told before the kill.
 */
import type { RealCluster } from "./cluster.ts";
import { metric, ringText } from "./elastic-story.ts";

/** One phase: from one settled ring to the next. Bytes are those of objects in pages; the least is by stored records. */
export interface Moved {
  readonly receivedBytes: number;
  readonly leastBytes: number;
  readonly slotsTaken: number;
  /** copies that some node holds now and did not hold before */
  readonly leastSlots: number;
}

interface Seen {
  readonly bytes: number;
  readonly slots: number;
}

/** Follows one cluster. `kill` nodes through it; `begin` and `end` a phase when the ring is settled. */
export class MovedBytes {
  readonly #cluster: RealCluster;
  /** of processes that were killed or stopped in this phase */
  #ended: Seen = { bytes: 0, slots: 0 };
  #atBegin = new Map<number, Seen>();
  #owners: readonly ReadonlySet<string>[] = [];
  #meanBytes = 0;

  constructor(cluster: RealCluster) {
    this.#cluster = cluster;
  }

  /** The ring of `nodes` is settled, and a phase begins. */
  async begin(nodes: readonly number[]): Promise<void> {
    this.#ended = { bytes: 0, slots: 0 };
    this.#atBegin = new Map();
    for (const node of nodes) this.#atBegin.set(node, await this.#received(node));
    this.#owners = await this.#ownersNow(nodes[0] ?? 0);
    this.#meanBytes = await this.#meanCopyBytes(nodes);
  }

  /** This node's process ends now: what it has received is asked first (what comes in between is not counted). */
  async ending(node: number): Promise<void> {
    const seen = await this.#received(node);
    const before = this.#atBegin.get(node) ?? { bytes: 0, slots: 0 };
    this.#atBegin.delete(node);
    this.#ended = {
      bytes: this.#ended.bytes + seen.bytes - before.bytes,
      slots: this.#ended.slots + seen.slots - before.slots,
    };
  }

  /** The ring of `nodes` is settled again, `running` processes run; what the phase moved. Old copies must be gone. */
  async end(nodes: readonly number[], running: readonly number[]): Promise<Moved> {
    let { bytes, slots } = this.#ended;
    for (const node of running) {
      const seen = await this.#received(node);
      const before = this.#atBegin.get(node) ?? { bytes: 0, slots: 0 };
      bytes += seen.bytes - before.bytes;
      slots += seen.slots - before.slots;
    }
    const now = await this.#ownersNow(nodes[0] ?? 0);
    const least = now.reduce((sum, owners, partition) => {
      const before = this.#owners[partition] ?? new Set<string>();
      return sum + [...owners].filter((owner) => !before.has(owner)).length;
    }, 0);
    const meanBytes = (this.#meanBytes + (await this.#meanCopyBytes(nodes))) / 2;
    return { receivedBytes: bytes, leastBytes: Math.round(least * meanBytes), slotsTaken: slots, leastSlots: least };
  }

  async #received(node: number): Promise<Seen> {
    return {
      bytes: await metric(this.#cluster, node, "gyre_handover_received_bytes_total"),
      slots: await metric(this.#cluster, node, "gyre_handover_taken_total"),
    };
  }

  async #ownersNow(node: number): Promise<readonly ReadonlySet<string>[]> {
    const text = await ringText(this.#cluster, node);
    return text.split("\n").map((line) => new Set(line.split(",")));
  }

  async #meanCopyBytes(nodes: readonly number[]): Promise<number> {
    let bytes = 0;
    for (const node of nodes) bytes += await metric(this.#cluster, node, "gyre_storage_live_bytes");
    const copies = (await this.#ownersNow(nodes[0] ?? 0)).reduce((sum, owners) => sum + owners.size, 0);
    return bytes / copies;
  }
}

/** One line for people: `moved 35.1 MB, least 34.0 MB: 1.03 × (2180 slots taken, least 2112: 1.03 ×)`. */
export function movedText({ receivedBytes, leastBytes, slotsTaken, leastSlots }: Moved): string {
  const bytes = `moved ${megabytes(receivedBytes)} MB, least ${megabytes(leastBytes)} MB: ${ratio(receivedBytes, leastBytes)} ×`;
  return `${bytes} (${slotsTaken} slots taken, least ${leastSlots}: ${ratio(slotsTaken, leastSlots)} ×)`;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

function ratio(value: number, least: number): string {
  return least === 0 ? "–" : (value / least).toFixed(2);
}
