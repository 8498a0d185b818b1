/**
 * Brings a holder that is behind (`collect-floors-core.ts`) to what a holder has that took part in the proof: everything
 * that one has is adopted, however old; what only this one has and is at or below the line was deleted, and goes. Key by
 * key over the whole partition, while both are written to, or over single hashes of which another one had lost the records.
 * Must never touch what is above the line, nor keys of buckets that leave one of the two slots empty, nor drop anything of a hash whose record the
 * other one has lost. Source: features notes §4.14 (zombie nodes).
 */
import type { StorageEngine } from "../../storage/engine.ts";
import type { NodeId } from "../base/ids.ts";
import { CATCH_UP_KEYS, COLLECT_ASK_MS, MAX_UNPROVED_KEYS } from "../base/limits.ts";
import type { KeyLocation, LocalReplica, ReplicaWriteResult } from "../replica/contract.ts";
import { caughtUp } from "../replica/stale-versions.ts";
import { decodeSet, digestOf, encodeSet } from "../versioning/object-codec.ts";
import { EMPTY } from "../versioning/sibling-set.ts";
import type { SiblingSet } from "../versioning/types.ts";
import { type Listed, type Page, parsePage } from "./collect-catch-up-pages.ts";
import { bufferOf, CATCH_UP_TOPIC, fieldsOf, hexOf } from "./collect-messages.ts";
import type { StepRest } from "./collect-timers.ts";
import type { SlotRules } from "./exchange-view.ts";

/** What catching up works with. */
export interface CatchUpParts {
  readonly store: Pick<StorageEngine, "scan">;
  readonly replica: Pick<LocalReplica, "read" | "slotOf"> & {
    adopt(location: KeyLocation, object: Uint8Array, believedThrough: number): Promise<ReplicaWriteResult>;
  };
  readonly rules: SlotRules;
  /** the rules under which this node's marks were noted, which are those of now */
  readonly rulesOfMarks: () => bigint;
  /** over the bulk link; undefined = no answer */
  readonly ask: (to: NodeId, topic: string, body: unknown, timeoutMs: number) => Promise<unknown>;
  /** work in steps begins: how to rest after each of them */
  readonly steps: () => StepRest;
}

/** Which partition, with whom, up to where. */
export interface CatchUpOrder {
  readonly partition: number;
  readonly peer: NodeId;
  readonly peerSlot: number;
  readonly line: number;
  /** it has all keys that this one should have */
  readonly isWhole: boolean;
  /** only these hashes, ascending, at least one; undefined: the whole partition */
  readonly among: readonly bigint[] | undefined;
}

/**
 * The hashes on which the other one had no word, and whether something is held of them that is at or below the line and may
 * have been deleted.
 */
export type Unsure = ReadonlyMap<bigint, boolean>;

/** How it ended. */
export type CatchUpEnd =
  | { readonly kind: "complete"; readonly unsure: Unsure }
  | { readonly kind: "failed"; readonly reason: string; readonly isLasting: boolean };

/** Where a page begins: a hash, and how many of those that are asked for are before it. */
interface Place {
  readonly from: bigint;
  readonly asked: number;
}

/** One comparison: what it goes by must hold to its end. */
interface Run {
  readonly order: CatchUpOrder;
  readonly ownSlot: number;
  readonly rules: bigint;
  readonly unsure: Map<bigint, boolean>;
}

interface Range {
  readonly from: bigint;
  readonly to: bigint | undefined;
  readonly higherSlot: number;
  /** the hashes in it that are asked for; undefined: all */
  readonly among: ReadonlySet<bigint> | undefined;
}

interface Meeting {
  readonly order: CatchUpOrder;
  readonly page: Page;
  readonly among: ReadonlySet<bigint> | undefined;
  /** of this node, in the range of the page */
  readonly own: readonly Listed[];
  readonly unsure: Map<bigint, boolean>;
}

/** The side that is behind. */
export class CatchUp {
  readonly #parts: CatchUpParts;

  constructor(parts: CatchUpParts) {
    this.#parts = parts;
  }

