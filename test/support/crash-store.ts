/**
 * A store that is put through the crash points: its disk, its books, the images of the disk in the middle of its calls, and what
 * a recovered store answers. Must never judge by the store's own files.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import type { LogEngine } from "../../storage/log-engine.ts";
import type { CrashOutcome } from "../sim/crash-outcome.ts";
import { isMutation, type SimDisk } from "../sim/sim-disk.ts";
import { type CrashExpectation, CrashLedger } from "./crash-ledger.ts";
import { OUTCOMES, problemsOf } from "./crash-sequences.ts";
import { type LogStart, openTiny, simDisk } from "./log-store.ts";
import { seededDraws } from "./seeded.ts";
import { nthAddress, settle, tombstoneOf, valueOf, writeOf } from "./storage-fixtures.ts";

export const DROP: CrashOutcome = { pages: "dropped", names: "dropped" };
export const KEEP: CrashOutcome = { pages: "applied", names: "applied" };

/** A store, its disk and its books. */
export class Store {
  disk: SimDisk = simDisk();
  readonly ledger: CrashLedger = new CrashLedger();
  readonly #start: LogStart;
  #engine: LogEngine | undefined;
  #opened = 0;

  constructor(start: LogStart = {}) {
    this.#start = start;
  }

  get engine(): LogEngine {
    if (this.#engine === undefined) throw new Error("the store is not open");
    return this.#engine;
  }

  async open(): Promise<this> {
    this.#opened += 1;
    this.#engine = await openTiny(this.disk, { ...this.#start, random: seededDraws(this.#opened * 31 + 5) });
    this.ledger.useActor(this.#engine.identity.actor);
    return this;
  }

  async put(key: number, serial: number, size?: number): Promise<void> {
    await this.ledger.put(this.engine, serial, writeOf(nthAddress(key), serial, size));
  }

  async delete(key: number, serial: number): Promise<void> {
    await this.ledger.put(this.engine, serial, tombstoneOf(nthAddress(key), serial));
  }

  /** Several writes in one group. */
  async putTogether(
    writes: readonly { readonly key: number; readonly serial: number; readonly size: number }[],
  ): Promise<void> {
    await Promise.all(writes.map(({ key, serial, size }) => this.put(key, serial, size)));
  }

  async close(): Promise<void> {
    await this.engine.close();
  }
}

/** Opens an image and returns what is wrong with it, after a first and after a second recovery. */
export async function problemsAfter(disk: SimDisk, expected: CrashExpectation): Promise<string[]> {
  return problemsOf({ label: "crash", disk, expected }, true);
}

/** The images of a disk in the middle of each call that `wanted` picks while `act` runs. */
export async function imagesDuring(
  disk: SimDisk,
  wanted: (call: { readonly name: string; readonly path: string }) => boolean,
  act: () => Promise<unknown>,
): Promise<{ readonly call: string; readonly image: (outcome: CrashOutcome) => SimDisk }[]> {
  const images: { readonly call: string; readonly image: (outcome: CrashOutcome) => SimDisk }[] = [];
  disk.duringOperation = (_n, name, path) => {
    if (!isMutation(name) || !wanted({ name, path })) return;
    const made = new Map(
      Object.values({ ...OUTCOMES, DROP, KEEP }).map((o) => [o, disk.imageAfter(o, seededDraws(3))]),
    );
    images.push({ call: `${name} ${path}`, image: (outcome) => made.get(outcome) ?? disk.imageAfter(outcome) });
  };
  await act();
  await settle();
  disk.duringOperation = undefined;
  return images;
}

export async function readOutcome(engine: StorageEngine, key: number): Promise<string> {
  try {
    const record = await engine.get(nthAddress(key));
    if (record === undefined) return "absent";
    return record.isTombstone ? "tombstone" : Buffer.from(record.value).toString("latin1");
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : "failed";
  }
}

export const textOf = (serial: number, size?: number): string => Buffer.from(valueOf(serial, size)).toString("latin1");

/** A store with garbage and live keys in several sealed segments. */
export async function fragmented(start: LogStart = {}): Promise<Store> {
  const made = await new Store(start).open();
  for (let serial = 1; serial <= 16; serial += 1) await made.put(serial % 6, serial, 200);
  await made.delete(2, 17);
  await made.put(7, 18, 500);
  return made;
}
