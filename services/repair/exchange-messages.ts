/**
 * What two holders say to each other while they compare partitions: plain values for the binary JSON of links, hashes and
 * states packed in bytes, and the strict parsing of what comes in. Must never decide.
 *
 * Roots, big-endian, one after the other: partition u16, slot of the asker u8 (bit 7: the view leaves out exempt keys),
 * slot of the asked u8, root u64. The answer has one byte for each. States: hash u64, state u64. Hashes: u64.
 */
import { MAX_EXCHANGE_ROOTS, MAX_LISTED_STATES } from "../base/limits.ts";
import { type HashState, LEAVES, LEAVES_PER_INNER } from "./exchange-core.ts";

/** Topics of the links. */
export const ROOTS_TOPIC = "repair.roots";
export const EXCHANGE_TOPIC = "repair.exchange";

const ROOT_BYTES = 12;
const FILTERED = 0x80;

/** One partition's root, as the asker sees it together with the asked. */
export interface RootItem {
  readonly partition: number;
  readonly ownSlot: number;
  readonly peerSlot: number;
  /** exempt keys are left out: see `exchange-view.ts` */
  readonly isFiltered: boolean;
  readonly root: bigint;
}

/** What the asked says to a root. */
export type RootVerdict =
  | "equal"
  | "differs"
  /** it holds another slot, or none */
  | "not_held"
  /** differs, and the asked may lack acknowledged records: it asks for them itself */
  | "suspect";

const VERDICTS: readonly RootVerdict[] = ["equal", "differs", "not_held", "suspect"];

/** Which partition, and in which slots both stand: the view of the pair follows from them. */
export interface PairOnWire {
  readonly partition: number;
  readonly ownSlot: number;
  readonly peerSlot: number;
  readonly isFiltered: boolean;
}

/** One question within an exchange. */
export type ExchangeQuestion =
  /** 16 × 8 bytes */
  | { readonly kind: "inner"; readonly inner: Uint8Array }
  /** `at`: 16 bits; 128 bytes for each bit */
  | { readonly kind: "leaves"; readonly at: number; readonly leaves: Uint8Array }
  /** what the asker has from `fromHash` to `toHash` */
  | { readonly kind: "list"; readonly fromHash: bigint; readonly toHash: bigint; readonly states: readonly HashState[] }
  /** what the asked has under these hashes now */
  | { readonly kind: "states"; readonly hashes: readonly bigint[] }
  /** the objects under these hashes, which ascend */
  | { readonly kind: "fetch"; readonly hashes: readonly bigint[]; readonly cursor: Uint8Array | undefined };

/** Why there is no answer. */
export type ExchangeRefusal = "malformed" | "moved" | "busy" | "stopping";

/** One answer. */
export type ExchangeAnswer =
  | { readonly kind: "inner"; readonly bits: number }
  | { readonly kind: "leaves"; readonly bits: Uint8Array }
  /** what the asked has under the hashes that differ, 0n = nothing, up to and with `throughHash` */
  | { readonly kind: "listed"; readonly states: readonly HashState[]; readonly throughHash: bigint }
  | { readonly kind: "states"; readonly states: readonly bigint[] }
  | { readonly kind: "objects"; readonly objects: Uint8Array; readonly next: Uint8Array | undefined }
  | { readonly kind: "refused"; readonly reason: ExchangeRefusal };

const REFUSALS: readonly ExchangeRefusal[] = ["malformed", "moved", "busy", "stopping"];

type Fields = Readonly<Record<string, unknown>>;

/** The body of a question for roots. */
export function encodeRoots(items: readonly RootItem[]): { readonly roots: Uint8Array } {
  const roots = Buffer.allocUnsafe(items.length * ROOT_BYTES);
  for (const [index, { partition, ownSlot, peerSlot, isFiltered, root }] of items.entries()) {
    const at = index * ROOT_BYTES;
    roots.writeUInt16BE(partition, at);
    roots.writeUInt8(ownSlot | (isFiltered ? FILTERED : 0), at + 2);
    roots.writeUInt8(peerSlot, at + 3);
    roots.writeBigUInt64BE(root, at + 4);
  }
  return { roots };
}

