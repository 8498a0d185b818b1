/**
 * MembersFile: everyone's records and removals in the document "members". Removals and new members are written before they
 * are acted on; where slots are is written lazily, for it is learned anew. A write that fails ends the node, and one that
 * cannot be read keeps it from starting: a node that forgot who was removed, perhaps itself, could serve a slot twice.
 *
 * Layout: version byte (2), the id of the cluster that it is about (16 bytes), the records as their codec gives them.
 */
import assert from "node:assert/strict";
import type { Clock, Log, Timer } from "../base/ports.ts";
import type { Removal } from "../placement/member-record.ts";
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
  #waiting: Waiting[] = [];
  /** to be written although the set does not have them yet */
  #ahead: readonly Removal[] = [];
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

  /**
   * Resolves when the set, as it is now, is durable; rejects when it never will be. One write at a time; whoever asks during one is
   * served by the next.
   */
  writeNow(): Promise<void> {
    return this.writeWith([]);
  }

  /** As `writeNow`, with removals that the set does not have yet: nobody acts on them before they are durable. */
  writeWith(removals: readonly Removal[]): Promise<void> {
    if (this.#isStopped) return unheard(Promise.reject(new Error(NOT_WRITTEN)));
    this.#ahead = [...this.#ahead, ...removals];
    const done = new Promise<void>((resolve, reject) => this.#waiting.push({ resolve, reject }));
    if (!this.#isWriting) void this.#write();
    return unheard(done);
  }

  /** Writes nothing more; a write under way ends by itself, and what waits for the next one is told. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#failAll(new Error(NOT_WRITTEN));
  }

  #writeDocument(): Promise<void> {
    const { documents, clusterId } = this.#parts;
    const { records, removals } = allOf(this.#set);
    this.#ahead = this.#ahead.filter((removal) => this.#set.isNews(removal));
    const news = { records, removals: [...removals, ...this.#ahead] };
    return documents.write(MEMBERS_DOCUMENT, encodeMembersDocument(clusterId, news));
  }

  #failAll(error: Error): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { reject } of waiting) reject(error);
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    while (this.#waiting.length > 0 && !this.#isStopped) {
      const waiting = this.#waiting;
      this.#waiting = [];
      try {
        await this.#writeDocument();
      } catch (cause) {
        const error = new Error("the records of the members could not be written", { cause });
        for (const { reject } of waiting) reject(error);
        // what is durable is unknown: nothing is written after it
        this.stop();
        this.#parts.onFailure(error);
        return;
      }
      for (const { resolve } of waiting) resolve();
    }
    this.#isWriting = false;
  }
}

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

const NOT_WRITTEN = "this node is stopping: the records of the members are not written any more";

/** Whoever does not wait for it must not end the process by a rejection that nobody heard. */
function unheard(done: Promise<void>): Promise<void> {
  done.catch(() => undefined);
  return done;
}
