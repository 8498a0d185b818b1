/** `npm start`, as a user has it: real processes, on ports that are free. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { PATIENCE_MS, pause } from "./cluster.ts";
import { ask, putJson, tryAsk } from "./http.ts";

const MAIN = join(import.meta.dirname, "../../services/main.ts");
/** Below the range from which the system gives ports to those who ask for any. */
const firstPort = 12_000 + (process.pid % 1_000) * 20;
const url = (node: number): string => `http://127.0.0.1:${firstPort + node}`;

const MOST_NODES = 5;
const PEER_PORTS = 10;

interface Running {
  readonly child: ChildProcess;
  output: string;
}

let folder: string;
const running: Running[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "gyre-local-"));
});
afterEach(async () => {
  await Promise.all(running.splice(0).map(({ child }) => ended(child, "SIGKILL")));
  // Nodes of a process that was killed stop a little later, and cleanly.
  for (let node = 0; node < MOST_NODES; node += 1) {
    for (const port of [firstPort + node, firstPort + PEER_PORTS + node]) {
      await until(`port ${port} free`, () => isFree(port));
    }
  }
  // one that npm ran is not ours to end, and the last that it writes is that it has
  await until("the cluster ended", () => keptPid() === undefined);
  rmSync(folder, { recursive: true, force: true });
});

function start(more: readonly string[] = []): Running {
  const ports = ["--http-port", String(firstPort), "--peer-port", String(firstPort + PEER_PORTS)];
  const child = spawn(process.execPath, [MAIN, "local", "--data-dir", folder, ...ports, ...more]);
  const one: Running = { child, output: "" };
  const take = (chunk: Buffer): void => {
    one.output += chunk.toString();
  };
  child.stdout.on("data", take);
  child.stderr.on("data", take);
  running.push(one);
  return one;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)));
  });
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const code = new Promise<number | null>((resolve) => child.once("exit", resolve));
  child.kill(signal);
  return code;
}

async function until(what: string, isSo: () => boolean | Promise<boolean>, withinMs = PATIENCE_MS): Promise<void> {
  const endsMs = performance.now() + withinMs;
  const last = running.at(-1);
  while (!(await isSo())) {
    const isOver = last?.child.exitCode !== null && what.startsWith("ready");
    if (performance.now() > endsMs || isOver) throw new Error(`not within ${withinMs} ms: ${what}\n${last?.output}`);
    await pause(50);
  }
}

async function keep(): Promise<void> {
  const { status, text } = await putJson(`${url(0)}/v1/kv/demo/kept`, { is: "kept" });
  expect([status, text]).toEqual([200, expect.stringContaining('"outcome":"applied"')]);
}

test("a local cluster starts, says how to use it, survives kill -9, stops cleanly, and has its data again", async () => {
  const first = start();
  await until("ready", () => first.output.includes("gyre is ready: 3 nodes"));
  expect(first.output).toContain(`curl -X PUT ${url(0)}/v1/kv/demo/hello -d '{"greeting":"hello, ring"}'`);
  expect(first.output).toMatch(/ring [0-9a-f]{16}: 1024 partitions, 3 replicas of each/);
  await keep();

  const second = start();
  expect(await new Promise((resolve) => second.child.once("exit", resolve))).toBe(1);
  expect(second.output).toContain("is running already");

  const victim = Number(/n2 .* process (\d+)/.exec(first.output)?.[1]);
  expect(victim).toBeGreaterThan(1);
  process.kill(victim, "SIGKILL");
  await until("n2 told as ended", () => first.output.includes("ended: SIGKILL; starting again"));
  await until("n2 back", async () => (await tryAsk(`${url(1)}/readyz`))?.status === 200);
  expect((await ask(`${url(1)}/v1/kv/demo/kept?raw=true`)).text).toBe('{"is":"kept"}');

  expect(await ended(first.child, "SIGINT")).toBe(0);
  expect(await tryAsk(`${url(0)}/livez`)).toBeUndefined();

  const again = start();
  await until("ready again", () => again.output.includes("gyre is ready"));
  expect((await ask(`${url(2)}/v1/kv/demo/kept?raw=true`)).text).toBe('{"is":"kept"}');
});

test("a local cluster of three that is started with five has five members in the end, and its data", async () => {
  const three = start();
  await until("ready", () => three.output.includes("gyre is ready: 3 nodes"));
  await keep();
  expect(await ended(three.child, "SIGINT")).toBe(0);

  const five = start(["--nodes", "5"]);
  await until("ready", () => five.output.includes("gyre is ready: 5 nodes"));
  expect(five.output).toMatch(/ {2}n5 {2}http:\/\/127\.0\.0\.1:\d+ /);
  // slots move at the pace of background work: it rests while others have the processors
  await until(
    "five members, each with its share",
    async () => {
      const answer = await tryAsk(`${url(4)}/v1/cluster`);
      const { members, verdict } = (answer?.body ?? {}) as { readonly members?: readonly Member[]; verdict?: string };
      const isWhole = members?.every(({ status, slotsHeld, slotsTarget }) => {
        return status === "normal" && slotsHeld === slotsTarget && slotsHeld > 0;
      });
      return members?.length === 5 && isWhole === true && verdict === "healthy";
    },
    3 * PATIENCE_MS,
  );
  expect((await ask(`${url(3)}/v1/kv/demo/kept?raw=true`)).text).toBe('{"is":"kept"}');
});

interface Member {
  readonly status: string;
  readonly slotsHeld: number;
  readonly slotsTarget: number;
}

test("the nodes of a local cluster stop when the process that runs them is killed", async () => {
  const one = start(["--nodes", "1"]);
  await until("ready", () => one.output.includes("gyre is ready: 1 node,"));
  await ended(one.child, "SIGKILL");
  await until("the node gone", async () => (await tryAsk(`${url(0)}/livez`)) === undefined);
  expect(one.child.signalCode).toBe("SIGKILL");
});

test("a local cluster that npm started stops when npm is ended", async () => {
  const flags = `--data-dir ${folder} --nodes 1 --http-port ${firstPort} --peer-port ${firstPort + PEER_PORTS}`;
  // Like npm: a shell in between, which does not hand signals on. The second command keeps it from becoming the first.
  const shell = spawn("sh", ["-c", `"${process.execPath}" "${MAIN}" local ${flags}; true`], {
    env: { ...process.env, npm_lifecycle_event: "start" },
    stdio: "ignore",
  });
  running.push({ child: shell, output: "" });
  await until("the node up", async () => (await tryAsk(`${url(0)}/readyz`))?.status === 200);
  expect(keptPid()).toBeGreaterThan(1);
  await ended(shell, "SIGTERM");
  await until("the node gone", async () => (await tryAsk(`${url(0)}/livez`)) === undefined);
  await until("the cluster ended", () => keptPid() === undefined);
  expect(shell.signalCode).toBe("SIGTERM");
});

/** The process that runs the cluster, as it says in its directory; undefined: none that is there. */
function keptPid(): number | undefined {
  try {
    const { pid } = JSON.parse(readFileSync(join(folder, "cluster.json"), "utf8")) as { readonly pid: number };
    process.kill(pid, 0);
    return pid === 0 ? undefined : pid;
  } catch {
    return undefined;
  }
}
