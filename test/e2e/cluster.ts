/**
 * A cluster of real processes, on loopback or wherever a place puts them, for end-to-end tests: started, killed and stopped by
 * node number, with its data in a temporary directory. Must never end a process that it did not start, and never leave one behind.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const MAIN = join(import.meta.dirname, "../../services/main.ts");
const LOOPBACK_HOST = "127.0.0.1";

/** Where the processes of a cluster run. Ports that are free on this machine's loopback must be free there. */
export interface Place {
  /** The address of a node, for the other nodes and for this process. */
  hostOf(node: number): string;
  /** The command that runs `command` there, in one process. */
  commandAt(node: number, command: readonly string[]): readonly string[];
}

const LOOPBACK: Place = { hostOf: () => LOOPBACK_HOST, commandAt: (_, command) => command };

/** Resolves after `ms` of real time: for polling other processes only. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * A machine whose host gives its processors to others may take this long for anything. It guards against what never comes:
 * what is promised in seconds is asserted beside it.
 */
export const PATIENCE_MS = 120_000;

/** Polls until `isSo`; answers how long that took, ms. Throws in `what`'s words after `timeoutMs`. */
export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  timeoutMs: number = PATIENCE_MS,
): Promise<number> {
  const startedAt = performance.now();
  while (!(await isSo())) {
    if (performance.now() - startedAt > timeoutMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await pause(20);
  }
  return performance.now() - startedAt;
}

/** Below those that the system gives to whoever dials: a node that comes back must find its own port free. */
const PORTS = { first: 20_000, count: 12_000 };
const PORT_TRIES = 200;

async function freePorts(count: number): Promise<readonly number[]> {
  const servers: Server[] = [];
  for (let tries = 0; servers.length < count; tries += 1) {
    if (tries === PORT_TRIES) throw new Error(`no ${count} free ports from ${PORTS.first} on`);
    const server = await listening(PORTS.first + Math.floor(Math.random() * PORTS.count));
    if (server !== undefined) servers.push(server);
  }
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Undefined: somebody has it. */
function listening(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer().listen(port, LOOPBACK_HOST, () => resolve(server));
    server.once("error", () => resolve(undefined));
  });
}

/** What all nodes are told, what each alone, and where they run. */
interface Circumstances {
  readonly env: Readonly<Record<string, string>>;
  readonly envOf: (node: number) => Readonly<Record<string, string>>;
  readonly place: Place;
}

/** Three (or more) nodes as processes. */
export class RealCluster implements AsyncDisposable {
  readonly #directory: string;
  readonly #httpPorts: number[];
  readonly #peerPorts: number[];
  readonly #firstCount: number;
  readonly #env: Readonly<Record<string, string>>;
  readonly #envOf: (node: number) => Readonly<Record<string, string>>;
  readonly #place: Place;
  readonly #ownEnv = new Map<number, Readonly<Record<string, string>>>();
  readonly #children = new Map<number, ChildProcess>();

  private constructor(
    directory: string,
    ports: { readonly http: readonly number[]; readonly peer: readonly number[] },
    { env, envOf, place }: Circumstances,
  ) {
    this.#directory = directory;
    this.#httpPorts = [...ports.http];
    this.#peerPorts = [...ports.peer];
    this.#firstCount = ports.http.length;
    this.#env = env;
    this.#envOf = envOf;
    this.#place = place;
  }

  /** Starts `count` nodes and waits until all are ready; `envOf`: what a node alone is told at each start, late ones too. */
  static async start(
    count: number,
    env: Readonly<Record<string, string>> = {},
    envOf: (node: number) => Readonly<Record<string, string>> = () => ({}),
  ): Promise<RealCluster> {
    return RealCluster.#begin(count, { env, envOf, place: LOOPBACK });
  }

  /** Likewise, with each node where the place puts it. */
  static async startAt(place: Place, count: number, env: Readonly<Record<string, string>> = {}): Promise<RealCluster> {
    return RealCluster.#begin(count, { env, envOf: () => ({}), place });
  }

  static async #begin(count: number, circumstances: Circumstances): Promise<RealCluster> {
    const ports = await freePorts(count * 2);
    const directory = mkdtempSync(join(tmpdir(), "gyre-e2e-"));
    const cluster = new RealCluster(
      directory,
      { http: ports.slice(0, count), peer: ports.slice(count) },
      circumstances,
    );
    for (let i = 0; i < count; i += 1) cluster.spawn(i);
    try {
      await cluster.untilReady();
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
    return cluster;
  }

  /** Nodes that were ever started. */
  get size(): number {
    return this.#httpPorts.length;
  }

  /** Starts `count` more nodes, which join by themselves unless `env` says otherwise; answers their numbers at once. */
  async grow(count: number, env: Readonly<Record<string, string>> = {}): Promise<readonly number[]> {
    const ports = await freePorts(count * 2);
    this.#httpPorts.push(...ports.slice(0, count));
    this.#peerPorts.push(...ports.slice(count));
    const added = Array.from({ length: count }, (_, i) => this.size - count + i);
    for (const node of added) this.spawn(node, env);
    return added;
  }

  /** Removes the data of a node that does not run. */
  wipe(node: number): void {
    rmSync(this.dataOf(node), { recursive: true, force: true });
  }

