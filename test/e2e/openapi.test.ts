/**
 * The API by its document alone: a generic client that was given nothing but a node's /openapi.json performs every operation on
 * three real nodes, and meets every answer that the document has, of every operation; each is compared with the document.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ALL_CODES } from "../../services/api/openapi-problems.ts";
import type { ErrorCode } from "../../services/base/errors.ts";
import {
  MAX_BATCH_BYTES,
  MAX_HEADER_BYTES,
  MAX_INFLIGHT_BYTES,
  MAX_SIBLINGS,
  MAX_TIMEOUT_MS,
  MAX_VALUE_BYTES,
} from "../../services/base/limits.ts";
import { TOKEN_RANDOM_BYTES, tokenOf } from "../../services/security/token.ts";
import { at, COPY, operationsIn } from "../support/openapi-document.ts";
import { RealCluster, until } from "./cluster.ts";
import { type DiskFaults, FAULTS_VARIABLE } from "./faulty-fs.ts";
import { tryAsk } from "./http.ts";
import { type Asked, answersIn, askablesIn, DocumentClient, type Told } from "./openapi-client.ts";
import { DEFECT_HEADER, DEFECTS_VARIABLE, RELEASE_HEADER } from "./openapi-defects.ts";
import { Wire } from "./openapi-wire.ts";

const [DISK_HOOK, DEFECT_HOOK] = ["faulty-fs.ts", "openapi-defects.ts"].map(
  (name) => `--import=${pathToFileURL(join(import.meta.dirname, name)).href}`,
);
const CARTS = { bucket: "carts" };
/** The longest time that a request may take: the machine may be busy. */
const KEYS = { ...CARTS, timeout: MAX_TIMEOUT_MS };
/** More than patience, so that a test says what it waited for. */
const TEXT = "text/plain";
const HTML = "text/html; charset=utf-8";
const NEVER: Promise<never> = new Promise(() => {});

