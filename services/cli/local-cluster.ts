/**
 * `npm start`: a cluster of processes on this machine, for trying gyre out. Starts the nodes, waits until they are ready, says
 * how to use them, restarts the ones that die, and stops all of them cleanly. Data stays; started again, it is there.
 */
import { rmSync } from "node:fs";
import { createServer } from "node:net";
import { askNode } from "../client/http-node.ts";
import { lookAt } from "./cluster-look.ts";
import { type Command, UsageError } from "./command.ts";
import { type CliIo, EXIT } from "./io.ts";
import { keep, readKept } from "./local-kept.ts";
import {
  FIRST_HTTP_PORT,
  FIRST_PEER_PORT,
  LOCAL_DATA_DIR,
  type LocalCluster,
  type LocalNode,
  type LocalPlan,
  localNodes,
  MAX_LOCAL_NODES,
} from "./local-layout.ts";
import { type ShortLine, shortLine } from "./local-log.ts";
import { localNotes } from "./local-notes.ts";
import { NodeProcess } from "./node-process.ts";
import { ringSummary } from "./ring-summary.ts";

const DEFAULT_NODES = 3;
const READY_TIMEOUT_MS = 60_000;
const POLL_MS = 50;
const PARENT_POLL_MS = 500;
const PROBE_TIMEOUT_MS = 1_000;
const INFO = 30;
const WARN = 40;

interface Options extends LocalPlan {
  readonly isFresh: boolean;
  readonly isVerbose: boolean;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)));
  });
}

function isAlive(pid: number): boolean {
  try {
    return pid > 0 && pid !== process.pid && process.kill(pid, 0);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EPERM") return true;
    return false;
  }
}

/** Why the cluster cannot start, in words; undefined when nothing stands against it. */
async function obstacle(options: Options, nodes: readonly LocalNode[]): Promise<string | undefined> {
  const kept = readKept(options.dataDir);
  if (kept !== undefined && isAlive(kept.pid)) {
    return `a local cluster is running already in ${options.dataDir} (process ${kept.pid}); stop it first`;
  }
  for (const port of nodes.flatMap((node) => [node.httpPort, node.peerPort])) {
    if (!(await isFree(port))) return `port ${port} on 127.0.0.1 is in use by another program`;
  }
  return undefined;
}

interface Greeting {
  readonly nodes: readonly LocalNode[];
  readonly pids: readonly (number | undefined)[];
  readonly ring: string;
  /** what is not as it might be expected, a line each */
  readonly notes: readonly string[];
}

function greeting({ nodes, pids, ring, notes }: Greeting): string {
  const [first, second = first] = nodes;
  const width = Math.max(...nodes.map((node) => node.name.length));
  const addresses = nodes.map((node, at) => {
    const told = `process ${pids[at] ?? 0}, data in ${node.dataDir}`;
    return `  ${node.name.padEnd(width)}  ${node.clientUrl}   ${told}`;
  });
  return [
    "",
    `gyre is ready: ${nodes.length} node${nodes.length === 1 ? "" : "s"}, any of them takes any request`,
    "",
    ...addresses,
    "",
    ring,
    ...notes,
    "",
    "try it:",
    `  curl -X PUT ${first?.clientUrl}/v1/kv/demo/hello -d '{"greeting":"hello, ring"}'`,
    `  curl ${second?.clientUrl}/v1/kv/demo/hello`,
    "",
    "Ctrl-C stops the cluster; started again, the data is there.",
    "",
  ].join("\n");
}

/** The running cluster: its processes, and what they report. */
class LocalRun {
  readonly processes: readonly NodeProcess[];
  readonly #options: Options;
  #isReady = false;
  #hopeless: string | undefined;

