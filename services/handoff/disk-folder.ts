/**
 * One folder of a disk as a disk of its own. Must never reach outside it, nor be used by who does not hold the lock of the
 * whole disk: that lock covers its folders.
 */
import type { Disk } from "../../storage/ports.ts";

/** The folder `name` of `disk`; locking it, which whoever opens a store does first, makes it, durably. */
export function folderOn(disk: Disk, name: string): Disk {
  const inside = (path: string): string => (path === "" ? name : `${name}/${path}`);
  const make = async (): Promise<void> => {
    await disk.makeDirectory(name);
    await disk.fsyncDirectory("");
  };
  const folder: Disk = {
    open: (path, mode) => disk.open(inside(path), mode),
    exists: (path) => disk.exists(inside(path)),
    list: (path) => disk.list(inside(path)),
    makeDirectory: (path) => disk.makeDirectory(inside(path)),
    rename: (from, to) => disk.rename(inside(from), inside(to)),
    unlink: (path) => disk.unlink(inside(path)),
    fsyncDirectory: (path) => disk.fsyncDirectory(inside(path)),
    freeBytes: () => disk.freeBytes(),
    lock: async () => {
      await make();
      return { release: async () => {} };
    },
  };
  const { deviceReads } = disk;
  return deviceReads === undefined ? folder : { ...folder, deviceReads: () => deviceReads.call(disk) };
}
