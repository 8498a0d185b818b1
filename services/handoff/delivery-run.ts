/**
 * One delivery: passes over all partitions of which a target holds a slot that hints are for; offers what is kept, sends
 * what it lacks, takes out what it then holds. Whatever happens in between, it can be done again: a version is only taken
 * out by its digest, after the receiver's word that it is durable there. Must never run ahead of the receiver's credit.
 */

import {
  HINT_ASK_MS,
  HINT_OFFER_KEYS,
  HINT_TAKE_BYTES,
  HINT_TAKE_KEYS,
  MAX_HINT_OBJECT_BYTES,
} from "../base/hint-limits.ts";
import type { NodeId } from "../base/ids.ts";
import type { Clock } from "../base/ports.ts";
import type { KeyLocation } from "../replica/contract.ts";
import type { DeliveryEnd } from "./delivery-core.ts";
import {
  type DeliveredKey,
  deliveredBytesOf,
  encodeDelivery,
  encodeOffer,
  HINTS_OFFER_TOPIC,
  HINTS_TAKE_TOPIC,
  type HintCredit,
  type HintReply,
  type HintState,
  parseReply,
} from "./hint-messages.ts";

/** One hint on its way. */
export interface HintOnOffer {
  readonly location: KeyLocation;
  readonly slot: number;
  /** of the version that the slot should have; 0n: not known any more, or there is none */
  readonly digest: bigint;
}

/** Some hints of a pass, and where to go on; `next` undefined: no more. */
export interface HintPage {
  readonly hints: readonly HintOnOffer[];
  readonly next: bigint | undefined;
}

/** What becomes of a hint that was read: its object, or why there is none. */
export type HintObject =
  | { readonly kind: "object"; readonly object: Uint8Array }
  /** changed or gone meanwhile */
  | { readonly kind: "gone" }
  /** it cannot be read, ever */
  | { readonly kind: "lost" }
  /** it cannot be read now */
  | { readonly kind: "later" };

/** A pass over one partition for one slot, of one kind of hints: where hints come from and where word of them goes. */
export interface HintPass {
  readonly partition: number;
  readonly slot: number;
  begin(): void;
  /** the next hints from a place on. Rejects as the store does. */
  page(from: bigint, limit: number): Promise<HintPage>;
  objectOf(hint: HintOnOffer): Promise<HintObject>;
  /** the slot's holder has it durably */
  confirmed(hint: HintOnOffer): Promise<void>;
  /** nothing is left of it to deliver: the partition is flagged, then the hint taken out */
  lost(hint: HintOnOffer, why: string): Promise<void>;
  /** it is there and cannot be delivered: the partition is flagged, the hint stays */
  stuck(hint: HintOnOffer, why: string): void;
  /** everything that was there when it began has been confirmed or lost */
  end(): void;
}

/** What a delivery works with. */
export interface RunParts {
  readonly target: NodeId;
  readonly passes: readonly HintPass[];
  readonly ask: (node: NodeId, topic: string, body: unknown, timeoutMs: number) => Promise<unknown>;
  readonly clock: Clock;
  readonly backgroundShare: () => number;
  readonly isStopped: () => boolean;
  /** the target says that a slot which it held of the partition went to this node */
  readonly onMoved: (partition: number, to: NodeId) => void;
}

/** Totals of one delivery. */
export interface RunCounts {
  offeredCount: number;
  sentCount: number;
  sentBytes: number;
  confirmedCount: number;
}

interface OpenPass {
  readonly pass: HintPass;
  isScanned: boolean;
  hasFailed: boolean;
  waitingCount: number;
}

interface Entry {
  readonly open: OpenPass;
  readonly hint: HintOnOffer;
}

const NO_SHARE_PAUSE_MS = 1_000;

/** Runs once. */
export class DeliveryRun {
  readonly counts: RunCounts = { offeredCount: 0, sentCount: 0, sentBytes: 0, confirmedCount: 0 };
  readonly #parts: RunParts;
  #credit: HintCredit = { keys: HINT_OFFER_KEYS, bytes: HINT_TAKE_BYTES, pauseMs: 0 };
  #batch: Entry[] = [];
  #open: OpenPass[] = [];
  #isStuck = false;
  #workedMs = 0;

  constructor(parts: RunParts) {
    this.#parts = parts;
  }

