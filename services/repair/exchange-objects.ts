/**
 * Moves objects both ways between two holders: pulls what the other one has, merges it here, and sends what came of it
 * where the other one lacks that. Merging is the replica's, on both sides: clients' limits never bind. Must never send a
 * base digest that was not seen on the very same key: the other side would write over another key of that hash.
 */
import type { ScanEntry } from "../../storage/engine.ts";
import { xxh64 } from "../base/hash.ts";
import type { NodeId } from "../base/ids.ts";
import { EXCHANGE_ASK_MS, MAX_PUSHED_OBJECT_BYTES } from "../base/limits.ts";
import type { CallResult, PeerRequest } from "../peers/messages.ts";
import type { KeyLocation, LocalReplica, ReplicaWriteResult } from "../replica/contract.ts";
import { encodedDigestOf } from "../versioning/object-codec.ts";
import { lengthFlawOf } from "../versioning/object-header.ts";
import type { CollectWord } from "./collect-word-core.ts";
import type { Difference } from "./exchange-core.ts";
import { BUSY_WORDS, type Failure, isEnd, reasonOf, wordsOf } from "./exchange-ends-core.ts";
import type { ExchangeAnswer, ExchangeQuestion } from "./exchange-messages.ts";
import type { PairSight, PairViews } from "./exchange-view.ts";
import { PullPace, type PullParts } from "./pull-pace.ts";
import { PulledPages } from "./pulled-pages.ts";
import { PushWindow } from "./push-window.ts";
import { type TransferPace, WorkSlices } from "./transfer-pace.ts";
import { PartJoiner, parseEntries } from "./transfer-page-core.ts";

/** What becomes of versions that are as old as what was collected. */
export interface OldVersions {
  /** what goes with what is given of the partition now; undefined: nothing is said */
  wordOf(partition: number): CollectWord | undefined;
  /** takes a version, whatever was collected here; undefined: it is not that old, or who gave it with that word is a peer like any other */
  adopt(
    word: CollectWord | undefined,
    location: KeyLocation,
    object: Uint8Array,
  ): Promise<ReplicaWriteResult> | undefined;
}

/** What moving works with. */
export interface ObjectParts extends PullParts {
  readonly replica: Pick<LocalReplica, "readEncoded" | "store" | "isSuspect">;
  readonly oldVersions: Pick<OldVersions, "adopt">;
  readonly partitionCount: number;
  /** of a key's bytes; default: the ring's own hash. For tests that want keys to share hashes. */
  readonly hashOf?: (key: Uint8Array) => bigint;
  readonly views: PairViews;
  /** of what is sent */
  readonly pace: TransferPace;
  /** over the bulk link; called back once */
  readonly call: (to: NodeId, request: PeerRequest, budgetMs: number, onResult: (result: CallResult) => void) => void;
}

/** Between whom, and how to ask. */
export interface Moving {
  readonly peer: NodeId;
  readonly sight: PairSight;
  readonly ask: (question: ExchangeQuestion) => Promise<ExchangeAnswer | undefined>;
  /** it takes its time, and goes on; false: it may not */
  readonly prolong: () => boolean;
}

/** What came of moving. */
export interface Moved {
  /** hashes that hold the same on both sides now, or will when the store there is done */
  readonly movedCount: number;
  readonly failedCount: number;
  /** objects, and their bytes */
  readonly pulledCount: number;
  readonly pulledBytes: number;
  readonly pushedCount: number;
  readonly pushedBytes: number;
  /** in words, why the exchange is over; undefined = it goes on */
  readonly endedBy: string | undefined;
}

interface Tally {
  readonly failed: Set<bigint>;
  /** digests of what came for keys of hashes that are held here too, by key */
  readonly theirs: Map<string, bigint>;
  pulledCount: number;
  pulledBytes: number;
  pushedCount: number;
  pushedBytes: number;
  endedBy: string | undefined;
}

/** One object of a page, and what was said of its partition when it was read. */
interface Came {
  readonly object: Uint8Array;
  readonly isHeldHere: boolean;
  readonly word: CollectWord | undefined;
}

