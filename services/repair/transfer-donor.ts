/**
 * The holder's side of copying a partition: pages of what differs, then of what has changed meanwhile, at last under the
 * seal. Each answer can be asked for again. What an attempt knows is in memory only: after a restart the receiver
 * compares again, and only what differs goes over. Must never answer with less than it was asked for without a refusal:
 * a record that cannot be read is not an absence.
 * Sources: research: gossip-ring §B.5, §B.7; the hand-over's ports (`services/cluster/handover-ports.ts`), by shape.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import { MAX_LISTED_STATES, TRANSFER_BATCH_KEYS, TRANSFER_SCAN_KEYS } from "../base/limits.ts";
import type { Clock } from "../base/ports.ts";
import type { ChangeTracker } from "../replica/change-trackers.ts";
import { noTraceRefusalOf } from "../replica/refusals.ts";
import type { HashState } from "./exchange-core.ts";
import { type CoveringHolder, type CoverParts, TransferCover } from "./transfer-cover.ts";
import { differingLeaves, hashLister, type KeyList, leafHashesOf, leafLister, statesOf } from "./transfer-listing.ts";
import {
  type ChangesRequest,
  type PullRequest,
  parseChangesRequest,
  parsePullRequest,
  type TransferRefusal,
  type TransferReply,
  transferReplyBody,
} from "./transfer-messages.ts";
import { type TransferPace, WorkSlices } from "./transfer-pace.ts";
import { type FilledPage, PageFiller, type PageRequest } from "./transfer-page.ts";

/** What a donor works with. */
export interface DonorParts {
  readonly store: Pick<
    StorageEngine,
    "get" | "scan" | "merkleChildren" | "merkleRoot" | "keyCountOf" | "isSuspect" | "partitionCount"
  >;
  readonly replica: { trackChanges(partition: number): ChangeTracker };
  readonly clock: Clock;
  readonly pace: TransferPace;
  /** over the bulk link, for what an old copy has and a holder lacks */
  readonly call: CoverParts["call"];
}

/** Totals since start. */
export interface TransferCounts {
  readonly pageCount: number;
  readonly objectCount: number;
  readonly sizeBytes: number;
  readonly refusedCount: number;
}

type Refused = Extract<TransferReply, { kind: "refused" }>;

/** The last page of an attempt, and what the receiver must then hold. */
export interface SealedPage {
  readonly body: TransferReply;
  readonly count: number;
  /** hex */
  readonly root: string;
}

interface Attempt {
  readonly tx: number;
  tracker: ChangeTracker;
  /** the last batch that was handed out; its hashes ascend, and are sent again until it is acknowledged */
  batch: { readonly number: number; readonly hashes: readonly bigint[] };
  isSealed: boolean;
}

/** Answers the receivers of this node's partitions. */
export class TransferDonor {
  readonly #parts: DonorParts;
  readonly #filler: PageFiller;
  readonly #cover: TransferCover;
  /** by partition: there is one receiver for a partition's slot */
  readonly #attempts = new Map<number, Attempt>();
  #pageCount = 0;
  #objectCount = 0;
  #sizeBytes = 0;
  #refusedCount = 0;

  constructor(parts: DonorParts) {
    this.#parts = parts;
    this.#filler = new PageFiller(parts);
    this.#cover = new TransferCover(parts);
  }

  /** From now on what changes in the partition is noted for this attempt, and for no earlier one. Idempotent. */
  openAttempt(partition: number, tx: number): void {
    const before = this.#attempts.get(partition);
    if (before?.tx === tx) return;
    before?.tracker.stop();
    const tracker = this.#parts.replica.trackChanges(partition);
    this.#attempts.set(partition, { tx, tracker, batch: { number: 0, hashes: [] }, isSealed: false });
  }

  /** Notes nothing more for the attempt. Unknown ones are ignored. */
  closeAttempt(partition: number, tx: number): void {
    const attempt = this.#attempts.get(partition);
    if (attempt?.tx !== tx) return;
    attempt.tracker.stop();
    this.#attempts.delete(partition);
    this.#filler.forget(partition);
  }

