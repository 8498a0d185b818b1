/** Runs a program to its end, bounded in time. Must never leave it running. */
import { execFile } from "node:child_process";

/** How a program ended. */
export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** How to run it. */
export interface RunOptions {
  /** default: two minutes */
  readonly timeoutMs?: number;
  /** an exit code other than 0 is an answer */
  readonly mayFail?: boolean;
}

/** Runs `program`; throws with what it printed when it fails, unless it may. */
export function run(program: string, argv: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { timeoutMs = 120_000, mayFail = false } = options;
  return new Promise((resolve, reject) => {
    execFile(program, [...argv], { timeout: timeoutMs, maxBuffer: 32 << 20 }, (error, out, err) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : 127;
      if (code === 0 || mayFail) resolve({ code, out, err });
      else
        reject(new Error(`${program} ${argv.join(" ")}: exit code ${code}\n${out.slice(-4_000)}${err.slice(-4_000)}`));
    });
  });
}
