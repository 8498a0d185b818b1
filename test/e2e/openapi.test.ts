/**
 * The API by its document alone: a generic client that was given nothing but /openapi.json performs every operation on three real
 * nodes, and meets every error that can be met from outside; each answer is compared with the document. `overloaded` of a full
 * node, `shutting_down` and `internal_error` are provoked in test/unit/api/openapi-errors.test.ts.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ALL_CODES } from "../../services/api/openapi-problems.ts";
import type { ErrorCode } from "../../services/base/errors.ts";
import { MAX_SIBLINGS, MAX_TIMEOUT_MS, MAX_VALUE_BYTES } from "../../services/base/limits.ts";
import { FAILURES_AT_ONCE } from "../../services/base/security-limits.ts";
import { TOKEN_RANDOM_BYTES, tokenOf } from "../../services/security/token.ts";
import { at, COPY, operationsIn } from "../support/openapi-document.ts";
import { RealCluster, until } from "./cluster.ts";
import { type DiskFaults, FAULTS_VARIABLE } from "./faulty-fs.ts";
import { DocumentClient, type Told } from "./openapi-client.ts";

const HOOK = pathToFileURL(join(import.meta.dirname, "faulty-fs.ts")).href;
const CARTS = { bucket: "carts" };
/** The longest time that a request may take: the machine may be busy. */
const KEYS = { ...CARTS, timeout: MAX_TIMEOUT_MS };
/** A loaded machine may take this long for anything. */
const PATIENCE_MS = 45_000;
const TEXT = { "content-type": "text/plain" };
/** Provoked where no process is needed; see above. */
const ELSEWHERE: readonly ErrorCode[] = ["shutting_down", "internal_error"];

let directory: string;
let cluster: RealCluster;
let client: DocumentClient;
let slow: Promise<string>;
/** codes of the errors that came from other clusters */
const metByGuests = new Set<string>();

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "gyre-openapi-"));
  cluster = await RealCluster.start(3, { GYRE_PARTITIONS: "64", NODE_OPTIONS: `--import=${HOOK}` }, (node) => ({
    [FAULTS_VARIABLE]: join(directory, `${node}.json`),
  }));
  client = await DocumentClient.of(cluster.url(0));
  // A request that is never sent to its end: answered when its time is up, while the rest goes on.
  slow = rawAnswer(`GET /v1/kv/carts/slow HTTP/1.1\r\nhost: h\r\n`);
}, 60_000);
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

/** What the first node answers to these bytes, until it closes. */
function rawAnswer(bytes: string): Promise<string> {
  const { hostname, port } = new URL(cluster.url(0));
  return new Promise((resolve, reject) => {
    let all = "";
    const socket = connect(Number(port), hostname, () => socket.write(bytes));
    socket.setEncoding("utf8").on("data", (text) => {
      all += String(text);
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(all));
  });
}

/** Compares an answer in bytes with a shared answer of the document. */
function checkRaw(name: string, raw: string): Told {
  const [head = "", text = ""] = raw.split("\r\n\r\n");
  const [first = "", ...lines] = head.split("\r\n");
  const headers = lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]);
  return client.checkShared(name, Number(first.split(" ")[1]), Object.fromEntries(headers), text);
}

/** Compares the answer to a request that has no operation. */
async function checkStray(name: string, method: string, path: string): Promise<Told> {
  const response = await fetch(cluster.url(0) + path, { method });
  const headers = Object.fromEntries(response.headers.entries());
  return client.checkShared(name, response.status, headers, await response.text());
}

async function put(key: string, value: unknown, more: Record<string, string> = {}): Promise<Told> {
  const told = await client.call("putKey", { params: { ...KEYS, key, ...more }, body: value });
  expect([told.status, told.body["outcome"]]).toEqual([200, "applied"]);
  return told;
}

async function ok(id: string, asked: Parameters<DocumentClient["call"]>[1] = {}): Promise<Told> {
  const told = await client.call(id, asked);
  expect([id, told.status, told.text.slice(0, 300)]).toEqual([id, 200, told.text.slice(0, 300)]);
  return told;
}

async function twoSiblings(key: string): Promise<void> {
  await put(key, 1, { blind: "sibling" });
  await put(key, 2, { blind: "sibling" });
}