/** The roots in the body of a question, or undefined. Never throws. */
export function parseRoots(value: unknown): readonly RootItem[] | undefined {
  const bytes = bufferOf(fieldsOf(value)?.["roots"]);
  if (bytes === undefined || bytes.length % ROOT_BYTES !== 0) return undefined;
  if (bytes.length > MAX_EXCHANGE_ROOTS * ROOT_BYTES) return undefined;
  return Array.from({ length: bytes.length / ROOT_BYTES }, (_, index) => {
    const at = index * ROOT_BYTES;
    const slot = bytes.readUInt8(at + 2);
    return {
      partition: bytes.readUInt16BE(at),
      ownSlot: slot & ~FILTERED,
      peerSlot: bytes.readUInt8(at + 3),
      isFiltered: (slot & FILTERED) !== 0,
      root: bytes.readBigUInt64BE(at + 4),
    };
  });
}

/** The body of the answer to a question for roots. */
export function encodeVerdicts(verdicts: readonly RootVerdict[]): { readonly verdicts: Uint8Array } {
  return { verdicts: Uint8Array.from(verdicts, (verdict) => VERDICTS.indexOf(verdict)) };
}

/** The verdicts in the body of an answer to `count` roots, or undefined. Never throws. */
export function parseVerdicts(value: unknown, count: number): readonly RootVerdict[] | undefined {
  const bytes = bufferOf(fieldsOf(value)?.["verdicts"]);
  if (bytes === undefined || bytes.length !== count) return undefined;
  const verdicts: RootVerdict[] = [];
  for (const byte of bytes) {
    const verdict = VERDICTS[byte];
    if (verdict === undefined) return undefined;
    verdicts.push(verdict);
  }
  return verdicts;
}

/** The body of a question within an exchange. */
export function encodeQuestion(pair: PairOnWire, question: ExchangeQuestion): Fields {
  switch (question.kind) {
    case "inner":
    case "leaves":
      return { ...pair, ...question };
    case "list": {
      const { kind, fromHash, toHash, states } = question;
      return { ...pair, kind, range: packHashes([fromHash, toHash]), states: packStates(states) };
    }
    case "states":
      return { ...pair, kind: question.kind, hashes: packHashes(question.hashes) };
    case "fetch":
      return { ...pair, kind: question.kind, hashes: packHashes(question.hashes), cursor: question.cursor };
  }
}

/** The pair and the question in a body, or undefined. Never throws. */
export function parseQuestion(
  value: unknown,
): { readonly pair: PairOnWire; readonly question: ExchangeQuestion } | undefined {
  const fields = fieldsOf(value);
  if (fields === undefined) return undefined;
  const partition = wholeOf(fields["partition"]);
  const ownSlot = wholeOf(fields["ownSlot"]);
  const peerSlot = wholeOf(fields["peerSlot"]);
  const question = questionIn(fields);
  if (partition === undefined || ownSlot === undefined || peerSlot === undefined || question === undefined) {
    return undefined;
  }
  return { pair: { partition, ownSlot, peerSlot, isFiltered: fields["isFiltered"] === true }, question };
}

/** The body of an answer within an exchange. */
export function encodeAnswer(answer: ExchangeAnswer): Fields {
  switch (answer.kind) {
    case "listed":
      return { kind: answer.kind, states: packStates(answer.states), through: packHashes([answer.throughHash]) };
    case "states":
      return { kind: answer.kind, states: packHashes(answer.states) };
    case "inner":
    case "leaves":
    case "objects":
    case "refused":
      return { ...answer };
  }
}

