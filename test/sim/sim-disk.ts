/**
 * The disk window in memory, with the ways in which disks betray: un-synced pages and names that a crash loses or
 * tears, failed and short writes, fsync errors, rot. Nothing happens but what the seeded random and the fault rules
 * say. A crash yields a NEW disk; the old one is dead, and calls on it never return, as in a process that is gone.
 * Must never be gentler than a real disk where the port promises nothing.
 *
 * Source: reliability notes §2.4; "All File Systems Are Not Created Equal" (OSDI 2014).
 */
import { type Disk, DiskError, type DiskFile, type OpenMode } from "../../storage/ports.ts";
import { type CrashOutcome, fileCrashOf, nameSurvives } from "./crash-outcome.ts";
import { type DiskFaultRule, type DiskOperation, FaultPlan } from "./disk-faults.ts";
import { type SimDiskCall, type SimDiskCalls, SimDiskFile } from "./sim-disk-file.ts";
import { type CrashChance, SimFile } from "./sim-file.ts";
import { SimNamespace } from "./sim-namespace.ts";

/** Decides at the start of the n-th call (from 1): "cut" kills the disk in the middle of it, effects un-synced. */
export type BeforeOperation = (n: number, name: DiskOperation, path: string) => "cut" | undefined;

export interface SimDiskOptions {
  /** chance of crashes: page fates, torn sectors, garbage */
  readonly random: CrashChance;
  /** all files together may not outgrow it; default 1 TiB */
  readonly capacityBytes?: number;
  /** how long each call takes; without it a call takes a few promise turns */
  readonly latency?: {
    readonly clock: { setTimer(delayMs: number, run: () => void): unknown };
    readonly delayMs: (name: DiskOperation, path: string) => number;
  };
}

/** promise turns that a call takes when there is no latency */
const UNTIMED_CALL_TURNS = 6;

const MUTATIONS: ReadonlySet<DiskOperation> = new Set([
  "create",
  "makeDirectory",
  "rename",
  "unlink",
  "fsyncDirectory",
  "write",
  "fdatasync",
  "truncate",
]);

/** True for calls that can change what a crash leaves. */
export function isMutation(name: DiskOperation): boolean {
  return MUTATIONS.has(name);
}

/** A simulated disk; hand the one that `crash` or `kill` returns to the next start. */
export class SimDisk implements Disk, SimDiskCalls {
  readonly #options: SimDiskOptions;
  #names: SimNamespace<SimFile> = new SimNamespace();
  readonly #faults = new FaultPlan();
  #operationCount = 0;
  #isDead = false;
  #lockHolder: string | undefined;
  /** Called at the start of every call. */
  beforeOperation: BeforeOperation | undefined;
  /** Called in the middle of every call: its effect is in the cache, and not yet durable. */
  duringOperation: ((n: number, name: DiskOperation, path: string) => void) | undefined;
  /** Told when a "cut" has struck. */
  onCut: (() => void) | undefined;

  constructor(options: SimDiskOptions) {
    this.#options = options;
  }

  get operationCount(): number {
    return this.#operationCount;
  }

  /** Dead disks answer no call, ever. */
  get isDead(): boolean {
    return this.#isDead;
  }

  /** Adds a fault rule; the function returned takes it out again. */
  inject(rule: DiskFaultRule): () => void {
    return this.#faults.add(rule);
  }

  /** Power loss: this disk is dead; the returned one holds what survived. */
  crash(outcome: CrashOutcome): SimDisk {
    this.#isDead = true;
    return this.imageAfter(outcome);
  }

  /** What a power loss at this moment would leave, this disk living on. `chance` decides it; default: the disk's own. */
  imageAfter(outcome: CrashOutcome, chance: CrashChance = this.#options.random): SimDisk {
    const fileCrash = fileCrashOf(outcome, chance);
    const disk = new SimDisk(this.#options);
    disk.#names = this.#names.afterCrash(
      () => nameSurvives(outcome, chance),
      (file) => file.afterCrash(fileCrash),
    );
    return disk;
  }

