/** What the machine's host gives to others, as the kernel counts it; nothing where it does not tell. */
import { readFileSync } from "node:fs";

/** what the kernel counts in: a hundredth of a second wherever Linux runs Node */
const TICK_MS = 10;
/** the ninth word of a line of `/proc/stat`: what was wanted here, and others had (proc(5), "steal") */
const STOLEN_AT = 8;

/** ms since the start of the machine, of all processors together; NaN where the system does not tell */
export function stolenMs(): number {
  return stolenIn()[0] ?? Number.NaN;
}

/** The same of each processor. */
export function stolenOfEach(): readonly number[] {
  return stolenIn().slice(1);
}

function stolenIn(): readonly number[] {
  try {
    const lines = readFileSync("/proc/stat", "utf8").split("\n");
    return lines.filter((line) => line.startsWith("cpu")).map((line) => Number(line.split(/\s+/)[STOLEN_AT]) * TICK_MS);
  } catch {
    return [];
  }
}
