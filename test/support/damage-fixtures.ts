/** Stores to be damaged, and what reads of them say afterwards. */
import type { StorageEngine } from "../../storage/engine.ts";
import type { LogEngine } from "../../storage/log-engine.ts";
import type { CrashOutcome } from "../sim/crash-outcome.ts";
import type { SimDisk } from "../sim/sim-disk.ts";
import { type LogStart, openTiny } from "./log-store.ts";
import { seededDraws } from "./seeded.ts";
import { nthAddress, settle, valueOf, writeOf } from "./storage-fixtures.ts";

/** A power loss that takes all that was not synced. */
export const DROP: CrashOutcome = { pages: "dropped", names: "dropped" };

let opened = 0;

/** Opens with a chance of its own: actors of two starts differ. */
export function openDamaged(disk: SimDisk, start: LogStart = {}): Promise<LogEngine> {
  opened += 1;
  return openTiny(disk, { random: seededDraws(opened * 17 + 3), ...start });
}

/** What reads of these keys give: the value as text, "absent", or the code of the error. */
export function outcomesOf(engine: StorageEngine, keys: readonly number[]): Promise<string[]> {
  return Promise.all(keys.map((n) => outcomeOf(engine, n)));
}

/** The value that `writeOf` gives the write with this serial, as text. */
export function textOf(serial: number, size?: number): string {
  return Buffer.from(valueOf(serial, size)).toString("latin1");
}

/** The keys of `wornStore`. */
export const WORN_KEYS: readonly number[] = [0, 1, 2, 3, 4, 5, 6];
/** What reads of them give. */
export const WORN_VALUES: readonly string[] = [18, 19, 20, 21, 22, 23, 1000].map((serial) => textOf(serial, 200));

/** One key written once, then 23 puts of six others: sealed segments with garbage, the first with something live. */
export async function wornStore(disk: SimDisk, start: LogStart = {}): Promise<LogEngine> {
  const engine = await openDamaged(disk, start);
  await engine.put(writeOf(nthAddress(6), 1000, 200));
  for (let serial = 1; serial < 24; serial += 1) await engine.put(writeOf(nthAddress(serial % 6), serial, 200));
  await settle();
  return engine;
}

async function outcomeOf(engine: StorageEngine, n: number): Promise<string> {
  try {
    const record = await engine.get(nthAddress(n));
    return record === undefined ? "absent" : Buffer.from(record.value).toString("latin1");
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : "failed";
  }
}
