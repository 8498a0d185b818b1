/** What goes wrong during a run, when, and for how long; and the note of when it did. Must never outlive its run. */
import { spawn } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";
import type { FaultMark, PlannedFault } from "../plan.ts";
import type { OwnCluster } from "./own-cluster.ts";

/** A command of the user's own that breaks something in a cluster elsewhere. */
export interface FaultCommand {
  readonly command: string;
  readonly atSeconds: number;
}

interface Step {
  readonly atSeconds: number;
  readonly text: string;
  readonly act: () => Promise<void> | void;
  /** waited for first, however late it becomes */
  readonly ready?: () => Promise<void>;
}

function stepsOf(cluster: OwnCluster, fault: PlannedFault, seconds: number): readonly Step[] {
  const { kind, node } = fault;
  const from = fault.from * seconds;
  const to = fault.to * seconds;
  const isBack = fault.to < 1;
  const step = (atSeconds: number, text: string, act: Step["act"]): Step => ({ atSeconds, text, act });
  switch (kind) {
    case "kill":
      return [
        // One at a time: on a slow machine the node that was killed before may still be coming up.
        { ...step(from, `node ${node} killed`, () => cluster.kill(node)), ready: () => cluster.untilReady() },
        ...(isBack ? [step(to, `node ${node} started again`, () => cluster.spawn(node))] : []),
      ];
    case "freeze":
      return [
        step(from, `node ${node} frozen`, () => cluster.freeze(node, true)),
        step(to, `node ${node} goes on`, () => cluster.freeze(node, false)),
      ];
    case "split":
      return [
        step(from, `node ${node} cut off`, () => cluster.cut(node, true)),
        step(to, `node ${node} joined again`, () => cluster.cut(node, false)),
      ];
  }
}

function run(command: string): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn(command, { shell: true, stdio: ["ignore", "ignore", "inherit"] });
    child.once("error", () => resolve(1));
    child.once("exit", (code) => resolve(code ?? 1));
  });
}

/** The steps of a run, in order. */
export class FaultSchedule {
  readonly marks: FaultMark[] = [];
  readonly #steps: readonly Step[];
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(steps: readonly Step[]) {
    this.#steps = steps.toSorted((a, b) => a.atSeconds - b.atSeconds);
  }

  /** How many marks there are when everything has happened. */
  get plannedCount(): number {
    return this.#steps.length;
  }

  /** Faults of a cluster of one's own. */
  static of(cluster: OwnCluster, faults: readonly PlannedFault[], seconds: number): FaultSchedule {
    return new FaultSchedule(faults.flatMap((fault) => stepsOf(cluster, fault, seconds)));
  }

  /** One command, for a cluster elsewhere; none when `fault` is undefined. */
  static ofCommand(fault: FaultCommand | undefined): FaultSchedule {
    if (fault === undefined) return new FaultSchedule([]);
    const act = async (): Promise<void> => {
      const code = await run(fault.command);
      if (code !== 0) throw new Error(`the fault command ended with exit code ${code}: ${fault.command}`);
    };
    return new FaultSchedule([{ atSeconds: fault.atSeconds, text: fault.command, act }]);
  }

  /** Begins; `measuredAtMs`: when the measured time begins, in wall-clock milliseconds. */
  start(measuredAtMs: number, tell: (text: string) => void): void {
    this.#running = this.#run(measuredAtMs, tell);
    this.#running.catch(() => undefined);
  }

  /** Waits for the last step; throws when one failed. */
  async end(): Promise<void> {
    await this.#running;
  }

  /** No further step is begun. */
  cancel(): void {
    this.#stop.abort();
  }

  async #run(measuredAtMs: number, tell: (text: string) => void): Promise<void> {
    for (const { atSeconds, text, act, ready } of this.#steps) {
      const waitMs = measuredAtMs + atSeconds * 1_000 - Date.now();
      const isCancelled = await pause(Math.max(0, waitMs), false, { signal: this.#stop.signal }).catch(() => true);
      if (isCancelled) return;
      await ready?.();
      if (this.#stop.signal.aborted) return;
      const atSecondsReally = (Date.now() - measuredAtMs) / 1_000;
      tell(text);
      await act();
      // Only what was done: a run is judged by it.
      this.marks.push({ text, atSeconds: atSecondsReally });
    }
  }
}
