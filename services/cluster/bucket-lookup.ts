/**
 * BucketLookup: settings by bucket name or by the address of a key, for every request. Both are answered without an
 * allocation; a key's bucket is found by hashing the bytes before its first zero, never by making text of them.
 */
import type { BucketSettings } from "../base/bucket-settings.ts";
import type { BucketName } from "../base/ids.ts";

interface Entry {
  readonly name: Uint8Array;
  readonly settings: BucketSettings;
}

const NO_ENTRIES: readonly Entry[] = [];
/** FNV-1a, 32 bits. */
const HASH_START = 0x811c9dc5;
const HASH_FACTOR = 0x01000193;

/** The effective settings of all buckets; those that were never made have the defaults. */
export class BucketLookup {
  readonly #byName = new Map<BucketName, BucketSettings>();
  readonly #byHash = new Map<number, Entry[]>();
  #defaults: BucketSettings;

  constructor(defaults: BucketSettings) {
    this.#defaults = defaults;
  }

  get defaults(): BucketSettings {
    return this.#defaults;
  }

  /** Starts anew with other defaults. */
  clear(defaults: BucketSettings): void {
    this.#defaults = defaults;
    this.#byName.clear();
    this.#byHash.clear();
  }

  /** Sets what holds for a bucket; undefined: the defaults again. */
  set(bucket: BucketName, settings: BucketSettings | undefined): void {
    const name = Buffer.from(bucket, "latin1");
    const hash = hashOfBucket(name);
    const others = (this.#byHash.get(hash) ?? NO_ENTRIES).filter((entry) => !isBucketOf(entry.name, name, name.length));
    if (settings === undefined) this.#byName.delete(bucket);
    else {
      this.#byName.set(bucket, settings);
      others.push({ name, settings });
    }
    if (others.length === 0) this.#byHash.delete(hash);
    else this.#byHash.set(hash, others);
  }

  isExplicit(bucket: BucketName): boolean {
    return this.#byName.has(bucket);
  }

  settingsOf(bucket: BucketName): BucketSettings {
    return this.#byName.get(bucket) ?? this.#defaults;
  }

  /** `address` is bucket, 0x00, key. */
  settingsOfKey(address: Uint8Array): BucketSettings {
    if (this.#byHash.size === 0) return this.#defaults;
    const entries = this.#byHash.get(hashOfBucket(address));
    if (entries === undefined) return this.#defaults;
    const end = address.indexOf(0);
    for (const entry of entries) if (isBucketOf(entry.name, address, end)) return entry.settings;
    return this.#defaults;
  }
}

/** Over the bytes before the first zero. */
function hashOfBucket(address: Uint8Array): number {
  let hash = HASH_START;
  for (let at = 0; at < address.length; at += 1) {
    const byte = address[at] ?? 0;
    if (byte === 0) break;
    hash = Math.imul(hash ^ byte, HASH_FACTOR);
  }
  return hash;
}

function isBucketOf(name: Uint8Array, address: Uint8Array, end: number): boolean {
  if (name.length !== end) return false;
  for (let at = 0; at < end; at += 1) if (name[at] !== address[at]) return false;
  return true;
}
