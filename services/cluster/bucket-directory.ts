/**
 * BucketDirectory: the settings of all buckets on this node: durable in the document "buckets", the higher version wins
 * wherever two meet, removed ones kept as records so that they do not come back. A change is durable here before it is in
 * force here, and in force here before anyone is told. Satisfies by shape what `api`, `coordinator` and `replica` want.
 * Must never touch keys.
 *
 * A member that a change has not reached goes on by the old settings until it hears (at once when a link to a member that
 * knows comes up, else within a second): it coordinates with the old n, r, w and blind rule, and merges by the old
 * conflict rule. So until `memberCount` is the whole cluster, after a change to `siblings` an unreached member may still
 * drop the older of two concurrent versions, after one to `lww` it may still show both; with n changed its quorums and
 * those of the others need not meet. Whoever needs the change to hold everywhere repeats it until all members know it.
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
  /** the change could not be made durable here: it is not in force; it may come to be at the next start */
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

/** From the settings that hold to those that shall; undefined = the defaults. */
type SettingsChange = (settings: BucketSettings) => BucketSettings | undefined;

/** The document of buckets cannot be read. */
export class BucketRecordsError extends Error {
  readonly code = "RECORD_CORRUPT";
}

/** All buckets, as this node knows them. */
export class BucketDirectory {
  /** told when other settings are in force than before, in the same turn */
  onChange: (() => void) | undefined;
  readonly #parts: BucketDirectoryParts;
  readonly #records = new Map<BucketName, BucketRecord>();
  readonly #lookup: BucketLookup;
  #replicaCount: number;
  #share: ShareRecord = () => Promise.resolve(1);
  /** settles when the last change or merge so far has ended */
  #lastTurn: Promise<unknown> = Promise.resolve();
  #encoded: Buffer | undefined;

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
  }

  /** Takes what the cluster has agreed on: N and the defaults. */
  configure(agreed: { readonly replicaCount: number; readonly defaults: BucketSettings }): void {
    this.#replicaCount = agreed.replicaCount;
    this.#lookup.clear(agreed.defaults);
    for (const record of this.#records.values()) this.#index(record);
    this.onChange?.();
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
    return this.#change(bucket, () => settings);
  }

  /** Changes some settings of a bucket; the others stay as they hold now. */
  async patch(bucket: BucketName, change: Partial<BucketSettings>): Promise<BucketChange> {
    return this.#change(bucket, (settings) => ({ ...settings, ...change }));
  }

  /** Removes the bucket's own settings; the defaults hold again. Keys stay. */
  async delete(bucket: BucketName): Promise<BucketChange> {
    return this.#change(bucket, () => undefined);
  }

  /** Takes records of another member; resolves when the newer ones are durable and in force, with their number. */
  merge(records: readonly BucketRecord[]): Promise<number> {
    return this.#inTurn(async () => {
      const newer = this.#newerOf(records);
      if (newer.size > 0) await this.#keep(newer);
      return newer.size;
    });
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

  async #change(name: BucketName, change: SettingsChange): Promise<BucketChange> {
    const made = await this.#inTurn(() => this.#make(name, change));
    if (made.kind !== "made") return made;
    const { record } = made;
    const memberCount = await this.#share(record);
    this.#parts.log.info({ event: "buckets.changed", bucket: name, version: record.version, memberCount });
    return { kind: "changed", settings: record.settings ?? this.defaults(), memberCount };
  }

  async #make(
    name: BucketName,
    change: SettingsChange,
  ): Promise<BucketChange | { readonly kind: "made"; readonly record: BucketRecord }> {
    const settings = change(this.settingsOf(name));
    if (settings === undefined && !this.isExplicit(name)) {
      return { kind: "changed", settings: this.defaults(), memberCount: 1 };
    }
    const problem = settings && settingsProblem(settings, this.#replicaCount);
    if (problem !== undefined) return { kind: "invalid", detail: problem };
    const known = this.#records.get(name);
    if (known === undefined && this.#records.size >= MAX_BUCKETS) {
      return { kind: "invalid", detail: `a cluster has at most ${MAX_BUCKETS} buckets` };
    }
    const version = Math.max((known?.version ?? 0) + 1, this.#parts.clock.wallMicros());
    const record: BucketRecord = { name, version, settings };
    try {
      await this.#keep(new Map([[name, record]]));
    } catch (error) {
      this.#parts.log.error({ event: "buckets.write-failed", bucket: name, error });
      return { kind: "failed", detail: "the settings could not be written to disk" };
    }
    return { kind: "made", record };
  }

  /** Those that this node lacks and has room for. */
  #newerOf(records: readonly BucketRecord[]): ReadonlyMap<BucketName, BucketRecord> {
    const newer = new Map<BucketName, BucketRecord>();
    let bucketCount = this.#records.size;
    for (const record of records) {
      const name = parseBucketName(record.name);
      if (name === undefined) continue;
      const known = newer.get(name) ?? this.#records.get(name);
      if (!isNewerRecord(record, known)) continue;
      if (known === undefined && bucketCount >= MAX_BUCKETS) {
        this.#parts.log.error({ event: "buckets.too-many", bucketCount, bucket: name });
        continue;
      }
      if (known === undefined) bucketCount += 1;
      newer.set(name, record);
    }
    return newer;
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
  }

  /** Makes newer records durable, then puts them in force. In a turn only. */
  async #keep(newer: ReadonlyMap<BucketName, BucketRecord>): Promise<void> {
    const bytes = encodeBucketRecords(new Map([...this.#records, ...newer]).values());
    await this.#parts.documents.write(BUCKETS_DOCUMENT, bytes);
    for (const record of newer.values()) this.#take(record);
    this.#encoded = bytes;
    this.onChange?.();
  }

  /** One change or merge at a time: each starts from what the one before it has made durable. */
  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#lastTurn.then(run, run);
    this.#lastTurn = turn;
    return turn;
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
