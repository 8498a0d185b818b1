/** The check at the end of a run, against nodes that keep what they acknowledge and nodes that do not. */
import { createServer, type IncomingMessage, type Server } from "node:http";
import { afterEach, describe, expect, test } from "vitest";
import { checkData, loadRecords } from "../../../loadtest/data-check.ts";
import type { WriteRecord } from "../../../loadtest/driver/ledger.ts";
import { Ledger } from "../../../loadtest/driver/ledger.ts";
import { NodeClient } from "../../../loadtest/driver/node-client.ts";
import { Operations } from "../../../loadtest/driver/operations.ts";
import { Values } from "../../../loadtest/driver/values.ts";
import type { RunPlan } from "../../../loadtest/plan.ts";

const PLAN: RunPlan = {
  runId: "r",
  bucket: "b",
  targets: [],
  mix: { read: 1 },
  draw: "uniform",
  recordCount: 40,
  valueBytes: 300,
  rate: 1,
  warmUpSeconds: 0,
  seconds: 1,
  seed: 1,
  timeoutMs: 1_000,
};

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** A store of one node, of which `keep` says whether it stores what it acknowledges, by the number of the write. */
class FakeNode {
  readonly values = new Map<string, unknown>();
  /** the first read of each key finds nothing */
  isShownLate = false;
  readonly #asked = new Set<string>();
  #server: Server | undefined;
  #writeCount = 0;

  async start(keep: (writeNumber: number) => "kept" | "forgotten" | "refused"): Promise<string> {
    const server = createServer((request, response) => {
      void (async () => {
        const [path = ""] = (request.url ?? "").split("?");
        const answer = (status: number, json: unknown): void => {
          response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(json));
        };
        if (request.method === "GET") {
          const isHidden = this.isShownLate && !this.#asked.has(path);
          this.#asked.add(path);
          const value = isHidden ? undefined : this.values.get(path);
          answer(
            value === undefined ? 404 : 200,
            value === undefined ? { code: "not_found" } : { value, context: "c" },
          );
          return;
        }
        const value: unknown = JSON.parse(await bodyOf(request));
        this.#writeCount += 1;
        const fate = keep(this.#writeCount);
        if (fate !== "forgotten") this.values.set(path, value);
        if (fate === "refused") answer(503, { code: "quorum_not_met", outcome: "not_applied" });
        else answer(200, { outcome: "applied", context: "c", acks: { fallbacks: 0 } });
      })();
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
  }
}

const ends: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function madeNode(keep: Parameters<FakeNode["start"]>[0]): Promise<string> {
  const node = new FakeNode();
  ends.push(() => node.stop());
  return node.start(keep);
}

function madeClient(...targets: readonly string[]): NodeClient {
  const client = new NodeClient(targets, 1_000, undefined);
  ends.push(() => client.close());
  return client;
}

/** Each loaded record written once more. */
async function overwritten(client: NodeClient, keys: readonly string[]): Promise<readonly WriteRecord[]> {
  const ledger = new Ledger("w");
  const values = new Values(PLAN.valueBytes);
  const operations = new Operations({ client, ledger, values, bucket: PLAN.bucket });
  for (const key of keys) await operations.run("update", key);
  return ledger.records;
}

/** All records loaded, then each written once more. */
async function loadedAndOverwritten(client: NodeClient): Promise<readonly WriteRecord[]> {
  const loaded = await loadRecords({ client, plan: PLAN });
  const keys = loaded.map(({ key }) => key);
  return [...loaded, ...(await overwritten(client, keys))];
}

describe("the check of the data", () => {
  test("finds nothing where everything is kept", async () => {
    const client = madeClient(await madeNode(() => "kept"));
    const writes = await loadedAndOverwritten(client);
    const verdict = await checkData({ client, plan: PLAN }, writes, 0);
    expect(verdict).toMatchObject({ keyCount: 40, appliedCount: 80, lostCount: 0, foreignCount: 0, damagedCount: 0 });
  });

  test("finds each acknowledged write that a node forgot", async () => {
    const client = madeClient(await madeNode((number) => (number > 40 && number % 10 === 0 ? "forgotten" : "kept")));
    const writes = await loadedAndOverwritten(client);
    const verdict = await checkData({ client, plan: PLAN }, writes, 0);
    expect(verdict.lostCount).toBe(4);
    expect(verdict.examples.join("\n")).toMatch(/lost .*"id":"w10".*; shown: l\d+/);
  });

  test("is as patient with the last key as with the first", async () => {
    const node = new FakeNode();
    ends.push(() => node.stop());
    const client = madeClient(await node.start(() => "kept"));
    // one more than are read at a time
    const plan = { ...PLAN, recordCount: 17 };
    const writes = await loadRecords({ client, plan });
    node.isShownLate = true;
    expect(await checkData({ client, plan }, writes, 400)).toMatchObject({ lostCount: 0, lateCount: 17 });
  });

  test("finds what took effect although it was refused", async () => {
    const client = madeClient(await madeNode((number) => (number === 50 ? "refused" : "kept")));
    const writes = await loadedAndOverwritten(client);
    expect(await checkData({ client, plan: PLAN }, writes, 0)).toMatchObject({ undeadCount: 1, refusedCount: 1 });
  });

  test("asks another node when one is not there, and counts that", async () => {
    const gone = await madeNode(() => "kept");
    await ends.splice(0)[0]?.();
    const client = madeClient(gone, await madeNode(() => "kept"));
    const ledger = new Ledger("w");
    const operations = new Operations({ client, ledger, values: new Values(300), bucket: "b" });
    const end = await operations.run("update", "k");
    expect(end).toMatchObject({ failure: undefined, retryCount: 1 });
    expect(ledger.records.map(({ outcome }) => outcome)).toEqual(["applied"]);
  });

  test("takes a write whose connection broke for one of unknown outcome, and does not repeat it", async () => {
    let requestCount = 0;
    const server = createServer((request) => {
      requestCount += 1;
      request.socket.destroy();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    ends.push(async () => {
      await new Promise((resolve) => server.close(resolve));
    });
    const address = server.address();
    const url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
    const ledger = new Ledger("w");
    const operations = new Operations({ client: madeClient(url, url), ledger, values: new Values(300), bucket: "b" });
    expect((await operations.run("append", "k")).failure).toMatch(/^lost/);
    expect(ledger.records.map(({ outcome }) => outcome)).toEqual(["unknown"]);
    expect(requestCount).toBe(1);
  });
});
