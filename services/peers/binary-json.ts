/**
 * Bodies of rare messages as MessagePack: the one door to the library. Carries null, booleans, finite numbers, strings,
 * `Uint8Array`, arrays and plain objects; a 64-bit hash travels as a hex string. What comes in is checked for depth and
 * for elements that it only claims to have, before the library allocates anything.
 */
import { decode, Encoder } from "@msgpack/msgpack";
import { checkBinaryJson } from "./binary-json-check.ts";

/** Nesting that a body may have. */
const MAX_DEPTH = 32;
const ENCODING = { maxDepth: MAX_DEPTH, ignoreUndefined: true } as const;
/** What a writer may keep between bodies: it grows with the largest, to twice its size. */
const KEPT_BYTES = 32 * 1_024;
/** The library's cache of keys is shared by all, and makes room by chance: the same bytes would not always take the same way. */
const DECODING = { keyDecoder: null } as const;

/** What became of bytes that should be a body. */
export type DecodedBody =
  | { readonly kind: "body"; readonly body: unknown }
  | { readonly kind: "corrupt"; readonly reason: string };

/** One for all: the library's function makes another with 2 KiB of its own for each body, which costs more than most bodies do. */
let kept: Encoder | undefined;

/** The bytes of `body`; throws for what cannot be carried (functions, bigint, nesting over 32): a bug of the sender. */
export function encodeBody(body: unknown): Uint8Array {
  const encoder = kept ?? new Encoder(ENCODING);
  // gone with what it has grown to, if this throws or is large
  kept = undefined;
  const bytes = encoder.encodeSharedRef(body);
  if (bytes.length > KEPT_BYTES) return bytes;
  kept = encoder;
  return bytes.slice();
}

/** The value in `bytes`; binary parts are views into them. Never throws. */
export function decodeBody(bytes: Uint8Array): DecodedBody {
  const reason = checkBinaryJson(bytes, MAX_DEPTH);
  if (reason !== undefined) return { kind: "corrupt", reason };
  try {
    return { kind: "body", body: decode(bytes, DECODING) };
  } catch (error) {
    return { kind: "corrupt", reason: error instanceof Error ? error.message : "undecodable" };
  }
}