let directory: string;
let cluster: RealCluster;
let client: DocumentClient;
let late: { readonly wire: Wire; readonly answers: ReadonlyMap<string, Promise<Told>> } | undefined;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "gyre-openapi-"));
  const env = { GYRE_PARTITIONS: "64", NODE_OPTIONS: `${DISK_HOOK} ${DEFECT_HOOK}`, [DEFECTS_VARIABLE]: "1" };
  cluster = await RealCluster.start(3, env, (node) => ({ [FAULTS_VARIABLE]: join(directory, `${node}.json`) }));
  client = await DocumentClient.of(cluster.url(0));
  // Requests that are never sent to their end: answered when their time is up, while the rest goes on.
  const wire = await Wire.to(cluster.url(0), (head) => ({ now: head.slice(0, -2), later: NEVER }));
  const answers = new Map(having(408, "invalid_request").map((id) => [id, example(id, { url: wire.url })]));
  for (const answer of answers.values()) answer.catch(() => undefined);
  late = { wire, answers };
});
afterAll(async () => {
  // What did not start is not there.
  const begun: readonly (AsyncDisposable | undefined)[] = [cluster, late?.wire];
  for (const one of begun) await one?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

/** Operations whose document has this error; a HEAD, which tells the status alone, has those of the GET of its path. */
function having(status: number, code: ErrorCode): readonly string[] {
  const all = operationsIn(client.document);
  const lines = new Set(answersIn(client.document));
  const has = (id: string): boolean => lines.has(`${id} ${status} ${code}`);
  const found = all.filter(({ id, path, method }) => {
    const twin = method === "HEAD" ? all.find((one) => one.path === path && one.method === "GET") : undefined;
    return has(id) || (lines.has(`${id} ${status}`) && twin !== undefined && has(twin.id));
  });
  return found.map(({ id }) => id);
}

function hasBody(id: string): boolean {
  return operationsIn(client.document).find((one) => one.id === id)?.method !== "HEAD";
}

/** Performs an operation as the document's examples have it, and otherwise as asked. */
function example(id: string, asked: Asked = {}): Promise<Told> {
  const own = client.exampleOf(id);
  return client.call(id, { ...own, ...asked, params: { ...own.params, ...asked.params } });
}

/** Asks again while the node is overloaded: the machine may be busy, and a client that is told so waits. */
async function patiently(ask: () => Promise<Told>): Promise<Told> {
  let told = await ask();
  // A HEAD is not told the code.
  const isBusy = (): boolean => told.status === 503 && (told.text === "" || told.body["code"] === "overloaded");
  const isDone = async (): Promise<boolean> => {
    if (isBusy()) told = await ask();
    return !isBusy();
  };
  await until("the node is not overloaded", isDone);
  return told;
}

/** Asks operations for an error; answers those that met something else, each with that. */
async function missed(
  { status, code }: { readonly status: number; readonly code: ErrorCode },
  ask: (id: string) => Promise<Told>,
  ids: readonly string[] = having(status, code),
): Promise<readonly unknown[]> {
  const others: unknown[] = ids.length === 0 ? [`no operation has ${status} ${code}`] : [];
  for (const id of ids) {
    const isPatient = code !== "overloaded" && (status !== 503 || hasBody(id));
    const told = await (isPatient ? patiently(() => ask(id)) : ask(id));
    // A HEAD is told no code: that its status is that of the GET, asked in the same state, is all that can be seen.
    const isMet = told.status === status && (!hasBody(id) || told.body["code"] === code);
    if (!isMet) others.push({ id, status: told.status, body: told.body });
  }
  return others;
}

/** Compares the answer to a request that has no operation. */
async function checkStray(name: string, method: string, path: string): Promise<Told> {
  const response = await fetch(cluster.url(0) + path, { method });
  const headers = Object.fromEntries(response.headers.entries());
  return client.checkShared(name, response.status, headers, await response.text());
}

async function put(key: string, value: unknown, more: Record<string, string> = {}): Promise<Told> {
  const told = await patiently(() => client.call("putKey", { params: { ...KEYS, key, ...more }, body: value }));
  expect([told.status, told.body["outcome"]]).toEqual([200, "applied"]);
  return told;
}

async function ok(id: string, asked: Asked = {}): Promise<Told> {
  const told = await patiently(() => client.call(id, asked));
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
    const params = { ...KEYS, key: "a b/ü%", "If-None-Match": etag };
    const same = await patiently(() => client.call("getKey", { params }));
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

    await ok("putKey", { params: { ...KEYS, key: "bytes" }, body: "héllo", type: TEXT });
    expect((await ok("getKey", { params: { ...KEYS, key: "bytes" } })).body["base64"]).toBe("aMOpbGxv");
    for (const raw of [
      { params: { ...KEYS, key: "bytes", raw: "true" } },
      { params: { ...KEYS, key: "bytes" }, accept: TEXT },
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
      await ok(id, { accept: HTML });
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
    await until("n4 listens", isUp);
    // Not yet a member: it cannot coordinate.
    const changes = [{ kind: "join", node: "n4" }];
    const commit = { body: { planHash: "00112233445566aa", changes } };
    const ids = having(503, "not_ready").filter((id) => id !== "getLivez" && !id.endsWith("Bucket"));
    expect(
      await missed(
        { status: 503, code: "not_ready" },
        (id) => example(id, { url, ...(id === "commitPlan" ? commit : {}) }),
        ids,
      ),
    ).toEqual([]);
    const isAllowed = ({ body }: Told): boolean => body["allowed"] === true;
    const plan = await until200("planChanges", { url: first, body: { changes } }, isAllowed);
    await ok("commitPlan", { url: first, body: { planHash: plan.body["planHash"], changes } });
    const isHeld = ({ body }: Told): boolean => at(body, "moves", "copiesLeft") === 0 && slotsOf(body, "n4") > 0;
    await until200("getCluster", { url }, isHeld);
    // Slots that go to the third node cannot move now, so that the leave is still under way when it is taken back.
    own.signal(2, "SIGSTOP");
    await ok("leaveCluster", { url, body: {} });
    await ok("abortChanges", { url, body: { node: "n4" } });
    // Some partitions have no owner that this node can ask.
    for (const node of [0, 1]) own.signal(node, "SIGSTOP");
    expect(
      await missed({ status: 503, code: "quorum_not_met" }, (id) => example(id, { url, params: { timeout: 500 } }), [
        "listKeys",
      ]),
    ).toEqual([]);
  });

  test("asks with every parameter and every kind of body that the document has", async () => {
    const knobs = { r: "one", w: 2, pr: "one", pw: 1, sloppy: "true", timeout: MAX_TIMEOUT_MS, explain: "false" };
    const context = { "Gyre-Context": String((await put("knobs", 1)).body["context"]) };
    const params = { ...CARTS, key: "knobs", ...knobs };
    for (const id of ["getKey", "headKey"]) {
      await ok(id, { params: { ...params, ...context, raw: "false", "If-None-Match": '"0"' } });
    }
    const unless = { params: { ...params, "If-None-Match": "*" } };
    expect((await patiently(() => client.call("headKey", unless))).status).toBe(304);
    await ok("putKey", { params: { ...params, ...context, "Gyre-TTL": 60, blind: "overwrite" }, body: 2 });
    await ok("deleteKey", { params: { ...params, ...context } });
    await ok("batchKeys", { params: { ...CARTS, ...knobs }, body: { ops: [] } });
    await ok("repair", { params: { all: "true", timeout: 30_000 } });
    await ok("repair", { params: { wait: "hints", ignoreUnreachable: "true" } });
    expect(askablesIn(client.document).filter((one) => !client.taken.has(one))).toEqual([]);
  });

  test("has now performed every operation of the document", () => {
    const all = operationsIn(client.document).map(({ id }) => id);
    expect([...client.performed].toSorted()).toEqual(all.toSorted());
  });
});

/** Asks until the answer is 200 and as wanted: what other nodes know reaches this one in its own time. */
async function until200(id: string, asked: Asked, isIt: (told: Told) => boolean): Promise<Told> {
  let told = await client.call(id, asked);
  await until(`${id} is as wanted`, async () => {
    told = await client.call(id, asked);
    return told.status === 200 && isIt(told);
  });
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

/** The pages take any query; of these only what is no HTTP is refused. */
const ANY_QUERY: readonly string[] = ["getMetrics", "getFront", "getOpenApi", "getDocs", "getErrorDocs"];

/** Errors of any request: how each operation that has it meets it. */
const OF_ANY_REQUEST: readonly (readonly [number, ErrorCode, (id: string) => Promise<Told>])[] = [
  [
    400,
    "invalid_request",
    (id) =>
      ANY_QUERY.includes(id)
        ? through((head) => head.replace("\r\n", "\r\n no name: 1\r\n"), id)
        : example(id, { stray: { query: { rr: "2" } } }),
  ],
  // What a page of another site would send that has made its name lead to this machine.
  [403, "forbidden", (id) => example(id, { stray: { headers: { host: "another.example" } } })],
  [404, "no_such_route", (id) => through((head) => head.replace(" /v1/", " /v%31/"), id)],
  [413, "value_too_large", (id) => through((head) => announcing(head, MAX_BATCH_BYTES + 1), id)],
  [415, "unsupported_media_type", (id) => example(id, { body: "a=b", stray: { type: "nonsense" } })],
  [431, "invalid_request", (id) => example(id, { stray: { headers: { x: "a".repeat(MAX_HEADER_BYTES) } } })],
  [500, "internal_error", (id) => example(id, { stray: { headers: { [DEFECT_HEADER]: "content-length" } } })],
];

/** Performs an operation over a wire that changes the head. */
async function through(change: (head: string) => string, id: string): Promise<Told> {
  await using wire = await Wire.to(cluster.url(0), (head) => ({ now: change(head) }));
  return await example(id, { url: wire.url });
}

/** The head of a request whose body has so many bytes. */
function announcing(head: string, bytes: number): string {
  const others = head.replaceAll(/^(?:content-length|transfer-encoding):.*\r\n/gim, "");
  return others.replace(/\r\n$/, `content-length: ${bytes}\r\n\r\n`);
}

/** Errors of one request, by operation, status and code. */
const OF_ONE_REQUEST: readonly (readonly [number, ErrorCode, (id: string) => Promise<Told>])[] = [
  [400, "invalid_context", (id) => example(id, { params: { "Gyre-Context": "of-nobody" } })],
  [
    400,
    "quorum_exceeds_n",
    (id) => (id.endsWith("Bucket") ? example(id, { body: { n: 3, r: 4 } }) : example(id, { params: { r: 5, w: 5 } })),
  ],
  [404, "not_found", (id) => example(id, { params: { key: "never" } })],
  [
    404,
    "deleted",
    async (id) => {
      await put("gone", 1);
      await ok("deleteKey", { params: { ...KEYS, key: "gone" } });
      return example(id, { params: { key: "gone" } });
    },
  ],
  [
    409,
    "siblings",
    async (id) => {
      await twoSiblings(`two for ${id}`);
      return example(id, { params: { ...KEYS, key: `two for ${id}`, raw: "true" } });
    },
  ],
  // Two nodes cannot hold three replicas.
  [
    409,
    "change_refused",
    async (id) => {
      if (id === "leaveCluster") return example(id);
      if (id === "abortChanges") return example(id, { body: { node: "n9" } });
      const changes = [{ kind: "leave", node: "n3" }];
      const plan = await ok("planChanges", { body: { changes } });
      return example(id, { body: { planHash: plan.body["planHash"], changes } });
    },
  ],
  [409, "plan_changed", (id) => example(id)],
  [
    413,
    "too_many_siblings",
    async (id) => {
      for (let i = 0; i < MAX_SIBLINGS; i += 1) await put("many", i, { blind: "sibling" });
      return example(id, { params: { ...KEYS, key: "many", blind: "sibling" } });
    },
  ],
  [428, "context_required", (id) => example(id, { params: { blind: "reject" } })],
];

/** What a token was answered by a node that was told of it; then each operation has met 401 and 429 there. */
async function meetGuards(): Promise<readonly unknown[]> {
  const { text: token, id: tokenId, sha256 } = tokenOf(randomBytes(TOKEN_RANDOM_BYTES));
  const file = join(directory, "tokens.json");
  const grants = [{ rights: ["read"], buckets: ["carts"] }];
  const book = { principals: [{ name: "shop", grants, tokens: [{ id: tokenId, sha256 }] }] };
  writeFileSync(file, JSON.stringify(book), { mode: 0o600 });
  await using node = await RealCluster.start(1, { GYRE_TOKENS_FILE: file, GYRE_PARTITIONS: "64", GYRE_N: "1" });
  const url = node.url(0);
  const codes: unknown[] = [];
  for (const id of ["getKey", "putKey"]) {
    codes.push((await patiently(() => example(id, { url, token }))).body["code"]);
  }
  // As many as may fail at once are told; the others wait for their turn, which comes once a second.
  const untold = new Set(having(401, "unauthenticated"));
  const unheld = new Set(having(429, "overloaded"));
  const next = async (): Promise<boolean> => {
    for (const id of new Set([...untold, ...unheld])) {
      const { status } = await example(id, { url });
      (status === 401 ? untold : unheld).delete(id);
    }
    return untold.size + unheld.size === 0;
  };
  await until("all have met both", next);
  return codes;
}

describe("every answer that the document has", () => {
  let guarded: Promise<readonly unknown[]>;
  beforeAll(() => {
    guarded = meetGuards();
    guarded.catch(() => undefined);
  });
  // Also when the test that needs it was not chosen.
  afterAll(() => Promise.allSettled([guarded]));

  test.each(OF_ANY_REQUEST)(
    "%i %s is met by any operation that has it, and looks as documented",
    async (status, code, ask) => {
      expect(await missed({ status, code }, ask)).toEqual([]);
    },
  );

  test.each(OF_ONE_REQUEST)(
    "%i %s is met where the document has it, and looks as documented",
    async (status, code, ask) => {
      expect(await missed({ status, code }, ask)).toEqual([]);
    },
  );

  test("405 and 404 of what is no operation are shared answers of the document", async () => {
    expect((await checkStray("NoSuchRoute", "GET", "/v1/nowhere")).body["code"]).toBe("no_such_route");
    expect((await checkStray("MethodNotAllowed", "PATCH", "/v1/kv/carts/k")).body["code"]).toBe("method_not_allowed");
  });

  test("413 for a value that is sent whole, 403 for a change that another site's page sends", async () => {
    const params = { ...KEYS, key: "k" };
    const body = "x".repeat(MAX_VALUE_BYTES + 1);
    const large = await patiently(() => client.call("putKey", { params, body, type: TEXT }));
    expect(large.body["code"]).toBe("value_too_large");
    const origin = "http://another.example";
    expect((await client.call("leaveCluster", { stray: { headers: { origin } } })).body["code"]).toBe("forbidden");
  });

  test("500 says of a write that nobody knows what became of it, of a read that nothing did", async () => {
    const stray = { headers: { [DEFECT_HEADER]: "gyre-context" } };
    const outcomeOf = async (id: string): Promise<unknown> => (await patiently(() => example(id, { stray }))).body;
    expect(await outcomeOf("putKey")).toMatchObject({ code: "internal_error", outcome: "unknown" });
    expect(await outcomeOf("getKey")).toMatchObject({ code: "internal_error", outcome: "not_applied" });
  });

  test("408 was meanwhile met by all that were not sent to their end", async () => {
    const answered = (id: string): Promise<Told> => late?.answers.get(id) ?? Promise.reject(new Error(id));
    expect(await missed({ status: 408, code: "invalid_request" }, answered)).toEqual([]);
  });

  test("503 overloaded comes from a node that holds all the bytes that it takes", async () => {
    await using wire = await Wire.to(cluster.url(0), (head) => ({
      now: announcing(head, MAX_BATCH_BYTES),
      later: NEVER,
    }));
    const heldBytes = async (): Promise<number> =>
      Number(/^gyre_http_inflight_bytes (\d+)$/m.exec((await tryAsk(`${cluster.url(0)}/metrics`))?.text ?? "")?.[1]);
    const begin = (count: number): Promise<unknown> =>
      Promise.allSettled(Array.from({ length: count }, () => example("batchKeys", { url: wire.url })));
    await until("it holds nothing", async () => (await heldBytes()) === 0);
    const over = [begin(1)];
    await until("the first is there", async () => (await heldBytes()) >= MAX_BATCH_BYTES);
    // each holds what its answer is taken to hold as well
    const eachBytes = await heldBytes();
    const heldCount = Math.floor(MAX_INFLIGHT_BYTES / eachBytes);
    over.push(begin(heldCount - 1));
    await until("all are there", async () => (await heldBytes()) === heldCount * eachBytes);
    let leftBytes = MAX_INFLIGHT_BYTES - heldCount * eachBytes;
    const restCount = Math.ceil(leftBytes / MAX_VALUE_BYTES);
    await using last = await Wire.to(cluster.url(0), (head) => {
      const bytes = Math.min(leftBytes, MAX_VALUE_BYTES);
      leftBytes -= bytes;
      return { now: announcing(head, bytes), later: NEVER };
    });
    over.push(Promise.allSettled(Array.from({ length: restCount }, () => example("putKey", { url: last.url }))));
    await until("nothing is left", async () => (await heldBytes()) === MAX_INFLIGHT_BYTES);
    await ok("getLivez");
    expect(await missed({ status: 503, code: "overloaded" }, (id) => example(id))).toEqual([]);
    await Promise.all([wire[Symbol.asyncDispose](), last[Symbol.asyncDispose]()]);
    await Promise.all(over);
    await until("it takes requests again", async () => (await example("putKey")).status === 200);
  });

  test("507 disk_full comes from nodes whose disks are full, 503 not_ready where settings cannot be kept", async () => {
    const full = { bucket: "full" };
    await ok("putBucket", { params: full, body: { n: 3 } });
    breakDisks({ isFull: true, freeShare: 0 });
    const params = { ...KEYS, key: "k" };
    const isFull = async (): Promise<boolean> => (await client.call("putKey", { params, body: 1 })).status === 507;
    await until("the disks are full", isFull);
    expect(await missed({ status: 507, code: "disk_full" }, (id) => example(id, { params }))).toEqual([]);
    const ids = having(503, "not_ready").filter((id) => id.endsWith("Bucket"));
    expect(await missed({ status: 503, code: "not_ready" }, (id) => example(id, { params: full }), ids)).toEqual([]);
    breakDisks({});
    const ask = (): Promise<Told> => client.call("putKey", { params: { ...params, w: "all" }, body: 1 });
    await until("all disks have room", async () => (await ask()).status === 200);
  });

  // Only the first node has the newer version, and it is gone when the others are asked.
  test("503 quorum_not_met comes from the last node of three, 503 stale from those that missed a write", async () => {
    await put("newer", 1, { w: "all" });
    await Promise.all([cluster.kill(1), cluster.kill(2)]);
    const { body } = await put("newer", 2, { w: "one", sloppy: "false" });
    const strict = { sloppy: "false", timeout: 300 };
    const isOfKey = (id: string): boolean => askablesIn(client.document).includes(`${id} sloppy`);
    await until("it knows", async () => (await example("getClusterHealth")).status === 503);
    const ids = having(503, "quorum_not_met").filter((id) => id !== "listKeys");
    expect(
      await missed(
        { status: 503, code: "quorum_not_met" },
        (id) => example(id, isOfKey(id) ? { params: strict } : {}),
        ids,
      ),
    ).toEqual([]);
    await cluster.kill(0);
    for (const node of [1, 2]) cluster.spawn(node);
    await cluster.untilReady([1, 2]);
    const params = { ...KEYS, key: "newer", "Gyre-Context": String(body["context"]), timeout: 1000 };
    const ask = (id: string): Promise<Told> => client.call(id, { url: cluster.url(1), params });
    // Right after a start the nodes have not found each other.
    await until("both answer", async () => (await ask("getKey")).body["code"] !== "quorum_not_met");
    expect(await missed({ status: 503, code: "stale" }, ask)).toEqual([]);
  });

  test("504 not_finished comes where a node is away", async () => {
    expect(
      await missed({ status: 504, code: "not_finished" }, (id) =>
        example(id, { url: cluster.url(1), params: { all: "true", timeout: 50 } }),
      ),
    ).toEqual([]);
  });

  test("503 shutting_down comes from a node that has begun to stop, to what comes to its end then", async () => {
    const release = Promise.withResolvers<string>();
    await using wire = await Wire.to(cluster.url(1), (head) => ({ now: head.slice(0, -2), later: release.promise }));
    const ids = having(503, "shutting_down");
    const answers = ids.map((id) => example(id, { url: wire.url }));
    for (const answer of answers) answer.catch(() => undefined);
    await until("all are there", () => wire.sentCount === ids.length);
    // The node has read them all once it has answered one that was sent later.
    await ok("getLivez", { url: cluster.url(1) });
    const ended = cluster.stop(1);
    const isListening = (): Promise<boolean> =>
      fetch(`${cluster.url(1)}/livez`).then(
        () => true,
        () => false,
      );
    await until("it takes no connection", async () => !(await isListening()));
    release.resolve("\r\n");
    const told = new Map((await Promise.all(answers)).map((answer, i) => [ids[i] ?? "", answer]));
    const askedBefore = (id: string): Promise<Told> => {
      const answer = told.get(id);
      return answer === undefined ? Promise.reject(new Error(id)) : Promise.resolve(answer);
    };
    expect(await missed({ status: 503, code: "shutting_down" }, askedBefore, ids)).toEqual([]);
    expect(await ended).toBe(0);
  });

  test("401, 403 and 429 were meanwhile met at a node that was told of tokens: by none, by one without the right, by too many without", async () => {
    expect(await guarded).toEqual(["not_found", "forbidden"]);
  });

  test("503 not_ready comes to a liveness probe from a node that has failed, and has not ended yet", async () => {
    writeFileSync(join(directory, "2.json"), JSON.stringify({ broken: "fdatasync" } satisfies DiskFaults));
    const url = cluster.url(2);
    const failed = client.call("putKey", { params: KEYS, body: 1, url }).catch(() => undefined);
    const isFailed = async (): Promise<boolean> => (await client.call("getLivez", { url })).status === 503;
    await until("it has failed", isFailed);
    expect(await missed({ status: 503, code: "not_ready" }, (id) => example(id, { url }), ["getLivez"])).toEqual([]);
    // It ends in the middle of the answer, if it has failed already.
    await client.call("getLivez", { url, stray: { headers: { [RELEASE_HEADER]: "now" } } }).catch(() => undefined);
    await failed;
    expect(await cluster.untilEnded(2)).toBe(1);
  });

  test("was met now, all codes and all answers of all operations", () => {
    expect([...client.met].toSorted()).toEqual(ALL_CODES.toSorted());
    expect(answersIn(client.document).filter((one) => !client.answered.has(one))).toEqual([]);
  });
});