  /** A page of what differs from what the receiver said that it holds. Rejects only for a bug. */
  async pull(partition: number, tx: number, body: unknown): Promise<TransferReply> {
    const attempt = this.#attempts.get(partition);
    if (attempt?.tx !== tx) return this.#refuse("no_attempt");
    return this.#pull(partition, body, attempt);
  }

  /**
   * As `pull`, without an attempt: what changes meanwhile is not noted. With `takesSuspect` what can be read of a suspect copy
   * is given, too: the asker knows that what is not there may be missing.
   */
  async copy(partition: number, body: unknown, takesSuspect: boolean): Promise<unknown> {
    const request = parsePullRequest(body);
    if (request?.kind === "states") return transferReplyBody(await this.#states(partition, request));
    return this.#pull(partition, body, takesSuspect ? "all-there-is" : undefined);
  }

  /** See `TransferCover.isCoveredBy`; true: nothing of the old copy is needed any more. */
  isCoveredBy(partition: number, holder: CoveringHolder): Promise<boolean> {
    return this.#cover.isCoveredBy(partition, holder);
  }

  /** A page of what has changed since the attempt began. Rejects only for a bug. */
  async changes(partition: number, tx: number, body: unknown): Promise<TransferReply> {
    const attempt = this.#attempts.get(partition);
    if (attempt?.tx !== tx) return this.#refuse("no_attempt");
    const request = parseChangesRequest(body);
    if (request === undefined) return this.#refuse("malformed");
    if (attempt.tracker.isOverflown) return this.#refuse("overflown");
    const cursor = nextBatch(attempt, request);
    return this.#changesPage(partition, attempt, cursor);
  }

  /** The first page of all that is left, and what makes the copy whole. The caller has closed the partition's gate. */
  async seal(partition: number, tx: number): Promise<SealedPage> {
    const attempt = this.#attempts.get(partition);
    if (attempt?.tx !== tx) return { body: this.#refuse("no_attempt"), count: 0, root: rootOf(0n) };
    const { store } = this.#parts;
    const sealed = { count: store.keyCountOf(partition), root: rootOf(store.merkleRoot(partition)) };
    if (attempt.tracker.isOverflown) return { body: this.#refuse("overflown"), ...sealed };
    attempt.isSealed = true;
    const hashes = [...attempt.batch.hashes, ...attempt.tracker.take(Number.POSITIVE_INFINITY)];
    attempt.batch = { number: attempt.batch.number + 1, hashes: ascending(hashes) };
    return { body: await this.#changesPage(partition, attempt, undefined), ...sealed };
  }

  /** Totals since start. */
  counts(): TransferCounts {
    return {
      pageCount: this.#pageCount,
      objectCount: this.#objectCount,
      sizeBytes: this.#sizeBytes,
      refusedCount: this.#refusedCount,
    };
  }

  async #pull(partition: number, body: unknown, attempt: Attempt | "all-there-is" | undefined): Promise<TransferReply> {
    const request = parsePullRequest(body);
    if (request === undefined || request.kind === "states") return this.#refuse("malformed");
    const takesSuspect = attempt === "all-there-is";
    // what was forgotten of the changes is found by this comparison, if those from now on are noted before it
    if (!takesSuspect && request.kind === "begin" && attempt?.tracker.isOverflown === true)
      this.#trackAnew(partition, attempt);
    const { store } = this.#parts;
    const differing = differingIn(store, partition, request);
    const cursor = request.kind === "begin" ? undefined : request.cursor;
    const listed = { partition, list: leafLister(store, partition, differing), cursor };
    const page = await this.#page(listed, { isPaced: true, takesSuspect });
    if ("reason" in page) return page;
    return { kind: "pulled", differing, objects: page.objects, next: page.next };
  }

  /** What stands here under the hashes of the leaves that differ, a message full of it. */
  async #states(
    partition: number,
    { leaves, fromHash }: Extract<PullRequest, { kind: "states" }>,
  ): Promise<TransferReply> {
    const { store, clock, pace } = this.#parts;
    const differing = differingLeaves(leafHashesOf(store, partition), leaves);
    const list = leafLister(store, partition, differing);
    const slices = new WorkSlices(clock);
    const gather = async (): Promise<{ states: HashState[]; at: bigint | undefined; sizeBytes: number }> => {
      const states: HashState[] = [];
      let at: bigint | undefined = fromHash;
      while (at !== undefined && states.length + TRANSFER_SCAN_KEYS <= MAX_LISTED_STATES) {
        const listed: KeyList = await list(at);
        states.push(...statesOf(listed.entries).toSorted((a, b) => (a.hash < b.hash ? -1 : 1)));
        if (slices.isOver) await slices.rest();
        at = listed.nextHash;
      }
      return { states, at, sizeBytes: states.length * 16 };
    };
    if (store.isSuspect(partition)) return this.#refuse("suspect");
    try {
      const gathered = await pace.run(gather);
      if (gathered === "busy") return this.#refuse("busy");
      // a listing leaves out what it cannot read, and says so in this way only
      if (store.isSuspect(partition)) return this.#refuse("suspect");
      return { kind: "states", differing, states: gathered.states, nextHash: gathered.at };
    } catch (error) {
      return this.#refuse(reasonOf(error));
    }
  }

  async #changesPage(partition: number, attempt: Attempt, cursor: Uint8Array | undefined): Promise<TransferReply> {
    const { number, hashes } = attempt.batch;
    const list = hashLister(this.#parts.store, partition, hashes);
    const page = await this.#page({ partition, list, cursor }, { isPaced: !attempt.isSealed, takesSuspect: false });
    if ("reason" in page) return page;
    const { objects, next } = page;
    return { kind: "changed", batch: number, objects, next, remainingCount: attempt.tracker.count };
  }

  /** Writes wait for a page under the seal: it is not paced. */
  async #page(
    request: PageRequest,
    { isPaced, takesSuspect }: { readonly isPaced: boolean; readonly takesSuspect: boolean },
  ): Promise<FilledPage | Refused> {
    const { store, pace } = this.#parts;
    const isRefused = (): boolean => store.isSuspect(request.partition) && !takesSuspect;
    if (isRefused()) return this.#refuse("suspect");
    try {
      const fill = (): Promise<FilledPage> => this.#filler.page(request);
      const page = isPaced ? await pace.run(fill) : await fill();
      if (page === "busy") return this.#refuse("busy");
      // a listing leaves out what it cannot read, and says so in this way only
      if (isRefused()) return this.#refuse("suspect");
      this.#pageCount += 1;
      this.#objectCount += page.objectCount;
      this.#sizeBytes += page.sizeBytes;
      return page;
    } catch (error) {
      return this.#refuse(reasonOf(error));
    }
  }

  #trackAnew(partition: number, attempt: Attempt): void {
    attempt.tracker.stop();
    attempt.tracker = this.#parts.replica.trackChanges(partition);
    attempt.batch = { number: attempt.batch.number, hashes: [] };
  }

