/**
 * BucketExchange: how bucket settings reach every member: a change is offered to all at once; whoever a link comes up to,
 * or whom an offer did not reach, is asked for its digest, and so is one linked member after the other every few seconds,
 * whatever has happened. Records travel only when digests differ. Must never judge settings: versions do.
 */
import type { BucketRecord } from "../base/bucket-settings.ts";
import type { NodeId } from "../base/ids.ts";
import type { Clock, Log, Timer } from "../base/ports.ts";
import type { CallResult, Peers } from "../peers/messages.ts";
import { type TopicHandler, TopicRefusal } from "../peers/peer-handler.ts";
import { decodeBucketRecords, encodeBucketRecords, isNewerRecord } from "./bucket-codec.ts";
import type { BucketDirectory } from "./bucket-directory.ts";
import { parseFields } from "./cluster-config.ts";

/** Topic of `{records: bytes}`, answered `{digest}`: take these. */
export const BUCKETS_OFFER_TOPIC = "buckets.offer";
/** Topic of `{digest}`, answered `{digest}` when equal, `{digest, records: bytes}` otherwise: what have you? */
export const BUCKETS_EXCHANGE_TOPIC = "buckets.exchange";

/** What the exchange works with. */
export interface BucketExchangeParts {
  readonly directory: BucketDirectory;
  readonly peers: Pick<Peers, "call">;
  readonly clock: Clock;
  readonly log: Log;
}

const CALL_BUDGET_MS = 1_000;
const RETRY_MS = 1_000;
/** What pushes and retries missed is found within so long, times the linked members. */
const COMPARE_EVERY_MS = 5_000;

/** Register both handlers, pass on what the links say of peers, and give `share` to the directory. */
export class BucketExchange {
  readonly #parts: BucketExchangeParts;
  readonly #linked = new Set<NodeId>();
  /** linked members that may lack something */
  readonly #due = new Set<NodeId>();
  #timer: Timer | undefined;
  #compareTimer: Timer | undefined;
  /** whom it was compared with last */
  #comparedWith: NodeId | undefined;
  #isStopped = false;

  constructor(parts: BucketExchangeParts) {
    this.#parts = parts;
  }

  /** A link to a member stands: compare digests. */
  peerUp(node: NodeId): void {
    this.#linked.add(node);
    void this.#exchangeWith(node);
    this.#compareSoon();
  }

  /** No link leads to it any more; the next one compares anew. */
  peerDown(node: NodeId): void {
    this.#linked.delete(node);
    this.#due.delete(node);
  }

  /** Does nothing more. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#compareTimer?.cancel();
  }

  /** Offers a durable record to all linked members; answers how many have it, this node included. */
  readonly share = async (record: BucketRecord): Promise<number> => {
    const told = await Promise.all([...this.#linked].map((node) => this.#offer(node, [record])));
    return 1 + told.filter((hasIt) => hasIt).length;
  };

  /** Answers `buckets.offer`, after what was newer is durable here. */
  readonly offerHandler: TopicHandler = async (_from, body) => {
    const bytes = bytesIn(body);
    const read = bytes && decodeBucketRecords(bytes);
    if (read?.kind !== "records") return new TopicRefusal("bad_request", read?.reason ?? "no records");
    await this.#parts.directory.merge(read.records);
    return { digest: this.#parts.directory.digest() };
  };

  /** Answers `buckets.exchange`. */
  readonly exchangeHandler: TopicHandler = async (_from, body) => {
    const digest = this.#parts.directory.digest();
    const isEqual = parseFields(body)?.["digest"] === digest;
    return isEqual ? { digest } : { digest, records: this.#parts.directory.encoded() };
  };

  async #exchangeWith(node: NodeId): Promise<void> {
    const { directory } = this.#parts;
    const result = await this.#call(node, BUCKETS_EXCHANGE_TOPIC, { digest: directory.digest() });
    if (result.kind !== "answer") return this.#later(node);
    const bytes = bytesIn(result.body);
    if (bytes === undefined) return;
    const read = decodeBucketRecords(bytes);
    if (read.kind === "corrupt") {
      this.#parts.log.warn({ event: "buckets.exchange-corrupt", peer: node, reason: read.reason });
      return;
    }
    if (!(await this.#merge(node, read.records))) return this.#later(node);
    const theirs = new Map(read.records.map((record) => [record.name, record]));
    const newer = directory.records().filter((record) => isNewerRecord(record, theirs.get(record.name)));
    if (newer.length > 0) await this.#offer(node, newer);
  }

  /** False when the store refused; then it is tried again later. */
  async #merge(node: NodeId, records: readonly BucketRecord[]): Promise<boolean> {
    try {
      const takenCount = await this.#parts.directory.merge(records);
      if (takenCount > 0) this.#parts.log.info({ event: "buckets.learned", peer: node, takenCount });
      return true;
    } catch (error) {
      this.#parts.log.error({ event: "buckets.write-failed", peer: node, error });
      return false;
    }
  }

  async #offer(node: NodeId, records: readonly BucketRecord[]): Promise<boolean> {
    const result = await this.#call(node, BUCKETS_OFFER_TOPIC, { records: encodeBucketRecords(records) });
    if (result.kind !== "answer") this.#later(node);
    return result.kind === "answer";
  }

  #call(to: NodeId, topic: string, body: unknown): Promise<CallResult> {
    return new Promise((resolve) => this.#parts.peers.call(to, { kind: "ask", topic, body }, CALL_BUDGET_MS, resolve));
  }

  #compareSoon(): void {
    if (this.#isStopped || this.#linked.size === 0) return;
    this.#compareTimer ??= this.#parts.clock.setTimer(COMPARE_EVERY_MS, () => {
      this.#compareTimer = undefined;
      const nodes = [...this.#linked];
      const at = nodes.findIndex((node) => node === this.#comparedWith) + 1;
      const next = nodes[at % Math.max(1, nodes.length)];
      this.#comparedWith = next;
      if (next !== undefined) void this.#exchangeWith(next);
      this.#compareSoon();
    });
  }

  #later(node: NodeId): void {
    if (this.#isStopped || !this.#linked.has(node)) return;
    this.#due.add(node);
    this.#timer ??= this.#parts.clock.setTimer(RETRY_MS, () => this.#retry());
  }

  #retry(): void {
    this.#timer = undefined;
    const due = [...this.#due];
    this.#due.clear();
    for (const node of due) void this.#exchangeWith(node);
  }
}

function bytesIn(body: unknown): Uint8Array | undefined {
  const records = parseFields(body)?.["records"];
  return records instanceof Uint8Array ? records : undefined;
}