  constructor(io: CliIo, options: Options, nodes: readonly LocalNode[]) {
    this.#options = options;
    const width = Math.max(...nodes.map((node) => node.name.length));
    const tell = (node: LocalNode, text: string): void => io.err(`${node.name.padEnd(width)} │ ${text}\n`);
    this.processes = nodes.map(
      (node) =>
        new NodeProcess(node, {
          onLine: (from, line) => {
            const short = shortLine(line);
            if (this.#isShown(short)) tell(from, short.text);
          },
          onStart: (from, pid) => {
            if (this.#isReady) tell(from, `started again, process ${pid}`);
          },
          onEnd: (from, how, restartMs) => {
            if (restartMs === undefined) this.#hopeless = `${from.name} ended with ${how}`;
            tell(from, `ended: ${how}${restartMs === undefined ? "" : `; starting again in ${restartMs} ms`}`);
          },
        }),
    );
  }

  /** Starts all and waits; a reason in words when they do not become ready. */
  async start(isCancelled: () => boolean): Promise<string | undefined> {
    for (const process of this.processes) process.start();
    const endsMs = Date.now() + READY_TIMEOUT_MS;
    for (const { node } of this.processes) {
      while (!(await isReady(node))) {
        if (isCancelled()) return "interrupted";
        if (this.#hopeless !== undefined) return this.#hopeless;
        if (Date.now() > endsMs) return `${node.name} was not ready within ${READY_TIMEOUT_MS / 1_000} s`;
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
    }
    this.#isReady = true;
    return undefined;
  }

  /** Stops all and waits for them. */
  async stop(signal: NodeJS.Signals): Promise<void> {
    this.#isReady = false;
    await Promise.all(this.processes.map((process) => process.stop(signal)));
  }

  /** While starting and stopping only complaints, then what changed; links come and go with the nodes, which is told anyway. */
  #isShown(line: ShortLine): boolean {
    if (this.#options.isVerbose || line.level > WARN) return true;
    return (line.level === WARN || (this.#isReady && line.level >= INFO)) && !line.event.startsWith("peers.");
  }
}

async function isReady(node: LocalNode): Promise<boolean> {
  const answer = await askNode(fetch, node.clientUrl, { method: "GET", path: "/readyz", timeoutMs: PROBE_TIMEOUT_MS });
  return answer.kind === "answered" && answer.status === 200;
}

/**
 * Calls `run` once when the parent process has ended. npm hands SIGTERM to the shell that it starts commands in, and that
 * shell dies without a word to us.
 */
function whenParentIsGone(run: () => void): () => void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    run();
  }, PARENT_POLL_MS);
  return () => clearInterval(timer);
}

/** What is kept of this run. Deletes the data of every earlier one first when it is to be fresh. */
function remembered(options: Options, nodes: readonly LocalNode[]): Omit<LocalCluster, "pid"> {
  const before = readKept(options.dataDir);
  if (options.isFresh) {
    const nodeCount = Math.max(nodes.length, before?.mostCount ?? 0);
    for (const node of localNodes({ ...options, nodeCount })) rmSync(node.dataDir, { recursive: true, force: true });
  }
  const kept = options.isFresh ? undefined : before;
  return {
    nodeCount: nodes.length,
    // Until all were ready once, nobody knows that there is a cluster: a start with another number may still make it.
    firstCount: kept?.firstCount ?? 0,
    mostCount: Math.max(nodes.length, kept?.mostCount ?? 0),
    clientUrls: nodes.map((node) => node.clientUrl),
  };
}

async function greetingOf(
  options: Options,
  nodes: readonly LocalNode[],
  pids: readonly (number | undefined)[],
): Promise<string> {
  const [told] = await lookAt(nodes.slice(0, 1).map((node) => node.clientUrl));
  const ring = told === undefined ? "" : ringSummary(told);
  return greeting({ nodes, pids, ring, notes: localNotes(options, told) });
}

async function runCluster(options: Options, io: CliIo): Promise<number> {
  const nodes = localNodes(options);
  const reason = await obstacle(options, nodes);
  if (reason !== undefined) {
    io.err(`gyre: ${reason}\n`);
    return EXIT.failed;
  }
  let kept = remembered(options, nodes);
  keep(options.dataDir, { ...kept, pid: process.pid });
  io.err(`starting ${nodes.length} nodes …\n`);
  const run = new LocalRun(io, options, nodes);
  let interruptions = 0;
  let wake = (): void => undefined;
  const interrupted = new Promise<void>((resolve) => {
    wake = resolve;
  });
  const interrupt = (): void => {
    interruptions += 1;
    wake();
    if (interruptions > 1) void run.stop("SIGKILL");
  };
  const release = io.onInterrupt(interrupt);
  const forget = io.env["npm_lifecycle_event"] === undefined ? release : whenParentIsGone(interrupt);
  const failure = await run.start(() => interruptions > 0);
  if (failure === undefined) {
    kept = { ...kept, firstCount: options.firstCount };
    keep(options.dataDir, { ...kept, pid: process.pid });
    const pids = run.processes.map((one) => one.pid);
    io.out(await greetingOf(options, nodes, pids));
    await interrupted;
  } else if (interruptions === 0) io.err(`gyre: ${failure}\n`);
  io.err("stopping … (once more to kill)\n");
  await run.stop("SIGTERM");
  release();
  forget();
  keep(options.dataDir, { ...kept, pid: 0 });
  io.err("stopped\n");
  return failure === undefined || interruptions > 0 ? EXIT.ok : EXIT.failed;
}

/** The command `gyre local`, which `npm start` runs. */
export const LOCAL_COMMAND: Command = {
  name: "local",
  usage: "",
  summary: "Runs a cluster of several nodes on this machine (npm start).",
  wordCount: [0, 0],
  flags: {
    nodes: {
      type: "string",
      value: "COUNT",
      meaning: `how many nodes, 1 to ${MAX_LOCAL_NODES}; default ${DEFAULT_NODES}, or as before`,
    },
    fresh: { type: "boolean", meaning: "delete the data first" },
    "http-port": {
      type: "string",
      value: "PORT",
      meaning: `client port of the first node; default ${FIRST_HTTP_PORT}`,
    },
    "peer-port": { type: "string", value: "PORT", meaning: `peer port of the first node; default ${FIRST_PEER_PORT}` },
    "data-dir": { type: "string", value: "PATH", meaning: `where the data is; default ${LOCAL_DATA_DIR}` },
    verbose: { type: "boolean", meaning: "show every log line of the nodes" },
  },
  run: async (line, io) => {
    const dataDir = line.text("data-dir") ?? LOCAL_DATA_DIR;
    const kept = line.isSet("fresh") ? undefined : readKept(dataDir);
    const nodeCount = line.number("nodes", kept?.nodeCount ?? DEFAULT_NODES, 1);
    if (nodeCount > MAX_LOCAL_NODES) throw new UsageError(`--nodes=${nodeCount}: at most ${MAX_LOCAL_NODES}`);
    const level = io.env["GYRE_LOG_LEVEL"];
    const env: Record<string, string> = level === undefined ? {} : { GYRE_LOG_LEVEL: level };
    const firstHttpPort = line.number("http-port", FIRST_HTTP_PORT, 1);
    const firstPeerPort = line.number("peer-port", FIRST_PEER_PORT, 1);
    const firstCount = kept === undefined || kept.firstCount === 0 ? nodeCount : kept.firstCount;
    const plan = { nodeCount, firstCount, dataDir, env, firstHttpPort, firstPeerPort };
    const isClash = Math.abs(firstHttpPort - firstPeerPort) < nodeCount;
    if (isClash) throw new UsageError("--http-port and --peer-port: the ports of the nodes would overlap");
    return runCluster({ ...plan, isFresh: line.isSet("fresh"), isVerbose: line.isSet("verbose") }, io);
  },
};
