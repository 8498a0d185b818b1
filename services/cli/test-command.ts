/**
 * `gyre test`: one cycle of a key through each node: written there, read through every other, replaced, deleted, and gone
 * everywhere. What an install ends with, and what a smoke test runs. Its keys lie in a bucket of their own and expire by
 * themselves. Must never touch a key that it did not make.
 */
import { randomUUID } from "node:crypto";
import { type ClientFailure, GyreClient, type ReadResult } from "../client/client.ts";
import type { Fetch } from "../client/http-node.ts";
import { type Command, type CommandLine, NODE_FLAGS } from "./command.ts";
import { fetchOf } from "./credentials.ts";
import { type CliIo, EXIT } from "./io.ts";
import { nodesOf } from "./nodes.ts";

const DEFAULT_BUCKET = "gyre-test";
const DEFAULT_TIMEOUT_MS = 5_000;
/** What a cycle that was interrupted leaves behind is gone by then, seconds. */
const TTL_SECONDS = "600";

/** What one node's cycle came to. */
type Cycle =
  | { readonly node: string; readonly isOk: true; readonly requestCount: number; readonly durationMs: number }
  | { readonly node: string; readonly isOk: false; readonly failed: string };

/** A step did not go as it must; the message says which, through which node, and how it went. */
class StepFailed extends Error {
  readonly code = "step_failed";
}

/** The nodes of one test, and the key that its cycles work on. */
class TestedCluster {
  readonly #clients: readonly GyreClient[];
  readonly #bucket: string;
  requestCount = 0;

  constructor(nodes: readonly string[], bucket: string, how: { readonly timeoutMs: number; readonly fetch: Fetch }) {
    // One node each, and one attempt: another one's help would hide what is wrong.
    this.#clients = nodes.map((node) => new GyreClient({ nodes: [node], ...how, maxAttempts: 1 }));
    this.#bucket = bucket;
  }

  /** Writes through one node and answers the context; throws `StepFailed`. */
  async put(at: number, key: string, value: string, context?: string): Promise<string> {
    this.requestCount += 1;
    const bytes = Buffer.from(JSON.stringify(value));
    const target = { bucket: this.#bucket, key };
    const options = { context, ttl: TTL_SECONDS };
    const done = await this.#client(at).put(target, { bytes, contentType: "application/json" }, options);
    if (done.kind === "failed") throw failed(`the write of "${value}"`, done);
    if (done.siblingCount > 1) throw new StepFailed(`${done.node}: the write of "${value}" stands beside another`);
    return done.context;
  }

  /** Deletes through one node and answers the context; throws `StepFailed`. */
  async delete(at: number, key: string, context: string): Promise<string> {
    this.requestCount += 1;
    const done = await this.#client(at).delete(this.#bucket, key, { context });
    if (done.kind === "failed") throw failed("the delete", done);
    return done.context;
  }

  /** Every node must read exactly this, or that nothing is there; throws `StepFailed`. */
  async expectEverywhere(key: string, value: string | undefined, context: string): Promise<void> {
    for (const client of this.#clients) {
      this.requestCount += 1;
      // With the context a node whose replicas lag behind says so, rather than answer with what was there before.
      const read = await client.get(this.#bucket, key, { context });
      if (read.kind === "failed") throw failed("the read", read);
      const [seen, wanted] = [wordsOf(read), value === undefined ? "nothing" : JSON.stringify(value)];
      if (seen !== wanted) throw new StepFailed(`${read.node}: read ${seen} where ${wanted} was expected`);
    }
  }

  #client(at: number): GyreClient {
    const client = this.#clients[at];
    if (client === undefined) throw new RangeError(`there is no node ${at}`);
    return client;
  }
}

function failed(what: string, { node, code, detail, outcome }: ClientFailure): StepFailed {
  return new StepFailed(`${node}: ${what} failed: ${code}: ${detail} (${outcome})`);
}

function wordsOf(read: Exclude<ReadResult, ClientFailure>): string {
  switch (read.kind) {
    case "found":
      return Buffer.from(read.bytes).toString("utf8").slice(0, 80);
    case "siblings":
      return `${read.siblings.length} concurrent versions`;
    case "absent":
      return "nothing";
  }
}

async function cycleThrough(node: string, at: number, cluster: TestedCluster): Promise<Cycle> {
  const startedAt = performance.now();
  const requestsBefore = cluster.requestCount;
  const key = `${randomUUID()}-${at}`;
  try {
    const first = await cluster.put(at, key, "first");
    await cluster.expectEverywhere(key, "first", first);
    const second = await cluster.put(at, key, "second", first);
    await cluster.expectEverywhere(key, "second", second);
    const gone = await cluster.delete(at, key, second);
    await cluster.expectEverywhere(key, undefined, gone);
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    return { node, isOk: false, failed: error.message };
  }
  const durationMs = Math.round(performance.now() - startedAt);
  return { node, isOk: true, requestCount: cluster.requestCount - requestsBefore, durationMs };
}

async function run(line: CommandLine, io: CliIo): Promise<number> {
  const nodes = nodesOf(line, io);
  const timeoutMs = line.number("timeout", DEFAULT_TIMEOUT_MS, 1);
  const cluster = new TestedCluster(nodes, line.text("bucket") ?? DEFAULT_BUCKET, {
    timeoutMs,
    fetch: fetchOf(line, io),
  });
  const cycles: Cycle[] = [];
  for (const [at, node] of nodes.entries()) {
    const cycle = await cycleThrough(node, at, cluster);
    cycles.push(cycle);
    if (!line.isSet("json")) tell(io, cycle);
  }
  const goodCount = cycles.filter(({ isOk }) => isOk).length;
  if (line.isSet("json"))
    io.out(`${JSON.stringify({ passed: goodCount, failed: nodes.length - goodCount, cycles })}\n`);
  else io.out(`${goodCount} of ${nodes.length} nodes pass\n`);
  return goodCount === nodes.length ? EXIT.ok : EXIT.failed;
}

function tell(io: CliIo, cycle: Cycle): void {
  if (cycle.isOk) io.out(`ok    ${cycle.node}  ${cycle.requestCount} requests, ${cycle.durationMs} ms\n`);
  else io.out(`FAIL  ${cycle.node}  ${cycle.failed}\n`);
}

/** The command. */
export const TEST_COMMAND: Command = {
  name: "test",
  usage: "",
  summary:
    "Writes, reads through every node, replaces and deletes a key, once through each node. Exit code 1: one failed.",
  wordCount: [0, 0],
  flags: {
    ...NODE_FLAGS,
    bucket: { type: "string", value: "NAME", meaning: `where its keys lie for a moment (default ${DEFAULT_BUCKET})` },
    timeout: {
      type: "string",
      value: "MS",
      meaning: `bound of one request, milliseconds (default ${DEFAULT_TIMEOUT_MS})`,
    },
  },
  run,
};