  /** Where a node keeps its data. */
  dataOf(node: number): string {
    return join(this.#directory, `n${node + 1}`);
  }

  /** Gives a node that does not run yet a copy of another's data, as a cloned machine has. */
  cloneData(from: number, to: number): void {
    cpSync(this.dataOf(from), this.dataOf(to), { recursive: true });
  }

  /** The client URL of a node. With TLS, this process must believe its CA. */
  url(node: number): string {
    const { GYRE_TLS_CERT: tls } = { ...this.#env, ...this.#ownEnv.get(node) };
    return `${tls === undefined ? "http" : "https"}://${this.#place.hostOf(node)}:${this.#httpPorts[node]}`;
  }

  /** Where a node takes links, as `host:port`. */
  peerAddress(node: number): string {
    return `${this.#place.hostOf(node)}:${this.#peerPorts[node]}`;
  }

  /** What the node has logged so far. */
  log(node: number): string {
    return readFileSync(join(this.#directory, `${node}.log`), "utf8");
  }

  /** What the node has logged so far, line by line, of all its processes. */
  logged(node: number): readonly Readonly<Record<string, unknown>>[] {
    const lines = this.log(node).split("\n").slice(0, -1);
    return lines.filter((line) => line.startsWith("{")).map((line): Record<string, unknown> => JSON.parse(line));
  }

  /** Nodes whose process runs, by number. */
  get running(): readonly number[] {
    return [...this.#children.keys()].filter((node) => this.pid(node) !== undefined).toSorted((a, b) => a - b);
  }

  /** Of the process that runs; undefined when none does. */
  pid(node: number): number | undefined {
    const child = this.#children.get(node);
    return child?.exitCode === null && child.signalCode === null ? child.pid : undefined;
  }

  /** Starts the process of a node, without waiting; `env` is for this node alone and kept for later starts. */
  spawn(node: number, env: Readonly<Record<string, string>> | undefined = this.#ownEnv.get(node)): void {
    this.#ownEnv.set(node, env ?? {});
    const output = openSync(join(this.#directory, `${node}.log`), "a");
    const peers = this.#peerPorts.map((_, other) => this.peerAddress(other));
    const [command = "", ...words] = this.#place.commandAt(node, [process.execPath, MAIN, "server"]);
    const child = spawn(command, words, {
      stdio: ["ignore", output, output],
      env: {
        ...process.env,
        GYRE_NODE_ID: `n${node + 1}`,
        GYRE_DATA_DIR: this.dataOf(node),
        GYRE_HTTP: `${this.#place.hostOf(node)}:${this.#httpPorts[node]}`,
        GYRE_PEER: peers[node],
        GYRE_SEEDS: peers.slice(0, this.#firstCount).join(","),
        GYRE_BOOTSTRAP_EXPECT: String(this.#firstCount),
        GYRE_JOIN: "auto",
        GYRE_HOST: `host-${node + 1}`,
        ...this.#env,
        ...this.#envOf(node),
        ...env,
      },
    });
    this.#children.set(node, child);
  }

  /** Ends a node at once, as a power cut would end the process. */
  async kill(node: number): Promise<void> {
    await this.#end(node, "SIGKILL");
  }

  /** Stops a node as an operator would; resolves with its exit code. */
  async stop(node: number): Promise<number | null> {
    return this.#end(node, "SIGTERM");
  }

  /** The exit code of a node that ends by itself; throws after `timeoutMs`. */
  async untilEnded(node: number, timeoutMs: number = PATIENCE_MS): Promise<number | null> {
    const child = this.#children.get(node);
    await until(`n${node + 1} has ended`, () => this.pid(node) === undefined, timeoutMs);
    return child?.exitCode ?? null;
  }

  /** Sends a signal without waiting. */
  signal(node: number, signal: NodeJS.Signals): void {
    this.#children.get(node)?.kill(signal);
  }

  /** Waits until the nodes answer ready; throws with the node's log after `timeoutMs`. */
  async untilReady(
    nodes: readonly number[] = this.#httpPorts.map((_, i) => i),
    timeoutMs: number = PATIENCE_MS,
  ): Promise<void> {
    const endsAt = performance.now() + timeoutMs;
    for (const node of nodes) {
      while (!(await this.#isReady(node))) {
        if (performance.now() > endsAt) {
          throw new Error(
            `node ${node} was not ready within ${timeoutMs} ms; its log:\n${this.log(node).slice(-4_000)}`,
          );
        }
        await pause(25);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#children.keys()].map((node) => this.#end(node, "SIGKILL")));
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #isReady(node: number): Promise<boolean> {
    const answer = await fetch(`${this.url(node)}/readyz`).catch(() => undefined);
    await answer?.arrayBuffer();
    return answer?.ok === true;
  }

  async #end(node: number, signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#children.get(node);
    if (child === undefined) return null;
    this.#children.delete(node);
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    return new Promise((resolve) => {
      const force = setTimeout(() => child.kill("SIGKILL"), 15_000);
      child.once("exit", (code) => {
        clearTimeout(force);
        resolve(code);
      });
      child.kill(signal);
    });
  }
}
