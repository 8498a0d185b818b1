/**
 * One open file of the simulated disk: writes reach the cache at the call and, where the mode says so, durability at
 * the return. Must never hand out more than the port promises.
 */
import { DiskError, type DiskFile, type OpenMode } from "../../storage/ports.ts";
import type { DiskOperation, FaultPlan } from "./disk-faults.ts";
import type { SimFile, SyncUnderWay } from "./sim-file.ts";

/** What an open file asks of its disk. */
export interface SimDiskCalls {
  readonly isDead: boolean;
  readonly faults: FaultPlan;
  /** bytes that the file may hold from a position on, by the capacity of the disk */
  roomFor(file: SimFile, position: number): number;
  run<T>(call: SimDiskCall, effect: () => T, durably?: () => void): Promise<T>;
}

/** The name of a call and the path it is about. */
export interface SimDiskCall {
  readonly name: DiskOperation;
  readonly path: string;
}

interface OpenedFile {
  readonly disk: SimDiskCalls;
  readonly file: SimFile;
  readonly path: string;
  readonly mode: OpenMode;
}

/** One open file; calls on it end as its disk and its fault rules let them. */
export class SimDiskFile implements DiskFile {
  readonly #opened: OpenedFile;
  #isClosed = false;

  constructor(opened: OpenedFile) {
    this.#opened = opened;
  }

  readSync(into: Uint8Array, position: number): number {
    const { disk, file, path } = this.#opened;
    this.#requireOpen();
    if (!disk.isDead) disk.faults.checkRead("readSync", path, { from: position, to: position + into.length });
    return file.read(into, position);
  }

  read(into: Uint8Array, position: number): Promise<number> {
    const { disk, file, path } = this.#opened;
    return disk.run({ name: "read", path }, () => {
      this.#requireOpen();
      disk.faults.checkRead("read", path, { from: position, to: position + into.length });
      return file.read(into, position);
    });
  }

  write(buffers: readonly Uint8Array[], position: number): Promise<number> {
    const { disk, file, path, mode } = this.#opened;
    const isDurable = mode === "dsync" || mode === "create-dsync";
    let written = 0;
    let sync: SyncUnderWay | undefined;
    const put = (): number => {
      this.#requireWritable();
      const wanted = buffers.reduce((total, buffer) => total + buffer.length, 0);
      const room = disk.roomFor(file, position);
      const allowed = disk.faults.allowedBytes({ path, isDurable }, wanted, () => this.#spoil(buffers, position));
      if (wanted > 0 && room === 0) throw new DiskError("ENOSPC", `no space for ${path}`);
      const limit = Math.min(wanted, allowed, room);
      for (const buffer of buffers) {
        const part = buffer.subarray(0, limit - written);
        if (part.length > 0) file.write(part, position + written);
        written += part.length;
      }
      if (isDurable && written > 0) sync = file.beginSync({ position, length: written });
      return written;
    };
    return disk.run({ name: "write", path }, put, () => {
      if (sync !== undefined) file.endSync(sync);
    });
  }

  fdatasync(): Promise<void> {
    const { disk, file, path } = this.#opened;
    let sync: SyncUnderWay | undefined;
    const begin = (): void => {
      this.#requireOpen();
      disk.faults.checkSync(path, () => file.failSync());
      sync = file.beginSync();
    };
    return disk.run({ name: "fdatasync", path }, begin, () => {
      if (sync !== undefined) file.endSync(sync);
    });
  }

  truncate(sizeBytes: number): Promise<void> {
    const { disk, file, path } = this.#opened;
    return disk.run({ name: "truncate", path }, () => {
      this.#requireWritable();
      file.truncate(sizeBytes);
    });
  }

  size(): Promise<number> {
    const { disk, file, path } = this.#opened;
    return disk.run({ name: "size", path }, () => file.size);
  }

  close(): Promise<void> {
    const { disk, path } = this.#opened;
    return disk.run({ name: "close", path }, () => {
      this.#requireOpen();
      this.#isClosed = true;
    });
  }

  /** A write that failed has reached the cache, counts as clean, and is gone at the next crash. */
  #spoil(buffers: readonly Uint8Array[], position: number): void {
    let at = position;
    for (const buffer of buffers) {
      this.#opened.file.write(buffer, at);
      at += buffer.length;
    }
    this.#opened.file.failSync();
  }

  #requireOpen(): void {
    if (this.#isClosed) throw new DiskError("EBADF", `${this.#opened.path} is closed`);
  }

  #requireWritable(): void {
    this.#requireOpen();
    if (this.#opened.mode === "read") throw new DiskError("EBADF", `${this.#opened.path} is open for reading only`);
  }
}
