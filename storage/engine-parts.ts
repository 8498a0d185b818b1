/**
 * Builds the parts of a log engine in the order in which they need each other, and takes them down in the reverse.
 * Must never leave the lock behind, nor mark a stop clean that was not.
 */
import { markCleanStop } from "./clean-stop.ts";
import { Compactor } from "./compactor.ts";
import { DocumentStore } from "./document-store.ts";
import type { RecoveryReport } from "./engine.ts";
import { DiskFullError } from "./errors.ts";
import { bufferOver } from "./format/bytes.ts";
import { HashJudge } from "./hash-judge.ts";
import { KeyLookup } from "./key-lookup.ts";
import type { Keyspace } from "./keyspace.ts";
import { type LogEngineOptions, type LogSettings, settingsOf } from "./log-options.ts";
import { LogWriter } from "./log-writer.ts";
import type { Manifest } from "./manifest.ts";
import { PartitionDrops } from "./partition-drops.ts";
import { RecordPublisher } from "./record-publisher.ts";
import type { RecordReader } from "./record-reader.ts";
import { type RecoveredStore, recoverStore } from "./recovery.ts";
import { Scrubber } from "./scrubber.ts";
import { sealActive } from "./seal-active.ts";
import { SegmentPreparer } from "./segment-preparer.ts";
import { SegmentSealer } from "./segment-sealer.ts";
import type { SegmentSet } from "./segment-set.ts";
import { SpaceWatch } from "./space-watch.ts";
import { StoreHealth } from "./store-health.ts";
import { BALLAST_PATH, LOCK_PATH } from "./store-paths.ts";
import { Suspicion } from "./suspicion.ts";
import { isDiskFull, isOutOfRoom, unlinkIfThere } from "./whole-file.ts";
import { WriteQueue } from "./write-queue.ts";

/** An open store, in parts. */
export interface EngineParts {
  readonly settings: LogSettings;
  readonly recovery: RecoveryReport;
  readonly health: StoreHealth;
  readonly manifest: Manifest;
  readonly segments: SegmentSet;
  readonly keyspace: Keyspace;
  readonly reader: RecordReader;
  readonly suspicion: Suspicion;
  readonly documents: DocumentStore;
  readonly queue: WriteQueue;
  readonly judge: HashJudge;
  readonly publisher: RecordPublisher;
  readonly lookup: KeyLookup;
  readonly writer: LogWriter;
  readonly preparer: SegmentPreparer;
  readonly compactor: Compactor;
  readonly drops: PartitionDrops;
  readonly space: SpaceWatch;
  readonly scrubber: Scrubber;
  /** what background work asks for its share */
  readonly background: { share: () => number };
  /** Finishes what was accepted, marks the stop clean if it is and may be called so, releases the lock. */
  readonly close: (mayBeClean: boolean) => Promise<void>;
}

