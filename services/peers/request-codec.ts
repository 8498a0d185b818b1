/**
 * Requests to bytes and back, pure. The hot kinds have a fixed layout; `ask` carries a body that is already MessagePack.
 * Must never throw for what came in: a frame that makes no sense is undefined, and its link ends.
 */
import assert from "node:assert/strict";
import { parseTraceId, TRACE_ID_BYTES, type TraceId } from "../base/trace.ts";
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
  TRACE_BIT,
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
      return HEADER_BYTES + HASH_BYTES + request.key.key.length + traceSize(request.trace);
    case "store":
      return (
        HEADER_BYTES + STORE_FIXED_BYTES + request.key.key.length + traceSize(request.trace) + request.object.length
      );
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
      return decodeKeyOnly(frame, "digest", sizeBytes);
    case KIND_FETCH:
      return decodeKeyOnly(frame, "fetch", sizeBytes);
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

/** The request without its trace: for a node that would take that for a part of the key. */
export function untraced(request: WireRequest): WireRequest {
  if (request.kind === "ping" || request.kind === "ask" || request.trace === undefined) return request;
  const { trace: _trace, ...rest } = request;
  return rest;
}

/** The request, in the place of an owner and with its trace where the frame's flags say so; the trace begins at `traceAt`. */
function asked(frame: Frame, request: WireKeyRequest, traceAt: number): WireRequest | undefined {
  if (frame.flags === 0) return request;
  const standIn = standInOf(frame.flags);
  if (standIn === "malformed") return undefined;
  const placed = standIn === undefined ? request : { ...request, standIn };
  const trace = traceOf(frame, traceAt);
  return trace === undefined ? placed : { ...placed, trace };
}

function traceSize(trace: TraceId | undefined): number {
  return trace === undefined ? 0 : TRACE_ID_BYTES;
}

/** Bytes that the trace takes in the frame's body. */
function traceSizeIn(frame: Frame): number {
  return (frame.flags & TRACE_BIT) === 0 ? 0 : TRACE_ID_BYTES;
}

/** Whatever is no trace id is passed over: a log line is not worth a link. */
function traceOf(frame: Frame, at: number): TraceId | undefined {
  if (traceSizeIn(frame) === 0) return undefined;
  return parseTraceId(bodySlice(frame, at, at + TRACE_ID_BYTES).toHex());
}

/** The flags of a request for a key; where it has a trace, writes that to `traceAt`. */
function setOptions(
  writer: FrameWriter,
  { standIn, trace }: WireKeyRequest,
  at: { readonly body: number; readonly trace: number },
): void {
  const flags = standIn === undefined ? 0 : standInFlags(standIn);
  setFlags(writer, at.body, trace === undefined ? flags : flags | TRACE_BIT);
  if (trace !== undefined) writer.bytes.set(Uint8Array.fromHex(trace), at.trace);
}

function encodeKeyOnly(writer: FrameWriter, request: WireKeyOnly): void {
  const { key, kind, standIn, trace } = request;
  assert.ok(key.key.length <= MAX_ADDRESS_BYTES, "a key fits its frame");
  const at = writer.start(kind === "digest" ? KIND_DIGEST : KIND_FETCH, requestSize(request), 0);
  if (standIn !== undefined || trace !== undefined) {
    setOptions(writer, request, { body: at, trace: at + HASH_BYTES + key.key.length });
  }
  setPartition(writer, at, key.partition);
  writer.view.setBigUint64(at, key.hash);
  writer.bytes.set(key.key, at + HASH_BYTES);
}

function encodeStore(writer: FrameWriter, request: WireStore): void {
  const { key, partition, hash } = request.key;
  assert.ok(key.length <= MAX_ADDRESS_BYTES, "a key fits its frame");
  const { standIn, trace } = request;
  const fixedBytes = HEADER_BYTES + STORE_FIXED_BYTES + key.length + traceSize(trace);
  const at = writer.start(KIND_STORE, fixedBytes, request.object.length);
  const { view } = writer;
  if (standIn !== undefined || trace !== undefined) {
    setOptions(writer, request, { body: at, trace: at + STORE_FIXED_BYTES + key.length });
  }
  setPartition(writer, at, partition);
  view.setBigUint64(at, hash);
  view.setBigUint64(at + 8, request.baseDigest);
  view.setBigUint64(at + 16, request.digest);
  view.setUint16(at + 24, key.length);
  writer.bytes.set(key, at + STORE_FIXED_BYTES);
  writer.append(request.object);
}

function decodeKeyOnly(frame: Frame, kind: WireKeyOnly["kind"], sizeBytes: number): WireRequest | undefined {
  const keyEnd = sizeBytes - traceSizeIn(frame);
  if (keyEnd < HASH_BYTES || keyEnd > HASH_BYTES + MAX_ADDRESS_BYTES) return undefined;
  return asked(frame, { kind, key: keyOf(frame, HASH_BYTES, keyEnd) }, keyEnd);
}

function decodeStore(frame: Frame, sizeBytes: number): WireRequest | undefined {
  const { view, bodyStart: at } = frame;
  if (sizeBytes < STORE_FIXED_BYTES) return undefined;
  const keyEnd = STORE_FIXED_BYTES + view.getUint16(at + 24);
  const objectAt = keyEnd + traceSizeIn(frame);
  if (objectAt > sizeBytes || keyEnd > STORE_FIXED_BYTES + MAX_ADDRESS_BYTES) return undefined;
  const store: WireStore = {
    kind: "store",
    key: keyOf(frame, STORE_FIXED_BYTES, keyEnd),
    baseDigest: view.getBigUint64(at + 8),
    digest: view.getBigUint64(at + 16),
    object: bodySlice(frame, objectAt, sizeBytes),
  };
  return asked(frame, store, keyEnd);
}

function keyOf(frame: Frame, keyStart: number, keyEnd: number): KeyOnWire {
  return {
    partition: frame.partition,
    hash: frame.view.getBigUint64(frame.bodyStart),
    key: bodySlice(frame, keyStart, keyEnd),
  };
}
