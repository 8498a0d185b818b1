/**
 * What two holders say to each other while they compare a partition: plain values for the binary JSON of links, hashes and
 * states packed in bytes, and the strict parsing of what comes in. Must never decide.
 *
 * Big-endian. States: hash u64, state u64. Hashes: u64.
 */
import { MAX_LISTED_STATES } from "../base/limits.ts";
import { bufferOf, type Fields, fieldsOf, wholeOf } from "./body-fields-core.ts";
import type { CollectWord } from "./collect-word-core.ts";
import { type HashState, LEAVES, LEAVES_PER_INNER } from "./exchange-core.ts";

/** Topic of the links. */
export const EXCHANGE_TOPIC = "repair.exchange";

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
  /** what the asker has in these leaves (256 bits) from `fromHash` to `toHash` */
  | {
      readonly kind: "list";
      readonly fromHash: bigint;
      readonly toHash: bigint;
      readonly leaves: Uint8Array;
      readonly states: readonly HashState[];
    }
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
  /** `word`: what the sender says of the partition as it was when they were read; undefined: nothing */
  | {
      readonly kind: "objects";
      readonly objects: Uint8Array;
      readonly next: Uint8Array | undefined;
      readonly word: CollectWord | undefined;
    }
  | { readonly kind: "refused"; readonly reason: ExchangeRefusal };

const REFUSALS: readonly ExchangeRefusal[] = ["malformed", "moved", "busy", "stopping"];

/** The body of a question within an exchange. */
export function encodeQuestion(pair: PairOnWire, question: ExchangeQuestion): Fields {
  switch (question.kind) {
    case "inner":
    case "leaves":
      return { ...pair, ...question };
    case "list": {
      const { kind, fromHash, toHash, leaves, states } = question;
      return { ...pair, kind, range: packHashes([fromHash, toHash]), leaves, states: packStates(states) };
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
    case "objects": {
      const { word, ...page } = answer;
      return word === undefined ? page : { ...page, floor: word.floor, rules: packHashes([word.rules]) };
    }
    case "inner":
    case "leaves":
    case "refused":
      return { ...answer };
  }
}

/** The answer in a body, or undefined. Objects are not looked into. Never throws. */
export function parseAnswer(value: unknown): ExchangeAnswer | undefined {
  const fields = fieldsOf(value);
  const kind = fields?.["kind"];
  return fields === undefined || typeof kind !== "string" ? undefined : ANSWERS.get(kind)?.(fields);
}

const ANSWERS: ReadonlyMap<string, (fields: Fields) => ExchangeAnswer | undefined> = new Map([
  [
    "inner",
    ({ bits }: Fields): ExchangeAnswer | undefined => {
      const read = bitsIn(bits);
      return read === undefined ? undefined : { kind: "inner", bits: read };
    },
  ],
  [
    "leaves",
    ({ bits }: Fields): ExchangeAnswer | undefined => {
      const read = bufferOf(bits);
      return read?.length === LEAVES / 8 ? { kind: "leaves", bits: read } : undefined;
    },
  ],
  [
    "listed",
    (fields: Fields): ExchangeAnswer | undefined => {
      const states = statesIn(fields["states"]);
      const [throughHash] = hashesIn(fields["through"]) ?? [];
      return states === undefined || throughHash === undefined ? undefined : { kind: "listed", states, throughHash };
    },
  ],
  [
    "states",
    (fields: Fields): ExchangeAnswer | undefined => {
      const states = hashesIn(fields["states"]);
      return states && { kind: "states", states };
    },
  ],
  [
    "objects",
    (fields: Fields): ExchangeAnswer | undefined => {
      const objects = bufferOf(fields["objects"]);
      return objects && { kind: "objects", objects, next: bufferOf(fields["next"]), word: wordIn(fields) };
    },
  ],
  [
    "refused",
    (fields: Fields): ExchangeAnswer | undefined => {
      const reason = REFUSALS.find((known) => known === fields["reason"]);
      return reason && { kind: "refused", reason };
    },
  ],
]);

function questionIn(fields: Fields): ExchangeQuestion | undefined {
  const { kind } = fields;
  return typeof kind === "string" ? QUESTIONS.get(kind)?.(fields) : undefined;
}

const QUESTIONS: ReadonlyMap<string, (fields: Fields) => ExchangeQuestion | undefined> = new Map([
  [
    "inner",
    (fields: Fields): ExchangeQuestion | undefined => {
      const inner = bufferOf(fields["inner"]);
      return inner?.length === LEAVES_PER_INNER * 8 ? { kind: "inner", inner } : undefined;
    },
  ],
  [
    "leaves",
    (fields: Fields): ExchangeQuestion | undefined => {
      const at = bitsIn(fields["at"]);
      const leaves = bufferOf(fields["leaves"]);
      return at === undefined || leaves === undefined ? undefined : { kind: "leaves", at, leaves };
    },
  ],
  [
    "list",
    (fields: Fields): ExchangeQuestion | undefined => {
      const [fromHash, toHash] = hashesIn(fields["range"]) ?? [];
      const states = statesIn(fields["states"]);
      const leaves = bufferOf(fields["leaves"]);
      if (fromHash === undefined || toHash === undefined || states === undefined) return undefined;
      return leaves?.length === LEAVES / 8 ? { kind: "list", fromHash, toHash, leaves, states } : undefined;
    },
  ],
  [
    "states",
    (fields: Fields): ExchangeQuestion | undefined => {
      const hashes = hashesIn(fields["hashes"]);
      return hashes && { kind: "states", hashes };
    },
  ],
  [
    "fetch",
    (fields: Fields): ExchangeQuestion | undefined => {
      const hashes = hashesIn(fields["hashes"]);
      return hashes && { kind: "fetch", hashes, cursor: bufferOf(fields["cursor"]) };
    },
  ],
]);

/** Nothing in words that are none: what comes with them is believed as far as anybody's. */
function wordIn(fields: Fields): CollectWord | undefined {
  const floor = wholeOf(fields["floor"]);
  const [rules] = hashesIn(fields["rules"]) ?? [];
  return floor === undefined || rules === undefined ? undefined : { floor, rules };
}

/** Sixteen bits. */
function bitsIn(value: unknown): number | undefined {
  const bits = wholeOf(value);
  return bits === undefined || bits > 0xffff ? undefined : bits;
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
