/**
 * What a donor and a receiver say to each other while a partition is copied: plain values for the binary JSON of links,
 * and the strict parsing of what comes in. Objects and cursors are bytes (`transfer-page-core.ts`). Must never decide.
 */
import { MAX_LISTED_STATES } from "../base/limits.ts";
import type { HashState } from "./exchange-core.ts";
import { parseCursor } from "./transfer-page-core.ts";

/** Bytes of the hashes of all 256 leaves, and of one bit for each of them. */
export const LEAF_HASHES_BYTES: number = 256 * 8;
export const LEAF_BITS_BYTES: number = 256 / 8;

/** Which page of the differing leaves. */
export type PullRequest =
  /** compare: what the receiver's leaves hash to now, u64 big-endian each */
  | { readonly kind: "begin"; readonly leaves: Uint8Array }
  /** go on behind the cursor, in the leaves whose bits are set */
  | { readonly kind: "next"; readonly differing: Uint8Array; readonly cursor: Uint8Array }
  /** compare without objects: what stands under the hashes of the leaves that differ, from one of them on (`from`: u64) */
  | { readonly kind: "states"; readonly leaves: Uint8Array; readonly fromHash: bigint };

/** Which page of what has changed since the attempt began. */
export type ChangesRequest =
  /** the next batch; `ack`: the last batch that is durable at the receiver, 0 = none that it knows of */
  | { readonly kind: "batch"; readonly ack: number }
  /** go on behind the cursor, in this batch */
  | { readonly kind: "next"; readonly batch: number; readonly cursor: Uint8Array };

/** Why there is no page: never an absence, whatever the reason. */
export type TransferRefusal =
  | "malformed"
  /** no such attempt is open here */
  | "no_attempt"
  /** acknowledged records may be missing here */
  | "suspect"
  | "corrupt_record"
  /** more has changed than is remembered: compare again */
  | "overflown"
  | "busy"
  | "stopping";

/** One answer. `next`: the cursor to go on from, undefined = this was the last page. */
export type TransferReply =
  | {
      readonly kind: "pulled";
      readonly differing: Uint8Array;
      readonly objects: Uint8Array;
      readonly next: Uint8Array | undefined;
    }
  | {
      readonly kind: "changed";
      readonly batch: number;
      readonly objects: Uint8Array;
      readonly next: Uint8Array | undefined;
      /** keys that have changed and are in no batch yet */
      readonly remainingCount: number;
    }
  | {
      readonly kind: "states";
      readonly differing: Uint8Array;
      /** ascending; on the wire hash u64, state u64 each */
      readonly states: readonly HashState[];
      /** where to go on; undefined: these were the last */
      readonly nextHash: bigint | undefined;
    }
  | { readonly kind: "refused"; readonly reason: TransferRefusal };

const REFUSALS: readonly TransferRefusal[] = [
  "malformed",
  "no_attempt",
  "suspect",
  "corrupt_record",
  "overflown",
  "busy",
  "stopping",
];

/** The pull in the body of a request, or undefined. Never throws. */
export function parsePullRequest(value: unknown): PullRequest | undefined {
  const fields = fieldsOf(value);
  const leaves = bytesOf(fields?.["leaves"], LEAF_HASHES_BYTES);
  if (fields?.["kind"] === "begin") return leaves && { kind: "begin", leaves };
  if (fields?.["kind"] === "states") {
    const fromHash = hashOf(fields["from"]);
    return leaves === undefined || fromHash === undefined ? undefined : { kind: "states", leaves, fromHash };
  }
  const differing = bytesOf(fields?.["differing"], LEAF_BITS_BYTES);
  const cursor = cursorOf(fields?.["cursor"]);
  if (fields?.["kind"] !== "next" || differing === undefined || cursor === undefined) return undefined;
  return { kind: "next", differing, cursor };
}

