/**
 * RecordExchange: how member records reach everyone. What this node wrote is pushed to every linked member, at most ten
 * times a second; what was missed is found by comparing hashes (on each new link, when gossip names another hash, and with
 * one random member a second) and fetched by difference. Must never judge records: the record set does.
 */
import type { NodeId } from "../base/ids.ts";
import type { Clock, Log, Random, Timer } from "../base/ports.ts";
import type { CallResult, Peers } from "../peers/messages.ts";
import { type TopicHandler, TopicRefusal } from "../peers/peer-handler.ts";
import { parseFields } from "./cluster-config.ts";

/** Topic of `{records}`, answered `{hash}`: take these. */
export const RECORDS_OFFER_TOPIC = "records.offer";
/**
 * Topic of `{hash}`, answered `{hash}`; and, when these differ, of `{hash, digests}`, answered `{hash, records, digests}`.
 * The digests of a thousand lives are not sent every second to say that nothing has changed.
 */
export const RECORDS_EXCHANGE_TOPIC = "records.exchange";

/** The record set as the exchange needs it; values are MessagePack-able. */
export interface RecordBook {
  /** unsigned 64-bit; equal hashes promise equal sets */
  hash(): bigint;
  /** which versions are held */
  digests(): unknown;
  /** resolves when what the book has now is durable */
  settled(): Promise<void>;
  /** what a holder of these digests lacks; undefined: nothing, or `digests` is malformed */
  newerThan(digests: unknown): unknown;
  /** what this node alone writes, and what it was told to write: for pushing */
  ownRecords(): unknown;
  /** Takes what is newer, durably where that matters. `malformed`: nothing was taken. */
  merge(records: unknown): Promise<"merged" | "malformed">;
}

/** What the exchange works with. */
export interface RecordExchangeParts {
  readonly book: RecordBook;
  readonly peers: Pick<Peers, "call">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** both sides know what the other knew */
  readonly onExchanged: (node: NodeId) => void;
}

const NO_MEMBER = new TopicRefusal("not_ready", "this node is no member yet");
const CALL_BUDGET_MS = 2_000;
const PUSH_EVERY_MS = 100;
const COMPARE_EVERY_MS = 1_000;

/** Register both handlers, pass on what the links and gossip say of members, and call `changed` after own changes. */
export class RecordExchange {
  readonly #parts: RecordExchangeParts;
  readonly #random: Random;
  readonly #linked = new Set<NodeId>();
  readonly #comparing = new Set<NodeId>();
  readonly #pushing = new Set<NodeId>();
  /** members that a push did not reach, or that changed during one */
  readonly #stale = new Set<NodeId>();
  #pushTimer: Timer | undefined;
  #compareTimer: Timer | undefined;
  #isStarted = false;
  /** counts this node's lives: what was exchanged in one says nothing of the next */
  #life = 0;
  #isStopped = false;

  constructor(parts: RecordExchangeParts) {
    this.#parts = parts;
    this.#random = parts.random.fork("record-exchange");
  }

