/**
 * Files that are read and replaced whole, and writes that are finished. Must never leave a name pointing at bytes that
 * are not durable: temporary file, fdatasync, rename, fsync of the directory, in this order (ALICE, OSDI 2014).
 */
import { type Disk, DiskError, type DiskFile, isOutOfHandles } from "./ports.ts";
import { TEMPORARY_SUFFIX } from "./store-paths.ts";

/** Whether an error says that there is no space left. */
export function isDiskFull(error: unknown): boolean {
  return error instanceof DiskError && (error.code === "ENOSPC" || error.code === "EDQUOT");
}

/** Whether an error says that there is no room just now, on the disk or for one more open file: a later try may find some. */
export function isOutOfRoom(error: unknown): boolean {
  return isDiskFull(error) || isOutOfHandles(error);
}

/** Whether an error says that the device cannot give these bytes back: a retry will not help, others may be intact. */
export function isUnreadable(error: unknown): boolean {
  return error instanceof DiskError && error.code === "EIO";
}

/** Writes all bytes, however few each call takes. Throws `DiskError`; then any part may have been written. */
export async function writeFully(file: DiskFile, bytes: Uint8Array, position: number): Promise<void> {
  let written = await file.write([bytes], position);
  while (written < bytes.length) {
    const count = await file.write([bytes.subarray(written)], position + written);
    // a device that takes nothing without saying why is full: the next answer would be ENOSPC (reliability notes §3.4)
    if (count === 0) throw new DiskError("ENOSPC", "the disk takes no more bytes");
    written += count;
  }
}

/** The whole content of a file. Throws `DiskError`. */
export async function readWhole(disk: Disk, path: string): Promise<Buffer> {
  const file = await disk.open(path, "read");
  try {
    const bytes = Buffer.allocUnsafe(await file.size());
    const count = await file.read(bytes, 0);
    return bytes.subarray(0, count);
  } finally {
    await file.close();
  }
}

/** The first bytes of a file; fewer when it is shorter, none when it is not there. Throws `DiskError`. */
export async function readStart(disk: Disk, path: string, count: number): Promise<Buffer> {
  let file: DiskFile;
  try {
    file = await disk.open(path, "read");
  } catch (error) {
    if (error instanceof DiskError && error.code === "ENOENT") return Buffer.alloc(0);
    throw error;
  }
  try {
    const bytes = Buffer.alloc(count);
    return bytes.subarray(0, await file.read(bytes, 0));
  } finally {
    await file.close();
  }
}

/**
 * Makes `path` hold exactly these pieces, durably and at once. Throws `DiskError`: without room (`isOutOfRoom`) the old content
 * stands and nothing is left behind; on any other, which of the two stands is unknown.
 */
export async function replaceWhole(disk: Disk, path: string, pieces: readonly Uint8Array[]): Promise<void> {
  const temporary = path + TEMPORARY_SUFFIX;
  try {
    await writeTemporary(disk, temporary, pieces);
    await disk.rename(temporary, path);
  } catch (error) {
    if (isOutOfRoom(error)) await unlinkIfThere(disk, temporary);
    throw error;
  }
  try {
    await disk.fsyncDirectory(directoryOf(path));
  } catch (error) {
    // the new name stands, but for how long is unknown: never to be taken for "no space, nothing happened"
    throw new DiskError("EIO", `${path} was renamed, but its directory could not be made durable`, { cause: error });
  }
}

async function writeTemporary(disk: Disk, path: string, pieces: readonly Uint8Array[]): Promise<void> {
  const file = await disk.open(path, "create");
  try {
    let position = 0;
    for (const piece of pieces) {
      if (piece.length > 0) await writeFully(file, piece, position);
      position += piece.length;
    }
    await file.fdatasync();
  } finally {
    await file.close();
  }
}

/** Removes a file if it is there. The caller makes the removal durable. */
export async function unlinkIfThere(disk: Disk, path: string): Promise<void> {
  try {
    await disk.unlink(path);
  } catch (error) {
    if (!(error instanceof DiskError && error.code === "ENOENT")) throw error;
  }
}

/** The directory part of a path; "" is the data directory. */
export function directoryOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "" : path.slice(0, slash);
}
