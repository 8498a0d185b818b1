/**
 * Messages ⇄ the frames of a datagram. Frame = type u8, length varint, body; numbers big-endian, texts with their length
 * in a byte before them. A type that is not known is skipped, so that later versions may say more; anything else that
 * is not exactly what `encodeMessages` writes makes the whole datagram corrupt. Must never throw on any bytes, never
 * take memory for a length that was not checked. Source: gossip-ring notes §A.5 (names in place of 64-bit keys).
 */
import assert from "node:assert/strict";
import { ByteReader, ByteWriter } from "./codec-bytes.ts";
import { factsFlawOf, isAddress, isNodeId, MAX_HEALTH, MAX_USER_BYTES } from "./codec-fields.ts";
import type { Fitness, Life, Message, StateHashes } from "./messages.ts";

const TYPE_PING = 1;
const TYPE_ACK = 2;
const TYPE_PING_REQ = 3;
const TYPE_NACK = 4;
const TYPE_ALIVE = 5;
const TYPE_SUSPECT = 6;
const TYPE_DEAD = 7;
const TYPE_LEFT = 8;
const TYPE_PULL = 10;
const TYPE_USER = 11;

const PULL_MEMBERS = 1;
const PULL_RECORDS = 2;
const FLAG_DISK_WRITABLE = 1;
const FLAG_DEGRADED = 2;
/** More than the longest body: a `user` message. */
const MAX_BODY_BYTES = 600;

const body = new ByteWriter(MAX_BODY_BYTES);

/** The frames of some messages. */
export interface EncodedMessages {
  readonly bytes: Uint8Array;
  /** how many messages from the front are in the bytes; the next one did not fit */
  readonly count: number;
}

/** What a datagram says, or why it says nothing. */
export type DecodedMessages =
  | {
      readonly kind: "messages";
      readonly messages: readonly Message[];
      /** frames of types that this version does not know */
      readonly unknownCount: number;
    }
  | { readonly kind: "corrupt"; readonly reason: string };

/** Bytes that a message takes in a datagram, its type and length among them. */
export function encodedSizeOf(message: Message): number {
  writeBody(message);
  return 1 + (body.sizeBytes < 0x80 ? 1 : 2) + body.sizeBytes;
}

/** Frames of the messages in their order, until one does not fit into `maxBytes`. A field out of its range is a bug. */
export function encodeMessages(messages: readonly Message[], maxBytes: number): EncodedMessages {
  const frames = new ByteWriter(maxBytes);
  let count = 0;
  for (const message of messages) {
    if (frames.sizeBytes + encodedSizeOf(message) > maxBytes) break;
    frames.u8(typeOf(message));
    frames.varint(body.sizeBytes);
    frames.bytes(body.written());
    count += 1;
  }
  return { bytes: frames.written(), count };
}

/** The messages in the frames. Bytes of `user` messages are views. Never throws. */
export function decodeMessages(bytes: Uint8Array): DecodedMessages {
  const reader = new ByteReader(bytes);
  const messages: Message[] = [];
  let unknownCount = 0;
  while (reader.leftBytes > 0) {
    const type = reader.u8();
    const sizeBytes = reader.varint();
    const frame = reader.bytes(sizeBytes);
    if (reader.isBroken) return { kind: "corrupt", reason: "frame_length" };
    const message = readBody(type, frame);
    if (message === "broken") return { kind: "corrupt", reason: "frame_body" };
    if (message === "unknown") unknownCount += 1;
    else messages.push(message);
  }
  return { kind: "messages", messages, unknownCount };
}

function typeOf(message: Message): number {
  switch (message.kind) {
    case "ping":
      return TYPE_PING;
    case "ack":
      return TYPE_ACK;
    case "ping-req":
      return TYPE_PING_REQ;
    case "nack":
      return TYPE_NACK;
    case "alive":
      return TYPE_ALIVE;
    case "suspect":
      return TYPE_SUSPECT;
    case "dead":
      return TYPE_DEAD;
    case "left":
      return TYPE_LEFT;
    case "pull":
      return TYPE_PULL;
    case "user":
      return TYPE_USER;
  }
}

