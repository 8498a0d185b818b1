/** The processor time of processes that a measurement started, as the system tells it; NaN where it does not. */
import { readFileSync } from "node:fs";

/** what the system counts in: a hundredth of a second wherever Linux runs Node */
const TICK_MS = 10;

/** Processor time of a process since its start, ms; NaN: it is not there, or the system does not tell. */
export function processorMs(pid: number | undefined): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  } catch {
    return Number.NaN;
  }
}
