/**
 * Takes the objects of pages in: each is merged with what is held, and durable when it counts. Finds out on the way
 * whether the copy can become the donor's: what is held beside it cannot be taken out key by key. Must never take an
 * object for another key than its own.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import { MerkleTree, merkleLeafCount } from "../../storage/merkle-tree.ts";
import { xxh64 } from "../base/hash.ts";
import type { Clock } from "../base/ports.ts";
import type { KeyLocation, ReplicaWriteResult } from "../replica/contract.ts";
import { encodedDigestOf } from "../versioning/object-codec.ts";
import { isLeafIn } from "./transfer-listing.ts";
import { WorkSlices } from "./transfer-pace.ts";
import { PartJoiner, parseCursor, parseEntries } from "./transfer-page-core.ts";

/** What taking in works with. */
export interface IntakeParts {
  readonly store: Pick<StorageEngine, "merkleLeaf" | "partitionCount">;
  readonly replica: { ingest(location: KeyLocation, object: Uint8Array): Promise<ReplicaWriteResult> };
  readonly clock: Clock;
}

/** What came of a page. */
export type IntakeResult =
  | { readonly kind: "taken" }
  /** more is held than the donor has: the copy will never be equal */
  | { readonly kind: "beyond"; readonly reason: string }
  | { readonly kind: "failed"; readonly reason: string; readonly isSuspect?: boolean };

const TAKEN: IntakeResult = { kind: "taken" };

/** Takes in the pages of one source, in their order. */
export class TransferIntake {
  readonly #parts: IntakeParts;
  readonly #partition: number;
  readonly #joiner: PartJoiner = new PartJoiner();
  #objectCount = 0;
  #sizeBytes = 0;

  constructor(parts: IntakeParts, partition: number) {
    this.#parts = parts;
    this.#partition = partition;
  }

  /** Objects taken in so far. */
  get objectCount(): number {
    return this.#objectCount;
  }

  /** Bytes an object takes on a page, by those that came so far. */
  get typicalBytes(): number {
    return this.#objectCount === 0 ? 0 : this.#sizeBytes / this.#objectCount;
  }

  /** Takes a page; resolves when all of it is durable. `onHash` hears of each object. Rejects only for a bug. */
  async take(objects: Uint8Array, onHash: (hash: bigint) => void = ignore): Promise<IntakeResult> {
    const entries = parseEntries(objects);
    if (entries === undefined) return malformed();
    const slices = new WorkSlices(this.#parts.clock);
    const ingesting: Promise<IntakeResult>[] = [];
    let flaw: IntakeResult | undefined;
    for (const entry of entries) {
      if (slices.isOver) await slices.rest();
      const location = this.#locationOf(entry.key);
      const object = this.#joiner.join(entry);
      if (location === undefined || object === undefined) {
        flaw = malformed();
        break;
      }
      onHash(location.hash);
      if (object !== "more") ingesting.push(this.#ingest(location, object));
    }
    // whatever was begun is waited for: nothing of this page comes in later than the answer
    const results = await Promise.all(ingesting);
    this.#sizeBytes += objects.length;
    return flaw ?? results.find((result) => result.kind === "failed") ?? results.find(isBeyond) ?? TAKEN;
  }

  async #ingest(location: KeyLocation, object: Uint8Array): Promise<IntakeResult> {
    const result = await this.#parts.replica.ingest(location, object);
    if (result.kind !== "stored") {
      return { kind: "failed", reason: result.kind === "refused" ? result.reason : result.detail };
    }
    if (result.keptAbove !== undefined) return { kind: "failed", reason: "collected" };
    this.#objectCount += 1;
    if (result.digest === encodedDigestOf(object)) return TAKEN;
    return { kind: "beyond", reason: "a version is held that the donor has not" };
  }

  /** The hash is made anew: a page cannot name a wrong one. */
  #locationOf(key: Uint8Array): KeyLocation | undefined {
    const hash = xxh64(key);
    const partition = Number(hash >> BigInt(64 - Math.log2(this.#parts.store.partitionCount)));
    return partition === this.#partition ? { partition, hash, key } : undefined;
  }
}

/** Sees whether a leaf holds what the donor's pages passed over. */
export class LeafCheck {
  readonly #store: IntakeParts["store"];
  readonly #partition: number;
  readonly #differing: Uint8Array;
  readonly #tree: MerkleTree;
  /** hashes that came and whose leaf is not passed yet */
  readonly #came = new Set<bigint>();
  #nextLeaf = 0;

  constructor(store: IntakeParts["store"], what: { readonly partition: number; readonly differing: Uint8Array }) {
    this.#store = store;
    this.#partition = what.partition;
    this.#differing = what.differing;
    this.#tree = new MerkleTree(Math.log2(store.partitionCount));
  }

  /** An object with this hash came. */
  readonly note = (hash: bigint): void => {
    this.#came.add(hash);
  };

  /** The pages have come to this cursor (undefined: to the end); false when something is held that they passed over. */
  passTo(cursor: Uint8Array | undefined): boolean {
    const at = cursor === undefined ? undefined : parseCursor(cursor);
    const end = at === undefined ? merkleLeafCount : this.#tree.leafOf(at.hash);
    for (; this.#nextLeaf < end; this.#nextLeaf += 1) {
      if (!isLeafIn(this.#differing, this.#nextLeaf)) continue;
      for (const { hash } of this.#store.merkleLeaf(this.#partition, this.#nextLeaf)) {
        if (!this.#came.delete(hash)) return false;
      }
    }
    return true;
  }
}

function malformed(): IntakeResult {
  return { kind: "failed", reason: "malformed page" };
}

function isBeyond(result: IntakeResult): boolean {
  return result.kind === "beyond";
}

function ignore(): void {
  // nobody listens
}
