/**
 * Brings a holder that is behind (`collect-floors-core.ts`) to what a holder has that took part in the proof: everything
 * that one has is adopted, however old; what only this one has and is at or below the line was deleted, and goes. Key by
 * key over the whole partition, while both are written to. Must never touch what is above the line, nor keys of buckets
 * that leave one of the two slots empty. Source: features notes §4.14 (zombie nodes).
 */
import type { StorageEngine } from "../../storage/engine.ts";
import type { NodeId } from "../base/ids.ts";
import { CATCH_UP_BYTES, CATCH_UP_KEYS, COLLECT_ASK_MS, MAX_KEY_BYTES } from "../base/limits.ts";
import type { KeyLocation, LocalReplica, ReplicaWriteResult } from "../replica/contract.ts";
import { caughtUp } from "../replica/stale-versions.ts";
import { decodeSet, digestOf, encodeSet } from "../versioning/object-codec.ts";
import { EMPTY } from "../versioning/sibling-set.ts";
import type { SiblingSet } from "../versioning/types.ts";
import type { CollectFloors } from "./collect-floors-core.ts";
import { bufferOf, CATCH_UP_TOPIC, countOf, fieldsOf, hexOf, parseHex } from "./collect-messages.ts";
import type { SlotRules } from "./exchange-view.ts";

/** What catching up works with. */
export interface CatchUpParts {
  readonly store: Pick<StorageEngine, "scan" | "isSuspect" | "unreadableIn" | "partitionCount">;
  readonly replica: Pick<LocalReplica, "read" | "readEncoded" | "slotOf"> & {
    adopt(location: KeyLocation, object: Uint8Array): Promise<ReplicaWriteResult>;
  };
  readonly floors: CollectFloors;
  readonly rules: SlotRules;
  /** the rules under which this node's marks were noted, which are those of now */
  readonly rulesOfMarks: () => bigint;
  /** over the bulk link; undefined = no answer */
  readonly ask: (to: NodeId, topic: string, body: unknown, timeoutMs: number) => Promise<unknown>;
  /** waits so that the foreground comes first; false: the node stops */
  readonly rest: () => Promise<boolean>;
}

/** Which partition, with whom, up to where. */
export interface CatchUpOrder {
  readonly partition: number;
  readonly peer: NodeId;
  readonly peerSlot: number;
  readonly line: number;
}

/** How it ended. */
export type CatchUpEnd = { readonly kind: "complete" } | { readonly kind: "failed"; readonly reason: string };

interface Listed {
  readonly hash: bigint;
  readonly digest: bigint;
  readonly key: Buffer;
}

interface Asked {
  readonly partition: number;
  readonly line: number;
  /** of the asked, and of the asker */
  readonly slot: number;
  readonly askerSlot: number;
  readonly rules: bigint;
  readonly what:
    | { readonly kind: "list"; readonly from: bigint }
    | { readonly kind: "fetch"; readonly keys: readonly unknown[] };
}

interface Page {
  readonly keys: readonly Listed[];
  /** hashes whose records the peer has lost: what it does not list of them says nothing */
  readonly lost: ReadonlySet<bigint>;
  readonly next: bigint | undefined;
}

const COMPLETE: CatchUpEnd = { kind: "complete" };
const LIST_HEADER_BYTES = 18;
const MAX_ADDRESS_BYTES = 64 + MAX_KEY_BYTES;

/** Both sides of catching up. */
export class CatchUp {
  readonly #parts: CatchUpParts;

  constructor(parts: CatchUpParts) {
    this.#parts = parts;
  }

