/**
 * The manifest: the one truth about live segments, actors, leases and suspect partitions. Edits are appended one frame
 * at a time, each durable before it counts; edits that wait together share a frame. Opening a store, and growth, write
 * a new manifest and swing CURRENT to it. Source: reliability notes §3.3, §3.6.
 * Must never show a state that is not durable.
 */
import { DiskFullError, StoreUnusableError } from "./errors.ts";
import { fileSeed } from "./format/checksum.ts";
import { decodeDocument, encodeDocument } from "./format/document.ts";
import { decodeEdit, encodeEdit, type ManifestChange } from "./format/manifest-edit.ts";
import { decodeManifestHeader, encodeManifestHeader, MANIFEST_HEADER_BYTES } from "./format/manifest-header.ts";
import { applyChange, emptyManifestState, type ManifestState, snapshotOf } from "./manifest-state.ts";
import type { Disk, DiskFile } from "./ports.ts";
import type { StoreHealth } from "./store-health.ts";
import { CURRENT_PATH, manifestPath, parseManifestName } from "./store-paths.ts";
import { isDiskFull, isOutOfRoom, readWhole, replaceWhole, unlinkIfThere, writeFully } from "./whole-file.ts";

/** A manifest read from disk, before it is open for edits. */
export interface LoadedManifest {
  readonly number: number;
  readonly storeId: Uint8Array;
  readonly partitionCount: number;
  readonly state: ManifestState;
  /** bytes up to the last whole edit */
  readonly goodBytes: number;
  /** bytes of a torn edit after them */
  readonly tornBytes: number;
}

/** What a manifest needs to be opened. */
export interface ManifestContext {
  readonly disk: Disk;
  readonly health: StoreHealth;
  readonly rotateBytes: number;
  readonly idBlock: number;
}

/** Of the size at which a manifest is rotated: so much more is written before it is tried again. */
const RETRY_SHARE = 8;

interface Waiter {
  readonly changes: readonly ManifestChange[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Whether a store was made on this disk, whatever has become of it since. */
export async function hasStore(disk: Pick<Disk, "exists">): Promise<boolean> {
  return disk.exists(CURRENT_PATH);
}

/** Reads the live manifest; undefined when the store was never made. Throws StoreUnusableError when it cannot be trusted. */
export async function loadManifest(disk: Disk): Promise<LoadedManifest | undefined> {
  if (!(await hasStore(disk))) return undefined;
  const current = decodeDocument(CURRENT_PATH, await readWhole(disk, CURRENT_PATH));
  const name = current.kind === "document" ? current.content.toString("utf8") : "";
  const number = parseManifestName(name);
  if (number === undefined) throw unusable("CURRENT is damaged");
  if (!(await disk.exists(name))) throw unusable(`${name}, which CURRENT names, is missing`);
  return parseManifest(await readWhole(disk, name), number);
}

/** Reads the bytes of a manifest. Throws StoreUnusableError: a bad frame in the middle is rot, only the last may be torn. */
export function parseManifest(bytes: Buffer, number: number): LoadedManifest {
  const header = decodeManifestHeader(bytes);
  if (header.kind === "corrupt" && header.reason === "version") {
    throw new StoreUnusableError(
      `${manifestPath(number)} was written by a newer version of this program. Start the newer version, or restore a ` +
        `backup that is older than the upgrade.`,
    );
  }
  if (header.kind === "corrupt" || header.number !== number) throw unusable(`${manifestPath(number)} is damaged`);
  const manifestSeed = fileSeed(header.storeId, "manifest", number);
  const state = emptyManifestState();
  let offset = MANIFEST_HEADER_BYTES;
  while (offset < bytes.length) {
    const frame = decodeEdit(bytes, offset, { manifestSeed, offset });
    if (frame.kind === "corrupt") break;
    for (const change of frame.changes) applyChange(state, change, header.partitionCount);
    offset += frame.totalBytes;
  }
  // CURRENT names a manifest only once its first edit, the whole state, is durable: this one was not torn
  if (offset === MANIFEST_HEADER_BYTES) throw unusable(`${manifestPath(number)} is damaged in its first edit`);
  for (let later = offset + 8; later < bytes.length; later += 8) {
    if (decodeEdit(bytes, later, { manifestSeed, offset: later }).kind === "edit") {
      throw unusable(`${manifestPath(number)} is damaged at byte ${offset}, before its last edit`);
    }
  }
  const { storeId, partitionCount } = header;
  return { number, storeId, partitionCount, state, goodBytes: offset, tornBytes: bytes.length - offset };
}

/** The open manifest. */
export class Manifest {
  readonly storeId: Uint8Array;
  readonly partitionCount: number;
  readonly #context: ManifestContext;
  readonly #state: ManifestState;
  #number: number;
  #sizeBytes = 0;
  /** no rotation is tried before that: the last one found no room */
  #rotateFromBytes = 0;
  #file: DiskFile | undefined;
  #waiting: Waiter[] = [];
  #work: Promise<void> | undefined;
  #nextId: number;
  #idsReserved: number;

  private constructor(context: ManifestContext, loaded: Omit<LoadedManifest, "goodBytes" | "tornBytes">) {
    this.#context = context;
    this.storeId = loaded.storeId;
    this.partitionCount = loaded.partitionCount;
    this.#state = loaded.state;
    this.#number = loaded.number;
    // ids reserved by an earlier life may have been used: this one starts behind them
    this.#nextId = loaded.state.nextSegment;
    this.#idsReserved = loaded.state.nextSegment;
  }

  /** Writes a new manifest with the loaded state and these changes, and makes it the live one. Throws `DiskError`. */
  static async open(
    context: ManifestContext,
    loaded: Omit<LoadedManifest, "goodBytes" | "tornBytes">,
    changes: readonly ManifestChange[],
  ): Promise<Manifest> {
    const manifest = new Manifest(context, loaded);
    for (const change of changes) applyChange(manifest.#state, change, manifest.partitionCount);
    await manifest.#rotate();
    return manifest;
  }

  /** What the store is made of, as far as it is durable. */
  get state(): Readonly<ManifestState> {
    return this.#state;
  }

  /** Which manifest is live, and its bytes. */
  get place(): { readonly number: number; readonly sizeBytes: number } {
    return { number: this.#number, sizeBytes: this.#sizeBytes };
  }

  /**
   * Resolves when the changes are durable and applied, together or not at all. Rejects with DiskFullError (no trace)
   * or StoreFailedError.
   */
  append(changes: readonly ManifestChange[]): Promise<void> {
    const { failure } = this.#context.health;
    if (failure !== undefined) return Promise.reject(failure);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ changes, resolve, reject });
      this.#work ??= this.#drain();
    });
  }

