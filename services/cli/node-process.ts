/**
 * One node of the local cluster as a process: started, watched, started again with growing pauses when it ends by itself,
 * stopped once. Must never give up on a node silently, and never leave one behind.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { LocalNode } from "./local-layout.ts";

/** What a watched process reports. */
export interface ProcessListener {
  readonly onLine: (node: LocalNode, line: string) => void;
  /** ended by itself; a new one follows after `restartMs`, none when it is undefined */
  readonly onEnd: (node: LocalNode, how: string, restartMs: number | undefined) => void;
  readonly onStart: (node: LocalNode, pid: number) => void;
}

const MAIN = join(import.meta.dirname, "../main.ts");
const FOLLOW_PARENT = join(import.meta.dirname, "follow-parent.ts");
const RESTART_MIN_MS = 500;
const RESTART_MAX_MS = 10_000;
/** A process that lived this long has started well: the next pause is the shortest again. */
const LIVED_WELL_MS = 10_000;
/** Exit codes after which another start would end in the same way: bad configuration. */
const HOPELESS_CODES: readonly number[] = [78];

/** A node's process and its successors. */
export class NodeProcess {
  readonly node: LocalNode;
  readonly #listener: ProcessListener;
  #child: ChildProcess | undefined;
  #restart: NodeJS.Timeout | undefined;
  #pauseMs = RESTART_MIN_MS;
  #isStopping = false;

  constructor(node: LocalNode, listener: ProcessListener) {
    this.node = node;
    this.#listener = listener;
  }

  /** The process that runs now. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts the process. It gets a process group of its own: Ctrl-C reaches it through this class only, and once. */
  start(): void {
    const startedMs = Date.now();
    const child = spawn(process.execPath, ["--import", FOLLOW_PARENT, MAIN, "server"], {
      detached: true,
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      env: { ...withoutSettings(process.env), ...this.node.env },
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      if (stream !== null)
        createInterface({ input: stream }).on("line", (line) => this.#listener.onLine(this.node, line));
    }
    child.once("error", (error) => this.#ended(`could not be started: ${error.message}`, undefined));
    child.once("exit", (code, signal) => {
      const isHopeless = code !== null && HOPELESS_CODES.includes(code);
      const livedMs = Date.now() - startedMs;
      this.#pauseMs = livedMs >= LIVED_WELL_MS ? RESTART_MIN_MS : this.#pauseMs;
      this.#ended(signal === null ? `exit code ${code}` : signal, isHopeless ? undefined : this.#pauseMs);
    });
    if (child.pid !== undefined) this.#listener.onStart(this.node, child.pid);
  }

  /** Ends the process and waits for it; resolves with how it ended. A node that is not running resolves at once. */
  async stop(signal: NodeJS.Signals): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child === undefined) return;
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.kill(signal);
    await ended;
  }

  #ended(how: string, restartMs: number | undefined): void {
    if (this.#child === undefined) return;
    this.#child = undefined;
    if (this.#isStopping) return;
    this.#listener.onEnd(this.node, how, restartMs);
    if (restartMs === undefined) return;
    this.#pauseMs = Math.min(RESTART_MAX_MS, this.#pauseMs * 2);
    this.#restart = setTimeout(() => this.start(), restartMs);
  }
}

/** The environment without gyre's own settings: those of a node come from the layout. */
function withoutSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith("GYRE_")));
}
