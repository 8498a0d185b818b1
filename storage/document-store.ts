/**
 * Small named files, each replaced whole. Writers of one name follow each other; the last one called wins.
 * Must never show a content that is not durable.
 */
import assert from "node:assert";
import { DiskFullError, StoreUnusableError } from "./errors.ts";
import { type DocumentContent, decodeDocument, encodeDocument, MAX_DOCUMENT_BYTES } from "./format/document.ts";
import type { Disk } from "./ports.ts";
import type { StoreHealth } from "./store-health.ts";
import { DOCUMENTS_DIRECTORY, documentPath } from "./store-paths.ts";
import { isOutOfRoom, readWhole, replaceWhole } from "./whole-file.ts";

const NAME = /^[a-z0-9-]{1,32}$/;

/** The documents of a store, all in RAM. */
export class DocumentStore {
  readonly #disk: Disk;
  readonly #health: StoreHealth;
  readonly #contents = new Map<string, Uint8Array>();
  readonly #damaged = new Set<string>();
  readonly #writing = new Map<string, Promise<void>>();

  constructor(disk: Disk, health: StoreHealth) {
    this.#disk = disk;
    this.#health = health;
  }

  /** Reads all documents. A damaged one is remembered as such, not refused here: others are needed to start. */
  async load(): Promise<void> {
    for (const name of await this.#disk.list(DOCUMENTS_DIRECTORY)) {
      if (!NAME.test(name)) continue;
      const document = decodeDocument(name, await readWhole(this.#disk, documentPath(name)));
      if (document.kind === "document") this.#contents.set(name, contentOf(document));
      else this.#damaged.add(name);
    }
  }

  /** The content; undefined when there is none. Throws StoreUnusableError when what is on disk is damaged. */
  read(name: string): Uint8Array | undefined {
    assertName(name);
    if (this.#damaged.has(name)) {
      throw new StoreUnusableError(
        `the document ${documentPath(name)} is damaged. Restore it from a backup of this store, or move the data ` +
          `directory aside and start the node empty, so that it is filled again from its peers.`,
      );
    }
    return this.#contents.get(name);
  }

  /** Replaces a document; resolves when durable. Rejects with DiskFullError (the old one stands) or StoreFailedError. */
  write(name: string, content: Uint8Array): Promise<void> {
    assertName(name);
    assert(content.length <= MAX_DOCUMENT_BYTES, "a document is at most 1 MiB");
    const bytes = encodeDocument(name, content);
    const before = this.#writing.get(name) ?? Promise.resolve();
    const written = before.then(() => this.#replace(name, bytes));
    this.#writing.set(
      name,
      written.catch(() => undefined),
    );
    return written;
  }

  /** Resolves when no write is under way. */
  async idle(): Promise<void> {
    await Promise.all(this.#writing.values());
  }

  async #replace(name: string, bytes: Buffer): Promise<void> {
    if (this.#health.failure !== undefined) throw this.#health.failure;
    try {
      await replaceWhole(this.#disk, documentPath(name), [bytes]);
    } catch (error) {
      throw isOutOfRoom(error) ? new DiskFullError({ cause: error }) : this.#health.fail(error);
    }
    const document = decodeDocument(name, bytes);
    assert(document.kind === "document", "what was encoded decodes");
    this.#contents.set(name, contentOf(document));
    this.#damaged.delete(name);
  }
}

function contentOf(document: DocumentContent): Uint8Array {
  return new Uint8Array(document.content);
}

function assertName(name: string): void {
  assert(NAME.test(name), "a document's name is [a-z0-9-]{1,32}");
}
