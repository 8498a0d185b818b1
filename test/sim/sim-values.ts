/** Keys and values of simulated clients: a value carries the id of the write that made it. Must never be drawn by chance. */
import type { BucketName } from "../../services/base/ids.ts";

const TEXT = new TextEncoder();

/** The bucket that simulated clients write to. */
export const SIM_BUCKET: BucketName = "sim" as BucketName;

/** The name of the i-th key. */
export function keyName(index: number): string {
  return `key-${index}`;
}

/** The bytes of a key's name. */
export function keyBytesOf(key: string): Uint8Array {
  return TEXT.encode(key);
}

/** What the write of this id puts. */
export function valueBytesOf(id: number): Uint8Array {
  return TEXT.encode(`w${id}:${paddingOf(id)}`);
}

/** The id of the write that made these bytes; −1 when no client ever wrote such bytes. */
export function writeIdOf(bytes: Uint8Array): number {
  const match = /^w(\d+):(.*)$/.exec(new TextDecoder().decode(bytes));
  if (match === null) return -1;
  const id = Number(match[1]);
  return match[2] === paddingOf(id) ? id : -1;
}

function paddingOf(id: number): string {
  return "x".repeat((id * 7) % 90);
}
