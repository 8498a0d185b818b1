/**
 * What a start finds in the hint store: counts from the index, in slices; slots and ages from the document of a clean stop,
 * else, and where that cannot be read, every slot, and as old as was noted last, or as the start. Must never believe that
 * document after anything but a clean stop: a slot that it does not name would never get its hint.
 */
import { readAdvisory } from "../../storage/advisory-document.ts";
import type { StorageEngine } from "../../storage/engine.ts";
import { MAX_REPLICAS } from "../base/limits.ts";
import type { Clock, Log } from "../base/ports.ts";
import type { HintAges } from "./hint-ages.ts";
import type { HintRecords } from "./hint-records.ts";
import { markerOf } from "./marker-store.ts";
import type { ShelfTally } from "./shelf-tally.ts";

const DOCUMENT = "hint-tallies";
const VERSION = 1;
/** mask u8, oldest f64 */
const ENTRY_BYTES = 9;
/** work before the event loop gets its turn */
const SLICE_MS = 4;

/** What a rebuild works with. */
export interface RebuildParts {
  readonly engine: StorageEngine;
  readonly objects: HintRecords;
  readonly markers: HintRecords;
  readonly objectTally: ShelfTally;
  readonly markerTally: ShelfTally;
  readonly ages: Pick<HintAges, "of">;
  readonly clock: Clock;
  readonly log: Log;
}

/** What a clean stop has left of one partition; undefined: what makes no sense. */
type Remembered = { readonly mask: number; readonly oldestMs: number } | undefined;

/** Counts what is there. Resolves when every partition is counted; stores and deliveries may go on meanwhile. */
export async function rebuildTallies(parts: RebuildParts): Promise<void> {
  const { engine, clock, objects, markers, objectTally, markerTally, ages } = parts;
  const remembered = engine.recovery.mode === "clean" ? rememberedBy(parts) : [];
  const nowMs = clock.wallMicros() / 1_000;
  let sliceMs = clock.monotonicMs();
  for (let partition = 0; partition < objectTally.partitionCount; partition += 1) {
    const known = remembered[partition];
    const count = objects.digestsOf(partition).length;
    const sinceMs = known?.oldestMs ?? Math.min(nowMs, ages.of(partition) ?? nowMs);
    objectTally.found(partition, { count, mask: known?.mask ?? 0, oldestMs: sinceMs });
    const facts = markers.digestsOf(partition).map(markerOf);
    let mask = 0;
    let oldestMs = nowMs;
    for (const marker of facts) {
      mask |= marker.mask;
      oldestMs = Math.min(oldestMs, marker.sinceMs);
    }
    markerTally.found(partition, { count: facts.length, mask, oldestMs });
    if (clock.monotonicMs() - sliceMs < SLICE_MS) continue;
    await new Promise<void>((resolve) => clock.defer(resolve));
    sliceMs = clock.monotonicMs();
  }
}

/** For the next start. Rejects as the store does. */
export async function rememberTallies(engine: StorageEngine, tally: ShelfTally): Promise<void> {
  const bytes = Buffer.alloc(1 + tally.partitionCount * ENTRY_BYTES);
  bytes[0] = VERSION;
  for (let partition = 0; partition < tally.partitionCount; partition += 1) {
    const at = 1 + partition * ENTRY_BYTES;
    bytes[at] = tally.maskOf(partition);
    bytes.writeDoubleBE(tally.oldestMsOf(partition), at + 1);
  }
  await engine.writeDocument(DOCUMENT, bytes);
}

function rememberedBy({ engine, objectTally, log }: RebuildParts): readonly Remembered[] {
  const kept = readAdvisory(
    () => engine.readDocument(DOCUMENT),
    (bytes) => parseEntries(bytes, objectTally),
  );
  if (kept.kind === "unreadable") log.warn({ event: "hints.tallies-unreadable" });
  return kept.kind === "read" ? kept.content : [];
}

function parseEntries(bytes: Uint8Array, tally: ShelfTally): readonly Remembered[] | undefined {
  if (bytes[0] !== VERSION || bytes.length !== 1 + tally.partitionCount * ENTRY_BYTES) return undefined;
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: tally.partitionCount }, (_, partition) => {
    const at = 1 + partition * ENTRY_BYTES;
    const mask = buffer.readUInt8(at);
    const oldestMs = buffer.readDoubleBE(at + 1);
    const isWhole = mask < 1 << MAX_REPLICAS && Number.isFinite(oldestMs) && oldestMs > 0;
    return isWhole ? { mask, oldestMs } : undefined;
  });
}