describe("a client that knows the document alone", () => {
  test("reads the document that lies in the repository", () => {
    expect(client.document).toEqual(JSON.parse(readFileSync(COPY, "utf8")));
  });

  test("writes, reads, merges, deletes and lists keys", async () => {
    const first = await put("a b/ü%", { apples: 3 });
    const read = await ok("getKey", { params: { ...KEYS, key: "a b/ü%" } });
    expect(read.body).toMatchObject({ bucket: "carts", key: "a b/ü%", value: { apples: 3 } });
    const etag = String(read.headers.get("etag"));
    const same = await client.call("getKey", { params: { ...KEYS, key: "a b/ü%", "If-None-Match": etag } });
    expect([same.status, same.text]).toEqual([304, ""]);
    const context = String(first.body["context"]);
    await put("a b/ü%", { apples: 4 }, { "Gyre-Context": context, "Gyre-TTL": "3600", explain: "true" });
    const held = await ok("getKey", {
      params: { ...KEYS, key: "a b/ü%", r: "all", pr: 1, sloppy: "false", explain: "true" },
    });
    expect(held.body["value"]).toEqual({ apples: 4 });
    await ok("headKey", { params: { ...KEYS, key: "a b/ü%", "Gyre-Context": String(held.body["context"]) } });

    await twoSiblings("merged");
    const both = await ok("getKey", { params: { ...KEYS, key: "merged" } });
    expect(both.body["siblings"]).toHaveLength(2);
    await put("merged", 3, { "Gyre-Context": String(both.body["context"]) });
    expect((await ok("getKey", { params: { ...KEYS, key: "merged" } })).body["value"]).toBe(3);

    await ok("putKey", { params: { ...KEYS, key: "bytes" }, body: "héllo", headers: TEXT });
    expect((await ok("getKey", { params: { ...KEYS, key: "bytes" } })).body["base64"]).toBe("aMOpbGxv");
    for (const raw of [
      { params: { ...KEYS, key: "bytes", raw: "true" } },
      { params: { ...KEYS, key: "bytes" }, headers: { accept: "text/plain" } },
    ]) {
      expect((await ok("getKey", raw)).text).toBe("héllo");
    }
    await ok("deleteKey", { params: { ...KEYS, key: "bytes", w: "quorum", pw: 1 } });

    const page = await ok("listKeys", { params: { ...KEYS, limit: 1 } });
    expect(page.body["complete"]).toBe(false);
    await ok("listKeys", { params: { ...KEYS, cursor: String(page.body["cursor"]) } });
    expect((await ok("listKeys", { params: { ...KEYS, prefix: "mer" } })).body["keys"]).toEqual(["merged"]);
  });

  test("does many operations at once, each with its result", async () => {
    await twoSiblings("conflict");
    const ops = [
      { op: "put", key: "x", value: { n: 12_345_678_901_234_567_890n.toString() }, ttl: 60 },
      { op: "put", key: "y", base64: "aGk=", contentType: "text/plain" },
      ...["x", "y", "conflict", "nothing"].map((key) => ({ op: "get", key })),
      { op: "delete", key: "x" },
      { op: "put", key: "x" },
    ];
    const told = await ok("batchKeys", { params: { ...KEYS, r: 2, explain: "true" }, body: { ops } });
    const results = told.body["results"] as readonly { readonly status: number }[];
    expect(results.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 404, 200, 400]);
  });

  test("makes, changes, shows and removes settings of buckets", async () => {
    await ok("putBucket", { params: { bucket: "strict" }, body: { n: 3, blindWrites: "reject" } });
    await ok("patchBucket", { params: { bucket: "strict" }, body: { ttlSeconds: 60 } });
    expect((await ok("getBucket", { params: { bucket: "strict" } })).body).toMatchObject({
      blindWrites: "reject",
      ttlSeconds: 60,
    });
    const list = await ok("listBuckets");
    expect(list.body["buckets"]).toMatchObject([{ bucket: "strict", explicit: true }]);
    await ok("deleteBucket", { params: { bucket: "strict" } });
    expect((await ok("getBucket", { params: { bucket: "strict" } })).body["explicit"]).toBe(false);
  });

  test("looks at cluster, ring and node, and repairs", async () => {
    expect((await ok("getCluster")).body).toMatchObject({ verdict: "healthy", partitions: 64, replicas: 3 });
    await ok("getClusterHealth", { params: { consistency: "all" } });
    expect((await ok("getRing", { params: { from: 60, limit: 2 } })).body).toMatchObject({ next: 62 });
    await ok("getRing");
    expect((await ok("getKeyPlacement", { params: { ...CARTS, key: "a/b" } })).body["owners"]).toHaveLength(3);
    for (const params of [{ wait: "hints" }, { partition: 7 }, { ...CARTS }, { scrub: "true" }]) {
      await ok("repair", { params: { ...params, timeout: 30_000 } });
    }
    for (const id of ["getLivez", "getReadyz", "getStartupz"]) {
      await ok(id);
      await ok(id, { params: { verbose: "" } });
    }
    for (const id of ["getMetrics", "getOpenApi"]) await ok(id);
    for (const id of ["getFront", "getDocs", "getErrorDocs"]) {
      await ok(id);
      await ok(id, { headers: { accept: "text/html" } });
    }
  });

  test("brings a node in, lets it go, and takes that back", async () => {
    await using own = await RealCluster.start(3, { GYRE_PARTITIONS: "64" });
    const [added = 3] = await own.grow(1, { GYRE_JOIN: "manual" });
    const [url, first] = [own.url(added), own.url(0)];
    const isUp = (): Promise<boolean> =>
      fetch(`${url}/livez`).then(
        () => true,
        () => false,
      );
    await until("n4 listens", isUp, PATIENCE_MS);
    // Not yet a member: it cannot coordinate.
    expect((await client.call("getKey", { url, params: { ...KEYS, key: "x" } })).body["code"]).toBe("not_ready");
    expect((await client.call("getReadyz", { url })).status).toBe(503);
    const changes = [{ kind: "join", node: "n4" }];
    const isAllowed = ({ body }: Told): boolean => body["allowed"] === true;
    const plan = await until200("planChanges", { url: first, body: { changes } }, isAllowed);
    await ok("commitPlan", { url: first, body: { planHash: plan.body["planHash"], changes } });
    const isHeld = ({ body }: Told): boolean => at(body, "moves", "copiesLeft") === 0 && slotsOf(body, "n4") > 0;
    await until200("getCluster", { url }, isHeld);
    // Slots that go to the third node cannot move now, so that the leave is still under way when it is taken back.
    own.signal(2, "SIGSTOP");
    await ok("leaveCluster", { url, body: {} });
    await ok("abortChanges", { url, body: { node: "n4" } });
  }, 90_000);

  test("has now performed every operation of the document", () => {
    const all = operationsIn(client.document).map(({ id }) => id);
    expect([...client.performed].toSorted()).toEqual(all.toSorted());
  });
});

