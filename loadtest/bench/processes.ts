/**
 * The server processes of a benchmark: started, awaited, measured by the operating system's own accounting, ended.
 * Must never end a process that it did not start.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { openSync, readFileSync } from "node:fs";

/** A server under test. */
export interface ServerProcess {
  readonly name: string;
  readonly child: ChildProcess;
}

/** How a server under test is started. */
export interface ServerCommand {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly logFile: string;
}

/** Starts a server whose output goes to a file. */
export function startServer(what: ServerCommand): ServerProcess {
  const output = openSync(what.logFile, "a");
  const child = spawn(what.command, what.args, {
    env: { ...process.env, ...what.env },
    stdio: ["ignore", output, output],
  });
  return { name: what.name, child };
}

/** Ends a server: asks, waits up to 10 s, then kills. */
export async function stopServer(server: ServerProcess, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  const { child } = server;
  if (child.exitCode !== null || child.signalCode !== null) return;
  await new Promise<void>((resolve) => {
    const kill = setTimeout(() => child.kill("SIGKILL"), 10_000);
    child.once("exit", () => {
      clearTimeout(kill);
      resolve();
    });
    child.kill(signal);
  });
}

/** Waits until the URL answers 2xx; throws after `timeoutMs` with the name of what did not come up. */
export async function untilReady(url: string, timeoutMs: number): Promise<void> {
  const endsAt = performance.now() + timeoutMs;
  while (performance.now() < endsAt) {
    const answer = await fetch(url).catch(() => undefined);
    await answer?.arrayBuffer();
    if (answer?.ok === true) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${url} did not answer within ${timeoutMs} ms`);
}

const CLOCK_TICKS_PER_SECOND = 100;

/**
 * Processor time that the processes have used so far, in microseconds, user and system, all threads, by
 * `/proc/<pid>/stat` (Linux only, resolution 10 ms).
 */
export function cpuMicros(servers: readonly ServerProcess[]): number {
  let ticks = 0;
  for (const { child } of servers) {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) continue;
    const stat = readFileSync(`/proc/${child.pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return (ticks * 1_000_000) / CLOCK_TICKS_PER_SECOND;
}
