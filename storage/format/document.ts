/**
 * A small file that is always replaced whole: documents, CURRENT, CLEAN. Its checksum is seeded by its name, so that
 * a file under another's name never passes. Layout: FORMAT.md §6. Must never be changed in place.
 */
import { checksum } from "./checksum.ts";

/** Bytes before the content. */
export const DOCUMENT_HEADER_BYTES = 20;
/** Longest content in bytes. */
export const MAX_DOCUMENT_BYTES: number = 1024 * 1024;
const DOCUMENT_MAGIC = "gyredoc\n";
const DOCUMENT_VERSION = 1;

/** A proved document. */
export interface DocumentContent {
  readonly kind: "document";
  readonly content: Buffer;
}

/** The bytes are not this document. */
export interface DocumentCorrupt {
  readonly kind: "corrupt";
  readonly reason: "short" | "magic" | "version" | "length" | "checksum";
}

/** The file of a document with this name. */
export function encodeDocument(name: string, content: Uint8Array): Buffer {
  const bytes = Buffer.alloc(DOCUMENT_HEADER_BYTES + content.length);
  bytes.write(DOCUMENT_MAGIC, 0, "latin1");
  bytes.writeUInt32LE(DOCUMENT_VERSION, 8);
  bytes.writeUInt32LE(content.length, 12);
  bytes.set(content, DOCUMENT_HEADER_BYTES);
  bytes.writeUInt32LE(documentChecksum(name, bytes), 16);
  return bytes;
}

/** Reads the file of the document with this name. */
export function decodeDocument(name: string, bytes: Buffer): DocumentContent | DocumentCorrupt {
  if (bytes.length < DOCUMENT_HEADER_BYTES) return { kind: "corrupt", reason: "short" };
  if (bytes.toString("latin1", 0, 8) !== DOCUMENT_MAGIC) return { kind: "corrupt", reason: "magic" };
  if (bytes.readUInt32LE(8) !== DOCUMENT_VERSION) return { kind: "corrupt", reason: "version" };
  if (bytes.readUInt32LE(12) !== bytes.length - DOCUMENT_HEADER_BYTES) return { kind: "corrupt", reason: "length" };
  if (bytes.readUInt32LE(16) !== documentChecksum(name, bytes)) return { kind: "corrupt", reason: "checksum" };
  return { kind: "document", content: bytes.subarray(DOCUMENT_HEADER_BYTES) };
}

function documentChecksum(name: string, bytes: Buffer): number {
  const nameSeed = checksum(Buffer.from(name, "utf8"), 0);
  return checksum(bytes.subarray(DOCUMENT_HEADER_BYTES), checksum(bytes.subarray(0, 16), nameSeed));
}