  /** Catches up with one holder. Rejects as the store does. */
  async run(order: CatchUpOrder): Promise<CatchUpEnd> {
    const { replica, rulesOfMarks } = this.#parts;
    const unsure = new Map<bigint, boolean>();
    const rest = this.#parts.steps();
    const run = { order, ownSlot: replica.slotOf(order.partition), rules: rulesOfMarks(), unsure };
    for (let place = firstOf(order); place !== undefined; ) {
      const reason = this.#obstacleTo(run);
      if (reason !== undefined) return failed(reason);
      const step = await this.#step(run, place);
      if (typeof step === "string") return failed(step);
      place = step.next;
      if (unsure.size > MAX_UNPROVED_KEYS) return failed(`node ${order.peer} has lost too much`, true);
      if (!(await rest())) return failed("this node stops");
    }
    const reason = this.#obstacleTo(run);
    return reason === undefined ? { kind: "complete", unsure } : failed(reason);
  }

  #obstacleTo({ order, ownSlot, rules }: Run): string | undefined {
    if (ownSlot < 0 || this.#parts.replica.slotOf(order.partition) !== ownSlot) return "the slot has moved";
    // What came of pages before would not be what should be compared now.
    return this.#parts.rulesOfMarks() === rules ? undefined : "other bucket settings hold";
  }

  /** One page further; a reason when that failed. */
  async #step(run: Run, { from, asked }: Place): Promise<{ readonly next: Place | undefined } | string> {
    const { order, unsure } = run;
    const page = parsePage(await this.#ask(order, { from: hexOf(from) }));
    if (page === undefined) return `node ${order.peer} lists nothing that can be believed`;
    if (page.next !== undefined && page.next <= from) return `node ${order.peer} lists in circles`;
    const end = endOf(order.among, asked, page.next);
    const among = order.among === undefined ? undefined : new Set(order.among.slice(asked, end));
    const higherSlot = Math.max(run.ownSlot, order.peerSlot);
    const own = await this.#listOwn(order.partition, { from, to: page.next, higherSlot, among });
    // Both lists leave out what the same settings exempt, or one looks deleted where the other leaves it out.
    const reason = this.#obstacleTo(run) ?? (await this.#meet({ order, page, among, own, unsure }));
    if (reason !== undefined) return reason;
    const next = order.among === undefined ? page.next : order.among[end];
    return { next: next === undefined ? undefined : { from: next, asked: end } };
  }

  #ask(order: CatchUpOrder, what: Readonly<Record<string, unknown>>): Promise<unknown> {
    const { partition, peer, peerSlot, line } = order;
    const ownSlot = this.#parts.replica.slotOf(partition);
    const rules = hexOf(this.#parts.rules.fingerprint());
    const body = { partition, ownSlot, peerSlot, line, rules, ...what };
    return this.#parts.ask(peer, CATCH_UP_TOPIC, body, COLLECT_ASK_MS);
  }

  /** What this node has from `from` up to `to`, as far as it is asked for. */
  async #listOwn(partition: number, range: Range): Promise<readonly Listed[]> {
    const listed: Listed[] = [];
    for (
      let from: bigint | undefined = range.from;
      from !== undefined && (range.to === undefined || from < range.to);
    ) {
      const page = await this.#parts.store.scan(partition, from, CATCH_UP_KEYS);
      for (const { hash, digest, key } of page.entries) {
        if (range.to !== undefined && hash >= range.to) break;
        if (range.among?.has(hash) === false || this.#parts.rules.isExempt(key, range.higherSlot)) continue;
        listed.push({ hash, digest, key: Buffer.from(key) });
      }
      from = page.nextHash;
    }
    return listed;
  }

