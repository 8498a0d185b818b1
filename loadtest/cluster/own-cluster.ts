/**
 * A cluster of the load test's own: nodes as processes on free ports of this machine, with data in the run's directory, so that
 * they can be killed, frozen and cut off. Through `gyre server` only, as anybody would start them. Must never end a process that it
 * did not start, and never leave one behind.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Relay } from "./relay.ts";

const SERVICES = join(import.meta.dirname, "../../services");
const HOST = "127.0.0.1";
const READY_MS = 60_000;
const STOP_MS = 15_000;
const POLL_MS = 50;
const LOG_BYTES = 2_000;

interface Shape {
  readonly nodeCount: number;
  readonly directory: string;
  /** nodes reach each other through relays, which can cut them off */
  readonly isSplittable: boolean;
}

async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const server = createServer().listen(0, HOST, () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** True when the node says that it can serve. */
export async function isReady(target: string): Promise<boolean> {
  const answer = await fetch(`${target}/readyz`, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined);
  await answer?.arrayBuffer().catch(() => undefined);
  return answer?.ok === true;
}

/** Nodes by number from 1. */
export class OwnCluster implements AsyncDisposable {
  readonly #shape: Shape;
  readonly #httpPorts: readonly number[];
  readonly #peerPorts: readonly number[];
  readonly #children = new Map<number, ChildProcess>();
  readonly #relay: Relay | undefined;

  private constructor(shape: Shape, ports: readonly number[], relay: Relay | undefined) {
    this.#shape = shape;
    this.#httpPorts = ports.slice(0, shape.nodeCount);
    this.#peerPorts = ports.slice(shape.nodeCount);
    this.#relay = relay;
  }

  /** Starts the nodes and waits until all are ready. Throws with the log of one that is not within a minute. */
  static async start(shape: Shape): Promise<OwnCluster> {
    mkdirSync(shape.directory, { recursive: true });
    const ports = await freePorts(shape.nodeCount * 2);
    const relay = shape.isSplittable ? await Relay.start(ports.slice(shape.nodeCount)) : undefined;
    const cluster = new OwnCluster(shape, ports, relay);
    try {
      for (let node = 1; node <= shape.nodeCount; node += 1) cluster.spawn(node);
      await cluster.untilReady();
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
    return cluster;
  }

  /** What became of nodes that ended although nobody ended them, in words with their log; undefined: all live. */
  get deaths(): string | undefined {
    const dead = [...this.#children].filter(([, child]) => child.exitCode !== null || child.signalCode !== null);
    if (dead.length === 0) return undefined;
    const texts = dead.map(([node, { exitCode, signalCode }]) => {
      return `node ${node} ended by itself (${signalCode ?? `exit code ${exitCode}`}); its log:\n${this.#logOf(node)}`;
    });
    return texts.join("\n");
  }

  /** The client addresses. */
  get targets(): readonly string[] {
    return this.#httpPorts.map((port) => `http://${HOST}:${port}`);
  }

  /** The client addresses of the nodes that are meant to run now. */
  get meantToRun(): readonly string[] {
    return this.targets.filter((_, i) => this.#children.has(i + 1));
  }

  /** Starts the process of a node, with the data that it has. */
  spawn(node: number): void {
    const log = openSync(join(this.#shape.directory, `n${node}.log`), "a");
    const peers = this.#peerPorts.map((port) => `${HOST}:${port}`);
    const reached = this.#relay?.addresses ?? peers;
    const own = Object.entries(process.env).filter(([name]) => !name.startsWith("GYRE_"));
    const child = spawn(
      process.execPath,
      ["--import", join(SERVICES, "cli/follow-parent.ts"), join(SERVICES, "main.ts"), "server"],
      {
        // A group of its own, so that Ctrl-C reaches it through this process only; it ends when this process is gone.
        detached: true,
        stdio: ["ignore", log, log, "ipc"],
        env: {
          ...Object.fromEntries(own),
          GYRE_NODE_ID: `n${node}`,
          GYRE_DATA_DIR: join(this.#shape.directory, `n${node}`),
          GYRE_HTTP: `${HOST}:${this.#httpPorts[node - 1]}`,
          GYRE_PEER: peers[node - 1] ?? "",
          GYRE_ADVERTISE: reached[node - 1] ?? "",
          GYRE_SEEDS: reached.join(","),
          GYRE_BOOTSTRAP_EXPECT: String(this.#shape.nodeCount),
          GYRE_HOST: `loadtest-${node}`,
          GYRE_DISK_RESERVE: "off",
          GYRE_LOG_LEVEL: "warn",
        },
      },
    );
    this.#children.set(node, child);
  }

  /** Waits until all nodes that run are ready. */
  async untilReady(): Promise<void> {
    const endsAt = performance.now() + READY_MS;
    for (const node of this.#children.keys()) {
      while (!(await isReady(this.targets[node - 1] ?? ""))) {
        if (this.deaths !== undefined) throw new Error(this.deaths);
        if (performance.now() > endsAt) {
          const log = this.#logOf(node);
          throw new Error(`node ${node} of the cluster was not ready within ${READY_MS / 1_000} s; its log:\n${log}`);
        }
        await pause(POLL_MS);
      }
    }
  }

  /** Ends a node at once, as a power cut ends its process. */
  async kill(node: number): Promise<void> {
    await this.#end(node, "SIGKILL");
  }

  /** Stops the process of a node where it is, or lets it go on. */
  freeze(node: number, isFrozen: boolean): void {
    this.#children.get(node)?.kill(isFrozen ? "SIGSTOP" : "SIGCONT");
  }

  /** Cuts a node off from all others, or joins it again. Clients reach it all the same. */
  cut(node: number, isCut: boolean): void {
    this.#relay?.cut(node, isCut);
  }

  /** Stops all nodes and forgets their data. */
  async [Symbol.asyncDispose](): Promise<void> {
    const numbers = [...this.#children.keys()];
    for (const node of numbers) this.freeze(node, false);
    await Promise.all(numbers.map((node) => this.#end(node, "SIGTERM")));
    await this.#relay?.close();
    for (const node of numbers) {
      rmSync(join(this.#shape.directory, `n${node}`), { recursive: true, force: true });
    }
  }

  #logOf(node: number): string {
    return readFileSync(join(this.#shape.directory, `n${node}.log`), "utf8").slice(-LOG_BYTES);
  }

  async #end(node: number, signal: NodeJS.Signals): Promise<void> {
    const child = this.#children.get(node);
    this.#children.delete(node);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    await new Promise<void>((resolve) => {
      const force = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
      child.once("exit", () => {
        clearTimeout(force);
        resolve();
      });
      child.kill(signal);
    });
  }
}
