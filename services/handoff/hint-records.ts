/**
 * The records of the hint store: its engine as a replica's store, in which what was taken out is not there, and the same
 * for markers. Every record that comes or goes is counted. Must never show a removal mark as a version.
 */
import type { KeyAddress, PutRequest, StorageEngine, StoredRecord } from "../../storage/engine.ts";
import { xxh64 } from "../base/hash.ts";
import type { KeyLocation } from "../replica/contract.ts";
import type { ReplicaStore } from "../replica/needs.ts";
import { REMOVED_DIGEST } from "./hint-engine.ts";
import type { ShelfTally } from "./shelf-tally.ts";

/** What is kept: versions for slots of others, or notes that a slot lacks what the main store has. */
export type HintKind = "object" | "marker";

/** One hint as a scan meets it. */
export interface FoundHint {
  readonly location: KeyLocation;
  /** of the record: a version's, or a marker's own */
  readonly digest: bigint;
}

const NOTHING = new Uint8Array(0);
const MARKER_BIT = 1n << 63n;

/** The records of one kind. */
export class HintRecords {
  readonly #engine: StorageEngine;
  readonly #kind: HintKind;
  readonly #tally: ShelfTally;
  readonly #partitionCount: number;
  /** what the last put that is under way will make of a key, by hash */
  readonly #underway = new Map<bigint, { readonly isThere: boolean }>();

  constructor(engine: StorageEngine, kind: HintKind, tally: ShelfTally) {
    this.#engine = engine;
    this.#kind = kind;
    this.#tally = tally;
    this.#partitionCount = tally.partitionCount;
  }

  /** Where the engine keeps it: half as many hashes, twice as many partitions. */
  addressOf({ partition, hash, key }: KeyLocation): KeyAddress {
    const half = hash >> 1n;
    return { partition: this.#shelfOf(partition), hash: this.#kind === "marker" ? half | MARKER_BIT : half, key };
  }

  /** Digest of what is kept, 0n = nothing. From RAM. */
  digestOf(location: KeyLocation): bigint {
    const digest = this.#engine.digestOf(this.addressOf(location));
    return digest === REMOVED_DIGEST ? 0n : digest;
  }

  /** As the engine's `get`. */
  get(location: KeyLocation): StoredRecord | undefined | Promise<StoredRecord | undefined> {
    const found = this.#engine.get(this.addressOf(location));
    return found instanceof Promise ? found.then(unlessRemoved) : unlessRemoved(found);
  }

  /** As the engine's `put`, counted. The promise is the engine's own; puts of one key take effect in the order of the calls. */
  put(request: PutRequest): Promise<void> {
    const { partition, hash } = request.address;
    const before = this.#underway.get(hash);
    const wasThere = before?.isThere ?? this.digestOf(request.address) !== 0n;
    const isThere = request.digest !== REMOVED_DIGEST;
    const own = { isThere };
    this.#underway.set(hash, own);
    const putting = this.#engine.put({ ...request, address: this.addressOf(request.address) });
    const end = (): void => {
      if (this.#underway.get(hash) === own) this.#underway.delete(hash);
    };
    putting.then(() => {
      end();
      if (isThere && !wasThere) this.#tally.added(partition);
      if (wasThere && !isThere) this.#tally.removed(partition);
    }, end);
    return putting;
  }

  /** Up to about `limit` hints of a partition from a place on; `next` undefined: there are no more. */
  async scan(
    partition: number,
    from: bigint,
    limit: number,
  ): Promise<{ readonly hints: readonly FoundHint[]; readonly next: bigint | undefined }> {
    const first = this.addressOf({ partition, hash: 0n, key: NOTHING }).hash;
    const page = await this.#engine.scan(this.#shelfOf(partition), from > first ? from : first, limit);
    const hints: FoundHint[] = [];
    for (const { key, digest } of page.entries) {
      if (digest !== REMOVED_DIGEST) hints.push({ location: { partition, hash: xxh64(key), key }, digest });
    }
    return { hints, next: page.nextHash };
  }

  /** Digests of all hints of a partition, unordered, from RAM; not of those that cannot be read. */
  digestsOf(partition: number): readonly bigint[] {
    const shelf = this.#shelfOf(partition);
    const digests: bigint[] = [];
    if (this.#engine.keyCountOf(shelf) === 0) return digests;
    for (let leaf = 0; leaf < MERKLE_LEAVES; leaf += 1) {
      for (const { digest } of this.#engine.merkleLeaf(shelf, leaf)) {
        if (digest !== REMOVED_DIGEST) digests.push(digest);
      }
    }
    return digests;
  }

  /** Records of the partition that the index has given up because they could not be read. From RAM. */
  unreadableIn(partition: number): number {
    return this.#engine.unreadableIn(this.#shelfOf(partition)).length;
  }

  /** Counts a partition anew, from RAM. */
  recount(partition: number): void {
    this.#tally.recount(partition, this.digestsOf(partition).length);
  }

  /** Removal marks that lie in a partition. */
  markCountOf(partition: number): number {
    return this.#engine.keyCountOf(this.#shelfOf(partition)) - this.#tally.countOf(partition);
  }

  /** Records of the partition may have been lost. */
  isSuspect(partition: number): boolean {
    return this.#engine.isSuspect(this.#shelfOf(partition));
  }

  /** Declares it whole again, durably. */
  async clearSuspect(partition: number): Promise<void> {
    await this.#engine.clearSuspect(this.#shelfOf(partition));
  }

  /** Forgets all records of the partition, durably and at once. What they were must be safe elsewhere. */
  async drop(partition: number): Promise<void> {
    await this.#engine.dropPartition(this.#shelfOf(partition));
    this.recount(partition);
  }

  #shelfOf(partition: number): number {
    return this.#kind === "marker" ? this.#partitionCount + partition : partition;
  }
}

/** leaves of a Merkle tree, as the engine's contract says */
const MERKLE_LEAVES = 256;

/** The put that takes a hint out. */
export function removalOf(location: KeyLocation): PutRequest {
  return { address: location, value: NOTHING, digest: REMOVED_DIGEST, isTombstone: true };
}

/** The store of the replica of hinted objects. Only this store's actor is behind its dots. */
export function replicaStoreOf(engine: StorageEngine, records: HintRecords, partitionCount: number): ReplicaStore {
  return {
    get identity() {
      return engine.identity;
    },
    recovery: engine.recovery,
    suspectPartitions: () => engine.suspectPartitions().filter((partition) => partition < partitionCount),
    leaseCounters: (through) => engine.leaseCounters(through),
    renewActor: () => engine.renewActor(),
    isSuspect: (partition) => records.isSuspect(partition),
    digestOf: (location) => records.digestOf(location),
    get: (location) => records.get(location),
    put: (request) => records.put(request),
    dropPartition: (partition) => records.drop(partition),
  };
}

function unlessRemoved(record: StoredRecord | undefined): StoredRecord | undefined {
  return record?.digest === REMOVED_DIGEST ? undefined : record;
}
