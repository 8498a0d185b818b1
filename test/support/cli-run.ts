/** Runs a command of `gyre` inside the test, with its words caught. */
import { runCli } from "../../services/cli/cli.ts";
import type { CliIo } from "../../services/cli/io.ts";

/** What a command said and how it ended. */
export interface CliRun {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** What a command is given beside its words. */
export interface CliGiven {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** what somebody at the terminal says to a question */
  readonly answer?: string;
  /** called instead of waiting */
  readonly onPause?: () => void | Promise<void>;
  /** called with the function that interrupts the command */
  readonly onStart?: (interrupt: () => void) => void;
}

/** Surroundings that catch everything. */
export function caughtIo(given: CliGiven = {}): { readonly io: CliIo; readonly out: string[]; readonly err: string[] } {
  const out: string[] = [];
  const err: string[] = [];
  const io: CliIo = {
    env: given.env ?? {},
    hostname: "box",
    isTerminal: false,
    isErrorTerminal: false,
    out: (text) => {
      out.push(typeof text === "string" ? text : Buffer.from(text).toString());
    },
    err: (text) => {
      err.push(text);
    },
    readInput: async () => Buffer.from(given.input ?? ""),
    isInputTerminal: given.answer !== undefined,
    readLine: async () => given.answer ?? "",
    pause: async () => given.onPause?.(),
    onInterrupt: (run) => {
      given.onStart?.(run);
      return () => undefined;
    },
  };
  return { io, out, err };
}

/** Runs `gyre` with the words of `argv`. */
export async function gyre(argv: readonly string[], given: CliGiven = {}): Promise<CliRun> {
  const { io, out, err } = caughtIo(given);
  const code = await runCli(argv, io);
  return { code, out: out.join(""), err: err.join("") };
}
