/** Which processors the processes of a measurement have, how much of their time they took, and what the machine had of it, as the system tells; NaN where it does not. */
import { execFileSync } from "node:child_process";
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

/** Has a process, with all of its threads, run on the processors of the list alone, as `taskset` spells it: "0", "1-3". */
export function pinTo(processors: string, pid: number | undefined): void {
  execFileSync("taskset", ["--all-tasks", "--cpu-list", "--pid", processors, String(pid)], { stdio: "ignore" });
}

/** Watches what the host gives to others from here on: a promise in seconds is one of a machine that is there. */
export class HostWatch {
  readonly #began = stolenOfEach();

  /** So many ms, and as many more as the host took meanwhile of the processor that it took most of; a system that does not tell took none. */
  within(boundMs: number): number {
    const taken = stolenOfEach().map((ms, processor) => ms - (this.#began[processor] ?? 0));
    return boundMs + Math.max(0, ...taken);
  }
}

/** What the machine's host has given to others of what was wanted here, ms since the start; NaN where the system does not tell. */
export function stolenMs(): number {
  return stolenIn()[0] ?? Number.NaN;
}

/** The same of each processor. */
function stolenOfEach(): readonly number[] {
  return stolenIn().slice(1);
}

/** Of all processors together, then of each; nothing where the system does not tell. */
function stolenIn(): readonly number[] {
  try {
    const lines = readFileSync("/proc/stat", "utf8").split("\n");
    return lines.filter((line) => line.startsWith("cpu")).map((line) => Number(line.split(/\s+/)[8]) * TICK_MS);
  } catch {
    return [];
  }
}