function writeBody(message: Message): void {
  body.reset();
  switch (message.kind) {
    case "ping":
      body.u32(message.seq);
      body.text(message.target);
      writeHashes(message.hashes);
      break;
    case "ack":
      body.u32(message.seq);
      writeHashes(message.hashes);
      body.u8(message.fitness.health);
      body.u8(message.fitness.loopLag);
      body.u8(fitnessFlagsOf(message.fitness));
      break;
    case "ping-req":
      body.u32(message.seq);
      body.text(message.target);
      body.text(message.targetAddress);
      body.u16(message.timeoutMs);
      break;
    case "nack":
      body.u32(message.seq);
      break;
    case "alive":
      body.text(message.facts.nodeId);
      writeLife(message.life);
      body.text(message.facts.address);
      body.text(message.facts.zone);
      break;
    case "suspect":
    case "dead":
      body.text(message.nodeId);
      writeLife(message.life);
      body.text(message.from);
      break;
    case "left":
      body.text(message.nodeId);
      writeLife(message.life);
      break;
    case "pull":
      body.u8(message.what === "members" ? PULL_MEMBERS : PULL_RECORDS);
      break;
    case "user":
      assert.ok(message.bytes.length <= MAX_USER_BYTES, "a user message is no longer than it may be");
      body.u8(message.topic);
      body.bytes(message.bytes);
      break;
  }
  assert.ok(!body.isFull, "a message fits into a frame");
}

function readBody(type: number, frame: Uint8Array): Message | "unknown" | "broken" {
  const reader = new ByteReader(frame);
  const message = readFields(type, reader);
  if (message === undefined) return "unknown";
  return reader.isDone && isSound(message) ? message : "broken";
}

function readFields(type: number, reader: ByteReader): Message | undefined {
  switch (type) {
    case TYPE_PING:
      return { kind: "ping", seq: reader.u32(), target: reader.text(), hashes: readHashes(reader) };
    case TYPE_ACK:
      return readAck(reader);
    case TYPE_PING_REQ: {
      const [seq, target, targetAddress] = [reader.u32(), reader.text(), reader.text()];
      return { kind: "ping-req", seq, target, targetAddress, timeoutMs: reader.u16() };
    }
    case TYPE_NACK:
      return { kind: "nack", seq: reader.u32() };
    case TYPE_ALIVE: {
      const [nodeId, life] = [reader.text(), readLife(reader)];
      return { kind: "alive", life, facts: { nodeId, address: reader.text(), zone: reader.text() } };
    }
    case TYPE_SUSPECT:
      return { kind: "suspect", nodeId: reader.text(), life: readLife(reader), from: reader.text() };
    case TYPE_DEAD:
      return { kind: "dead", nodeId: reader.text(), life: readLife(reader), from: reader.text() };
    case TYPE_LEFT:
      return { kind: "left", nodeId: reader.text(), life: readLife(reader) };
    case TYPE_PULL:
      return readPull(reader);
    case TYPE_USER:
      return { kind: "user", topic: reader.u8(), bytes: reader.bytes(reader.leftBytes) };
    default:
      return undefined;
  }
}

function readAck(reader: ByteReader): Message {
  const [seq, hashes, health, loopLag] = [reader.u32(), readHashes(reader), reader.u8(), reader.u8()];
  const flags = reader.u8();
  const isDiskWritable = (flags & FLAG_DISK_WRITABLE) !== 0;
  const isDegraded = (flags & FLAG_DEGRADED) !== 0;
  return { kind: "ack", seq, hashes, fitness: { health, loopLag, isDiskWritable, isDegraded } };
}

function fitnessFlagsOf({ isDiskWritable, isDegraded }: Fitness): number {
  return (isDiskWritable ? FLAG_DISK_WRITABLE : 0) | (isDegraded ? FLAG_DEGRADED : 0);
}

/** A pull of something later is nothing to us. */
function readPull(reader: ByteReader): Message | undefined {
  const what = reader.u8();
  if (what === PULL_MEMBERS) return { kind: "pull", what: "members" };
  return what === PULL_RECORDS || reader.isBroken ? { kind: "pull", what: "records" } : undefined;
}

/** Whether every text and number of a message is what it may be. */
function isSound(message: Message): boolean {
  switch (message.kind) {
    case "ping":
      // An empty name: whoever lives at the address.
      return message.target === "" || isNodeId(message.target);
    case "ack":
      return message.fitness.health <= MAX_HEALTH;
    case "ping-req":
      return isNodeId(message.target) && isAddress(message.targetAddress);
    case "alive":
      return factsFlawOf(message.facts) === undefined;
    case "suspect":
    case "dead":
      return isNodeId(message.nodeId) && isNodeId(message.from);
    case "left":
      return isNodeId(message.nodeId);
    case "user":
      return message.bytes.length <= MAX_USER_BYTES;
    case "nack":
    case "pull":
      return true;
  }
}

function writeLife(life: Life): void {
  body.u32(life.generation);
  body.varint(life.incarnation);
}

function readLife(reader: ByteReader): Life {
  return { generation: reader.u32(), incarnation: reader.varint() };
}

function writeHashes(hashes: StateHashes): void {
  body.u32(hashes.members);
  body.u64(hashes.records);
}

function readHashes(reader: ByteReader): StateHashes {
  return { members: reader.u32(), records: reader.u64() };
}