  /** Makes of what differs what it should be; a reason when that failed. */
  async #meet(meeting: Meeting): Promise<string | undefined> {
    const { order, page, own, among } = meeting;
    const { partition } = order;
    const theirs = page.keys.filter(({ hash }) => among?.has(hash) !== false);
    const ownDigests = new Map(own.map((one) => [nameOf(one), one.digest]));
    const theirNames = new Set(theirs.map(nameOf));
    const wanted = theirs.filter((one) => ownDigests.get(nameOf(one)) !== one.digest);
    const alone = own.filter((one) => !theirNames.has(nameOf(one)) && !page.lost.has(one.hash));
    for (const { hash, key } of alone) {
      const reason = await this.#settle({ partition, hash, key }, EMPTY, order.line);
      if (reason !== undefined) return reason;
    }
    for (let at = 0; at < wanted.length; ) {
      const asked = wanted.slice(at, at + CATCH_UP_KEYS);
      const keys = asked.map(({ hash, key }) => ({ hash: hexOf(hash), key }));
      const objects = fieldsOf(await this.#ask(order, { keys }))?.["objects"];
      if (!Array.isArray(objects) || objects.length === 0) return `node ${order.peer} gives nothing`;
      for (const [index, value] of objects.entries()) {
        const listed = asked[index];
        const their = setOf(bufferOf(value));
        if (listed === undefined || their === undefined) return `node ${order.peer} gives what is no object`;
        // Of what it has lost it may have had more.
        const line = page.lost.has(listed.hash) ? 0 : order.line;
        const reason = await this.#settle({ partition, hash: listed.hash, key: listed.key }, their, line);
        if (reason !== undefined) return reason;
      }
      at += objects.length;
    }
    return this.#noteUnsure(meeting, theirs);
  }

  /** On what of this page the other one had no word. */
  async #noteUnsure(
    { order, page, among, own, unsure }: Meeting,
    theirs: readonly Listed[],
  ): Promise<string | undefined> {
    const { partition, line } = order;
    for (const hash of page.lost) if (among?.has(hash) !== false) unsure.set(hash, false);
    if (among !== undefined && !order.isWhole) {
      // A key that is on neither list may be one that a bucket leaves out there.
      const spoken = new Set([...theirs, ...own].map(({ hash }) => hash));
      for (const hash of among) if (!spoken.has(hash)) unsure.set(hash, false);
    }
    for (const { hash, key } of own) {
      if (!unsure.has(hash)) continue;
      const read = await this.#parts.replica.read({ partition, hash, key });
      if (read.kind === "refused" && read.reason !== "corrupt_record") return read.detail;
      const held = read.kind === "object" ? (read.set ?? EMPTY) : EMPTY;
      if (held.siblings.some(({ dot }) => dot.counter <= line)) unsure.set(hash, true);
    }
    return undefined;
  }

  /** What is held, less what is at or below the line and not theirs, and with what is theirs. */
  async #settle(location: KeyLocation, their: SiblingSet, line: number): Promise<string | undefined> {
    const read = await this.#parts.replica.read(location);
    if (read.kind === "refused" && read.reason !== "corrupt_record") return read.detail;
    const held = read.kind === "object" ? (read.set ?? EMPTY) : EMPTY;
    const settled = caughtUp(held, their, line);
    if (settled.clock.vector.length + settled.clock.detached.length === 0) return undefined;
    if (read.kind === "object" && digestOf(settled) === digestOf(held)) return undefined;
    const result = await this.#parts.replica.adopt(location, encodeSet(settled), Number.POSITIVE_INFINITY);
    if (result.kind === "stored") return undefined;
    return result.kind === "refused" ? result.reason : result.detail;
  }
}

function firstOf({ among }: CatchUpOrder): Place | undefined {
  const from = among === undefined ? 0n : among[0];
  return from === undefined ? undefined : { from, asked: 0 };
}

/** Where, of the hashes that are asked for, those end that are before `next`, from a place on. */
function endOf(among: readonly bigint[] | undefined, from: number, next: bigint | undefined): number {
  if (among === undefined) return 0;
  let end = from;
  while (end < among.length && (next === undefined || (among[end] ?? next) < next)) end += 1;
  return end;
}

function failed(reason: string, isLasting = false): CatchUpEnd {
  return { kind: "failed", reason, isLasting };
}

/** The key's bytes as text, one character each: a name for the map, never shown. */
function nameOf({ key }: Listed): string {
  return key.toString("latin1");
}

function setOf(object: Buffer | undefined): SiblingSet | undefined {
  if (object === undefined) return undefined;
  if (object.length === 0) return EMPTY;
  const decoded = decodeSet(object);
  return decoded.kind === "set" ? decoded.set : undefined;
}
