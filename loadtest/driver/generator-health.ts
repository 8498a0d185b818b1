/**
 * Whether the generator itself kept up: how late it sent, how long its event loop was held, how much processor time it took. A run
 * whose generator was saturated says nothing about the servers, so these numbers are judged before all others.
 */
import os from "node:os";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import type { GeneratorHealth } from "../plan.ts";
import { Histogram } from "./histogram.ts";

interface MachineTimes {
  readonly busy: number;
  readonly all: number;
}

function machineTimes(): MachineTimes {
  let busy = 0;
  let all = 0;
  for (const { times } of os.cpus()) {
    const used = times.user + times.nice + times.sys + times.irq;
    busy += used;
    all += used + times.idle;
  }
  return { busy, all };
}

/** Watches the thread that it is made in, from `start` on. */
export class HealthWatch {
  readonly #lateness = new Histogram();
  readonly #delay = monitorEventLoopDelay({ resolution: 10 });
  #loop = performance.eventLoopUtilization();
  #cpu = process.threadCpuUsage();
  #machine = machineTimes();
  #sentCount = 0;
  #inFlight = 0;
  #mostInFlight = 0;
  #latestMs = 0;

  /** The measured time begins. */
  start(): void {
    this.#delay.enable();
    this.#delay.reset();
    this.#loop = performance.eventLoopUtilization();
    this.#cpu = process.threadCpuUsage();
    this.#machine = machineTimes();
  }

  /** An operation is sent, so much later than planned. */
  sent(lateMs: number, isMeasured: boolean): void {
    this.#inFlight += 1;
    this.#mostInFlight = Math.max(this.#mostInFlight, this.#inFlight);
    if (!isMeasured) return;
    this.#sentCount += 1;
    this.#latestMs = Math.max(this.#latestMs, lateMs);
    this.#lateness.recordMs(Math.max(0, lateMs));
  }

  /** An operation is over. */
  done(): void {
    this.#inFlight -= 1;
  }

  /** What was seen since the start. `plannedCount`: operations that the measured time should have had. */
  health(plannedCount: number): GeneratorHealth {
    const cpu = process.threadCpuUsage(this.#cpu);
    const machine = machineTimes();
    return {
      latenessP50Ms: this.#lateness.quantileMs(0.5),
      latenessP99Ms: this.#lateness.quantileMs(0.99),
      latenessMaxMs: this.#latestMs,
      loopDelayP99Ms: this.#delay.percentile(99) / 1e6,
      loopBusyShare: performance.eventLoopUtilization(this.#loop).utilization,
      cpuMicrosPerOperation: (cpu.user + cpu.system) / Math.max(1, this.#sentCount),
      machineBusyShare: (machine.busy - this.#machine.busy) / Math.max(1, machine.all - this.#machine.all),
      plannedCount,
      sentCount: this.#sentCount,
      mostInFlight: this.#mostInFlight,
    };
  }
}
