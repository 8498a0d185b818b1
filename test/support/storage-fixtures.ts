/** What tests of storage need again and again: addresses with chosen hashes, telling values, a clock by hand, a quiet log. */
import type { KeyAddress, PutRequest, ScanEntry, StorageEngine } from "../../storage/engine.ts";
import type { StorageClock, StorageLog } from "../../storage/ports.ts";

/** Partitions of the stores under test. */
export const TEST_PARTITIONS = 4;
const PARTITION_BITS = 2n;

const encoder = new TextEncoder();

/** A key with a chosen place: `low` (taken modulo 2^62) is the hash below the partition's bits. */
export function addressOf(place: {
  readonly partition: number;
  readonly low: bigint;
  readonly key: string;
}): KeyAddress {
  const hash =
    (BigInt(place.partition) << (64n - PARTITION_BITS)) | (place.low & ((1n << (64n - PARTITION_BITS)) - 1n));
  return { partition: place.partition, hash, key: encoder.encode(place.key) };
}

/** The n-th key of a fixed series, spread over partitions and hashes. */
export function nthAddress(n: number): KeyAddress {
  const mixed = ((BigInt(n) + 1n) * 0x9e3779b97f4a7c15n) & 0xffff_ffff_ffff_ffffn;
  return addressOf({ partition: n % TEST_PARTITIONS, low: mixed, key: `key-${n}` });
}

/** Bytes that tell which write they came from: a text, then a pattern up to `size`. */
export function valueOf(serial: number, size = 24): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 1) bytes[at] = (serial * 31 + at * 7 + (at >> 8)) & 0xff;
  bytes.set(encoder.encode(`#${serial};`).subarray(0, size));
  return bytes;
}

/** The digest of the n-th write: never 0, all different. */
export function digestOfWrite(serial: number): bigint {
  return ((BigInt(serial) + 1n) * 0xd6e8feb86659fd93n) & 0xffff_ffff_ffff_ffffn;
}

/** The n-th write to an address. */
export function writeOf(address: KeyAddress, serial: number, size?: number): PutRequest {
  return { address, value: valueOf(serial, size), digest: digestOfWrite(serial), isTombstone: false };
}

/** The n-th write to an address, a deletion. */
export function tombstoneOf(address: KeyAddress, serial: number): PutRequest {
  return { address, value: encoder.encode(`gone#${serial}`), digest: digestOfWrite(serial), isTombstone: true };
}

/** The n-th write to an address, of a value that may expire. */
export function expiringOf(address: KeyAddress, serial: number, size?: number): PutRequest {
  return { ...writeOf(address, serial, size), mayExpire: true };
}

/** All entries of a partition, page by page. */
export async function scanAll(
  engine: StorageEngine,
  partition: number,
  limit: number,
  how: "scan" | "scanCollectable" = "scan",
): Promise<ScanEntry[]> {
  const found: ScanEntry[] = [];
  let from: bigint | undefined = 0n;
  while (from !== undefined) {
    const page: { readonly entries: readonly ScanEntry[]; readonly nextHash: bigint | undefined } = await engine[how](
      partition,
      from,
      limit,
    );
    found.push(...page.entries);
    if (page.nextHash !== undefined && page.nextHash <= from && page.entries.length === 0) {
      throw new Error("a scan does not get on");
    }
    from = page.nextHash;
  }
  return found;
}

/**
 * A clock that stands until it is moved. Deferred work runs once the promises at hand are done: fast and in one order,
 * but on a real disk it would starve the disk, so there it waits for the turn of the event loop.
 */
export class HandClock implements StorageClock {
  readonly #waitsForTurn: boolean;
  #nowMs = 0;
  #timers: { readonly dueMs: number; readonly run: () => void }[] = [];

  constructor(deferUntil: "promises-done" | "turn-done" = "promises-done") {
    this.#waitsForTurn = deferUntil === "turn-done";
  }

  get timerCount(): number {
    return this.#timers.length;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, run: () => void): { cancel(): void } {
    const timer = { dueMs: this.#nowMs + delayMs, run };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  defer(run: () => void): void {
    if (this.#waitsForTurn) setImmediate(run);
    else queueMicrotask(run);
  }

  /** Lets time pass and runs what falls due, in order. */
  advance(byMs: number): void {
    const untilMs = this.#nowMs + byMs;
    for (;;) {
      const due = this.#timers.filter((timer) => timer.dueMs <= untilMs).sort((a, b) => a.dueMs - b.dueMs)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== due);
      this.#nowMs = Math.max(this.#nowMs, due.dueMs);
      due.run();
    }
    this.#nowMs = untilMs;
  }
}

/** Keeps the events of a log for assertions. */
export function eventLog(): { readonly log: StorageLog; readonly events: string[] } {
  const events: string[] = [];
  const note = (facts: { readonly event: string }): void => {
    events.push(facts.event);
  };
  return { events, log: { info: note, warn: note, error: note } };
}

/** Runs what is due in this and the following turns of the event loop, so that work without a promise gets done. */
export async function settle(turns = 3): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
