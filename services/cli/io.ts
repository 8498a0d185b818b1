/** What a command has of the world around it: words in and out, environment, interruption. Tests hand in their own. */
import { hostname } from "node:os";
import { createInterface } from "node:readline";
import { isatty } from "node:tty";

/** The surroundings of a command. */
export interface CliIo {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly hostname: string;
  /** stdout is a terminal */
  readonly isTerminal: boolean;
  /** stderr is a terminal: progress may overwrite its line */
  readonly isErrorTerminal: boolean;
  /** for results */
  out(text: string | Uint8Array): void;
  /** for progress and complaints */
  err(text: string): void;
  readInput(): Promise<Uint8Array>;
  /** stdin is a terminal: somebody can answer a question */
  readonly isInputTerminal: boolean;
  /** One line of stdin without its end; empty when there is none. */
  readLine(): Promise<string>;
  pause(ms: number): Promise<void>;
  /** Calls `run` on each SIGINT and SIGTERM, until the function that it gives back is called. */
  onInterrupt(run: () => void): () => void;
}

/** Exit codes, the same for every command. */
export const EXIT: {
  readonly ok: 0;
  readonly failed: 1;
  readonly usage: 2;
  readonly siblings: 3;
  readonly absent: 4;
  readonly badConfig: 78;
  readonly interrupted: 130;
} = { ok: 0, failed: 1, usage: 2, siblings: 3, absent: 4, badConfig: 78, interrupted: 130 };

async function readAll(): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of process.stdin) chunks.push(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
  return Buffer.concat(chunks);
}

async function readOneLine(): Promise<string> {
  const lines = createInterface({ input: process.stdin });
  const first = await lines[Symbol.asyncIterator]().next();
  lines.close();
  return first.done === true ? "" : first.value;
}

/** Whoever read our words has heard enough (`gyre ring | head`): that is no failure. */
function endWithReader(error: Error): void {
  if ("code" in error && error.code === "EPIPE") process.exit(EXIT.ok);
  throw error;
}

/** The surroundings of this process; to be taken once. */
export function processIo(): CliIo {
  process.stdout.on("error", endWithReader);
  return {
    env: process.env,
    hostname: hostname(),
    isTerminal: isatty(1),
    isErrorTerminal: isatty(2),
    out: (text) => {
      process.stdout.write(text);
    },
    err: (text) => {
      process.stderr.write(text);
    },
    readInput: readAll,
    isInputTerminal: isatty(0),
    readLine: readOneLine,
    pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    onInterrupt: (run) => {
      process.on("SIGINT", run);
      process.on("SIGTERM", run);
      return () => {
        process.off("SIGINT", run);
        process.off("SIGTERM", run);
      };
    },
  };
}
