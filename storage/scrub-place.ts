/**
 * How far scrubbing has come, as a document: JSON, because people may look at it. One that cannot be read only costs a
 * pass begun anew: must never keep a store from starting.
 */
import { readAdvisory } from "./advisory-document.ts";
import type { StorageLog } from "./ports.ts";

/** Where a pass stands, and when the last one was over. */
export interface ScrubPlace {
  /** segments with an id up to this one have been read in the pass under way */
  readonly after: number;
  /** the pass under way ends with this segment; 0 when none is under way */
  readonly through: number;
  readonly passCount: number;
  /** milliseconds since 1970 by the wall clock, 0 when there was none: for people only */
  readonly passEndedAtMs: number;
}

/** Nothing was ever scrubbed. */
export function emptyScrubPlace(): ScrubPlace {
  return { after: 0, through: 0, passCount: 0, passEndedAtMs: 0 };
}

/** The document's bytes. */
export function scrubPlaceBytes(place: ScrubPlace): Uint8Array {
  return Buffer.from(JSON.stringify(place), "utf8");
}

/** What the last start has left, or the beginning of a pass. `read` as for `readAdvisory`. */
export function keptScrubPlace(read: () => Uint8Array | undefined, log: Pick<StorageLog, "warn">): ScrubPlace {
  const kept = readAdvisory(read, parseScrubPlace);
  if (kept.kind === "unreadable") log.warn({ event: "storage.scrub-place-unreadable" });
  return kept.kind === "read" ? kept.content : emptyScrubPlace();
}

/** Undefined when that makes no sense. */
function parseScrubPlace(bytes: Uint8Array): ScrubPlace | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch {
    return undefined;
  }
  const [after, through, passCount, passEndedAtMs] = ["after", "through", "passCount", "passEndedAtMs"].map((name) =>
    countAt(parsed, name),
  );
  if (after === undefined || through === undefined || passCount === undefined || passEndedAtMs === undefined) {
    return undefined;
  }
  return { after, through, passCount, passEndedAtMs };
}

function countAt(parsed: unknown, name: string): number | undefined {
  if (typeof parsed !== "object" || parsed === null) return undefined;
  const found: unknown = Reflect.get(parsed, name);
  return typeof found === "number" && Number.isSafeInteger(found) && found >= 0 ? found : undefined;
}