  /** Catches up with one holder. Rejects as the store does. */
  async run(order: CatchUpOrder): Promise<CatchUpEnd> {
    const { replica } = this.#parts;
    const ownSlot = replica.slotOf(order.partition);
    const higherSlot = Math.max(ownSlot, order.peerSlot);
    const rules = this.#parts.rulesOfMarks();
    for (let from: bigint | undefined = 0n; from !== undefined; ) {
      if (ownSlot < 0 || replica.slotOf(order.partition) !== ownSlot) return failed("the slot has moved");
      // What came of pages before would not be what should be compared now.
      if (this.#parts.rulesOfMarks() !== rules) return failed("other bucket settings hold");
      const page: Page | undefined = parsePage(await this.#ask(order, { from: hexOf(from) }));
      if (page === undefined) return failed(`node ${order.peer} lists nothing`);
      const own = await this.#listOwn(order.partition, { from, to: page.next, higherSlot });
      const reason = await this.#meet(order, page, own);
      if (reason !== undefined) return failed(reason);
      if (page.next !== undefined && page.next <= from) return failed(`node ${order.peer} lists in circles`);
      from = page.next;
      if (!(await this.#parts.rest())) return failed("this node stops");
    }
    if (replica.slotOf(order.partition) !== ownSlot) return failed("the slot has moved");
    if (this.#parts.rulesOfMarks() !== rules) return failed("other bucket settings hold");
    return COMPLETE;
  }

  /** The answer to one that catches up with this node; null for what is none. Rejects as the store does. */
  async answer(body: unknown): Promise<unknown> {
    const asked = parseAsked(body);
    // What one of two slots should not have by other settings would look deleted.
    if (asked === undefined || asked.rules !== this.#parts.rulesOfMarks()) return null;
    const { partition, slot, line, what } = asked;
    if (partition >= this.#parts.floors.partitionCount || !this.#mayAnswer(partition, slot, line)) return null;
    if (what.kind === "fetch") return this.#fetchFor(partition, what.keys);
    const listed = await this.#listFor(partition, what.from, Math.max(slot, asked.askerSlot));
    // A scan leaves out what it cannot read, and says so in this way only.
    return this.#mayAnswer(partition, slot, line) ? listed : null;
  }

  /** Only who took part in the proof, and has lost nothing since, can be believed. */
  #mayAnswer(partition: number, slot: number, line: number): boolean {
    const { replica, floors, store } = this.#parts;
    if (replica.slotOf(partition) !== slot || store.isSuspect(partition)) return false;
    return !floors.isBehind(partition) && floors.marksOf(partition).noted.floor >= line;
  }

  async #listFor(partition: number, from: bigint, higherSlot: number): Promise<unknown> {
    const page = await this.#parts.store.scan(partition, from, CATCH_UP_KEYS);
    const shown = page.entries.filter(({ key }) => !this.#parts.rules.isExempt(key, higherSlot));
    const listed = Buffer.concat(
      shown.flatMap(({ hash, digest, key }) => {
        const head = Buffer.alloc(LIST_HEADER_BYTES);
        head.writeBigUInt64BE(hash, 0);
        head.writeBigUInt64BE(digest, 8);
        head.writeUInt16BE(key.length, 16);
        return [head, key];
      }),
    );
    const lost = this.#parts.store.unreadableIn(partition).map(hexOf);
    return {
      listed,
      ...(lost.length === 0 ? {} : { lost }),
      ...(page.nextHash === undefined ? {} : { next: hexOf(page.nextHash) }),
    };
  }

  /** As many objects as fit, in order, at least one; an empty one stands for nothing. */
  async #fetchFor(partition: number, keys: readonly unknown[]): Promise<unknown> {
    const objects: Uint8Array[] = [];
    let sizeBytes = 0;
    for (const item of keys) {
      const fields = fieldsOf(item);
      const hash = parseHex(fields?.["hash"]);
      const key = bufferOf(fields?.["key"]);
      if (hash === undefined || key === undefined) return null;
      const read = await this.#parts.replica.readEncoded({ partition, hash, key });
      if (read.kind !== "object") return null;
      const object = read.object ?? new Uint8Array(0);
      if (objects.length > 0 && sizeBytes + object.length > CATCH_UP_BYTES) break;
      objects.push(object);
      sizeBytes += object.length;
    }
    return { objects };
  }

  #ask(order: CatchUpOrder, what: Readonly<Record<string, unknown>>): Promise<unknown> {
    const { partition, peer, peerSlot, line } = order;
    const ownSlot = this.#parts.replica.slotOf(partition);
    const rules = hexOf(this.#parts.rules.fingerprint());
    const body = { partition, ownSlot, peerSlot, line, rules, ...what };
    return this.#parts.ask(peer, CATCH_UP_TOPIC, body, COLLECT_ASK_MS);
  }

  /** What this node has from `from` up to `to`. */
  async #listOwn(
    partition: number,
    range: { readonly from: bigint; readonly to: bigint | undefined; readonly higherSlot: number },
  ): Promise<readonly Listed[]> {
    const listed: Listed[] = [];
    for (
      let from: bigint | undefined = range.from;
      from !== undefined && (range.to === undefined || from < range.to);
    ) {
      const page = await this.#parts.store.scan(partition, from, CATCH_UP_KEYS);
      for (const { hash, digest, key } of page.entries) {
        if (range.to !== undefined && hash >= range.to) break;
        if (!this.#parts.rules.isExempt(key, range.higherSlot)) listed.push({ hash, digest, key: Buffer.from(key) });
      }
      from = page.nextHash;
    }
    return listed;
  }

  /** Makes of what differs what it should be; a reason when that failed. */
  async #meet(order: CatchUpOrder, page: Page, own: readonly Listed[]): Promise<string | undefined> {
    const { partition } = order;
    const { keys: theirs, lost } = page;
    const ownDigests = new Map(own.map((one) => [nameOf(one), one.digest]));
    const theirNames = new Set(theirs.map(nameOf));
    const wanted = theirs.filter((one) => ownDigests.get(nameOf(one)) !== one.digest);
    const alone = own.filter((one) => !theirNames.has(nameOf(one)) && !lost.has(one.hash));
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
        const reason = await this.#settle({ partition, hash: listed.hash, key: listed.key }, their, order.line);
        if (reason !== undefined) return reason;
      }
      at += objects.length;
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
    const result = await this.#parts.replica.adopt(location, encodeSet(settled));
    if (result.kind === "stored") return undefined;
    return result.kind === "refused" ? result.reason : result.detail;
  }
}

function parseAsked(body: unknown): Asked | undefined {
  const fields = fieldsOf(body);
  if (fields === undefined) return undefined;
  const [partition, line, slot, askerSlot] = ["partition", "line", "peerSlot", "ownSlot"].map((name) =>
    countOf(fields[name]),
  );
  const rules = parseHex(fields["rules"]);
  if (partition === undefined || line === undefined || rules === undefined) return undefined;
  if (slot === undefined || askerSlot === undefined) return undefined;
  const from = parseHex(fields["from"]);
  if (from !== undefined) return { partition, line, slot, askerSlot, rules, what: { kind: "list", from } };
  const keys: unknown = fields["keys"];
  if (!Array.isArray(keys) || keys.length > CATCH_UP_KEYS) return undefined;
  return { partition, line, slot, askerSlot, rules, what: { kind: "fetch", keys } };
}

function failed(reason: string): CatchUpEnd {
  return { kind: "failed", reason };
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

function parsePage(body: unknown): Page | undefined {
  const fields = fieldsOf(body);
  const bytes = bufferOf(fields?.["listed"]);
  const next = fields?.["next"] === undefined ? undefined : parseHex(fields["next"]);
  if (bytes === undefined || (next === undefined && fields?.["next"] !== undefined)) return undefined;
  const keys: Listed[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + LIST_HEADER_BYTES > bytes.length) return undefined;
    const keyBytes = bytes.readUInt16BE(at + 16);
    const end = at + LIST_HEADER_BYTES + keyBytes;
    if (keyBytes > MAX_ADDRESS_BYTES || end > bytes.length) return undefined;
    const key = Buffer.from(bytes.subarray(at + LIST_HEADER_BYTES, end));
    keys.push({ hash: bytes.readBigUInt64BE(at), digest: bytes.readBigUInt64BE(at + 8), key });
    at = end;
  }
  const lost = parseLost(fields?.["lost"]);
  return lost === undefined ? undefined : { keys, lost, next };
}

function parseLost(value: unknown): ReadonlySet<bigint> | undefined {
  if (value === undefined) return new Set();
  if (!Array.isArray(value)) return undefined;
  const hashes = value.map(parseHex);
  return hashes.includes(undefined) ? undefined : new Set(hashes.filter((hash) => hash !== undefined));
}
