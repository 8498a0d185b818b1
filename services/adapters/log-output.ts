/**
 * Where log lines leave the process: at once, so that the last line before a crash is there, and never for long. A reader
 * that is gone costs its lines, one that is slow some of them; neither may hold the node, nor keep it from ending.
 *
 * Not the logger's own destination: when its reader has gone (EPIPE), its flush at exit tries again for ever.
 */
import { writeSync } from "node:fs";

/** How long one line may wait for a slow reader. */
const PATIENCE_MS = 50;
const WAIT_MS = 5;

/** What a logger writes to. */
export interface LogOutput {
  write(line: string): void;
  /** lines that no reader took, whole or in part */
  readonly lostCount: number;
}

/** Writes lines to a file descriptor; `write` is what writes there (for tests). */
export function createLogOutput(fd: number, write: (fd: number, bytes: Uint8Array) => number = writeSync): LogOutput {
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  let lostCount = 0;
  return {
    get lostCount(): number {
      return lostCount;
    },
    write: (line) => {
      let rest: Uint8Array = Buffer.from(line, "utf8");
      let waitedMs = 0;
      while (rest.length > 0) {
        const written = writtenOf(fd, rest, write);
        if (written === "gone" || (written === 0 && waitedMs >= PATIENCE_MS)) {
          lostCount += 1;
          return;
        }
        if (written === 0) {
          Atomics.wait(sleeper, 0, 0, WAIT_MS);
          waitedMs += WAIT_MS;
        }
        rest = rest.subarray(written);
      }
    },
  };
}

/** Bytes that were taken; 0: the reader is slow. */
function writtenOf(fd: number, bytes: Uint8Array, write: (fd: number, bytes: Uint8Array) => number): number | "gone" {
  try {
    return write(fd, bytes);
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EAGAIN" ? 0 : "gone";
  }
}
