/**
 * Requests to bytes and back, pure. The hot kinds have a fixed layout; `ask` carries a body that is already MessagePack.
 * Must never throw for what came in: a frame that makes no sense is undefined, and its link ends.
 */
import assert from "node:assert/strict";
import { bodySlice, bodyText, HASH_BYTES, setFlags, setPartition, standInFlags, standInOf } from "./frame-fields.ts";
import {
  HEADER_BYTES,
  KIND_ASK,
  KIND_DIGEST,
  KIND_FETCH,
  KIND_PING,
  KIND_STORE,
  MAX_ADDRESS_BYTES,
  MAX_TOPIC_BYTES,
} from "./frame-layout.ts";
import type { Frame } from "./frame-reader.ts";
import type { FrameWriter } from "./frame-writer.ts";
import type { KeyOnWire, PeerRequest } from "./messages.ts";

/** A request as the wire carries it: the body of an `ask` is encoded. */
export type WireRequest =
  | Exclude<PeerRequest, { readonly kind: "ask" }>
  | { readonly kind: "ask"; readonly topic: string; readonly body: Uint8Array };

type WireStore = Extract<WireRequest, { readonly kind: "store" }>;
type WireKeyOnly = Extract<WireRequest, { readonly kind: "digest" | "fetch" }>;
type WireKeyRequest = WireStore | WireKeyOnly;

/** hash, base digest, digest, length of the key */
const STORE_FIXED_BYTES = 3 * HASH_BYTES + 2;

const encoder = new TextEncoder();

/** True for the kinds that the dialling side sends once the link stands. */
export function isRequestKind(kind: number): boolean {
  return kind >= KIND_DIGEST && kind <= KIND_ASK;
}

/** Bytes that the frame of `request` takes. */
export function requestSize(request: WireRequest): number {
  switch (request.kind) {
    case "digest":
    case "fetch":
      return HEADER_BYTES + HASH_BYTES + request.key.key.length;
    case "store":
      return HEADER_BYTES + STORE_FIXED_BYTES + request.key.key.length + request.object.length;
    case "ping":
      return HEADER_BYTES;
    case "ask":
      return HEADER_BYTES + 1 + request.topic.length + request.body.length;
  }
}

/** Adds the frame of `request` to the writer. A key over 1088 bytes or a topic over 64 is a bug of the caller. */
export function encodeRequest(writer: FrameWriter, request: WireRequest): void {
  switch (request.kind) {
    case "digest":
    case "fetch":
      return encodeKeyOnly(writer, request);
    case "store":
      return encodeStore(writer, request);
    case "ping":
      writer.start(KIND_PING, HEADER_BYTES, 0);
      return;
    case "ask": {
      const topic = encoder.encode(request.topic);
      assert.ok(topic.length <= MAX_TOPIC_BYTES, "a topic is a short word");
      const fixedBytes = HEADER_BYTES + 1 + topic.length;
      const at = writer.start(KIND_ASK, fixedBytes, request.body.length);
      writer.view.setUint8(at, topic.length);
      writer.bytes.set(topic, at + 1);
      writer.append(request.body);
    }
  }
}

/** The request in the frame; its byte arrays are views of the frame's chunk. Undefined: malformed. */
export function decodeRequest(frame: Frame): WireRequest | undefined {
  const sizeBytes = frame.bodyEnd - frame.bodyStart;
  switch (frame.kind) {
    case KIND_DIGEST:
      if (sizeBytes < HASH_BYTES) return undefined;
      return asked(frame, { kind: "digest", key: keyOf(frame, HASH_BYTES, sizeBytes) });
    case KIND_FETCH:
      if (sizeBytes < HASH_BYTES) return undefined;
      return asked(frame, { kind: "fetch", key: keyOf(frame, HASH_BYTES, sizeBytes) });
    case KIND_STORE:
      return decodeStore(frame, sizeBytes);
    case KIND_PING:
      return sizeBytes === 0 ? { kind: "ping" } : undefined;
    case KIND_ASK: {
      if (sizeBytes < 1) return undefined;
      const topicEnd = 1 + frame.view.getUint8(frame.bodyStart);
      if (topicEnd > sizeBytes || topicEnd > 1 + MAX_TOPIC_BYTES) return undefined;
      return { kind: "ask", topic: bodyText(frame, 1, topicEnd), body: bodySlice(frame, topicEnd, sizeBytes) };
    }
    default:
      return undefined;
  }
}

/** The request, in the place of an owner where the frame's flags say so. */
function asked(frame: Frame, request: WireKeyRequest): WireRequest | undefined {
  if (frame.flags === 0) return request;
  const standIn = standInOf(frame.flags);
  if (standIn === "malformed") return undefined;
  return standIn === undefined ? request : { ...request, standIn };
}

function encodeKeyOnly(writer: FrameWriter, request: WireKeyOnly): void {
  const { key, kind, standIn } = request;
  assert.ok(key.key.length <= MAX_ADDRESS_BYTES, "a key fits its frame");
  const at = writer.start(kind === "digest" ? KIND_DIGEST : KIND_FETCH, HEADER_BYTES + HASH_BYTES + key.key.length, 0);
  if (standIn !== undefined) setFlags(writer, at, standInFlags(standIn));
  setPartition(writer, at, key.partition);
  writer.view.setBigUint64(at, key.hash);
  writer.bytes.set(key.key, at + HASH_BYTES);
}

function encodeStore(writer: FrameWriter, request: WireStore): void {
  const { key, partition, hash } = request.key;
  assert.ok(key.length <= MAX_ADDRESS_BYTES, "a key fits its frame");
  const fixedBytes = HEADER_BYTES + STORE_FIXED_BYTES + key.length;
  const at = writer.start(KIND_STORE, fixedBytes, request.object.length);
  const { view } = writer;
  if (request.standIn !== undefined) setFlags(writer, at, standInFlags(request.standIn));
  setPartition(writer, at, partition);
  view.setBigUint64(at, hash);
  view.setBigUint64(at + 8, request.baseDigest);
  view.setBigUint64(at + 16, request.digest);
  view.setUint16(at + 24, key.length);
  writer.bytes.set(key, at + STORE_FIXED_BYTES);
  writer.append(request.object);
}

function decodeStore(frame: Frame, sizeBytes: number): WireRequest | undefined {
  const { view, bodyStart: at } = frame;
  if (sizeBytes < STORE_FIXED_BYTES) return undefined;
  const keyEnd = STORE_FIXED_BYTES + view.getUint16(at + 24);
  if (keyEnd > sizeBytes || keyEnd > STORE_FIXED_BYTES + MAX_ADDRESS_BYTES) return undefined;
  return asked(frame, {
    kind: "store",
    key: keyOf(frame, STORE_FIXED_BYTES, keyEnd),
    baseDigest: view.getBigUint64(at + 8),
    digest: view.getBigUint64(at + 16),
    object: bodySlice(frame, keyEnd, sizeBytes),
  });
}

function keyOf(frame: Frame, keyStart: number, keyEnd: number): KeyOnWire {
  return {
    partition: frame.partition,
    hash: frame.view.getBigUint64(frame.bodyStart),
    key: bodySlice(frame, keyStart, keyEnd),
  };
}
