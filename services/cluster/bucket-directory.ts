/**
 * BucketDirectory: the settings of all buckets on this node: durable in the document "buckets", the higher version wins
 * wherever two meet, removed ones kept as records so that they do not come back. Changes are durable here before they are
 * told to anyone. Satisfies by shape what `api`, `coordinator` and `replica` want. Must never touch keys.
 */
import type { BucketRecord, BucketSettings } from "../base/bucket-settings.ts";
import { xxh64 } from "../base/hash.ts";
import { type BucketName, parseBucketName } from "../base/ids.ts";
import { MAX_BUCKETS } from "../base/limits.ts";
import type { Clock, Log } from "../base/ports.ts";
import { decodeBucketRecords, encodeBucketRecords, isNewerRecord } from "./bucket-codec.ts";
import { BucketLookup } from "./bucket-lookup.ts";
import type { Documents } from "./own-record.ts";

/** What became of a change. */
export type BucketChange =
  /** durable here; `memberCount` members (this one included) are known to have it */
  | { readonly kind: "changed"; readonly settings: BucketSettings; readonly memberCount: number }
  /** a rule was broken; `detail` names the field and the rule; nothing changed */
  | { readonly kind: "invalid"; readonly detail: string }
  /** the change could not be made durable here; it may or may not hold */
  | { readonly kind: "failed"; readonly detail: string };

/** What the directory works with. */
export interface BucketDirectoryParts {
  readonly documents: Documents;
  readonly clock: Clock;
  readonly log: Log;
  /** until `configure` says what the cluster has agreed on */
  readonly defaults: BucketSettings;
}

/** Name of the document that holds the records. */
export const BUCKETS_DOCUMENT = "buckets";

/** Tells the other members of a durable change; answers how many members have it, this one included. */
export type ShareRecord = (record: BucketRecord) => Promise<number>;

/** The document of buckets cannot be read. */
export class BucketRecordsError extends Error {
  readonly code = "RECORD_CORRUPT";
}

/** All buckets, as this node knows them. */
export class BucketDirectory {
  readonly #parts: BucketDirectoryParts;
  readonly #records = new Map<BucketName, BucketRecord>();
  readonly #lookup: BucketLookup;
  #replicaCount: number;
  #share: ShareRecord = () => Promise.resolve(1);
  #lastWrite: Promise<void> = Promise.resolve();
  #encoded: Buffer | undefined;
  #isUnwritten = false;

  /** Throws `BucketRecordsError` when the document is corrupt: an error is not an absence. */
  constructor(parts: BucketDirectoryParts) {
    this.#parts = parts;
    this.#replicaCount = parts.defaults.n;
    this.#lookup = new BucketLookup(parts.defaults);
    const bytes = parts.documents.read(BUCKETS_DOCUMENT);
    if (bytes === undefined) return;
    const read = decodeBucketRecords(bytes);
    if (read.kind === "corrupt") throw new BucketRecordsError(`the document of buckets is corrupt: ${read.reason}`);
    for (const record of read.records) this.#take(record);
    this.#isUnwritten = false;
  }

