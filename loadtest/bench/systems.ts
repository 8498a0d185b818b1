/**
 * The systems under test, each behind the same shape: targets, how a PUT and a GET look on the wire, its processes. Must never
 * talk to anything but loopback.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type ServerProcess, startServer, stopServer, untilReady } from "./processes.ts";

const HOST = "127.0.0.1";

/** A system that can be loaded and, where it has them, lose a process. */
export interface SystemUnderTest {
  readonly name: string;
  readonly targets: readonly { readonly host: string; readonly port: number }[];
  servers(): readonly ServerProcess[];
  put(key: string, value: string, target: number): Buffer;
  get(key: string, target: number): Buffer;
  /** Ends one of its processes at once; only where `revive` exists. */
  readonly killOne?: () => Promise<void>;
  readonly revive?: () => Promise<void>;
  stop(): Promise<void>;
}

function httpRequest(method: string, at: { readonly path: string; readonly port: number }, body: string): Buffer {
  const head = `${method} ${at.path} HTTP/1.1\r\nhost: ${HOST}:${at.port}\r\n`;
  const type = body === "" ? "" : `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n`;
  return Buffer.from(`${head}${type}\r\n${body}`);
}

/** The bare Fastify server. */
export async function startFloor(at: {
  readonly dir: string;
  readonly port: number;
  readonly valueBytes: number;
}): Promise<SystemUnderTest> {
  const server = startServer({
    name: "floor",
    command: process.execPath,
    args: [join(import.meta.dirname, "floor-server.ts"), String(at.port), String(at.valueBytes)],
    env: {},
    logFile: join(at.dir, "floor.log"),
  });
  await untilReady(`http://${HOST}:${at.port}/readyz`, 20_000);
  return {
    name: "floor",
    targets: [{ host: HOST, port: at.port }],
    servers: () => [server],
    put: (key, value) => httpRequest("PUT", { path: `/v1/kv/bench/${key}`, port: at.port }, value),
    get: (key) => httpRequest("GET", { path: `/v1/kv/bench/${key}`, port: at.port }, ""),
    stop: () => stopServer(server),
  };
}

/** Three gyre nodes, durable, N=3, R=W=2. */
export async function startGyre(at: { readonly dir: string; readonly port: number }): Promise<SystemUnderTest> {
  const ports = [0, 1, 2].map((i) => at.port + i);
  const peers = ports.map((port) => `${HOST}:${port + 100}`);
  const start = (i: number): ServerProcess =>
    startServer({
      name: `gyre-${i + 1}`,
      command: process.execPath,
      args: [join(import.meta.dirname, "../../services/main.ts"), "server"],
      env: {
        GYRE_NODE_ID: `bench-${i + 1}`,
        GYRE_DATA_DIR: join(at.dir, `gyre-${i + 1}`),
        GYRE_HTTP: `${HOST}:${ports[i]}`,
        GYRE_PEER: peers[i] ?? "",
        GYRE_SEEDS: peers.join(","),
        GYRE_BOOTSTRAP_EXPECT: "3",
        GYRE_HOST: `bench-host-${i + 1}`,
        GYRE_LOG_LEVEL: "warn",
      },
      logFile: join(at.dir, `gyre-${i + 1}.log`),
    });
  const servers = ports.map((_, i) => start(i));
  const ready = async (): Promise<void> => {
    for (const port of ports) await untilReady(`http://${HOST}:${port}/readyz`, 30_000);
  };
  await ready();
  return {
    name: "gyre",
    targets: ports.map((port) => ({ host: HOST, port })),
    servers: () => servers,
    put: (key, value, target) => httpRequest("PUT", { path: `/v1/kv/bench/${key}`, port: ports[target] ?? 0 }, value),
    get: (key, target) => httpRequest("GET", { path: `/v1/kv/bench/${key}`, port: ports[target] ?? 0 }, ""),
    killOne: async () => {
      const last = servers[2];
      if (last !== undefined) await stopServer(last, "SIGKILL");
    },
    revive: async () => {
      servers[2] = start(2);
      await ready();
    },
    stop: async () => {
      await Promise.all(servers.map((server) => stopServer(server)));
    },
  };
}

/** Three etcd members through their JSON gateway; its puts go through consensus and fsync, its reads are linearizable. */
export async function startEtcd(at: { readonly dir: string; readonly port: number }): Promise<SystemUnderTest> {
  const ports = [0, 1, 2].map((i) => at.port + i);
  const cluster = ports.map((port, i) => `e${i + 1}=http://${HOST}:${port + 100}`).join(",");
  const servers = ports.map((port, i) => {
    const dataDir = join(at.dir, `etcd-${i + 1}`);
    return startServer({
      name: `etcd-${i + 1}`,
      command: "etcd",
      args: [
        ...["--name", `e${i + 1}`, "--data-dir", dataDir],
        ...["--listen-client-urls", `http://${HOST}:${port}`, "--advertise-client-urls", `http://${HOST}:${port}`],
        ...["--listen-peer-urls", `http://${HOST}:${port + 100}`],
        ...["--initial-advertise-peer-urls", `http://${HOST}:${port + 100}`],
        ...["--initial-cluster", cluster, "--initial-cluster-state", "new", "--log-level", "error"],
      ],
      env: {},
      logFile: join(at.dir, `etcd-${i + 1}.log`),
    });
  });
  for (const port of ports) await untilReady(`http://${HOST}:${port}/health`, 30_000);
  const encode = (text: string): string => Buffer.from(text).toString("base64");
  return {
    name: "etcd",
    targets: ports.map((port) => ({ host: HOST, port })),
    servers: () => servers,
    put: (key, value, target) =>
      httpRequest(
        "POST",
        { path: "/v3/kv/put", port: ports[target] ?? 0 },
        `{"key":"${encode(key)}","value":"${encode(value)}"}`,
      ),
    get: (key, target) =>
      httpRequest("POST", { path: "/v3/kv/range", port: ports[target] ?? 0 }, `{"key":"${encode(key)}"}`),
    stop: async () => {
      await Promise.all(servers.map((server) => stopServer(server)));
    },
  };
}

/** An empty directory for one run. */
export function freshDirectory(path: string): string {
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { recursive: true });
  return path;
}
