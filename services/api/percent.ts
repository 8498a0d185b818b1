/**
 * Percent-decoding to bytes, exactly once, and strict UTF-8. Works on the request target as Node gives it: one character
 * per byte. Pure. Must never guess: a broken escape or broken UTF-8 is undefined. Source: RFC 3986 §2.1.
 */
import { isUtf8 } from "node:buffer";

/** The bytes behind `text` (one character per byte), or undefined when an escape is broken. O(length). */
export function percentDecoded(text: string): Buffer | undefined {
  const first = text.indexOf("%");
  const bytes = Buffer.from(text, "latin1");
  if (first === -1) return bytes;
  let to = first;
  for (let from = first; from < bytes.length; from += 1) {
    const byte = bytes[from] ?? 0;
    if (byte !== 0x25) {
      bytes[to++] = byte;
      continue;
    }
    const high = hexDigit(bytes[from + 1]);
    const low = hexDigit(bytes[from + 2]);
    if (high < 0 || low < 0) return undefined;
    bytes[to++] = high * 16 + low;
    from += 2;
  }
  return bytes.subarray(0, to);
}

/** The text in the bytes, or undefined when they are not UTF-8. */
export function utf8Text(bytes: Uint8Array): string | undefined {
  if (!isUtf8(bytes)) return undefined;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}

function hexDigit(code: number | undefined): number {
  if (code === undefined) return -1;
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
