/** What can go wrong in storage: closed list, each with a stable code. Must never be matched by message. */
import { isOutOfHandles } from "./ports.ts";

/** Stored bytes failed their checksum; the record is unreadable here, which is not the same as absent. */
export class CorruptRecordError extends Error {
  readonly code = "CORRUPT_RECORD";
  readonly segment: number;
  readonly offset: number;
  constructor(at: { readonly segment: number; readonly offset: number }, options?: ErrorOptions) {
    super(`the record at segment ${at.segment}, offset ${at.offset} fails its checksum`, options);
    this.name = "CorruptRecordError";
    this.segment = at.segment;
    this.offset = at.offset;
  }
}

/** No space, or no handle for a file that is replaced (`cause`): the write left no trace. Reads go on. */
export class DiskFullError extends Error {
  readonly code = "DISK_FULL";
  constructor(options?: ErrorOptions & { readonly isReserved?: boolean }) {
    const full = isOutOfHandles(options?.cause) ? "no file can be opened just now" : "the disk is full";
    const what = options?.isReserved === true ? "the rest of the disk is reserved" : full;
    super(`${what}: the write left no trace`, options);
    this.name = "DiskFullError";
  }
}

/** A write or fsync failed: what is on disk is unknown, so the store takes nothing more. The process should end. */
export class StoreFailedError extends Error {
  readonly code = "STORE_FAILED";
  constructor(options?: ErrorOptions) {
    super("the store has failed and must be reopened", options);
    this.name = "StoreFailedError";
  }
}

/** The store is closed or closing. */
export class StoreClosedError extends Error {
  readonly code = "STORE_CLOSED";
  constructor() {
    super("the store is closed");
    this.name = "StoreClosedError";
  }
}

/** The data directory cannot be opened as it is; the message says what to do. */
export class StoreUnusableError extends Error {
  readonly code = "STORE_UNUSABLE";
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "StoreUnusableError";
  }
}

/** The time by which a read was wanted was over before it had its turn at the disk: nothing was read. */
export class ReadExpiredError extends Error {
  readonly code = "READ_EXPIRED";
  constructor() {
    super("the time was up before the record could be read");
    this.name = "ReadExpiredError";
  }
}

/** The time by which a write was wanted was over before it had its turn at the disk: nothing was kept. */
export class WriteExpiredError extends Error {
  readonly code = "WRITE_EXPIRED";
  constructor() {
    super("the time was up before the record could be written");
    this.name = "WriteExpiredError";
  }
}

/** More writes wait than the store may hold in memory, or no file can be opened (`cause`): nothing was kept, try again later. */
export class StoreBusyError extends Error {
  readonly code = "STORE_BUSY";
  constructor(options?: ErrorOptions) {
    const why = options?.cause === undefined ? "too many writes wait for the disk" : "no file can be opened just now";
    super(`${why}: nothing was kept`, options);
    this.name = "StoreBusyError";
  }
}
