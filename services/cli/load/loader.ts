/**
 * Loads a file of records: reads on while earlier lines are under way, never two lines of one key at a time, and keeps the
 * progress so that an interrupted load goes on. Memory is bounded by the concurrency and the spread, not by the file.
 */
import { MAX_VALUE_BYTES } from "../../base/limits.ts";
import { type Line, lineAt, linesOf } from "./lines.ts";
import { type LoadIdentity, type Progress, type Unsettled, writeProgress } from "./progress-file.ts";
import { type KeyRule, keyOf } from "./record-key.ts";
import type { LoadCounts, RecordStore, StoreResult } from "./store-record.ts";
import { Watermark } from "./watermark.ts";

/** What is loaded, how, and from where on. */
export interface LoadJob {
  readonly path: string;
  readonly identity: LoadIdentity;
  readonly rule: KeyRule;
  readonly progressPath: string;
  readonly from: Omit<Progress, "identity">;
  /** records under way at a time */
  readonly concurrency: number;
  readonly isStopping: () => boolean;
  /** a line that will never be loaded, and why */
  readonly onReject: (line: number, reason: string) => void;
}

/** How a load ended. */
export type LoadEnd =
  | { readonly kind: "complete" }
  | { readonly kind: "interrupted" }
  /** a record could not be stored in time; everything before `line` is */
  | { readonly kind: "stuck"; readonly line: number; readonly reason: string };

interface LoadedLine {
  readonly line: Line;
  readonly number: number;
  readonly key: string;
}

/** Lines from the oldest under way to the newest begun. */
const MAX_SPREAD = 50_000;
const SAVE_INTERVAL_MS = 1_000;
const MAX_UNSETTLED = 100_000;
/** How far ahead of what is sent the progress says so: a load that is killed must know what it may have sent. */
const BEGUN_AHEAD_BYTES = 1024 * 1024;

/** A load under way. */
export class Loader {
  readonly #job: LoadJob;
  readonly #store: RecordStore;
  readonly #counts: LoadCounts;
  readonly #mark: Watermark;
  readonly #underWay = new Set<Promise<void>>();
  readonly #keys = new Map<string, Promise<void>>();
  readonly #unsettled = new Map<number, Unsettled>();
  /** keys of those: a later line of the same key is looked at in their place, or an older value would be put back */
  readonly #unsettledKeys = new Set<string>();
  #begunOffset: number;
  #stuck: LoadEnd | undefined;
  #savedMs = 0;
  #wake: () => void = () => undefined;

  constructor(job: LoadJob, store: RecordStore, counts: LoadCounts) {
    this.#job = job;
    this.#store = store;
    this.#counts = counts;
    this.#mark = new Watermark(job.from.doneOffset, job.from.doneLines);
    this.#begunOffset = job.from.begunOffset;
    for (const one of job.from.unsettled) this.#unsettled.set(one.startOffset, one);
  }

  /** Every line before this offset is done. */
  get doneOffset(): number {
    return this.#mark.offset;
  }

  /** Lines before that offset. */
  get doneLines(): number {
    return this.#mark.doneLines;
  }

