/**
 * The sealed segments and index files in a directory, read and proved here, not by the process whose they are: what its
 * scrub says of them can be held against it. Must never write there but to flip a bit.
 */
import { closeSync, existsSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { fileSeed } from "../../storage/format/checksum.ts";
import { decodeIndexFile } from "../../storage/format/index-file.ts";
import { decodeSegmentHeader } from "../../storage/format/segment-header.ts";
import { scanSegment } from "../../storage/segment-scan.ts";

/** A bit that was flipped. */
export interface Flip {
  readonly name: string;
  readonly offset: number;
}

/** Bytes of a segment that are one piece: its header, or a record. */
export interface Piece {
  readonly segment: number;
  readonly from: number;
  readonly to: number;
}

/** Names of segments that have an index file, and of those. */
export function sealedNames(directory: string): readonly string[] {
  const files = readdirSync(directory);
  return files.filter((name) => files.includes(name.replace(/log$/, "idx"))).toSorted();
}

/** Flips one bit. */
export function flipBit(directory: string, { name, offset }: Flip, bit: number): void {
  const path = join(directory, name);
  const byte = Uint8Array.of((readFileSync(path)[offset] ?? 0) ^ (1 << bit));
  const fd = openSync(path, "r+");
  writeSync(fd, byte, 0, 1, offset);
  closeSync(fd);
}

/** The pieces of a whole segment, in order. */
export function piecesOf(directory: string, name: string): readonly Piece[] {
  const { bytes, segment, storeId } = read(directory, name);
  const { records, gaps } = scanSegment(bytes, fileSeed(storeId, "segment", segment));
  if (gaps.length > 0) throw new Error(`${name} is not whole`);
  const found = records.map(({ offset, identity }) => ({ segment, from: offset, to: offset + identity.totalBytes }));
  return [{ segment, from: 0, to: records[0]?.offset ?? bytes.length }, ...found];
}

/** What is wrong with a sealed segment and its index file; empty: they are whole, or gone. */
export function faultOf(directory: string, name: string): string {
  const log = name.replace(/idx$/, "log");
  if (!existsSync(join(directory, log)) || !existsSync(join(directory, name))) return "";
  const bytes = readFileSync(join(directory, log));
  const header = decodeSegmentHeader(bytes);
  if (header.kind !== "segment") return `${log}: header is ${header.reason}`;
  const { segment, storeId } = header;
  const { gaps } = scanSegment(bytes, fileSeed(storeId, "segment", segment));
  if (gaps.length > 0) return `${log}: ${gaps.length} gaps, the first at ${gaps[0]?.from}`;
  const index = log.replace(/log$/, "idx");
  if (!existsSync(join(directory, index))) return "";
  const decoded = decodeIndexFile(readFileSync(join(directory, index)), {
    storeId,
    segment,
    segmentBytes: bytes.length,
  });
  return decoded.kind === "index" ? "" : `${index}: ${decoded.reason}`;
}

function read(
  directory: string,
  name: string,
): { readonly bytes: Buffer; readonly segment: number; readonly storeId: Uint8Array } {
  const bytes = readFileSync(join(directory, name));
  const header = decodeSegmentHeader(bytes);
  if (header.kind !== "segment") throw new Error(`${name}: header is ${header.reason}`);
  return { bytes, segment: header.segment, storeId: header.storeId };
}