/** The question for changes in the body of a request, or undefined. Never throws. */
export function parseChangesRequest(value: unknown): ChangesRequest | undefined {
  const fields = fieldsOf(value);
  const ack = wholeOf(fields?.["ack"]);
  if (fields?.["kind"] === "batch") return ack === undefined ? undefined : { kind: "batch", ack };
  const batch = wholeOf(fields?.["batch"]);
  const cursor = cursorOf(fields?.["cursor"]);
  if (fields?.["kind"] !== "next" || batch === undefined || cursor === undefined) return undefined;
  return { kind: "next", batch, cursor };
}

/** The answer in the body of a reply, or undefined. The objects are not looked into. Never throws. */
export function parseTransferReply(value: unknown): TransferReply | undefined {
  const fields = fieldsOf(value);
  if (fields === undefined) return undefined;
  if (fields["kind"] === "states") return parseStates(fields);
  if (fields["kind"] !== "refused") return parsePage(fields);
  const reason = REFUSALS.find((known) => known === fields["reason"]);
  return reason && { kind: "refused", reason };
}

/** A reply as it travels: states and hashes as bytes. */
export function transferReplyBody(reply: TransferReply): unknown {
  if (reply.kind !== "states") return reply;
  const { kind, differing, states, nextHash } = reply;
  const next = nextHash === undefined ? undefined : hashBytes(nextHash);
  return { kind, differing, states: Buffer.concat(states.map(({ hash, state }) => hashBytes(hash, state))), next };
}

/** Hashes as bytes: u64 big-endian each. */
export function hashBytes(...hashes: readonly bigint[]): Uint8Array {
  const bytes = Buffer.allocUnsafe(hashes.length * 8);
  for (const [at, hash] of hashes.entries()) bytes.writeBigUInt64BE(hash, at * 8);
  return bytes;
}

function parseStates(fields: Readonly<Record<string, unknown>>): TransferReply | undefined {
  const differing = bytesOf(fields["differing"], LEAF_BITS_BYTES);
  const { states: packed, next } = fields;
  const isLast = next === undefined || next === null;
  const nextHash = hashOf(next);
  if (!(packed instanceof Uint8Array) || packed.length % 16 !== 0 || packed.length > MAX_LISTED_STATES * 16)
    return undefined;
  if (differing === undefined || (nextHash === undefined && !isLast)) return undefined;
  const bytes = Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength);
  const states = Array.from({ length: bytes.length / 16 }, (_, index) => ({
    hash: bytes.readBigUInt64BE(index * 16),
    state: bytes.readBigUInt64BE(index * 16 + 8),
  }));
  return { kind: "states", differing, states, nextHash };
}

function hashOf(value: unknown): bigint | undefined {
  const bytes = bytesOf(value, 8);
  return bytes && Buffer.from(bytes.buffer, bytes.byteOffset, 8).readBigUInt64BE(0);
}

function parsePage(fields: Readonly<Record<string, unknown>>): TransferReply | undefined {
  const { kind, objects } = fields;
  const next = cursorOf(fields["next"]);
  const isLast = fields["next"] === undefined || fields["next"] === null;
  if (!(objects instanceof Uint8Array) || (next === undefined && !isLast)) return undefined;
  if (kind === "pulled") {
    const differing = bytesOf(fields["differing"], LEAF_BITS_BYTES);
    return differing && { kind, differing, objects, next };
  }
  const batch = wholeOf(fields["batch"]);
  const remainingCount = wholeOf(fields["remainingCount"]);
  if (kind !== "changed" || batch === undefined || remainingCount === undefined) return undefined;
  return { kind, batch, objects, next, remainingCount };
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? // an object that is no array: every field is looked at before it is used
      Object.fromEntries(Object.entries(value))
    : undefined;
}

function bytesOf(value: unknown, length: number): Uint8Array | undefined {
  return value instanceof Uint8Array && value.length === length ? value : undefined;
}

function cursorOf(value: unknown): Uint8Array | undefined {
  return value instanceof Uint8Array && parseCursor(value) !== undefined ? value : undefined;
}

function wholeOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
