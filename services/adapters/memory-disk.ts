/**
 * The disk window on memory: for stores that nobody will want back, such as those of a rehearsal. Must never grow beyond the
 * size that it was made with, nor be given to a node whose data somebody counts on.
 */
import { type Disk, DiskError, type DiskFile, type OpenMode } from "../../storage/ports.ts";

/** What a file holds, whatever its name. */
class Content {
  #bytes: Uint8Array = new Uint8Array(0);
  #size = 0;
  readonly #space: Space;

  constructor(space: Space) {
    this.#space = space;
  }

  get size(): number {
    return this.#size;
  }

  /** Zeros, as far as it grows; what is beyond is given back. */
  resize(size: number): void {
    this.#space.take(size - this.#size);
    if (size > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(size, Math.min(this.#bytes.length * 2, this.#space.totalBytes)));
      grown.set(this.#bytes.subarray(0, this.#size));
      this.#bytes = grown;
    } else if (size < this.#size) this.#bytes.fill(0, size, this.#size);
    this.#size = size;
  }

  read(into: Uint8Array, position: number): number {
    const found = this.#bytes.subarray(Math.min(position, this.#size), Math.min(position + into.length, this.#size));
    into.set(found);
    return found.length;
  }

  write(buffers: readonly Uint8Array[], position: number): number {
    const count = buffers.reduce((sum, { length }) => sum + length, 0);
    if (position + count > this.#size) this.resize(position + count);
    let at = position;
    for (const buffer of buffers) {
      this.#bytes.set(buffer, at);
      at += buffer.length;
    }
    return count;
  }
}

/** How much there is, and how much of it is taken. */
class Space {
  readonly totalBytes: number;
  #takenBytes = 0;

  constructor(totalBytes: number) {
    this.totalBytes = totalBytes;
  }

  get freeBytes(): number {
    return this.totalBytes - this.#takenBytes;
  }

  take(bytes: number): void {
    if (bytes > this.freeBytes) throw new DiskError("ENOSPC", `write: more than ${this.totalBytes} bytes in memory`);
    this.#takenBytes += bytes;
  }
}

class MemoryFile implements DiskFile {
  readonly #content: Content;
  readonly #mayWrite: boolean;
  #isOpen = true;

  constructor(content: Content, mayWrite: boolean) {
    this.#content = content;
    this.#mayWrite = mayWrite;
  }

  readSync(into: Uint8Array, position: number): number {
    return this.#opened().read(into, position);
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    return this.#opened().read(into, position);
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<number> {
    return this.#writable().write(buffers, position);
  }

  async fdatasync(): Promise<void> {
    this.#opened();
  }

  async truncate(sizeBytes: number): Promise<void> {
    this.#writable().resize(sizeBytes);
  }

  async size(): Promise<number> {
    return this.#opened().size;
  }

  async close(): Promise<void> {
    this.#opened();
    this.#isOpen = false;
  }

  #opened(): Content {
    if (!this.#isOpen) throw new DiskError("EBADF", "the file is closed");
    return this.#content;
  }

  #writable(): Content {
    const content = this.#opened();
    if (!this.#mayWrite) throw new DiskError("EBADF", "the file was opened for reading");
    return content;
  }
}

class MemoryDisk implements Disk {
  readonly #space: Space;
  readonly #files = new Map<string, Content>();
  readonly #directories = new Set<string>([""]);
  readonly #locks = new Set<string>();

  constructor(totalBytes: number) {
    this.#space = new Space(totalBytes);
  }

  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    const mayCreate = mode === "create" || mode === "create-dsync";
    let content = this.#files.get(path);
    if (content === undefined) {
      if (!mayCreate || !this.#directories.has(parentOf(path))) throw absent(path);
      content = new Content(this.#space);
      this.#files.set(path, content);
    } else if (mayCreate) content.resize(0);
    return new MemoryFile(content, mode !== "read");
  }

  async exists(path: string): Promise<boolean> {
    return this.#files.has(path) || this.#directories.has(path);
  }

  async list(path: string): Promise<readonly string[]> {
    const prefix = path === "" ? "" : `${path}/`;
    const names = [...this.#files.keys(), ...this.#directories]
      .filter((one) => one !== "" && one.startsWith(prefix))
      .map((one) => one.slice(prefix.length))
      .filter((name) => !name.includes("/"));
    return names.toSorted();
  }

  async makeDirectory(path: string): Promise<void> {
    for (let one = path; one !== ""; one = parentOf(one)) this.#directories.add(one);
  }

  async rename(from: string, to: string): Promise<void> {
    const content = this.#files.get(from);
    if (content === undefined) throw absent(from);
    this.#files.delete(from);
    this.#files.set(to, content);
  }

  /** The bytes stay taken while the disk is there: who has the file open may read it still. */
  async unlink(path: string): Promise<void> {
    if (!this.#files.delete(path)) throw absent(path);
  }

  async fsyncDirectory(path: string): Promise<void> {
    if (!this.#directories.has(path)) throw absent(path);
  }

  async freeBytes(): Promise<{ readonly freeBytes: number; readonly totalBytes: number }> {
    const { freeBytes, totalBytes } = this.#space;
    return { freeBytes, totalBytes };
  }

  async lock(path: string): Promise<{ release(): Promise<void> }> {
    if (this.#locks.has(path)) throw new DiskError("LOCKED", `lock ${path}: it is taken`);
    this.#locks.add(path);
    return {
      release: async () => {
        this.#locks.delete(path);
      },
    };
  }
}

/** An empty disk in memory that holds `totalBytes` at most, in all that was ever written to it. */
export function createMemoryDisk(totalBytes: number): Disk {
  return new MemoryDisk(totalBytes);
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

function absent(path: string): DiskError {
  return new DiskError("ENOENT", `${path}: there is no such file`);
}