  /** A segment id that no one has used. Rejects as `append`. */
  async allocateSegment(): Promise<number> {
    while (this.#nextId >= this.#idsReserved) {
      const nextSegment = this.#idsReserved + this.#context.idBlock;
      await this.append([{ kind: "ids", nextSegment }]);
      this.#idsReserved = Math.max(this.#idsReserved, nextSegment);
    }
    const id = this.#nextId;
    this.#nextId += 1;
    return id;
  }

  /** Waits for the edits under way and closes the file. */
  async close(): Promise<void> {
    while (this.#work !== undefined) await this.#work;
    await this.#file?.close();
    this.#file = undefined;
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#waiting;
      this.#waiting = [];
      const error = await this.#commit(group);
      for (const waiter of group) {
        if (error === undefined) waiter.resolve();
        else waiter.reject(error);
      }
    }
    this.#work = undefined;
  }

  /** Makes a group durable; returns what its waiters are to be told instead. */
  async #commit(group: readonly Waiter[]): Promise<Error | undefined> {
    const { health, rotateBytes } = this.#context;
    if (health.failure !== undefined) return health.failure;
    const changes = group.flatMap((waiter) => waiter.changes);
    const offset = this.#sizeBytes;
    const place = { manifestSeed: fileSeed(this.storeId, "manifest", this.#number), offset };
    try {
      const frame = encodeEdit(changes, place);
      await writeFully(this.#openFile(), frame, offset);
      this.#sizeBytes += frame.length;
      for (const change of changes) applyChange(this.#state, change, this.partitionCount);
    } catch (error) {
      if (!isDiskFull(error)) return health.fail(error);
      const outcome = await this.#undo(offset, error);
      return outcome;
    }
    if (this.#sizeBytes > Math.max(rotateBytes, this.#rotateFromBytes)) await this.#rotateIfThereIsRoom();
    return undefined;
  }

  async #undo(offset: number, cause: unknown): Promise<Error> {
    try {
      await this.#openFile().truncate(offset);
      await this.#openFile().fdatasync();
      return new DiskFullError({ cause });
    } catch (error) {
      return this.#context.health.fail(error);
    }
  }

  async #rotateIfThereIsRoom(): Promise<void> {
    try {
      await this.#rotate();
    } catch (error) {
      if (!isOutOfRoom(error)) this.#context.health.fail(error);
      // The manifest in use is untouched. To find no file handle takes seconds, for which every edit would wait: not tried by each.
      this.#rotateFromBytes = this.#sizeBytes + this.#context.rotateBytes / RETRY_SHARE;
    }
  }

  /** Writes the whole state as a new manifest, swings CURRENT to it, removes the old one. */
  async #rotate(): Promise<void> {
    const { disk } = this.#context;
    const number = this.#number + 1;
    const path = manifestPath(number);
    const header = encodeManifestHeader({ number, storeId: this.storeId, partitionCount: this.partitionCount });
    const place = { manifestSeed: fileSeed(this.storeId, "manifest", number), offset: MANIFEST_HEADER_BYTES };
    const bytes = Buffer.concat([header, encodeEdit(snapshotOf(this.#state, this.partitionCount), place)]);
    const file = await disk.open(path, "create-dsync");
    try {
      await writeFully(file, bytes, 0);
      await disk.fsyncDirectory("");
      await replaceWhole(disk, CURRENT_PATH, [encodeDocument(CURRENT_PATH, Buffer.from(path, "utf8"))]);
    } catch (error) {
      await file.close();
      throw error;
    }
    const old = this.#file;
    const oldNumber = this.#number;
    this.#file = file;
    this.#number = number;
    this.#sizeBytes = bytes.length;
    this.#rotateFromBytes = 0;
    await old?.close();
    await unlinkIfThere(disk, manifestPath(oldNumber));
  }

  #openFile(): DiskFile {
    if (this.#file === undefined) throw new StoreUnusableError("the manifest is closed");
    return this.#file;
  }
}

function unusable(what: string): StoreUnusableError {
  return new StoreUnusableError(
    `${what}: this store cannot be opened. Move the data directory aside and start the node empty, so that it is ` +
      `filled again from its peers, or restore a backup of the whole directory.`,
  );
}