/** Takes the lock, brings the store back, starts its parts. Rejects as `openLogEngine`; then nothing is held. */
export async function openParts(options: LogEngineOptions): Promise<EngineParts> {
  const asked = settingsOf(options);
  const lock = await asked.disk.lock(LOCK_PATH);
  try {
    const health = new StoreHealth(asked.log);
    const documents = new DocumentStore(asked.disk, health);
    // before anything is changed: a start that it refuses leaves a clean stop clean
    await documents.load();
    const store = await recoverWithBallast(asked, health);
    const { settings } = store;
    const parts = assemble({ settings, health, store, documents, lock });
    await parts.space.start();
    parts.scrubber.start();
    // what refuses puts keeps the room for compaction
    if (!parts.space.isPutRefused) await firstSegment(settings, parts.preparer);
    return parts;
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** A start on a disk that is full throws off the ballast, and tries once more. Rejects as `recoverStore`. */
async function recoverWithBallast(asked: LogSettings, health: StoreHealth): Promise<RecoveredStore> {
  try {
    return await recoverStore(asked, health);
  } catch (error) {
    const isFull = error instanceof DiskFullError || isDiskFull(error);
    if (!isFull || health.failure !== undefined || !(await asked.disk.exists(BALLAST_PATH))) throw error;
    asked.log.error({ event: "storage.ballast-released", reason: "the store could not start on a full disk" });
    await unlinkIfThere(asked.disk, BALLAST_PATH);
    await asked.disk.fsyncDirectory("");
    return recoverStore(asked, health);
  }
}

/**
 * Waits until there is a segment to write to, not for ever: without space, or with a disk that hangs, reads go on, and puts
 * say what is wrong.
 */
async function firstSegment({ firstSegmentMs, clock, log }: LogSettings, preparer: SegmentPreparer): Promise<void> {
  if (firstSegmentMs === 0) return;
  const isReady = await new Promise<boolean>((resolve) => {
    const timer = clock.setTimer(firstSegmentMs, () => resolve(false));
    void preparer.ready(true).then((isThere) => {
      timer.cancel();
      resolve(isThere);
    });
  });
  if (!isReady) log.warn({ event: "storage.no-first-segment" });
}

/** share of the reserve that deletes leave to compaction */
const DELETES_LEAVE = 0.25;

interface Foundation {
  readonly settings: LogSettings;
  readonly health: StoreHealth;
  readonly store: RecoveredStore;
  readonly documents: DocumentStore;
  readonly lock: { release(): Promise<void> };
}

function assemble(foundation: Foundation): EngineParts {
  const { settings, health, store, documents } = foundation;
  const { manifest, segments, keyspace, reader, lastSeq } = store;
  const core = { settings, recovery: store.report, health, manifest, segments, keyspace, reader };
  const suspicion = new Suspicion(manifest);
  const queueBounds = { bytes: settings.queueBytes, records: settings.queueRecords };
  const queue = new WriteQueue(queueBounds, settings.partitionCount);
  const judge = new HashJudge({ keyspace, reader, queue, segments });
  const publisher = new RecordPublisher(keyspace, judge);
  const lookup = new KeyLookup({ keyspace, reader, segments, suspicion, log: settings.log });
  // while puts are refused, what is written frees space: it may take most of what is kept for compaction
  const reserveBytes = (): number =>
    space.isPutRefused ? settings.reserveBytes * DELETES_LEAVE : settings.reserveBytes;
  const preparer = new SegmentPreparer({ settings, manifest, segments, health, reserveBytes });
  const background = { share: () => 1 };
  const share = (): number => background.share();
  const compactor = new Compactor({ ...core, preparer, suspicion, share, space: () => space });
  const onSealed = (): void => {
    compactor.wake();
    // a segment's worth was written: on a small disk that may be a level
    void space.look();
  };
  const sealer = new SegmentSealer({ settings, manifest, segments, health, onSealed });
  const publish = publisher.publish.bind(publisher);
  const onDiskFull = (): void => compactor.wake(true);
  const writer = new LogWriter(
    { settings, health, queue, preparer, sealer, publish, onDiskFull },
    { nextSeq: lastSeq + 1, durableUpTo: lastSeq },
  );
  const drops = new PartitionDrops({ keyspace, queue, suspicion, writer, compactor }, queueBounds);
  const space = new SpaceWatch({ settings, onScarce: onDiskFull });
  const scrubber = new Scrubber({
    ...core,
    lookup,
    documents,
    sealActive: (rule) => sealActive({ writer, preparer, sealer, clock: settings.clock }, rule),
    share,
    onRotten: () => compactor.wake(),
  });
  compactor.wake();
  const running = { ...foundation, writer, compactor, preparer, sealer, suspicion, space, scrubber };
  const rest = {
    suspicion,
    documents,
    queue,
    judge,
    publisher,
    lookup,
    writer,
    preparer,
    compactor,
    drops,
    space,
    scrubber,
    background,
  };
  return { ...core, ...rest, close: (mayBeClean) => closeParts(running, mayBeClean) };
}

interface Running extends Foundation {
  readonly writer: LogWriter;
  readonly compactor: Compactor;
  readonly preparer: SegmentPreparer;
  readonly sealer: SegmentSealer;
  readonly suspicion: Suspicion;
  readonly space: SpaceWatch;
  readonly scrubber: Scrubber;
}

async function closeParts(running: Running, mayBeClean: boolean): Promise<void> {
  const { settings, health, store, lock } = running;
  try {
    try {
      await stopWork(running);
    } finally {
      await store.manifest.close();
    }
    if (mayBeClean && health.failure === undefined) await markClean(running);
  } catch (error) {
    if (error instanceof DiskFullError || isOutOfRoom(error)) settings.log.warn({ event: "storage.not-marked-clean" });
    else health.fail(error);
  } finally {
    await store.segments.closeAll().catch((error: unknown) => health.fail(error));
    await lock.release();
  }
  settings.log.info({ event: "storage.closed" });
}

/**
 * Writers first, then what works behind them. What one step finds no space for keeps none of the others from its end:
 * the manifest is closed afterwards. Rejects with what went wrong first.
 */
async function stopWork(running: Running): Promise<void> {
  const { writer, compactor, preparer, sealer, documents, suspicion, health, space, scrubber } = running;
  // the scrub may be waiting for the next segment
  preparer.hurry();
  const steps: readonly (() => Promise<unknown>)[] = [
    () => Promise.all([space.stop(), scrubber.stop()]),
    () => writer.stop(),
    () => compactor.stop(),
    async () => {
      const unused = await preparer.drain();
      if (unused !== undefined) await sealer.discard(unused);
    },
    () => sealer.idle(),
    () => documents.idle(),
    // without space for it there is no clean marker either, and the next start looks for itself
    async () => {
      if (health.failure === undefined) await suspicion.retry();
    },
  ];
  const failures: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}

async function markClean(running: Running): Promise<void> {
  const { settings, store, writer } = running;
  const { manifest, segments } = store;
  // one that could not be sealed for lack of space must be scanned by the next start
  if ([...segments.all()].some((segment) => !segment.isSealed)) return;
  const { last } = writer;
  const isLastThere = last.segment !== 0 && segments.get(last.segment) !== undefined;
  await markCleanStop(settings.disk, {
    storeId: bufferOver(manifest.storeId).toString("hex"),
    actor: manifest.state.actor,
    manifestNumber: manifest.place.number,
    manifestBytes: manifest.place.sizeBytes,
    lastSeq: Math.max(last.seq, store.lastSeq),
    lastSegment: isLastThere ? last.segment : 0,
    lastOffset: isLastThere ? last.offset : 0,
  });
}