  /** Delivers. Rejects as the store does. */
  async run(): Promise<DeliveryEnd> {
    for (const pass of this.#parts.passes) {
      const open: OpenPass = { pass, isScanned: false, hasFailed: false, waitingCount: 0 };
      this.#open.push(open);
      pass.begin();
      if (!(await this.#scan(open))) return "failed";
      open.isScanned = true;
      this.#endPasses();
    }
    if (this.#batch.length > 0 && !(await this.#exchange())) return "failed";
    return this.#isStuck ? "stuck" : "done";
  }

  /** Gathers the hints of a pass, and hands over whenever the batch is full; false when that failed. */
  async #scan(open: OpenPass): Promise<boolean> {
    for (let from: bigint | undefined = 0n; from !== undefined; ) {
      if (this.#parts.isStopped()) return false;
      const { hints, next } = await open.pass.page(from, HINT_OFFER_KEYS / 2);
      from = next;
      for (const hint of hints) {
        open.waitingCount += 1;
        this.#batch.push({ open, hint });
        const isFull = this.#batch.length >= Math.min(this.#credit.keys, HINT_OFFER_KEYS);
        if (isFull && !(await this.#exchange())) return false;
      }
    }
    return true;
  }

  /** Offers the batch and sends what is lacking; false when the target does not answer. */
  async #exchange(): Promise<boolean> {
    const batch = this.#batch;
    this.#batch = [];
    const { clock, isStopped } = this.#parts;
    if (isStopped()) return false;
    const startedMs = clock.monotonicMs();
    const offered = batch.filter(({ hint }) => hint.digest !== 0n);
    // no digest to offer: what can be read of these is sent as it is
    const nameless = batch.filter(({ hint }) => hint.digest === 0n);
    this.counts.offeredCount += offered.length;
    const body = encodeOffer(offered.map(({ hint }) => hint));
    const reply = offered.length === 0 ? undefined : await this.#ask(HINTS_OFFER_TOPIC, body, offered.length);
    if (reply === undefined) {
      const isSent = offered.length === 0 && (await this.#send(nameless));
      this.#endPasses();
      return isSent;
    }
    const lacking = offered.filter((_, index) => reply.states[index] === "lacking");
    const answered = offered.filter((_, index) => reply.states[index] !== "lacking");
    await this.#settle(
      answered,
      reply.states.filter((state) => state !== "lacking"),
    );
    this.#workedMs = clock.monotonicMs() - startedMs;
    await this.#pause();
    if (!(await this.#send([...nameless, ...lacking]))) return false;
    this.#endPasses();
    return true;
  }

  /** Sends objects in deliveries that fit the credit. */
  async #send(lacking: readonly Entry[]): Promise<boolean> {
    let delivery: { readonly entry: Entry; readonly key: DeliveredKey }[] = [];
    let sizeBytes = 0;
    const { clock } = this.#parts;
    const flush = async (): Promise<boolean> => {
      const sent = delivery;
      delivery = [];
      this.counts.sentCount += sent.length;
      this.counts.sentBytes += sizeBytes;
      sizeBytes = 0;
      if (sent.length === 0) return true;
      const startedMs = clock.monotonicMs();
      const body = encodeDelivery(sent.map(({ key }) => key));
      const reply = await this.#ask(HINTS_TAKE_TOPIC, body, sent.length);
      if (reply === undefined) return false;
      await this.#settle(
        sent.map(({ entry }) => entry),
        reply.states,
      );
      this.#workedMs = clock.monotonicMs() - startedMs;
      await this.#pause();
      return !this.#parts.isStopped();
    };
    for (const entry of lacking) {
      const object = await this.#objectOf(entry);
      if (object === undefined) continue;
      const key = { location: entry.hint.location, slot: entry.hint.slot, object };
      const keyBytes = deliveredBytesOf(key);
      const isFull = sizeBytes + keyBytes > this.#credit.bytes || delivery.length >= HINT_TAKE_KEYS;
      if (isFull && !(await flush())) return false;
      delivery.push({ entry, key });
      sizeBytes += keyBytes;
    }
    return flush();
  }

  async #objectOf(entry: Entry): Promise<Uint8Array | undefined> {
    const { open, hint } = entry;
    const read = await open.pass.objectOf(hint);
    if (read.kind === "object" && read.object.length <= MAX_HINT_OBJECT_BYTES) return read.object;
    if (read.kind === "lost") await this.#lose(entry, "it cannot be read");
    // one that went meanwhile needs nothing more
    else if (read.kind === "gone") open.waitingCount -= 1;
    else {
      if (read.kind === "object") open.pass.stuck(hint, "it fits into no frame");
      this.#fail(entry);
    }
    return undefined;
  }

  async #settle(entries: readonly Entry[], states: readonly HintState[]): Promise<void> {
    const settling: Promise<void>[] = [];
    for (const [index, entry] of entries.entries()) {
      const state = states[index];
      if (state === "held") settling.push(this.#confirm(entry));
      else if (state === "bad") settling.push(this.#lose(entry, "the receiver takes it for no object"));
      else this.#fail(entry);
    }
    await Promise.all(settling);
  }

  async #confirm({ open, hint }: Entry): Promise<void> {
    this.counts.confirmedCount += 1;
    await open.pass.confirmed(hint);
    open.waitingCount -= 1;
  }

  #fail({ open }: Entry): void {
    open.waitingCount -= 1;
    open.hasFailed = true;
    this.#isStuck = true;
  }

  async #lose({ open, hint }: Entry, why: string): Promise<void> {
    await open.pass.lost(hint, why);
    open.waitingCount -= 1;
  }

  async #ask(topic: string, body: unknown, count: number): Promise<HintReply | undefined> {
    const { ask, target } = this.#parts;
    const reply = parseReply(await ask(target, topic, body, HINT_ASK_MS), count);
    if (reply === undefined) return undefined;
    this.#credit = reply.credit;
    for (const [partition, to] of reply.moved) this.#parts.onMoved(partition, to);
    return reply;
  }

  #endPasses(): void {
    this.#open = this.#open.filter((open) => {
      if (!open.isScanned || open.waitingCount > 0) return true;
      if (!open.hasFailed) open.pass.end();
      return false;
    });
  }

  /** As long as the receiver asks for, and as long as leaves this node's own background share to others. */
  async #pause(): Promise<void> {
    const { clock, backgroundShare } = this.#parts;
    const share = backgroundShare();
    const restMs = share <= 0 ? NO_SHARE_PAUSE_MS : Math.min(NO_SHARE_PAUSE_MS, this.#workedMs * (1 / share - 1));
    const pauseMs = Math.max(this.#credit.pauseMs, restMs);
    if (pauseMs >= 1) await new Promise<void>((resolve) => clock.setTimer(pauseMs, resolve));
  }
}