/** Moves the objects under differing hashes. */
export class ObjectMover {
  readonly #parts: ObjectParts;
  readonly #pulls: PullPace;

  constructor(parts: ObjectParts) {
    this.#parts = parts;
    this.#pulls = new PullPace(parts);
  }

  /** Moves all of them that can be moved. Rejects as the store does when listing keys. */
  async move(moving: Moving, differences: readonly Difference[]): Promise<Moved> {
    const tally: Tally = {
      failed: new Set(),
      theirs: new Map(),
      pulledCount: 0,
      pulledBytes: 0,
      pushedCount: 0,
      pushedBytes: 0,
      endedBy: undefined,
    };
    await this.#pull(moving, differences, tally);
    if (tally.endedBy === undefined) await this.#push(moving, differences, tally);
    const { failed, theirs: _, ...counts } = tally;
    return { ...counts, failedCount: failed.size, movedCount: differences.length - failed.size };
  }

  /** Pulls what the other side has, page by page. */
  async #pull(moving: Moving, differences: readonly Difference[], tally: Tally): Promise<void> {
    const wanted = new Map(differences.filter((one) => one.theirs !== 0n).map((one) => [one.hash, one]));
    if (wanted.size === 0) return;
    const hashes = [...wanted.keys()];
    const came = new Set<bigint>();
    const joiner = new PartJoiner();
    const pages = new PulledPages({
      pace: this.#pulls,
      ask: (cursor) => moving.ask({ kind: "fetch", hashes, cursor }),
      isOurs: moving.prolong,
    });
    try {
      while (!pages.isOver) {
        const page = await pages.next();
        if (typeof page === "string" || page?.kind !== "objects") {
          tally.endedBy = typeof page === "string" ? page : reasonOf(page);
          return;
        }
        await this.#takePage(moving, { objects: page.objects, word: page.word, wanted, came, joiner }, tally);
        if (tally.endedBy !== undefined) return;
      }
    } finally {
      await pages.end();
    }
    // it was there a moment ago, and could not be read, or has just been replaced
    for (const hash of hashes) if (!came.has(hash)) tally.failed.add(hash);
  }

  async #takePage(
    { sight, prolong }: Moving,
    page: {
      readonly objects: Uint8Array;
      readonly word: CollectWord | undefined;
      readonly wanted: ReadonlyMap<bigint, Difference>;
      readonly came: Set<bigint>;
      readonly joiner: PartJoiner;
    },
    tally: Tally,
  ): Promise<void> {
    const entries = parseEntries(page.objects);
    if (entries === undefined) {
      tally.endedBy = "a page that is none";
      return;
    }
    this.#pulls.came(page.objects.length, entries.length);
    tally.pulledBytes += page.objects.length;
    // storing may take as long as waiting for it
    if (!prolong()) tally.endedBy = BUSY_WORDS;
    const slices = new WorkSlices(this.#parts.clock);
    const storing: Promise<void>[] = [];
    for (const entry of entries) {
      if (slices.isOver) await slices.rest();
      const location = this.#locationOf(sight.partition, entry.key);
      const object = page.joiner.join(entry);
      if (location === undefined || object === undefined || !page.wanted.has(location.hash)) {
        tally.endedBy = "an object that was not asked for";
        break;
      }
      page.came.add(location.hash);
      const isHeldHere = page.wanted.get(location.hash)?.ours !== 0n;
      if (object !== "more") storing.push(this.#take(location, { object, isHeldHere, word: page.word }, tally));
    }
    await Promise.all(storing);
    if (!prolong()) tally.endedBy ??= BUSY_WORDS;
  }

  async #take(location: KeyLocation, { object, isHeldHere, word }: Came, tally: Tally): Promise<void> {
    if (lengthFlawOf(object) !== undefined) {
      tally.failed.add(location.hash);
      return;
    }
    const digest = encodedDigestOf(object);
    const adopting = this.#parts.oldVersions.adopt(word, location, object);
    const result = await (adopting ?? this.#parts.replica.store(location, { baseDigest: 0n, digest, object }));
    if (result.kind !== "stored" && !this.#isSettled(location.partition, result)) {
      tally.failed.add(location.hash);
      if (isEnd(result)) tally.endedBy ??= `stored nothing here: ${wordsOf(result)}`;
      return;
    }
    tally.pulledCount += 1;
    // What was not merged here is not what a push is made from: there it would be replaced.
    if (isHeldHere && result.kind === "stored") tally.theirs.set(nameOf(location.key), digest);
  }

  /** Sends what is held here and is not what the other side was seen to hold. */
  async #push(moving: Moving, differences: readonly Difference[], tally: Tally): Promise<void> {
    const window = new PushWindow();
    for (const { hash, ours } of differences) {
      if (tally.endedBy !== undefined) break;
      if (ours === 0n) continue;
      for (const entry of await this.#parts.views.keysOf(moving.sight, hash)) {
        if (tally.endedBy !== undefined) break;
        await this.#pushKey(moving, { entry, tally, window });
      }
    }
    await window.drained();
  }

  async #pushKey(
    moving: Moving,
    { entry, tally, window }: { readonly entry: ScanEntry; readonly tally: Tally; readonly window: PushWindow },
  ): Promise<void> {
    const { hash, key, digest } = entry;
    const theirs = tally.theirs.get(nameOf(key));
    if (theirs === digest) return;
    const location = { partition: moving.sight.partition, hash, key };
    const read = this.#parts.replica.readEncoded(location);
    const held = read instanceof Promise ? await read : read;
    if (held.kind === "refused") {
      tally.failed.add(hash);
      if (isEnd(held)) tally.endedBy ??= `read nothing here: ${wordsOf(held)}`;
      return;
    }
    const { object } = held;
    if (object === undefined) return;
    if (object.length > MAX_PUSHED_OBJECT_BYTES) {
      // no frame takes it: the other side pulls it, in parts
      tally.failed.add(hash);
      return;
    }
    await window.roomFor(object.length);
    if (!moving.prolong()) tally.endedBy ??= BUSY_WORDS;
    if (tally.endedBy !== undefined) return;
    window.add(object.length, this.#send(moving, { location, base: theirs ?? 0n, object }, tally));
  }

  async #send(
    { peer }: Moving,
    { location, base, object }: { readonly location: KeyLocation; readonly base: bigint; readonly object: Uint8Array },
    tally: Tally,
  ): Promise<void> {
    const digest = encodedDigestOf(object);
    const sent = await this.#parts.pace.run(async () => {
      const request: PeerRequest = { kind: "store", key: location, baseDigest: base, digest, object };
      const result = await new Promise<CallResult>((resolve) =>
        this.#parts.call(peer, request, EXCHANGE_ASK_MS, resolve),
      );
      return { result, sizeBytes: object.length };
    });
    if (sent !== "busy" && (sent.result.kind === "stored" || this.#isSettled(location.partition, sent.result))) {
      tally.pushedCount += 1;
      tally.pushedBytes += object.length;
      return;
    }
    tally.failed.add(location.hash);
    if (sent !== "busy" && isEnd(sent.result)) tally.endedBy ??= `stored nothing there: ${wordsOf(sent.result)}`;
  }

  /**
   * It was deleted, and its tombstone has gone: that is all that can become of it. Who is uncertain of that compares itself
   * with a holder that took part, when it is suspect no more: two that are suspect would wait for each other.
   */
  #isSettled(partition: number, { kind, reason }: Failure): boolean {
    if (kind !== "refused") return false;
    return reason === "collected" || (reason === "uncertain" && this.#parts.replica.isSuspect(partition));
  }

  /** The hash is made anew: a page cannot name a wrong one. */
  #locationOf(partition: number, key: Uint8Array): KeyLocation | undefined {
    const hash = (this.#parts.hashOf ?? xxh64)(key);
    const found = Number(hash >> BigInt(64 - Math.log2(this.#parts.partitionCount)));
    return found === partition ? { partition, hash, key } : undefined;
  }
}

/** The key's bytes as text, one character each: a name for the map, never shown. */
function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("latin1");
}
