/**
 * `npm run accept:peer-tls`: three nodes under load take up TLS between them as docs/TLS-AND-TOKENS.md tells, one node after the other,
 * in three rounds, and lay it down again by the same way. Ends with exit code 1 when a promise was broken, an operation failed for
 * long, a node was not healthy after its start, a link was refused for TLS, or a port took links without TLS where it must not, or
 * none where it must. About a minute.
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestCa } from "../support/certificates.ts";
import { RealCluster, until } from "./cluster.ts";
import { look } from "./elastic-story.ts";
import { OracleLoad } from "./oracle-load.ts";

const NODES = [0, 1, 2];
const READY_MS = 30_000;
const LONGEST_FAILURE_MS = 2_000;
const ANSWER_MS = 2_000;
const UPGRADE = "GET /peer HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: gyre-peer\r\n\r\n";
const ROUNDS = ["accept", "prefer", "required"] as const;
type Mode = (typeof ROUNDS)[number] | "none";
const startedAt = performance.now();

function tell(text: string): void {
  process.stdout.write(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s  ${text}\n`);
}

function filesIn(directory: string): Readonly<Record<string, string>> {
  const ca = new TestCa("nodes' CA");
  const { cert, key } = ca.issue({ name: "node", hosts: ["127.0.0.1"] });
  const write = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text, { mode: 0o600 });
    return join(directory, name);
  };
  return {
    GYRE_PEER_TLS_CERT: write("node.pem", cert),
    GYRE_PEER_TLS_KEY: write("node.key", key),
    GYRE_PEER_TLS_CA: write("ca.pem", ca.cert),
  };
}

function envAt(mode: Mode, files: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  if (mode === "none") return {};
  return mode === "required" ? files : { ...files, GYRE_PEER_TLS_MODE: mode };
}

/** Connections without TLS that a node told of since the n-th line of its log. */
function withoutTls(cluster: RealCluster, node: number, from: number): number {
  const lines = cluster.logged(node).slice(from);
  return lines.filter(({ event }) => event === "peers.connection-without-tls").length;
}

/** What a port of links answers first to an upgrade without TLS; empty when it ends the connection. */
function answerWithoutTls(address: string): Promise<string> {
  const [host = "", port] = address.split(":");
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(port), timeout: ANSWER_MS }, () => socket.write(UPGRADE));
    const end = (answer: string): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("data", (part: Buffer) => end(part.toString().split("\r\n", 1)[0] ?? ""));
    socket.once("timeout", () => end("nothing, and did not end"));
    socket.once("error", () => end(""));
    socket.once("close", () => end(""));
  });
}

/** How many links a node refused, and how many of its dials failed, because of TLS. */
function mistrusted(cluster: RealCluster, node: number): number {
  const isMistrust = ({ event, level }: Readonly<Record<string, unknown>>): boolean =>
    event === "peers.tls-refused" || (event === "peers.dial-failed" && level === "warn");
  return cluster.logged(node).filter(isMistrust).length;
}

class Story {
  readonly #cluster: RealCluster;
  readonly #files: Readonly<Record<string, string>>;
  live: readonly number[] = NODES;

  constructor(cluster: RealCluster, files: Readonly<Record<string, string>>) {
    this.#cluster = cluster;
    this.#files = files;
  }

  /** One round: each node is started again with other settings, the next when it is ready and the cluster healthy. */
  async round(mode: Mode): Promise<void> {
    const from = NODES.map((node) => this.#cluster.logged(node).length);
    for (const node of NODES) {
      this.live = NODES.filter((one) => one !== node);
      await this.#cluster.stop(node);
      this.#cluster.spawn(node, envAt(mode, this.#files));
      await this.#cluster.untilReady([node], READY_MS);
      const isHealthy = async (): Promise<boolean> => (await look(this.#cluster, node))?.verdict === "healthy";
      await until(`healthy with n${node + 1} at ${mode}`, isHealthy, READY_MS);
      this.live = NODES;
    }
    const plain = NODES.map((node) => withoutTls(this.#cluster, node, from[node] ?? 0));
    tell(`all at ${mode}; lines of connections without TLS in this round: ${plain.join(", ")}`);
  }
}

async function main(directory: string): Promise<boolean> {
  await using cluster = await RealCluster.start(3, { GYRE_PARTITIONS: "64" });
  const story = new Story(cluster, filesIn(directory));
  const load = new OracleLoad(cluster, { sessionCount: 4, keyCount: 200, seed: 1, thinkMs: 5 }, () => story.live);
  load.start();
  tell("3 nodes without TLS between them, under load");
  for (const mode of ROUNDS) await story.round(mode);
  const there = await Promise.all(NODES.map((node) => answerWithoutTls(cluster.peerAddress(node))));
  for (const mode of ["prefer", "accept", "none"] as const) await story.round(mode);
  const back = await Promise.all(NODES.map((node) => answerWithoutTls(cluster.peerAddress(node))));
  tell(`answers to an upgrade without TLS: at required ${JSON.stringify(there)}, at none ${JSON.stringify(back)}`);
  // Each node told of the one that was tried at required, and of nothing else.
  const told = NODES.map((node) => mistrusted(cluster, node));
  tell(
    `links refused and dials failed for TLS, there and back: ${told.join(", ")}; one each is the upgrade tried at required`,
  );
  await load.stop();
  const unread = await load.judge(1, "at the end");
  const { operationCount, failedCount, longestFailureMs, longestFailureText } = load.counts;
  const { violations } = load.oracle;
  tell(`load: ${operationCount} operations, ${failedCount} failed and tried again`);
  tell(`longest that an operation failed: ${longestFailureMs.toFixed(0)} ms (${longestFailureText.slice(0, 400)})`);
  tell(
    `broken promises: ${violations.length} ${JSON.stringify(violations.slice(0, 5))}; keys unread: ${unread.length}`,
  );
  const isPrompt = longestFailureMs <= LONGEST_FAILURE_MS;
  const isTaken = there.every((answer) => answer === "") && back.every((answer) => answer.includes(" 101 "));
  const isTrusted = told.every((count) => count === 1);
  return isTaken && isTrusted && isPrompt && violations.length === 0 && unread.length === 0;
}

const directory = mkdtempSync(join(tmpdir(), "gyre-take-up-tls-"));
try {
  process.exitCode = (await main(directory)) ? 0 : 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
