/**
 * What a node that keeps hints and the node they are for say to each other: an offer names keys with digests, a delivery
 * carries objects, one state answers each. Plain values for the binary JSON of links; keys and objects are packed bytes.
 * Pure; what comes in is parsed strictly, and nothing is allocated for a length that was not checked.
 *
 * Offer, big-endian, per key: slot u8, key length u16, digest u64, key. Delivery: slot u8, key length u16, object bytes u32,
 * key, object. The hash is made anew from the key: a sender cannot name a wrong one.
 */
import { xxh64 } from "../base/hash.ts";
import { HINT_OFFER_KEYS } from "../base/hint-limits.ts";
import { type NodeId, parseNodeId } from "../base/ids.ts";
import { MAX_PARTITIONS, MAX_REPLICAS } from "../base/limits.ts";
import type { KeyLocation } from "../replica/contract.ts";

/** Topics of the bulk links. */
export const HINTS_OFFER_TOPIC = "hints.offer";
export const HINTS_TAKE_TOPIC = "hints.take";
export const HINTS_FLAG_TOPIC = "hints.flag";
export const HINTS_FLUSH_TOPIC = "hints.flush";

/** A version that a slot may lack. */
export interface OfferedKey {
  readonly location: KeyLocation;
  readonly slot: number;
  /** 64 bits, never 0 */
  readonly digest: bigint;
}

/** A version that it lacks. */
export interface DeliveredKey {
  readonly location: KeyLocation;
  readonly slot: number;
  readonly object: Uint8Array;
}

/**
 * What a receiver says of one key. `held`: this very version, or one that covers it, is durable here. `lacking`: send it.
 * `elsewhere`: the slot is not held here. `later`: it could not be done now. `bad`: it is no object.
 */
export type HintState = "held" | "lacking" | "elsewhere" | "later" | "bad";

/** How much more the receiver takes, and when. */
export interface HintCredit {
  readonly keys: number;
  readonly bytes: number;
  readonly pauseMs: number;
}

/** The answer to an offer or a delivery: a state for each key, in their order. */
export interface HintReply {
  readonly states: readonly HintState[];
  /** where slots went that were held here, by partition */
  readonly moved: ReadonlyMap<number, NodeId>;
  readonly credit: HintCredit;
}

/** When a member was first asked by whoever waits: sent back to it with the next question. */
export interface FlushMark {
  /** by the member's own clock */
  readonly mark: number;
  /** of the member's process, whose clock begins anew with each; absent: of a member that does not say yet */
  readonly run?: number;
}

/** What a member that is asked to hurry says: how many hints are left of those that it had when it was first asked. */
export interface FlushReply extends FlushMark {
  readonly left: ReadonlyMap<NodeId | null, number>;
}

const OFFER_HEAD_BYTES = 11;
const TAKE_HEAD_BYTES = 7;
/** the store's own bound */
const MAX_STORED_KEY_BYTES = 2_048;
const STATES: readonly HintState[] = ["held", "lacking", "elsewhere", "later", "bad"];
const MAX_PAUSE_MS = 60_000;
const MAX_RUN = 0xffff_ffff;

/** The body of an offer of at most `HINT_OFFER_KEYS` keys. */
export function encodeOffer(keys: readonly OfferedKey[]): unknown {
  const pieces: Uint8Array[] = [];
  for (const { location, slot, digest } of keys) {
    const head = Buffer.allocUnsafe(OFFER_HEAD_BYTES);
    head.writeUInt8(slot, 0);
    head.writeUInt16BE(location.key.length, 1);
    head.writeBigUInt64BE(digest, 3);
    pieces.push(head, location.key);
  }
  return { keys: Buffer.concat(pieces) };
}

/** The keys of an offer, or undefined. Never throws. */
export function parseOffer(body: unknown, partitionCount: number): readonly OfferedKey[] | undefined {
  const bytes = bufferIn(body, "keys");
  if (bytes === undefined) return undefined;
  const keys: OfferedKey[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + OFFER_HEAD_BYTES > bytes.length || keys.length >= HINT_OFFER_KEYS) return undefined;
    const keyBytes = bytes.readUInt16BE(at + 1);
    const end = at + OFFER_HEAD_BYTES + keyBytes;
    const slot = bytes.readUInt8(at);
    const digest = bytes.readBigUInt64BE(at + 3);
    if (!isKeyLength(keyBytes) || slot >= MAX_REPLICAS || digest === 0n || end > bytes.length) return undefined;
    keys.push({ location: locationOf(bytes.subarray(at + OFFER_HEAD_BYTES, end), partitionCount), slot, digest });
    at = end;
  }
  return keys;
}

/** Bytes that a key takes in a delivery. */
export function deliveredBytesOf({ location, object }: DeliveredKey): number {
  return TAKE_HEAD_BYTES + location.key.length + object.length;
}

/** The body of a delivery. */
export function encodeDelivery(keys: readonly DeliveredKey[]): unknown {
  const pieces: Uint8Array[] = [];
  for (const { location, slot, object } of keys) {
    const head = Buffer.allocUnsafe(TAKE_HEAD_BYTES);
    head.writeUInt8(slot, 0);
    head.writeUInt16BE(location.key.length, 1);
    head.writeUInt32BE(object.length, 3);
    pieces.push(head, location.key, object);
  }
  return { objects: Buffer.concat(pieces) };
}

