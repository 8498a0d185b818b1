/**
 * What a store says of itself when it is closed in order: the next start believes it only if every fact agrees with
 * what is on disk. Source: reliability notes §3.7. Must never be left behind by a store that takes writes.
 */
import { decodeDocument, encodeDocument } from "./document.ts";

/** The document name that CLEAN is written under. */
export const CLEAN_NAME = "CLEAN";

/** The facts of a clean stop. */
export interface CleanFacts {
  /** 32 hex digits */
  readonly storeId: string;
  readonly actor: number;
  readonly manifestNumber: number;
  readonly manifestBytes: number;
  readonly lastSeq: number;
  /** where the record with `lastSeq` stands; 0 and 0 when the store holds no record */
  readonly lastSegment: number;
  readonly lastOffset: number;
}

/** A marker whose bytes are whole. */
export interface CleanMarker {
  readonly kind: "clean";
  readonly facts: CleanFacts;
}

/** The bytes are no clean marker. */
export interface CleanMarkerCorrupt {
  readonly kind: "corrupt";
}

/** The file CLEAN. */
export function encodeCleanMarker(facts: CleanFacts): Buffer {
  return encodeDocument(CLEAN_NAME, Buffer.from(JSON.stringify(facts), "utf8"));
}

/** Reads the file CLEAN. */
export function decodeCleanMarker(bytes: Buffer): CleanMarker | CleanMarkerCorrupt {
  const document = decodeDocument(CLEAN_NAME, bytes);
  if (document.kind === "corrupt") return { kind: "corrupt" };
  const facts = parseFacts(document.content.toString("utf8"));
  return facts === undefined ? { kind: "corrupt" } : { kind: "clean", facts };
}

function parseFacts(text: string): CleanFacts | undefined {
  let fields: unknown;
  try {
    fields = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof fields !== "object" || fields === null) return undefined;
  const at = (name: string): number => {
    const value: unknown = Reflect.get(fields, name);
    return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : Number.NaN;
  };
  const storeId: unknown = Reflect.get(fields, "storeId");
  if (typeof storeId !== "string" || !/^[0-9a-f]{32}$/.test(storeId)) return undefined;
  const facts: CleanFacts = {
    storeId,
    actor: at("actor"),
    manifestNumber: at("manifestNumber"),
    manifestBytes: at("manifestBytes"),
    lastSeq: at("lastSeq"),
    lastSegment: at("lastSegment"),
    lastOffset: at("lastOffset"),
  };
  return Object.values(facts).some((value) => Number.isNaN(value)) ? undefined : facts;
}
