/**
 * MembersFile: everyone's records and removals in the document "members". Removals and new members are written before they
 * are acted on; where slots are is written lazily, for it is learned anew. A write that fails ends the node.
 */
import type { Clock, Log, Timer } from "../base/ports.ts";
import { allOf, decodeNews, encodeNews, type RecordNews } from "../placement/record-codec.ts";
import type { RecordSet } from "../placement/record-set.ts";
import type { Documents } from "./own-record.ts";

/** Name of the document. */
export const MEMBERS_DOCUMENT = "members";

const LAZY_WRITE_MS = 1_000;

/** What the file works with. */
export interface MembersFileParts {
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

  /** What was written last; undefined when there is nothing, or nothing readable (said in the log). */
  read(): RecordNews | undefined {
    const bytes = this.#parts.documents.read(MEMBERS_DOCUMENT);
    if (bytes === undefined) return undefined;
    const news = decodeNews(bytes, this.#set.partitionCount);
    if (news === undefined) {
      const detail = "what it says of others is learned anew";
      this.#parts.log.warn({ event: "membership.members-unreadable", detail });
    }
    return news;
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

  async #write(): Promise<void> {
    this.#isWriting = true;
    while (this.#waiting.length > 0 && !this.#isStopped) {
      const waiting = this.#waiting;
      this.#waiting = [];
      try {
        await this.#parts.documents.write(MEMBERS_DOCUMENT, encodeNews(allOf(this.#set)));
      } catch (error) {
        this.#parts.onFailure(new Error("the records of the members could not be written", { cause: error }));
        return;
      }
      for (const resolve of waiting) resolve();
    }
    this.#isWriting = false;
  }
}
