/**
 * The proof before an old copy is dropped: a holder of today has all of it, as it is or newer. Leaves are compared first, then
 * states (16 bytes a hash), and what differs is given to the holder, which merges it: so the last copy of a write is brought
 * to where it is read, and is not merely kept. Must never call a key covered of which the holder has not said so.
 * Sources: research: gossip-ring §B.4, §B.5; the hand-over's ports (`services/cluster/handover-ports.ts`), by shape.
 */
import type { ScanEntry, StorageEngine } from "../../storage/engine.ts";
import { xxh64 } from "../base/hash.ts";
import type { NodeId } from "../base/ids.ts";
import { EXCHANGE_ASK_MS, MAX_PUSHED_OBJECT_BYTES } from "../base/limits.ts";
import type { Clock } from "../base/ports.ts";
import type { CallResult, PeerRequest } from "../peers/messages.ts";
import { noTraceRefusalOf } from "../replica/refusals.ts";
import { decodeSet, digestOf, encodedDigestOf } from "../versioning/object-codec.ts";
import { merge } from "../versioning/sibling-set.ts";
import { PushWindow } from "./push-window.ts";
import { leafBitsOf, leafHashesOf, leafLister, statesOf } from "./transfer-listing.ts";
import { hashBytes, parseTransferReply, type TransferReply } from "./transfer-messages.ts";
import { type TransferPace, WorkSlices } from "./transfer-pace.ts";
import {
  encodeCursor,
  isFurther,
  type PageCursor,
  PartJoiner,
  parseCursor,
  parseEntries,
} from "./transfer-page-core.ts";

/** A holder, and the way to what it has. */
export interface CoveringHolder {
  readonly node: NodeId;
  /** its answers to `copy`; undefined when there is none */
  pull(body: unknown): Promise<unknown>;
}

/** What a proof works with. */
export interface CoverParts {
  readonly store: Pick<StorageEngine, "get" | "scan" | "merkleChildren" | "partitionCount">;
  readonly clock: Clock;
  readonly pace: TransferPace;
  /** over the bulk link; called back once */
  readonly call: (to: NodeId, request: PeerRequest, budgetMs: number, onResult: (result: CallResult) => void) => void;
}

type States = Extract<TransferReply, { kind: "states" }>;

interface Proof {
  readonly partition: number;
  readonly holder: CoveringHolder;
  readonly window: PushWindow;
  readonly slices: WorkSlices;
  isRefuted: boolean;
}

/** Less than any key of a client: bucket names are longer. */
const BEFORE_ALL_KEYS = Uint8Array.of(0);

/** Proves old copies; several at a time may be under way. */
export class TransferCover {
  readonly #parts: CoverParts;

  constructor(parts: CoverParts) {
    this.#parts = parts;
  }

  /**
   * True when the holder has all that is held here of the partition, by its own word for each version that differed. False as soon as
   * that fails for one, or when it does not answer: what was given until then is compared as equal, or known, the next time. Rejects
   * as the store does when listing keys.
   */
  async isCoveredBy(partition: number, holder: CoveringHolder): Promise<boolean> {
    const { store, clock } = this.#parts;
    const proof: Proof = {
      ...{ partition, holder, isRefuted: false },
      ...{ window: new PushWindow(), slices: new WorkSlices(clock) },
    };
    const leaves = leafHashesOf(store, partition);
    let fromHash = 0n;
    for (;;) {
      const reply = parseTransferReply(await holder.pull({ kind: "states", leaves, from: hashBytes(fromHash) }));
      if (reply?.kind !== "states") return false;
      await this.#compare(proof, reply, fromHash);
      if (proof.isRefuted || reply.nextHash === undefined) break;
      // a holder that says the same again would be asked for ever
      if (reply.nextHash <= fromHash) return false;
      fromHash = reply.nextHash;
    }
    await proof.window.drained();
    return !proof.isRefuted;
  }