/** Asks until the answer is 200 and as wanted: what other nodes know reaches this one in its own time. */
async function until200(
  id: string,
  asked: Parameters<DocumentClient["call"]>[1],
  isIt: (told: Told) => boolean,
): Promise<Told> {
  let told = await client.call(id, asked);
  await until(
    `${id} is as wanted`,
    async () => {
      told = await client.call(id, asked);
      return told.status === 200 && isIt(told);
    },
    PATIENCE_MS,
  );
  return told;
}

/** Slots that a member holds, by GET /v1/cluster. */
function slotsOf(body: unknown, node: string): number {
  const all = (at(body, "members") ?? []) as readonly { readonly node: string; readonly slotsHeld: number }[];
  return all.find((member) => member.node === node)?.slotsHeld ?? 0;
}

function breakDisks(faults: DiskFaults): void {
  for (const node of [0, 1, 2]) writeFileSync(join(directory, `${node}.json`), JSON.stringify(faults));
}

/** How to meet each error, by its code; each answers the error. In this order: the last ones end nodes. */
const PROVOKED: Readonly<Partial<Record<ErrorCode, () => Promise<Told>>>> = {
  invalid_request: () => client.call("getKey", { params: { ...KEYS, key: "k" }, query: { rr: "2" } }),
  invalid_context: () => client.call("getKey", { params: { ...KEYS, key: "k", "Gyre-Context": "of-nobody" } }),
  quorum_exceeds_n: () => client.call("getKey", { params: { ...KEYS, key: "k", r: 5 } }),
  not_found: () => client.call("getKey", { params: { ...KEYS, key: "never" } }),
  deleted: async () => {
    await put("gone", 1);
    await client.call("deleteKey", { params: { ...KEYS, key: "gone" } });
    return client.call("getKey", { params: { ...KEYS, key: "gone" } });
  },
  no_such_route: () => checkStray("NoSuchRoute", "GET", "/v1/nowhere"),
  method_not_allowed: () => checkStray("MethodNotAllowed", "PATCH", "/v1/kv/carts/k"),
  siblings: async () => {
    await twoSiblings("two");
    return client.call("getKey", { params: { ...KEYS, key: "two", raw: "true" } });
  },
  // Two nodes cannot hold three replicas.
  change_refused: () => client.call("leaveCluster"),
  plan_changed: () => client.call("commitPlan", { body: { planHash: "00112233445566aa" } }),
  value_too_large: () =>
    client.call("putKey", { params: { ...KEYS, key: "k" }, body: "x".repeat(MAX_VALUE_BYTES + 1), headers: TEXT }),
  too_many_siblings: async () => {
    for (let i = 0; i < MAX_SIBLINGS; i += 1) await put("many", i, { blind: "sibling" });
    return client.call("putKey", { params: { ...KEYS, key: "many", blind: "sibling" }, body: 0 });
  },
  unsupported_media_type: () =>
    client.call("putKey", {
      params: { ...KEYS, key: "k" },
      body: "a=b",
      headers: { "content-type": "multipart/form-data" },
    }),
  context_required: () => client.call("putKey", { params: { ...KEYS, key: "k", blind: "reject" }, body: 1 }),
  forbidden: () => client.call("leaveCluster", { headers: { origin: "http://another.example" } }),
  disk_full: async () => {
    breakDisks({ isFull: true, freeShare: 0 });
    const ask = (w = "quorum"): Promise<Told> => client.call("putKey", { params: { ...KEYS, key: "k", w }, body: "x" });
    let told = await ask();
    await until("the disks are full", async () => (told = await ask()).status === 507, PATIENCE_MS);
    breakDisks({});
    await until("all disks have room", async () => (await ask("all")).status === 200, PATIENCE_MS);
    return told;
  },
  // Only the first node has the newer version, and it is gone when the others are asked.
  stale: async () => {
    await put("newer", 1, { w: "all" });
    await Promise.all([cluster.kill(1), cluster.kill(2)]);
    const { body } = await put("newer", 2, { w: "one", sloppy: "false" });
    await cluster.kill(0);
    for (const node of [1, 2]) cluster.spawn(node);
    await cluster.untilReady([1, 2]);
    const params = { ...KEYS, key: "newer", "Gyre-Context": String(body["context"]), timeout: 1000 };
    const ask = (): Promise<Told> => client.call("getKey", { url: cluster.url(1), params });
    let told = await ask();
    // Right after a start the nodes have not found each other.
    await until("both have answered", async () => (told = await ask()).body["code"] !== "quorum_not_met", PATIENCE_MS);
    return told;
  },
  not_finished: () => client.call("repair", { url: cluster.url(1), params: { all: "true", timeout: 50 } }),
  quorum_not_met: () =>
    client.call("putKey", {
      url: cluster.url(1),
      params: { ...KEYS, key: "k", w: "all", sloppy: "false", timeout: 200 },
      body: 1,
    }),
};