  #refuse(reason: TransferRefusal): Refused {
    this.#refusedCount += 1;
    return { kind: "refused", reason };
  }
}

/** Moves on to the next batch when the last one has arrived; the cursor to go on from within the batch that stands. */
function nextBatch(attempt: Attempt, request: ChangesRequest): Uint8Array | undefined {
  const { number, hashes } = attempt.batch;
  if (request.kind === "next") return request.batch === number ? request.cursor : undefined;
  // a receiver that knows nothing of it (another life of it, or a late request) is given what was not acknowledged again
  if (request.ack !== number && hashes.length > 0) return undefined;
  attempt.batch = { number: number + 1, hashes: ascending(attempt.tracker.take(TRANSFER_BATCH_KEYS)) };
  return undefined;
}

function differingIn(
  store: DonorParts["store"],
  partition: number,
  request: Exclude<PullRequest, { kind: "states" }>,
): Uint8Array {
  if (request.kind === "next") return request.differing;
  return differingLeaves(leafHashesOf(store, partition), request.leaves);
}

function ascending(hashes: readonly bigint[]): readonly bigint[] {
  return [...new Set(hashes)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

/** A root as it is told. */
export function rootOf(root: bigint): string {
  return root.toString(16);
}

function reasonOf(error: unknown): TransferRefusal {
  const refusal = noTraceRefusalOf(error);
  return refusal.reason === "corrupt_record" ? "corrupt_record" : "stopping";
}
