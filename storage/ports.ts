/**
 * The windows that storage looks out of. Storage is a leaf: it declares what it needs, and adapters or the
 * simulator satisfy it by shape. Must never name a real file system, clock or source of chance.
 */

/** How a file is opened. `dsync` files are durable when a write returns; the others need `fdatasync`. */
export type OpenMode = "read" | "read-write" | "create" | "dsync" | "create-dsync";

/** One open file. Positions and sizes are bytes. Every method may throw a `DiskError`. */
export interface DiskFile {
  /** Reads synchronously into `into`; returns the bytes read, fewer only at the end of the file. For bytes believed cached. */
  readSync(into: Uint8Array, position: number): number;
  /** The same through the thread pool, so that a cold page never stalls the event loop. */
  read(into: Uint8Array, position: number): Promise<number>;
  /** Writes the buffers one after the other; may write FEWER bytes than given without an error: callers loop. */
  write(buffers: readonly Uint8Array[], position: number): Promise<number>;
  /** Makes everything written durable. An error means: the state of the file is unknown, for ever. */
  fdatasync(): Promise<void>;
  truncate(sizeBytes: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

/** One directory tree. Paths are relative to the data directory, with `/`, never starting with one. */
export interface Disk {
  open(path: string, mode: OpenMode): Promise<DiskFile>;
  exists(path: string): Promise<boolean>;
  /** Names in a directory, sorted; an absent directory is empty. */
  list(path: string): Promise<readonly string[]>;
  makeDirectory(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /**
   * Makes creations, renames and removals inside the directory durable. "" is the data directory itself. Where it needs a file
   * handle and there is none just now, it waits a while for one.
   */
  fsyncDirectory(path: string): Promise<void>;
  /** What may still be written, and that and what is taken already. */
  freeBytes(): Promise<{ readonly freeBytes: number; readonly totalBytes: number }>;
  /**
   * A count that grows whenever this process has read from the device rather than from the cache; absent where the
   * system does not tell. It says whether a slow read was the device or only a busy processor.
   */
  deviceReads?(): number;
  /** Takes the exclusive lock of the data directory; throws `DiskError` with code `LOCKED` when a live process holds it. */
  lock(path: string): Promise<{ release(): Promise<void> }>;
}

/** Why the disk refused: the operating system's code (`ENOSPC`, `EIO`, `EROFS`, …) or `LOCKED`. */
export class DiskError extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "DiskError";
    this.code = code;
  }
}

/** Whether an error says that no file can be opened just now: what was to be done with it was not begun. */
export function isOutOfHandles(error: unknown): boolean {
  return error instanceof DiskError && (error.code === "EMFILE" || error.code === "ENFILE");
}

/** Time as storage needs it. */
export interface StorageClock {
  /** Milliseconds of a clock that never goes back. */
  monotonicMs(): number;
  /** Microseconds since 1970 by the wall clock: only ever shown to people. Absent: not told. */
  wallMicros?(): number;
  /** Runs `run` once after `delayMs`. */
  setTimer(delayMs: number, run: () => void): { cancel(): void };
  /** Runs `run` after the current turn of the event loop, before timers. */
  defer(run: () => void): void;
}

/** Chance as storage needs it: actor and store identities. */
export interface StorageRandom {
  bytes(count: number): Uint8Array;
}

/** Facts for the log: a stable event name and fields. */
export interface StorageLog {
  info(facts: { readonly event: string } & Readonly<Record<string, unknown>>): void;
  warn(facts: { readonly event: string } & Readonly<Record<string, unknown>>): void;
  error(facts: { readonly event: string } & Readonly<Record<string, unknown>>): void;
}