  /** What is held here from `fromHash` to where the answer ends, beside the answer. */
  async #compare(proof: Proof, { differing, states, nextHash }: States, fromHash: bigint): Promise<void> {
    const theirs = new Map(states.map(({ hash, state }) => [hash, state]));
    const list = leafLister(this.#parts.store, proof.partition, differing);
    let at: bigint | undefined = fromHash;
    while (at !== undefined && (nextHash === undefined || at < nextHash) && !proof.isRefuted) {
      const listed: Awaited<ReturnType<typeof list>> = await list(at);
      for (const { hash, state } of statesOf(listed.entries)) {
        if ((nextHash !== undefined && hash >= nextHash) || theirs.get(hash) === state) continue;
        const entries = listed.entries.filter((entry) => entry.hash === hash);
        for (const entry of entries) await this.#cover(proof, entry);
      }
      if (proof.slices.isOver) await proof.slices.rest();
      at = listed.nextHash;
    }
  }

  async #cover(proof: Proof, entry: ScanEntry): Promise<void> {
    if (proof.isRefuted) return;
    const { partition, window } = proof;
    const object = await this.#read(proof, entry);
    if (object === undefined) return;
    if (object.length > MAX_PUSHED_OBJECT_BYTES) {
      if (!(await this.#isDominated(proof, entry, object))) proof.isRefuted = true;
      return;
    }
    await window.roomFor(object.length);
    if (proof.isRefuted) return;
    const key = { partition, hash: entry.hash, key: entry.key };
    window.add(
      object.length,
      this.#give(proof.holder.node, key, object).then((isTaken) => {
        if (!isTaken) proof.isRefuted = true;
      }),
    );
  }

  /** Undefined: nothing is there any more, or it cannot be read: that is no copy of anything, nobody can be given it. */
  async #read(proof: Proof, { hash, key }: ScanEntry): Promise<Uint8Array | undefined> {
    try {
      return (await this.#parts.store.get({ partition: proof.partition, hash, key }))?.value;
    } catch (error) {
      if (noTraceRefusalOf(error).reason !== "corrupt_record") proof.isRefuted = true;
      return undefined;
    }
  }

  /** True when the holder has merged it, or says that it was deleted and that its tombstone has gone. Never rejects. */
  async #give(to: NodeId, key: Extract<PeerRequest, { kind: "store" }>["key"], object: Uint8Array): Promise<boolean> {
    const digest = encodedDigestOf(object);
    const given = await this.#parts.pace.run(async () => {
      const request: PeerRequest = { kind: "store", key, baseDigest: 0n, digest, object };
      const result = await new Promise<CallResult>((resolve) =>
        this.#parts.call(to, request, EXCHANGE_ASK_MS, resolve),
      );
      return { result, sizeBytes: object.length };
    });
    if (given === "busy") return false;
    const { result } = given;
    return result.kind === "stored" || (result.kind === "refused" && result.reason === "collected");
  }

  /** For what no frame takes: the holder's version comes in parts, and must be the same or newer. */
  async #isDominated({ holder }: Proof, { hash, key }: ScanEntry, object: Uint8Array): Promise<boolean> {
    const differing = leafBitsOf(this.#parts.store, hash);
    let at: PageCursor = { hash, key: BEFORE_ALL_KEYS, offset: 0, digest: 0n };
    const joiner = new PartJoiner();
    for (;;) {
      const reply = parseTransferReply(await holder.pull({ kind: "next", differing, cursor: encodeCursor(at) }));
      const entries = reply?.kind === "pulled" ? parseEntries(reply.objects) : undefined;
      if (reply?.kind !== "pulled" || entries === undefined) return false;
      for (const entry of entries) {
        const theirs = joiner.join(entry);
        if (theirs === undefined) return false;
        if (theirs === "more") continue;
        if (Buffer.compare(entry.key, key) === 0) return isNewerOrSame(theirs, object);
        // keys come by hash: the one that is looked for was passed over
        if (xxh64(entry.key) !== hash) return false;
      }
      const next = reply.next === undefined ? undefined : parseCursor(reply.next);
      // a holder whose pages do not go on would be asked for ever
      if (next === undefined || !isFurther(next, at)) return false;
      at = next;
    }
  }
}

/** Whether one version has seen all that the other has. Bytes that cannot be decoded have seen nothing. */
function isNewerOrSame(theirs: Uint8Array, ours: Uint8Array): boolean {
  const [one, other] = [decodeSet(theirs), decodeSet(ours)];
  if (one.kind === "corrupt" || other.kind === "corrupt") return false;
  return digestOf(merge(one.set, other.set)) === digestOf(one.set);
}