describe("every documented error", () => {
  test("of time and size of a request is answered as the document says, whatever the path", async () => {
    const late = checkRaw("NotSentInTime", await slow);
    expect([late.status, late.body["code"]]).toEqual([408, "invalid_request"]);
    const long = checkRaw(
      "HeadersTooLarge",
      await rawAnswer(`GET / HTTP/1.1\r\nhost: h\r\nx: ${"a".repeat(40_000)}\r\n\r\n`),
    );
    expect([long.status, long.body["code"]]).toEqual([431, "invalid_request"]);
  }, 40_000);

  test("of tokens comes from a node that was told of them: none, one without the right, too many without", async () => {
    const { text, id, sha256 } = tokenOf(randomBytes(TOKEN_RANDOM_BYTES));
    const file = join(directory, "tokens.json");
    const grants = [{ rights: ["read"], buckets: ["carts"] }];
    writeFileSync(file, JSON.stringify({ principals: [{ name: "shop", grants, tokens: [{ id, sha256 }] }] }), {
      mode: 0o600,
    });
    await using guarded = await RealCluster.start(1, { GYRE_TOKENS_FILE: file, GYRE_PARTITIONS: "64", GYRE_N: "1" });
    const guest = await DocumentClient.of(guarded.url(0));
    const headers = { authorization: `Bearer ${text}` };
    const params = { ...KEYS, key: "k" };
    expect((await guest.call("getKey", { params, headers })).body["code"]).toBe("not_found");
    const told = await guest.call("putKey", { params, headers, body: 1 });
    expect([told.status, told.body["code"]]).toEqual([403, "forbidden"]);
    expect((await guest.call("getKey", { params })).body["code"]).toBe("unauthenticated");
    for (let i = 0; i < FAILURES_AT_ONCE + 5; i += 1) await guest.call("getCluster");
    for (const code of guest.met.keys()) metByGuests.add(code);
    expect([...guest.met].map(([code, statuses]) => [code, ...statuses])).toEqual([
      ["not_found", 404],
      ["forbidden", 403],
      ["unauthenticated", 401],
      ["overloaded", 429],
    ]);
  }, 40_000);

  test.each(Object.entries(PROVOKED))(
    "%s can be provoked, and looks as documented",
    async (code, provoke) => {
      expect((await provoke()).body["code"]).toBe(code);
    },
    60_000,
  );

  test("was met, here or in the unit test that says so", () => {
    const met = new Set<string>([...client.met.keys(), ...metByGuests, ...ELSEWHERE]);
    expect([...met].toSorted()).toEqual(ALL_CODES.toSorted());
  });
});