  /** The process died, the system lives: everything written is still there, un-synced as it was. */
  kill(): SimDisk {
    this.#isDead = true;
    const disk = new SimDisk(this.#options);
    disk.#names = this.#names.afterKill((file) => file.afterKill());
    return disk;
  }

  /** A durable copy of all files as they are now, as a backup would hold them. The disk lives on. */
  copy(): SimDisk {
    return this.imageAfter({ pages: "applied", names: "applied" });
  }

  /** Makes `lock` fail as if this live process held it; undefined lets go. */
  holdLockAs(holder: string | undefined): void {
    this.#lockHolder = holder;
  }

  /** The paths of all files, sorted. No call is counted. */
  paths(): string[] {
    return [...this.#names.files()].map(([path]) => path).sort();
  }

  /** Equal for two images that hold the same pages under the same names: what need not be tried twice. */
  fingerprint(): string {
    const files = [...this.#names.files()].map(([path, file]) => `${path}:${file.fingerprint()}`);
    return files.sort().join(";");
  }

  /** The bytes of a file as the system sees them. Throws `DiskError` ENOENT. */
  peek(path: string): Uint8Array {
    const file = this.#file(path);
    const bytes = new Uint8Array(file.size);
    file.read(bytes, 0);
    return bytes;
  }

  /** Changes stored bytes durably behind everybody's back; the file grows when they reach beyond its end. */
  poke(path: string, position: number, bytes: Uint8Array): void {
    this.#file(path).overwriteDurably(bytes, position);
  }

  /** Cuts or grows (with zeros) a file durably. */
  resize(path: string, sizeBytes: number): void {
    const file = this.#file(path);
    file.truncate(sizeBytes);
    file.endSync(file.beginSync());
  }

  /** Rot: turns one bit over, durably. */
  flipBit(path: string, at: { readonly offset: number; readonly bit: number }): void {
    const byte = this.peek(path)[at.offset] ?? 0;
    this.poke(path, at.offset, Uint8Array.of(byte ^ (1 << at.bit)));
  }

  /** Puts a whole file there durably, or takes it away (undefined). */
  place(path: string, bytes: Uint8Array | undefined): void {
    const file = new SimFile();
    file.overwriteDurably(bytes ?? new Uint8Array(0), 0);
    this.#names.putDurably(path, bytes === undefined ? undefined : { kind: "file", file });
  }

  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    const isCreation = mode === "create" || mode === "create-dsync";
    const file = await this.run({ name: isCreation ? "create" : "open", path }, () => {
      const entry = this.#names.entry(path);
      if (entry?.kind === "directory") throw new DiskError("EISDIR", `${path} is a directory`);
      if (entry === undefined && !isCreation) throw new DiskError("ENOENT", `no file ${path}`);
      if (entry === undefined) this.#names.create(path, new SimFile());
      else if (isCreation) entry.file.truncate(0);
      return this.#file(path);
    });
    return new SimDiskFile({ disk: this, file, path, mode });
  }

  exists(path: string): Promise<boolean> {
    return this.run({ name: "exists", path }, () => this.#names.entry(path) !== undefined);
  }

  list(path: string): Promise<readonly string[]> {
    return this.run({ name: "list", path }, () => this.#names.names(path));
  }

  makeDirectory(path: string): Promise<void> {
    return this.run({ name: "makeDirectory", path }, () => this.#names.makeDirectory(path));
  }

  rename(from: string, to: string): Promise<void> {
    return this.run({ name: "rename", path: from }, () => this.#names.rename(from, to));
  }

  unlink(path: string): Promise<void> {
    return this.run({ name: "unlink", path }, () => this.#names.unlink(path));
  }

  fsyncDirectory(path: string): Promise<void> {
    let waiting: () => void = () => undefined;
    const begin = (): void => {
      waiting = this.#names.beginFsync(path);
    };
    return this.run({ name: "fsyncDirectory", path }, begin, () => waiting());
  }

  freeBytes(): Promise<{ readonly freeBytes: number; readonly totalBytes: number }> {
    const totalBytes = this.#options.capacityBytes ?? 2 ** 40;
    return this.run({ name: "freeBytes", path: "" }, () => ({
      freeBytes: Math.max(0, totalBytes - this.#usedBytes()),
      totalBytes,
    }));
  }

  async lock(path: string): Promise<{ release(): Promise<void> }> {
    await this.run({ name: "lock", path }, () => {
      if (this.#lockHolder !== undefined) {
        throw new DiskError("LOCKED", `the data directory is in use by ${this.#lockHolder}`);
      }
      this.#lockHolder = "this process";
      this.place(path, new Uint8Array(0));
    });
    let isHeld = true;
    return {
      release: async () => {
        if (!isHeld || this.#isDead) return;
        isHeld = false;
        this.#lockHolder = undefined;
        this.place(path, undefined);
      },
    };
  }

  /** How many bytes the file may hold from a position on, by the capacity of the disk. */
  roomFor(file: SimFile, position: number): number {
    const { capacityBytes } = this.#options;
    if (capacityBytes === undefined) return Number.POSITIVE_INFINITY;
    return Math.max(0, file.size + capacityBytes - this.#usedBytes() - position);
  }

  #usedBytes(): number {
    let total = 0;
    for (const [, file] of this.#names.files()) total += file.size;
    return total;
  }

  /** The rules that a file asks about its own calls. */
  get faults(): FaultPlan {
    return this.#faults;
  }

  /**
   * One call: counted, refused by the fault plan, its effect in the cache at once, the rest (durability) when it is
   * done. A dead disk never answers.
   */
  run<T>(call: SimDiskCall, effect: () => T, durably?: () => void): Promise<T> {
    const { name, path } = call;
    if (this.#isDead) return new Promise<T>(() => undefined);
    this.#operationCount += 1;
    const isCut = this.beforeOperation?.(this.#operationCount, name, path) === "cut";
    let result: T;
    try {
      this.#faults.check(name, path);
      result = effect();
    } catch (error) {
      if (!isCut) return this.#later(call, () => Promise.reject(error));
      this.#die();
      return new Promise<T>(() => undefined);
    }
    this.duringOperation?.(this.#operationCount, name, path);
    if (isCut) {
      this.#die();
      return new Promise<T>(() => undefined);
    }
    return this.#later(call, () => {
      durably?.();
      return Promise.resolve(result);
    });
  }

  #later<T>({ name, path }: SimDiskCall, finish: () => Promise<T>): Promise<T> {
    const { latency } = this.#options;
    if (latency === undefined) return this.#soon(finish);
    return new Promise<T>((resolve, reject) => {
      latency.clock.setTimer(latency.delayMs(name, path), () => {
        if (!this.#isDead) finish().then(resolve, reject);
      });
    });
  }

  /** Without a clock a call still takes a while: long enough for whoever does not wait for it to be found out. */
  async #soon<T>(finish: () => Promise<T>): Promise<T> {
    for (let turn = 0; turn < UNTIMED_CALL_TURNS; turn += 1) await Promise.resolve();
    return this.#isDead ? new Promise<T>(() => undefined) : finish();
  }

  #die(): void {
    this.#isDead = true;
    this.onCut?.();
  }

  #file(path: string): SimFile {
    const entry = this.#names.entry(path);
    if (entry?.kind !== "file") throw new DiskError("ENOENT", `no file ${path}`);
    return entry.file;
  }
}
