/**
 * Slots as text: the layout that is shortest for them, in base64. Equal slots have one text only, so that texts can be
 * compared and hashed. Parsing is bounded and never throws.
 *
 * Layouts, named by the first byte: 1 = a list of the partitions held, each `gap × 8 + slot` in base 128, low digits
 * first, high bit for "more follows" (a node of a large cluster holds few); 2 and 3 = slot + 1 in two or three bits a
 * partition, low bits first, the last byte filled with zeros. No slot held: no text.
 */
import assert from "node:assert/strict";
import { MAX_REPLICAS } from "../base/limits.ts";

const LISTED = 1;
/** bits a slot of the layouts that name every partition, and the slots that fit: 0 … 2 and 0 … 6 */
const NARROW_BITS = 2;
const WIDE_BITS = 3;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

assert.ok(MAX_REPLICAS < 2 ** WIDE_BITS, "every slot, and none, fit into three bits");

/** The one text of these slots (−1 … 6); empty when none is held. At most ⅔ of a character a partition. */
export function packSlots(slots: Int8Array): string {
  let highest = -1;
  for (const slot of slots) if (slot > highest) highest = slot;
  if (highest === -1) return "";
  const listed = listBytes(slots);
  const bits = highest + 1 < 2 ** NARROW_BITS ? NARROW_BITS : WIDE_BITS;
  const plainLength = 1 + Math.ceil((slots.length * bits) / 8);
  const bytes = listed.length <= plainLength ? Uint8Array.from(listed) : plainBytes(slots, bits, plainLength);
  return Buffer.from(bytes).toString("base64");
}

/** The slots of `partitionCount` partitions in `text`, or undefined when it is not what `packSlots` gives. */
export function parseSlotText(text: unknown, partitionCount: number): Int8Array | undefined {
  if (typeof text !== "string" || text.length > partitionCount) return undefined;
  const slots = new Int8Array(partitionCount).fill(-1);
  if (text === "") return slots;
  if (!BASE64.test(text)) return undefined;
  const bytes = Buffer.from(text, "base64");
  const isRead = bytes[0] === LISTED ? readList(bytes, slots) : readPlain(bytes, slots);
  return isRead && packSlots(slots) === text ? slots : undefined;
}

function listBytes(slots: Int8Array): readonly number[] {
  const bytes = [LISTED];
  let next = 0;
  for (let partition = 0; partition < slots.length; partition += 1) {
    const slot = slots[partition] ?? -1;
    if (slot < 0) continue;
    let number = (partition - next) * 8 + slot;
    for (; number > 127; number >>= 7) bytes.push((number & 127) | 128);
    bytes.push(number);
    next = partition + 1;
  }
  return bytes;
}

function readList(bytes: Uint8Array, slots: Int8Array): boolean {
  let next = 0;
  let number = 0;
  let shift = 0;
  for (const byte of bytes.subarray(1)) {
    if (shift > 14) return false;
    number |= (byte & 127) << shift;
    shift += 7;
    if ((byte & 128) !== 0) continue;
    const partition = next + (number >> 3);
    if (partition >= slots.length) return false;
    slots[partition] = number & 7;
    next = partition + 1;
    number = 0;
    shift = 0;
  }
  return shift === 0;
}

function plainBytes(slots: Int8Array, bits: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes[0] = bits;
  for (let partition = 0; partition < slots.length; partition += 1) {
    const at = partition * bits;
    const index = 1 + (at >> 3);
    const value = ((slots[partition] ?? -1) + 1) << (at & 7);
    bytes[index] = (bytes[index] ?? 0) | (value & 255);
    if (value > 255) bytes[index + 1] = value >> 8;
  }
  return bytes;
}

function readPlain(bytes: Uint8Array, slots: Int8Array): boolean {
  const bits = bytes[0] ?? 0;
  if (bits !== NARROW_BITS && bits !== WIDE_BITS) return false;
  if (bytes.length !== 1 + Math.ceil((slots.length * bits) / 8)) return false;
  const mask = 2 ** bits - 1;
  for (let partition = 0; partition < slots.length; partition += 1) {
    const at = partition * bits;
    const index = 1 + (at >> 3);
    const pair = (bytes[index] ?? 0) | ((bytes[index + 1] ?? 0) << 8);
    slots[partition] = ((pair >> (at & 7)) & mask) - 1;
  }
  return true;
}
