/**
 * The question for roots of many partitions, and its answer: packed bytes, parsed strictly. Must never decide.
 *
 * Big-endian, one after the other: partition u16, slot of the asker u8 (bit 7: the view leaves out exempt keys), slot of the
 * asked u8, root u64. The answer has one byte for each.
 */
import { MAX_EXCHANGE_ROOTS } from "../base/limits.ts";
import { bufferOf, fieldsOf } from "./body-fields-core.ts";

/** Topic of the links. */
export const ROOTS_TOPIC = "repair.roots";

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