  /** Loads to the end of the file, or until it is stopped or stuck. */
  async run(): Promise<LoadEnd> {
    const { path, from, isStopping } = this.#job;
    for (const one of from.unsettled) {
      const record = await this.#recordAt(one);
      if (record !== undefined) this.#unsettledKeys.add(record.key);
    }
    let number = from.doneLines;
    for await (const line of linesOf(path, { startOffset: from.doneOffset, maxBytes: MAX_VALUE_BYTES })) {
      if (isStopping() || this.#stuck !== undefined) break;
      number += 1;
      await this.#begin(line, number);
      if (Date.now() - this.#savedMs >= SAVE_INTERVAL_MS) this.save();
    }
    await Promise.all(this.#underWay);
    await this.#settleAll();
    // nothing is under way: what was sent is done, or to be looked at
    this.#begunOffset = this.doneOffset;
    this.save();
    if (this.#stuck !== undefined && !isStopping()) return this.#stuck;
    return isStopping() ? { kind: "interrupted" } : { kind: "complete" };
  }

  /** Keeps the progress. */
  save(): void {
    const { doneOffset, doneLines } = this;
    const unsettled = [...this.#unsettled.values()];
    const { identity, progressPath } = this.#job;
    writeProgress(progressPath, { identity, doneOffset, doneLines, begunOffset: this.#begunOffset, unsettled });
    this.#savedMs = Date.now();
  }

  async #begin(line: Line, number: number): Promise<void> {
    const ticket = this.#mark.begin(line.endOffset);
    const finish = (): void => this.#mark.finish(ticket);
    if (line.bytes?.length === 0) return finish();
    const key = line.bytes === undefined ? undefined : keyOf(line.bytes, this.#job.rule);
    if (line.bytes === undefined || key === undefined || key.kind === "problem") {
      this.#reject(number, key?.kind === "problem" ? key.problem : `is longer than ${MAX_VALUE_BYTES} bytes`);
      return finish();
    }
    // Two lines of one key must be written in their order: the second waits for the first.
    for (let earlier = this.#keys.get(key.key); earlier !== undefined; earlier = this.#keys.get(key.key)) await earlier;
    while (this.#isFull()) await this.#oneMoreFinished();
    this.#noteBegun(line);
    const work = this.#store.store(key.key, line.bytes).then((result) => {
      this.#keys.delete(key.key);
      this.#underWay.delete(work);
      if (this.#finished({ line, number, key: key.key }, result)) finish();
      this.#wake();
    });
    this.#keys.set(key.key, work);
    this.#underWay.add(work);
  }

  #isFull(): boolean {
    const isBusy = this.#underWay.size >= this.#job.concurrency || this.#mark.spread > MAX_SPREAD;
    return isBusy && this.#underWay.size > 0;
  }

  #oneMoreFinished(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** Says durably enough for a killed process that the line may have been sent, before it is. */
  #noteBegun(line: Line): void {
    if (line.endOffset <= this.#begunOffset) return;
    this.#begunOffset = line.endOffset + BEGUN_AHEAD_BYTES;
    this.save();
  }

  /** Notes what became of a record; true when its line is done. */
  #finished(record: LoadedLine, result: StoreResult): boolean {
    const { line, number, key } = record;
    switch (result.kind) {
      case "applied":
        // sent before, perhaps, by a load that was killed
        if (result.wasUnknown || line.startOffset < this.#job.from.begunOffset) this.#doubt(record);
        else if (this.#unsettledKeys.has(key)) this.#doubt(record);
        return true;
      case "rejected":
        this.#reject(number, result.reason);
        return true;
      case "gave_up":
        this.#doubt(record);
        this.#stuck ??= { kind: "stuck", line: number, reason: result.reason };
        return false;
    }
  }

  /** The key is to be looked at again: something that was sent to it may yet show up. */
  #doubt({ line, key }: LoadedLine): void {
    if (this.#unsettled.size >= MAX_UNSETTLED && !this.#unsettledKeys.has(key)) return;
    this.#unsettledKeys.add(key);
    this.#unsettled.set(line.startOffset, { startOffset: line.startOffset, sizeBytes: line.bytes?.length ?? 0 });
  }

  #reject(line: number, reason: string): void {
    this.#counts.rejected += 1;
    this.#job.onReject(line, reason);
  }

  /** Looks again at every key whose write was once unknown. Lines of one key come one after the other, the last one last. */
  async #settleAll(): Promise<void> {
    const byKey = new Map<string, { readonly bytes: Uint8Array; readonly offsets: readonly number[] }>();
    for (const one of [...this.#unsettled.values()].toSorted((a, b) => a.startOffset - b.startOffset)) {
      const record = await this.#recordAt(one);
      if (record === undefined) continue;
      const { key, bytes } = record;
      byKey.set(key, { bytes, offsets: [...(byKey.get(key)?.offsets ?? []), one.startOffset] });
    }
    for (const [key, { bytes, offsets }] of byKey) {
      if (this.#stuck !== undefined || this.#job.isStopping()) return;
      if (await this.#store.settle(key, bytes)) for (const offset of offsets) this.#unsettled.delete(offset);
    }
  }
  async #recordAt(one: Unsettled): Promise<{ readonly key: string; readonly bytes: Uint8Array } | undefined> {
    const bytes = await lineAt(this.#job.path, one);
    const key = keyOf(bytes, this.#job.rule);
    return key.kind === "key" ? { key: key.key, bytes } : undefined;
  }
}