  /** Begins to compare. */
  start(): void {
    this.#isStarted = true;
    for (const node of this.#linked) void this.#compareWith(node);
    this.#compareTimer = this.#parts.clock.setTimer(COMPARE_EVERY_MS, () => this.#compareWithOne());
  }

  /** This node begins another life, under another key: nobody has heard of it. */
  beginAnew(): void {
    this.#life += 1;
    this.changed();
  }

  /** Does nothing more. */
  stop(): void {
    this.#isStopped = true;
    this.#pushTimer?.cancel();
    this.#compareTimer?.cancel();
  }

  /** A link to a node stands: compare. */
  peerUp(node: NodeId): void {
    this.#linked.add(node);
    void this.#compareWith(node);
  }

  /** No link leads to it any more; the next one compares anew. */
  peerDown(node: NodeId): void {
    this.#linked.delete(node);
    this.#stale.delete(node);
  }

  /** Someone says that this node's hash is another. */
  differs(node: NodeId): void {
    if (this.#linked.has(node)) void this.#compareWith(node);
  }

  /** Something that this node writes has changed: everyone is told soon. */
  changed(): void {
    for (const node of this.#linked) this.#stale.add(node);
    this.#schedulePush();
  }

  /** Answers `records.offer`, after what was newer is merged. */
  readonly offerHandler: TopicHandler = async (_from, body) => {
    if (!this.#isStarted) return NO_MEMBER;
    const merged = await this.#parts.book.merge(parseFields(body)?.["records"]);
    if (merged === "malformed") return new TopicRefusal("bad_request", "no member records");
    return { hash: hashText(this.#parts.book.hash()) };
  };

  /** Answers `records.exchange`. */
  readonly exchangeHandler: TopicHandler = async (_from, body) => {
    if (!this.#isStarted) return NO_MEMBER;
    const { book } = this.#parts;
    const fields = parseFields(body);
    const hash = hashText(book.hash());
    const isShort = fields?.["hash"] === hash || fields?.["digests"] === undefined;
    const records = isShort ? undefined : (book.newerThan(fields?.["digests"]) ?? null);
    const answer = isShort ? { hash } : { hash, records, digests: book.digests() };
    // Who hears that this node has something counts on it after a power cut, too.
    await book.settled();
    return answer;
  };

  #compareWithOne(): void {
    if (this.#isStopped) return;
    const nodes = [...this.#linked];
    const node = nodes[this.#random.u32() % Math.max(1, nodes.length)];
    if (node !== undefined) void this.#compareWith(node);
    this.#compareTimer = this.#parts.clock.setTimer(COMPARE_EVERY_MS, () => this.#compareWithOne());
  }

  async #compareWith(node: NodeId): Promise<void> {
    // Before this node is a member it has nothing to compare, and nowhere to put what it would be told.
    if (!this.#isStarted || this.#isStopped || this.#comparing.has(node)) return;
    this.#comparing.add(node);
    try {
      await this.#exchangeWith(node);
    } catch (error) {
      if (!this.#isStopped) this.#parts.log.error({ event: "records.exchange-failed", peer: node, error });
    } finally {
      this.#comparing.delete(node);
    }
  }

  async #exchangeWith(node: NodeId): Promise<void> {
    const { book, log } = this.#parts;
    const life = this.#life;
    const onExchanged = async (): Promise<void> => {
      await book.settled();
      if (life === this.#life) this.#parts.onExchanged(node);
    };
    const ours = hashText(book.hash());
    const asked = await this.#call(node, RECORDS_EXCHANGE_TOPIC, { hash: ours });
    if (asked.kind !== "answer") return;
    if (parseFields(asked.body)?.["hash"] === ours) return onExchanged();
    const now = { hash: hashText(book.hash()), digests: book.digests() };
    const result = await this.#call(node, RECORDS_EXCHANGE_TOPIC, now);
    if (result.kind !== "answer") return;
    const theirs = parseFields(result.body);
    if (theirs?.["hash"] === now.hash) return onExchanged();
    if (theirs?.["digests"] === undefined) return;
    if (theirs["records"] !== null && (await book.merge(theirs["records"])) === "malformed") {
      log.warn({ event: "records.exchange-malformed", peer: node });
      return;
    }
    const lacking = book.newerThan(theirs["digests"]);
    if (lacking === undefined) return onExchanged();
    const offered = await this.#call(node, RECORDS_OFFER_TOPIC, { records: lacking });
    if (offered.kind === "answer") await onExchanged();
  }

  #schedulePush(): void {
    if (this.#isStopped) return;
    this.#pushTimer ??= this.#parts.clock.setTimer(PUSH_EVERY_MS, () => {
      this.#pushTimer = undefined;
      for (const node of this.#stale) if (!this.#pushing.has(node)) void this.#push(node);
    });
  }

  /** One push at a time for each member; a later change is pushed after it. One that fails is left to comparing. */
  async #push(node: NodeId): Promise<void> {
    this.#pushing.add(node);
    this.#stale.delete(node);
    await this.#call(node, RECORDS_OFFER_TOPIC, { records: this.#parts.book.ownRecords() });
    this.#pushing.delete(node);
    if (this.#stale.has(node)) this.#schedulePush();
  }

  #call(to: NodeId, topic: string, body: unknown): Promise<CallResult> {
    return new Promise((resolve) => this.#parts.peers.call(to, { kind: "ask", topic, body }, CALL_BUDGET_MS, resolve));
  }
}

function hashText(hash: bigint): string {
  return hash.toString(16).padStart(16, "0");
}
