/** Which processors the processes of a measurement have, and how much of their time they took, as the system tells; NaN where it does not. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { stolenOfEach } from "../support/host-time.ts";

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