/** The objects of a delivery, or undefined. They are views into the body. Never throws. */
export function parseDelivery(body: unknown, partitionCount: number): readonly DeliveredKey[] | undefined {
  const bytes = bufferIn(body, "objects");
  if (bytes === undefined) return undefined;
  const keys: DeliveredKey[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + TAKE_HEAD_BYTES > bytes.length || keys.length >= HINT_OFFER_KEYS) return undefined;
    const keyBytes = bytes.readUInt16BE(at + 1);
    const keyEnd = at + TAKE_HEAD_BYTES + keyBytes;
    const end = keyEnd + bytes.readUInt32BE(at + 3);
    const slot = bytes.readUInt8(at);
    if (!isKeyLength(keyBytes) || slot >= MAX_REPLICAS || end > bytes.length) return undefined;
    const location = locationOf(bytes.subarray(at + TAKE_HEAD_BYTES, keyEnd), partitionCount);
    keys.push({ location, slot, object: bytes.subarray(keyEnd, end) });
    at = end;
  }
  return keys;
}

/** The body of an answer. */
export function encodeReply({ states, moved, credit }: HintReply): unknown {
  return { states: Uint8Array.from(states, (state) => STATES.indexOf(state)), moved: [...moved], ...credit };
}

/** The answer for `count` keys, or undefined. Never throws. */
export function parseReply(body: unknown, count: number): HintReply | undefined {
  const fields = fieldsOf(body);
  const bytes = fields?.["states"];
  const moved = movedIn(fields?.["moved"]);
  const keys = wholeIn(fields?.["keys"], HINT_OFFER_KEYS);
  const sizeBytes = wholeIn(fields?.["bytes"], Number.MAX_SAFE_INTEGER);
  const pauseMs = wholeIn(fields?.["pauseMs"], MAX_PAUSE_MS);
  if (!(bytes instanceof Uint8Array) || bytes.length !== count || moved === undefined) return undefined;
  if (keys === undefined || sizeBytes === undefined || pauseMs === undefined) return undefined;
  const states: HintState[] = [];
  for (const byte of bytes) {
    const state = STATES[byte];
    if (state === undefined) return undefined;
    states.push(state);
  }
  return { states, moved, credit: { keys, bytes: sizeBytes, pauseMs } };
}

/** The body of partitions to be flagged. */
export function encodeFlags(partitions: readonly number[]): unknown {
  return { partitions };
}

/** The partitions, or undefined. Never throws. */
export function parseFlags(body: unknown, partitionCount: number): readonly number[] | undefined {
  const partitions = fieldsOf(body)?.["partitions"];
  if (!Array.isArray(partitions) || partitions.length > MAX_PARTITIONS) return undefined;
  const whole = partitions.flatMap((one: unknown) => wholeIn(one, partitionCount - 1) ?? []);
  return whole.length === partitions.length ? whole : undefined;
}

/** The body of a question of whoever waits, after the first one, which is empty. */
export function encodeFlushMark({ mark, run }: FlushMark): unknown {
  return { mark, ...(run !== undefined && { run }) };
}

/** The mark in the question of whoever waits; undefined: the first one. */
export function parseFlushMark(body: unknown): FlushMark | undefined {
  const { mark, run } = fieldsOf(body) ?? {};
  if (typeof mark !== "number" || !Number.isFinite(mark) || mark < 0) return undefined;
  const known = wholeIn(run, MAX_RUN);
  return { mark, ...(known !== undefined && { run: known }) };
}

/** The body of a member's answer to whoever waits. */
export function encodeFlushReply({ left, ...mark }: FlushReply): unknown {
  return { ...mark, left: [...left] };
}

/** The member's answer, or undefined. Never throws. */
export function parseFlushReply(body: unknown): FlushReply | undefined {
  const mark = parseFlushMark(body);
  const pairs = fieldsOf(body)?.["left"];
  if (mark === undefined || !Array.isArray(pairs)) return undefined;
  const left = new Map<NodeId | null, number>();
  for (const pair of pairs) {
    if (!Array.isArray(pair) || pair.length !== 2) return undefined;
    const node: unknown = pair[0];
    const id = typeof node === "string" ? parseNodeId(node) : node === null ? null : undefined;
    const count = wholeIn(pair[1], Number.MAX_SAFE_INTEGER);
    if (id === undefined || count === undefined) return undefined;
    left.set(id, count);
  }
  return { ...mark, left };
}

function movedIn(value: unknown): ReadonlyMap<number, NodeId> | undefined {
  if (!Array.isArray(value) || value.length > MAX_PARTITIONS) return undefined;
  const moved = new Map<number, NodeId>();
  for (const pair of value) {
    if (!Array.isArray(pair) || pair.length !== 2) return undefined;
    const partition = wholeIn(pair[0], MAX_PARTITIONS - 1);
    const node: unknown = pair[1];
    const id = typeof node === "string" ? parseNodeId(node) : undefined;
    if (partition === undefined || id === undefined) return undefined;
    moved.set(partition, id);
  }
  return moved;
}

function locationOf(key: Uint8Array, partitionCount: number): KeyLocation {
  const hash = xxh64(key);
  return { partition: Number(hash >> BigInt(64 - Math.log2(partitionCount))), hash, key };
}

function isKeyLength(length: number): boolean {
  return length >= 1 && length <= MAX_STORED_KEY_BYTES;
}

function bufferIn(body: unknown, name: string): Buffer | undefined {
  const bytes = fieldsOf(body)?.[name];
  return bytes instanceof Uint8Array ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) : undefined;
}

function wholeIn(value: unknown, max: number): number | undefined {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max ? value : undefined;
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : undefined;
}
