/**
 * The names of a simulated disk as two images: what is durable, and what the running system sees. Each change waits in
 * the list of its directory until that directory is fsynced; a crash may lose any of those that wait. Must never know
 * of file contents.
 */
import { DiskError } from "../../storage/ports.ts";

/** What a name stands for: a file of type T, or a directory. */
export type Entry<T> = { readonly kind: "file"; readonly file: T } | { readonly kind: "directory" };

interface Change<T> {
  /** directories whose fsync makes it durable */
  readonly directories: readonly string[];
  readonly edits: readonly { readonly path: string; readonly entry: Entry<T> | undefined }[];
}

/** "" for a name at the root. */
export function directoryOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "" : path.slice(0, slash);
}

export class SimNamespace<T> {
  #durable: Map<string, Entry<T>> = new Map();
  #cached: Map<string, Entry<T>> = new Map();
  #pending: Change<T>[] = [];

  entry(path: string): Entry<T> | undefined {
    return path === "" ? { kind: "directory" } : this.#cached.get(path);
  }

  /** Every file of the cached image, by path. */
  *files(): Generator<readonly [string, T]> {
    for (const [path, entry] of this.#cached) if (entry.kind === "file") yield [path, entry.file];
  }

  names(directory: string): string[] {
    const prefix = directory === "" ? "" : `${directory}/`;
    const found: string[] = [];
    for (const path of this.#cached.keys()) {
      if (path.startsWith(prefix) && !path.slice(prefix.length).includes("/")) found.push(path.slice(prefix.length));
    }
    return found.sort();
  }

  /** Sets or removes (undefined) a name in both images, other changes still waiting. */
  putDurably(path: string, entry: Entry<T> | undefined): void {
    const change = { directories: [], edits: [{ path, entry }] };
    applyTo(this.#cached, change);
    applyTo(this.#durable, change);
  }

  create(path: string, file: T): void {
    this.#requireDirectory(path);
    this.#change({ directories: [directoryOf(path)], edits: [{ path, entry: { kind: "file", file } }] });
  }

  makeDirectory(path: string): void {
    let parent = "";
    for (const step of path.split("/").filter((name) => name !== "")) {
      const full = parent === "" ? step : `${parent}/${step}`;
      if (this.#cached.get(full)?.kind === "file") throw new DiskError("ENOTDIR", `${full} is a file`);
      if (!this.#cached.has(full)) {
        this.#change({ directories: [parent], edits: [{ path: full, entry: { kind: "directory" } }] });
      }
      parent = full;
    }
  }

  rename(from: string, to: string): void {
    const entry = this.#requireFile(from);
    this.#requireDirectory(to);
    const edits = [
      { path: from, entry: undefined },
      { path: to, entry },
    ];
    this.#change({ directories: [directoryOf(from), directoryOf(to)], edits });
  }

  unlink(path: string): void {
    this.#requireFile(path);
    this.#change({ directories: [directoryOf(path)], edits: [{ path, entry: undefined }] });
  }

  /** Begins an fsync of a directory; the function returned ends it: the changes that waited at the beginning are durable. */
  beginFsync(directory: string): () => void {
    if (this.entry(directory)?.kind !== "directory") throw new DiskError("ENOENT", `no directory ${directory}`);
    const taken = new Set(this.#pending.filter((change) => change.directories.includes(directory)));
    return () => {
      for (const change of this.#pending) if (taken.has(change)) applyTo(this.#durable, change);
      this.#pending = this.#pending.filter((change) => !taken.has(change));
    };
  }

  /** The names after a crash: `survives` is asked for each change that waited, in order. */
  afterCrash<U>(survives: () => boolean, copy: (file: T) => U): SimNamespace<U> {
    const image = new Map(this.#durable);
    for (const change of this.#pending) if (survives()) applyTo(image, change);
    for (const path of image.keys()) if (!hasParents(image, path)) image.delete(path);
    const names = new SimNamespace<U>();
    names.#durable = copied(image, copyOnce(copy));
    names.#cached = new Map(names.#durable);
    return names;
  }

  /** The names as the system still holds them after the process died. */
  afterKill<U>(copy: (file: T) => U): SimNamespace<U> {
    const same = copyOnce(copy);
    const names = new SimNamespace<U>();
    names.#durable = copied(this.#durable, same);
    names.#cached = copied(this.#cached, same);
    names.#pending = this.#pending.map((change) => ({
      directories: change.directories,
      edits: change.edits.map(({ path, entry }) => ({ path, entry: entry && copiedEntry(entry, same) })),
    }));
    return names;
  }

  #change(change: Change<T>): void {
    applyTo(this.#cached, change);
    this.#pending.push(change);
  }

  #requireDirectory(path: string): void {
    const directory = directoryOf(path);
    if (this.entry(directory)?.kind !== "directory") throw new DiskError("ENOENT", `no directory ${directory}`);
    if (this.#cached.get(path)?.kind === "directory") throw new DiskError("EISDIR", `${path} is a directory`);
  }

  #requireFile(path: string): Entry<T> {
    const entry = this.entry(path);
    if (entry === undefined) throw new DiskError("ENOENT", `no file ${path}`);
    if (entry.kind === "directory") throw new DiskError("EISDIR", `${path} is a directory`);
    return entry;
  }
}

function applyTo<T>(image: Map<string, Entry<T>>, change: Change<T>): void {
  for (const { path, entry } of change.edits) {
    if (entry === undefined) image.delete(path);
    else image.set(path, entry);
  }
}

function hasParents<T>(image: ReadonlyMap<string, Entry<T>>, path: string): boolean {
  for (let parent = directoryOf(path); parent !== ""; parent = directoryOf(parent)) {
    if (image.get(parent)?.kind !== "directory") return false;
  }
  return true;
}

/** Two names of one file stay two names of one file. */
function copyOnce<T, U>(copy: (file: T) => U): (file: T) => U {
  const copies = new Map<T, U>();
  return (file) => {
    let made = copies.get(file);
    if (made === undefined) {
      made = copy(file);
      copies.set(file, made);
    }
    return made;
  };
}

function copiedEntry<T, U>(entry: Entry<T>, copy: (file: T) => U): Entry<U> {
  return entry.kind === "file" ? { kind: "file", file: copy(entry.file) } : entry;
}

function copied<T, U>(image: ReadonlyMap<string, Entry<T>>, copy: (file: T) => U): Map<string, Entry<U>> {
  const made = new Map<string, Entry<U>>();
  for (const [path, entry] of image) made.set(path, copiedEntry(entry, copy));
  return made;
}
