/**
 * Watches how much of the disk is left, says which writes are refused before it is full, and keeps a ballast: a file
 * that is thrown off when nothing else helps, or by the operator. What the disk itself refuses is dealt with where it is
 * written (`log-writer.ts`). Must never fail the store: who cannot look goes by what was seen last.
 */
import { type DiskSpace, diskLevelOf, isAtLeast, needsBallastSpace, scarcityOf } from "./disk-level-core.ts";
import type { DiskLevel, DiskState } from "./engine.ts";
import type { LogSettings } from "./log-options.ts";
import type { Disk } from "./ports.ts";
import { BALLAST_PATH } from "./store-paths.ts";
import { isDiskFull, unlinkIfThere, writeFully } from "./whole-file.ts";

/** What a watch works with. */
export interface WatchParts {
  readonly settings: LogSettings;
  /** called at every look while puts are refused: dead bytes are worth copying then */
  readonly onScarce: () => void;
}

/** time between two looks, milliseconds; statfs goes through the thread pool and costs some microseconds */
const LOOK_MS = 2_000;
const PIECE_BYTES = 512 * 1024;
const PIECE_REST_MS = 20;
/** 1/8 of the ballast stays, for a start after the disk was filled by others: it has to write before it can read */
const KEPT_FOR_START = 8;

/** The watch. */
export class SpaceWatch {
  readonly #parts: WatchParts;
  #space: DiskSpace = { freeBytes: 0, totalBytes: 0 };
  #level: DiskLevel = "ok";
  #isPutRefused = false;
  #isTombstoneRefused = false;
  #hasBallast = false;
  #timer: { cancel(): void } | undefined;
  #looking: Promise<void> | undefined;
  #laying: Promise<void> | undefined;
  #resume: (() => void) | undefined;
  #isStopped = false;
  #isSilent = false;

  constructor(parts: WatchParts) {
    this.#parts = parts;
  }

  /** Puts that are no tombstones are refused just now. One load for the path of every put. */
  get isPutRefused(): boolean {
    return this.#isPutRefused;
  }

  /** Tombstones too. */
  get isTombstoneRefused(): boolean {
    return this.#isTombstoneRefused;
  }

  /** What was seen last. */
  get state(): DiskState {
    return { level: this.#level, ...this.#space, hasBallast: this.#hasBallast };
  }

  /** 0 … 1: of the way to where puts are refused for want of space. */
  get scarcity(): number {
    // nothing was seen yet
    return this.#space.totalBytes === 0 ? 0 : scarcityOf(this.#space, this.#parts.settings.diskReserveBytes);
  }

  /** Looks for the first time, and from then on by itself. */
  async start(): Promise<void> {
    await this.look();
    this.#schedule();
  }

  /** Looks now; resolves when what follows from it is done. Never rejects. */
  look(): Promise<void> {
    if (this.#isStopped) return Promise.resolve();
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  /** Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#resume?.();
    await this.#looking;
    await this.#laying;
  }

  #schedule(): void {
    if (this.#isStopped) return;
    this.#timer = this.#parts.settings.clock.setTimer(LOOK_MS, () => {
      void this.look().then(() => this.#schedule());
    });
  }

  async #look(): Promise<void> {
    const { settings, onScarce } = this.#parts;
    try {
      this.#space = await settings.disk.freeBytes();
      this.#isSilent = false;
    } catch (error) {
      if (!this.#isSilent) settings.log.warn({ event: "storage.space-unknown", cause: String(error) });
      this.#isSilent = true;
      return;
    }
    const before = this.#level;
    this.#level = diskLevelOf(this.#space, settings.diskReserveBytes, before);
    this.#isPutRefused = isAtLeast(this.#level, settings.refusesPutsFrom);
    this.#isTombstoneRefused = this.#level === "compaction_only";
    if (this.#level !== before) this.#tell(before);
    if (isAtLeast(this.#level, "no_puts")) onScarce();
    await this.#keepBallast();
  }

  #tell(before: DiskLevel): void {
    const { log } = this.#parts.settings;
    const facts = { event: "storage.disk-level", level: this.#level, before, ...this.#space };
    if (isAtLeast(this.#level, "no_puts")) log.error(facts);
    else if (this.#level === "ok") log.info(facts);
    else log.warn(facts);
  }

  /** Laid down while there is still room, and not before: most stores never need one. */
  async #keepBallast(): Promise<void> {
    const { disk, ballastBytes, diskReserveBytes, log } = this.#parts.settings;
    if ((this.#level === "ok" && !this.#hasBallast) || this.#laying !== undefined) return;
    try {
      // the operator may have removed it, a start before this one laid it down, or a half of it
      const laidBytes = await sizeOf(disk, BALLAST_PATH);
      this.#hasBallast = laidBytes !== undefined && laidBytes >= ballastBytes;
      const keptBytes = Math.floor(ballastBytes / KEPT_FOR_START);
      if (laidBytes !== undefined && needsBallastSpace(this.#space, diskReserveBytes)) {
        if (laidBytes <= keptBytes) return;
        await cutTo(disk, keptBytes);
        this.#hasBallast = false;
        log.error({ event: "storage.ballast-released", ...this.#space });
      } else if (!this.#hasBallast && this.#level === "warn" && ballastBytes > 0) {
        // beside the looks, for it takes its time
        this.#laying = this.#layBallast()
          .catch((error: unknown) => this.#giveUpBallast(error))
          .finally(() => {
            this.#laying = undefined;
          });
      }
    } catch (error) {
      await this.#giveUpBallast(error);
    }
  }

  /** Nothing but the ballast itself hangs on it. */
  async #giveUpBallast(error: unknown): Promise<void> {
    const { disk, log } = this.#parts.settings;
    log.warn({ event: "storage.ballast-failed", cause: String(error) });
    if (!isDiskFull(error)) return;
    try {
      await unlinkIfThere(disk, BALLAST_PATH);
    } catch (again) {
      log.warn({ event: "storage.ballast-failed", cause: String(again) });
    }
  }

  async #layBallast(): Promise<void> {
    const { disk, ballastBytes, log } = this.#parts.settings;
    const file = await disk.open(BALLAST_PATH, "create");
    const zeros = Buffer.alloc(PIECE_BYTES);
    try {
      for (let at = 0; at < ballastBytes && !this.#isStopped; at += PIECE_BYTES) {
        await writeFully(file, zeros.subarray(0, Math.min(PIECE_BYTES, ballastBytes - at)), at);
        await file.fdatasync();
        await this.#rest();
      }
    } finally {
      await file.close();
    }
    // what a stop left of it is laid anew by the next start
    if (this.#isStopped) return;
    this.#hasBallast = true;
    log.info({ event: "storage.ballast-laid", sizeBytes: ballastBytes });
  }

  async #rest(): Promise<void> {
    if (this.#isStopped) return;
    await new Promise<void>((resolve) => {
      const timer = this.#parts.settings.clock.setTimer(PIECE_REST_MS, resolve);
      this.#resume = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}

async function cutTo(disk: Disk, sizeBytes: number): Promise<void> {
  const file = await disk.open(BALLAST_PATH, "read-write");
  try {
    await file.truncate(sizeBytes);
    await file.fdatasync();
  } finally {
    await file.close();
  }
}

/** Bytes of a file; undefined when it is not there. Throws `DiskError`. */
async function sizeOf(disk: Disk, path: string): Promise<number | undefined> {
  if (!(await disk.exists(path))) return undefined;
  const file = await disk.open(path, "read");
  try {
    return await file.size();
  } finally {
    await file.close();
  }
}