/** The answer in a body, or undefined. Objects are not looked into. Never throws. */
export function parseAnswer(value: unknown): ExchangeAnswer | undefined {
  const fields = fieldsOf(value);
  switch (fields?.["kind"]) {
    case "inner": {
      const bits = wholeOf(fields["bits"]);
      return bits === undefined || bits > 0xffff ? undefined : { kind: "inner", bits };
    }
    case "leaves": {
      const bits = bufferOf(fields["bits"]);
      return bits?.length === LEAVES / 8 ? { kind: "leaves", bits } : undefined;
    }
    case "listed": {
      const states = statesIn(fields["states"]);
      const [throughHash] = hashesIn(fields["through"]) ?? [];
      return states === undefined || throughHash === undefined ? undefined : { kind: "listed", states, throughHash };
    }
    case "states": {
      const states = hashesIn(fields["states"]);
      return states && { kind: "states", states };
    }
    case "objects": {
      const objects = bufferOf(fields["objects"]);
      return objects && { kind: "objects", objects, next: bufferOf(fields["next"]) };
    }
    case "refused": {
      const reason = REFUSALS.find((known) => known === fields["reason"]);
      return reason && { kind: "refused", reason };
    }
    default:
      return undefined;
  }
}

function questionIn(fields: Fields): ExchangeQuestion | undefined {
  switch (fields["kind"]) {
    case "inner": {
      const inner = bufferOf(fields["inner"]);
      return inner?.length === LEAVES_PER_INNER * 8 ? { kind: "inner", inner } : undefined;
    }
    case "leaves": {
      const at = wholeOf(fields["at"]);
      const leaves = bufferOf(fields["leaves"]);
      return at === undefined || at > 0xffff || leaves === undefined ? undefined : { kind: "leaves", at, leaves };
    }
    case "list": {
      const [fromHash, toHash] = hashesIn(fields["range"]) ?? [];
      const states = statesIn(fields["states"]);
      if (fromHash === undefined || toHash === undefined || states === undefined) return undefined;
      return { kind: "list", fromHash, toHash, states };
    }
    case "states": {
      const hashes = hashesIn(fields["hashes"]);
      return hashes && { kind: "states", hashes };
    }
    case "fetch": {
      const hashes = hashesIn(fields["hashes"]);
      return hashes && { kind: "fetch", hashes, cursor: bufferOf(fields["cursor"]) };
    }
    default:
      return undefined;
  }
}

function packStates(states: readonly HashState[]): Uint8Array {
  const bytes = Buffer.allocUnsafe(states.length * 16);
  for (const [index, { hash, state }] of states.entries()) {
    bytes.writeBigUInt64BE(hash, index * 16);
    bytes.writeBigUInt64BE(state, index * 16 + 8);
  }
  return bytes;
}

function statesIn(value: unknown): readonly HashState[] | undefined {
  const bytes = bufferOf(value);
  if (bytes === undefined || bytes.length % 16 !== 0 || bytes.length > MAX_LISTED_STATES * 16) return undefined;
  return Array.from({ length: bytes.length / 16 }, (_, index) => ({
    hash: bytes.readBigUInt64BE(index * 16),
    state: bytes.readBigUInt64BE(index * 16 + 8),
  }));
}

function packHashes(hashes: readonly bigint[]): Uint8Array {
  const bytes = Buffer.allocUnsafe(hashes.length * 8);
  for (const [index, hash] of hashes.entries()) bytes.writeBigUInt64BE(hash, index * 8);
  return bytes;
}

function hashesIn(value: unknown): readonly bigint[] | undefined {
  const bytes = bufferOf(value);
  if (bytes === undefined || bytes.length % 8 !== 0 || bytes.length > MAX_LISTED_STATES * 8) return undefined;
  return Array.from({ length: bytes.length / 8 }, (_, index) => bytes.readBigUInt64BE(index * 8));
}

function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? // an object that is no array: every field is looked at before it is used
      Object.fromEntries(Object.entries(value))
    : undefined;
}

function bufferOf(value: unknown): Buffer | undefined {
  return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : undefined;
}

function wholeOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
