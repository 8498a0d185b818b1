/**
 * The small arithmetic of the files: alignment, 48-bit numbers, names. All numbers on disk are little-endian.
 * Must never know what the numbers mean.
 */

/** Records start at multiples of this many bytes. */
export const ALIGNMENT_BYTES = 8;

/** The next multiple of 8 at or above `sizeBytes`. */
export function alignUp(sizeBytes: number): number {
  return Math.ceil(sizeBytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
}

/** Whether `bytes[from, to)` are all zero; cost linear, at memory speed. */
export function isZero(bytes: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at += ZEROS.length) {
    const end = Math.min(at + ZEROS.length, to);
    if (ZEROS.compare(bytes, at, end, 0, end - at) !== 0) return false;
  }
  return true;
}

/** A Buffer over the same memory as any byte array; nothing is copied. */
export function bufferOver(bytes: Uint8Array): Buffer {
  return bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A number as 16 hex digits, so that names sort by number. */
export function hexName(value: number): string {
  return value.toString(16).padStart(16, "0");
}

/** The number that `hexName` wrote before `suffix`, or undefined when the name has another shape. */
export function parseHexName(name: string, suffix: string): number | undefined {
  if (name.length !== 16 + suffix.length || !name.endsWith(suffix)) return undefined;
  const digits = name.slice(0, 16);
  if (!/^[0-9a-f]{16}$/.test(digits)) return undefined;
  const value = Number.parseInt(digits, 16);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Writes an unsigned 64-bit value; several times cheaper than Buffer's own, which works on bigints byte by byte. */
export function writeU64(into: Buffer, value: bigint, at: number): void {
  scratch64[0] = value;
  into.writeUInt32LE(scratch32[LOW] ?? 0, at);
  into.writeUInt32LE(scratch32[HIGH] ?? 0, at + 4);
}

/** Reads an unsigned 64-bit value. */
export function readU64(bytes: Buffer, at: number): bigint {
  scratch32[LOW] = bytes.readUInt32LE(at);
  scratch32[HIGH] = bytes.readUInt32LE(at + 4);
  return scratch64[0] ?? 0n;
}

const scratch64: BigUint64Array<ArrayBuffer> = new BigUint64Array([1n]);
const scratch32: Uint32Array<ArrayBuffer> = new Uint32Array(scratch64.buffer);
/** where the halves lie on this machine, whatever its byte order */
const LOW = scratch32[0] === 1 ? 0 : 1;
const HIGH = 1 - LOW;

const ZEROS: Buffer = Buffer.alloc(64 * 1024);
