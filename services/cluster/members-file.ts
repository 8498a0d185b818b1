/**
 * MembersFile: everyone's records and removals in the document "members". Removals and new members are written before they
 * are acted on; where slots are is written lazily, for it is learned anew. A write that fails ends the node, and one that
 * cannot be read keeps it from starting: a node that forgot who was removed, perhaps itself, could serve a slot twice.
 *
 * Layout: version byte (2), the id of the cluster that it is about (16 bytes), the records as their codec gives them.
 */
import assert from "node:assert/strict";
import type { Clock, Log, Timer } from "../base/ports.ts";
import { allOf, decodeNews, encodeNews, type RecordNews } from "../placement/record-codec.ts";
import type { RecordSet } from "../placement/record-set.ts";
import type { Documents } from "./own-record.ts";
import { OwnRecordError } from "./own-record-check.ts";

/** Name of the document. */
export const MEMBERS_DOCUMENT = "members";

/** Why a document is ignored, for the log. */
export const OTHER_CLUSTER = "it is about another cluster: a join that never came to its end left it";

const FORMAT_VERSION = 2;
const CLUSTER_ID_BYTES = 16;
const HEADER_BYTES = 1 + CLUSTER_ID_BYTES;
const LAZY_WRITE_MS = 1_000;

/** The bytes of the document of this cluster (32 hex digits). */
export function encodeMembersDocument(clusterId: string, news: RecordNews): Uint8Array {
  const id = Buffer.from(clusterId, "hex");
  assert.equal(id.length, CLUSTER_ID_BYTES, "a cluster id is 32 hex digits");
  return Buffer.concat([Buffer.of(FORMAT_VERSION), id, encodeNews(news)]);
}

/** The records in `bytes`; `OTHER_CLUSTER`: they are about one; undefined: they cannot be read. Never throws. */
export function decodeMembersDocument(
  bytes: Uint8Array,
  clusterId: string,
  partitionCount: number,
): RecordNews | typeof OTHER_CLUSTER | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < HEADER_BYTES || buffer[0] !== FORMAT_VERSION) return undefined;
  if (buffer.toString("hex", 1, HEADER_BYTES) !== clusterId) return OTHER_CLUSTER;
  return decodeNews(buffer.subarray(HEADER_BYTES), partitionCount);
}

/** What the file works with. */
export interface MembersFileParts {
  /** 32 hex digits */
  readonly clusterId: string;
  readonly documents: Documents;
  readonly clock: Clock;
  readonly log: Log;
  /** What is durable is unknown: this node must end. */
  readonly onFailure: (error: Error) => void;
}

/** One set's file. */
export class MembersFile {
  readonly #parts: MembersFileParts;
  readonly #set: RecordSet;
  #timer: Timer | undefined;
  #waiting: (() => void)[] = [];
  #newest: Promise<void> = Promise.resolve();
  #isWriting = false;
  #isStopped = false;

  constructor(parts: MembersFileParts, set: RecordSet) {
    this.#parts = parts;
    this.#set = set;
  }

  /**
   * What was written last; undefined when there is nothing, or nothing of this cluster (said in the log): a join that never
   * came to its end left it. Throws `OwnRecordError` when it cannot be read.
   */
  read(): RecordNews | undefined {
    const { documents, clusterId, log } = this.#parts;
    const bytes = documents.read(MEMBERS_DOCUMENT);
    if (bytes === undefined) return undefined;
    const news = decodeMembersDocument(bytes, clusterId, this.#set.partitionCount);
    if (news === undefined) {
      const remedy = "restore it from a backup, or empty the data directory and let the node take its own place";
      throw new OwnRecordError(
        "RECORD_CORRUPT",
        `the members' records of the data directory cannot be read: ${remedy}`,
      );
    }
    if (news !== OTHER_CLUSTER) return news;
    log.warn({ event: "membership.document-ignored", document: MEMBERS_DOCUMENT, why: OTHER_CLUSTER });
    return undefined;
  }

  /** Writes within a second. */
  writeSoon(): void {
    if (this.#isStopped) return;
    this.#timer ??= this.#parts.clock.setTimer(LAZY_WRITE_MS, () => {
      this.#timer = undefined;
      void this.writeNow();
    });
  }

  /** Resolves when the set, as it is now, is durable. One write at a time; whoever asks during one is served by the next. */
  writeNow(): Promise<void> {
    const done = new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#newest = done;
    if (!this.#isWriting) void this.#write();
    return done;
  }

  /** Resolves when all that `writeNow` was called for is durable. */
  settled(): Promise<void> {
    return this.#newest;
  }

  /** Writes nothing more; a write under way ends by itself. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #writeDocument(): Promise<void> {
    const { documents, clusterId } = this.#parts;
    return documents.write(MEMBERS_DOCUMENT, encodeMembersDocument(clusterId, allOf(this.#set)));
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    while (this.#waiting.length > 0 && !this.#isStopped) {
      const waiting = this.#waiting;
      this.#waiting = [];
      try {
        await this.#writeDocument();
      } catch (error) {
        this.#parts.onFailure(new Error("the records of the members could not be written", { cause: error }));
        return;
      }
      for (const resolve of waiting) resolve();
    }
    this.#isWriting = false;
  }
}