  /** Takes what the cluster has agreed on: N and the defaults. */
  configure(agreed: { readonly replicaCount: number; readonly defaults: BucketSettings }): void {
    this.#replicaCount = agreed.replicaCount;
    this.#lookup.clear(agreed.defaults);
    for (const record of this.#records.values()) this.#index(record);
  }

  /** Who is told of changes; before that nobody is. */
  shareWith(share: ShareRecord): void {
    this.#share = share;
  }

  /** What holds for a bucket. O(1), no allocation. */
  settingsOf(bucket: BucketName): BucketSettings {
    return this.#lookup.settingsOf(bucket);
  }

  /** The same by the address of a key (bucket, 0x00, key). O(length of the bucket's name), no allocation. */
  settingsOfKey(address: Uint8Array): BucketSettings {
    return this.#lookup.settingsOfKey(address);
  }

  /** `settingsOf` under the name that the API wants. */
  effective(bucket: BucketName): BucketSettings {
    return this.#lookup.settingsOf(bucket);
  }

  /** What holds for a bucket that was never made. */
  defaults(): BucketSettings {
    return this.#lookup.defaults;
  }

  /** The bucket has settings of its own. */
  isExplicit(bucket: BucketName): boolean {
    return this.#lookup.isExplicit(bucket);
  }

  /** Buckets with settings of their own, by name. O(buckets). */
  list(): readonly { readonly name: BucketName; readonly settings: BucketSettings }[] {
    const all = [...this.#records.keys()].filter((name) => this.#lookup.isExplicit(name));
    return all.toSorted().map((name) => ({ name, settings: this.#lookup.settingsOf(name) }));
  }

  /** Sets all settings of a bucket. */
  async put(bucket: BucketName, settings: BucketSettings): Promise<BucketChange> {
    const problem = settingsProblem(settings, this.#replicaCount);
    if (problem !== undefined) return { kind: "invalid", detail: problem };
    return this.#change(bucket, settings);
  }

  /** Changes some settings of a bucket; the others stay as they hold now. */
  async patch(bucket: BucketName, change: Partial<BucketSettings>): Promise<BucketChange> {
    return this.put(bucket, { ...this.settingsOf(bucket), ...change });
  }

  /** Removes the bucket's own settings; the defaults hold again. Keys stay. */
  async delete(bucket: BucketName): Promise<BucketChange> {
    if (this.isExplicit(bucket)) return this.#change(bucket, undefined);
    return { kind: "changed", settings: this.defaults(), memberCount: 1 };
  }

  /** Takes records of another member; resolves when the newer ones are durable, with their number. */
  async merge(records: readonly BucketRecord[]): Promise<number> {
    let taken = 0;
    for (const record of records) {
      const name = parseBucketName(record.name);
      if (name === undefined || !isNewerRecord(record, this.#records.get(name))) continue;
      if (!this.#hasRoomFor(name)) {
        this.#parts.log.error({ event: "buckets.too-many", bucketCount: this.#records.size, bucket: name });
        continue;
      }
      this.#take(record);
      taken += 1;
    }
    // Also when an earlier write failed: what is answered as known must be durable.
    if (this.#isUnwritten) await this.#write();
    return taken;
  }

  /** All records, removed ones included. */
  records(): readonly BucketRecord[] {
    return [...this.#records.values()];
  }

  /** All records as bytes; O(buckets) after a change, free otherwise. */
  encoded(): Buffer {
    this.#encoded ??= encodeBucketRecords(this.#records.values());
    return this.#encoded;
  }

  /** 16 hex digits; equal for equal records. */
  digest(): string {
    return xxh64(this.encoded()).toString(16).padStart(16, "0");
  }

  async #change(name: BucketName, settings: BucketSettings | undefined): Promise<BucketChange> {
    if (!this.#hasRoomFor(name)) return { kind: "invalid", detail: `a cluster has at most ${MAX_BUCKETS} buckets` };
    const known = this.#records.get(name)?.version ?? 0;
    const version = Math.max(known + 1, this.#parts.clock.wallMicros());
    const record: BucketRecord = { name, version, settings };
    this.#take(record);
    try {
      await this.#write();
    } catch (error) {
      this.#parts.log.error({ event: "buckets.write-failed", bucket: name, error });
      return { kind: "failed", detail: "the settings could not be written to disk" };
    }
    const memberCount = await this.#share(record);
    this.#parts.log.info({ event: "buckets.changed", bucket: name, version, memberCount });
    return { kind: "changed", settings: settings ?? this.defaults(), memberCount };
  }

  #hasRoomFor(name: BucketName): boolean {
    return this.#records.has(name) || this.#records.size < MAX_BUCKETS;
  }

  #index(record: BucketRecord): void {
    const name = parseBucketName(record.name);
    if (name === undefined) return;
    this.#lookup.set(name, record.settings && cappedAt(record.settings, this.#replicaCount));
  }

  #take(record: BucketRecord): void {
    const name = parseBucketName(record.name);
    if (name === undefined) return;
    this.#records.set(name, record);
    this.#index(record);
    this.#encoded = undefined;
    this.#isUnwritten = true;
  }

  /** One write at a time; each holds everything that was known when it began. */
  #write(): Promise<void> {
    const write = async (): Promise<void> => {
      const bytes = this.encoded();
      await this.#parts.documents.write(BUCKETS_DOCUMENT, bytes);
      if (bytes === this.#encoded) this.#isUnwritten = false;
    };
    this.#lastWrite = this.#lastWrite.then(write, write);
    return this.#lastWrite;
  }
}

/** The rule that settings break in a cluster of N = `replicaCount`, in words; undefined when they keep all. */
export function settingsProblem(settings: BucketSettings, replicaCount: number): string | undefined {
  const { n, r, w } = settings;
  if (!isCount(n, replicaCount)) return `n is a whole number from 1 to the cluster's N, which is ${replicaCount}`;
  if (!isCount(r, n)) return `r is a whole number from 1 to n, which would be ${n}`;
  if (!isCount(w, n)) return `w is a whole number from 1 to n, which would be ${n}`;
  return undefined;
}

function isCount(value: number, most: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= most;
}

function cappedAt(settings: BucketSettings, replicaCount: number): BucketSettings {
  if (settings.n <= replicaCount) return settings;
  const r = Math.min(settings.r, replicaCount);
  return { ...settings, n: replicaCount, r, w: Math.min(settings.w, replicaCount) };
}
