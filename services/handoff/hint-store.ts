/**
 * HintStore: the versions that this node keeps for slots of others. A replica of its own over an engine of its own: its
 * dots carry that store's actor, which is renewed before anything that it may have minted is taken out. A hint is taken
 * out only where its digest is what the receiver confirmed, and no other slot may still need it.
 * Must never say "stored" before version and slot are safe, nor forget a version for lack of room.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import type { Clock, Log } from "../base/ports.ts";
import type {
  HandedVersion,
  KeyLocation,
  Minted,
  ReadTerm,
  ReplicaReadResult,
  ReplicaWriteResult,
  WriteIntent,
} from "../replica/contract.ts";
import type { ConflictRules } from "../replica/needs.ts";
import type { ReplicaParts } from "../replica/parts.ts";
import { noTraceRefusalOf, refused } from "../replica/refusals.ts";
import { Replica } from "../replica/replica.ts";
import { encodedDigestOf } from "../versioning/object-codec.ts";
import type { FallbackReplica } from "./contract.ts";
import { type FoundHint, HintRecords, removalOf, replicaStoreOf } from "./hint-records.ts";
import type { HintRoom } from "./hint-room.ts";
import { ShelfTally } from "./shelf-tally.ts";

/** What the store works with. */
export interface HintStoreParts {
  /** opened with `hintEngineOptions` */
  readonly engine: StorageEngine;
  /** Q of the node */
  readonly partitionCount: number;
  readonly conflicts: ConflictRules;
  readonly clock: Clock;
  readonly log: Log;
  readonly isDurable: boolean;
  /** nothing is minted before it is open; absent: it is */
  readonly gate?: ReplicaParts["gate"];
  readonly room: HintRoom;
  /** something may be kept that was not before */
  readonly onKept: () => void;
  /** this node is on its way out of the cluster: it takes nothing more for others */
  readonly isLeaving: () => boolean;
}

/** Hinted objects of one node. */
export class HintStore implements FallbackReplica {
  readonly tally: ShelfTally;
  readonly #records: HintRecords;
  readonly #replica: Replica;
  readonly #room: HintRoom;
  readonly #onKept: () => void;
  readonly #isLeaving: () => boolean;

  constructor(parts: HintStoreParts) {
    const { engine, partitionCount, conflicts, clock, log, isDurable } = parts;
    this.tally = new ShelfTally(partitionCount, clock);
    this.#records = new HintRecords(engine, "object", this.tally);
    this.#replica = new Replica({
      store: replicaStoreOf(engine, this.#records, partitionCount),
      slots: { slotOf: () => 0 },
      conflicts,
      clock,
      log,
      isDurable,
      gate: parts.gate,
    });
    this.#room = parts.room;
    this.#onKept = parts.onKept;
    this.#isLeaving = parts.isLeaving;
  }

  digestOf(location: KeyLocation): bigint {
    return this.#records.digestOf(location);
  }

  read(location: KeyLocation, wanted?: number | ReadTerm): ReplicaReadResult | Promise<ReplicaReadResult> {
    return this.#replica.read(location, wanted);
  }

  readEncoded(location: KeyLocation, budgetMs?: number): ReturnType<FallbackReplica["readEncoded"]> {
    return this.#replica.readEncoded(location, budgetMs);
  }

  async store(location: KeyLocation, slot: number, version: HandedVersion): Promise<ReplicaWriteResult> {
    if (this.#isLeaving()) return leaving();
    if (!this.#room.takes(version.object.length + location.key.length)) return full();
    return this.#kept(location, slot, () => this.#replica.store(location, version));
  }

  async write(
    location: KeyLocation,
    slot: number,
    intent: WriteIntent,
    onMinted: (minted: Minted) => void,
  ): Promise<ReplicaWriteResult> {
    if (this.#isLeaving()) return leaving();
    const sizeBytes = intent.kind === "put" ? intent.bytes.length : 0;
    if (!this.#room.takes(sizeBytes + location.key.length)) return full();
    return this.#kept(location, slot, () => this.#replica.write(location, intent, onMinted));
  }

  /**
   * The index has given this version up for an error that has passed: keeps it anew, so that it is a hint like any other.
   * Resolves whether or not there was room.
   */
  async keepAgain(location: KeyLocation, slot: number, object: Uint8Array): Promise<void> {
    const version = { baseDigest: 0n, digest: encodedDigestOf(object), object };
    await this.#kept(location, slot, () => this.#replica.store(location, version));
  }

  /** Up to about `limit` hints of a partition from a place on; `next` undefined: there are no more. Rejects as the store. */
  scan(partition: number, from: bigint, limit: number): ReturnType<HintRecords["scan"]> {
    return this.#records.scan(partition, from, limit);
  }

  /**
   * The version with this digest is where it should be: takes it out, unless it has changed or `mayGo` says, at that
   * moment, that somebody still needs it. True when it is gone. Without room for the mark it stays.
   */
  async remove({ location, digest }: FoundHint, mayGo: () => boolean): Promise<boolean> {
    const isDue = (): boolean => this.digestOf(location) === digest && mayGo();
    try {
      return await this.#replica.discard(location, removalOf(location), isDue);
    } catch (error) {
      noTraceRefusalOf(error);
      return false;
    }
  }

  /** Gives back what removal marks of a partition take, when nothing else is in it. */
  async sweep(partition: number): Promise<void> {
    await this.#replica.closeGate(partition);
    try {
      if (this.tally.isEmpty(partition)) await this.#records.drop(partition);
    } finally {
      this.#replica.openGate(partition);
    }
  }

  /** The partition's records, to be counted when the node starts. */
  get records(): HintRecords {
    return this.#records;
  }

  /** Goes on as a new actor, durably: what looks like a clean stop may be the backup of one. Rejects as the store does. */
  renewActor(): Promise<void> {
    return this.#replica.renewActor();
  }

  /** Mints only above `counter` from now on, over restarts too once it resolves. Rejects as the store does. */
  mintAbove(counter: number): Promise<void> {
    return this.#replica.mintAbove(counter);
  }

  /** Refuses what comes from now on; resolves when what was accepted is done. As the replica's `close`. */
  close(): Promise<{ readonly isActorTrusted: boolean }> {
    return this.#replica.close();
  }

  async #kept(
    location: KeyLocation,
    slot: number,
    keep: () => Promise<ReplicaWriteResult>,
  ): Promise<ReplicaWriteResult> {
    const { partition } = location;
    this.tally.begin(partition, slot);
    try {
      return await keep();
    } finally {
      this.tally.end(partition, slot);
      this.#onKept();
    }
  }
}

function leaving(): ReplicaWriteResult {
  return refused("shutting_down", "this node is leaving the cluster, and stands in for nobody");
}

function full(): ReplicaWriteResult {
  return refused("overloaded", "hints are full: this node keeps as much for others as it may");
}
