/** The command line as an operator has it: `gyre …` as a process of its own. Must never talk to a node otherwise. */
import { spawn } from "node:child_process";
import { join } from "node:path";

const MAIN = join(import.meta.dirname, "../../services/main.ts");

/** What a command ended with. */
export interface Told {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs `gyre` with these words against the nodes at `urls`; ended by force after `timeoutMs`. */
export function gyre(words: readonly string[], urls: readonly string[], timeoutMs = 120_000): Promise<Told> {
  const child = spawn(process.execPath, [MAIN, ...words, "--nodes", urls.join(",")], {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: timeoutMs,
    killSignal: "SIGKILL",
  });
  let out = "";
  let err = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err += text;
  });
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, out, err })));
}
