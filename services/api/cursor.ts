/**
 * The cursor of a listing: opaque text that carries a hash position, bound to bucket and prefix by a checksum. It says
 * nothing about nodes, so any node goes on with it. Pure. Must never take a cursor of another listing. The checksum is
 * no secret: a cursor grants nothing, it only must not be mixed up.
 */

import { xxh64 } from "../base/hash.ts";
import type { BucketName } from "../base/ids.ts";

const VERSION = 1;
const BYTES = 17;

/** Which listing a cursor belongs to. */
export interface Listing {
  readonly bucket: BucketName;
  readonly prefix: Uint8Array;
}

/** The cursor that goes on from `position` (unsigned 64-bit). */
export function encodeCursor(listing: Listing, position: bigint): string {
  const bytes = Buffer.alloc(BYTES);
  bytes[0] = VERSION;
  bytes.writeBigUInt64BE(position, 1);
  bytes.writeBigUInt64BE(checksum(listing, bytes.subarray(0, 9)), 9);
  return bytes.toString("base64url");
}

/** The position in a cursor of this listing; undefined when it is forged, cut or of another listing. */
export function decodeCursor(listing: Listing, text: string): bigint | undefined {
  const bytes = Buffer.from(text, "base64url");
  // Node's decoder forgives stray characters; only the one true spelling is taken.
  if (bytes.length !== BYTES || bytes[0] !== VERSION || bytes.toString("base64url") !== text) return undefined;
  if (bytes.readBigUInt64BE(9) !== checksum(listing, bytes.subarray(0, 9))) return undefined;
  return bytes.readBigUInt64BE(1);
}

function checksum(listing: Listing, head: Uint8Array): bigint {
  return xxh64(
    Buffer.concat([Buffer.from("gyre list cursor\0"), head, Buffer.from(`${listing.bucket}\0`), listing.prefix]),
  );
}
