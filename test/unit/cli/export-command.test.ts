/** `gyre export` against the real API over a coordinator that keeps keys in memory. */
import { createServer } from "node:http";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type ApiNode, apiNode } from "../../support/api-node.ts";
import { type CliRun, gyre } from "../../support/cli-run.ts";

let here: ApiNode;
let url: string;
beforeEach(async () => {
  here = apiNode();
  url = `http://${await here.api.listen("127.0.0.1:0")}`;
});
afterEach(() => here.api.close());

const run = (...argv: readonly string[]): Promise<CliRun> => gyre(["export", ...argv, "--nodes", url], {});

async function put(key: string, body: string, type = "application/json"): Promise<void> {
  const path = `${url}/v1/kv/carts/${encodeURIComponent(key)}`;
  const { status } = await fetch(path, { method: "PUT", body, headers: { "content-type": type } });
  expect(status).toBe(200);
}

test("prints each key once, over several pages, with values as they were stored", async () => {
  for (let i = 0; i < 230; i += 1) await put(`k/${i}`, `{"n":${i}}`);
  await put("large", "12345678901234567890");
  await put("bytes", "rubbish", "application/octet-stream");
  const { code, out, err } = await run("carts");
  expect({ code, err }).toEqual({ code: 0, err: "232 keys of carts\n" });
  const lines = out.trimEnd().split("\n");
  const documents = lines.map((line): Record<string, unknown> => JSON.parse(line));
  expect(new Set(documents.map(({ key }) => key)).size).toBe(232);
  expect(documents.find(({ key }) => key === "k/7")).toMatchObject({
    value: { n: 7 },
    contentType: "application/json",
  });
  expect(documents.find(({ key }) => key === "bytes")).toMatchObject({
    base64: Buffer.from("rubbish").toString("base64"),
  });
  expect(lines.find((line) => line.includes('"key":"large"'))).toContain('"value":12345678901234567890,');
  expect(documents.some((document) => "bucket" in document)).toBe(false);
});

test("has keys that no URL can name", async () => {
  const ops = [".", ".."].map((key) => `{"op":"put","key":"${key}","value":{"n":12345678901234567890}}`);
  const put2 = await fetch(`${url}/v1/kv/carts:batch`, { method: "POST", body: `{"ops":[${ops.join(",")}]}` });
  expect(put2.status).toBe(200);
  const { code, out, err } = await run("carts");
  expect({ code, err }).toEqual({ code: 0, err: "2 keys of carts\n" });
  const lines = out.trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line).key).toSorted()).toEqual([".", ".."]);
  for (const line of lines) expect(line).toMatch(/^\{"key":"\.+",.*"value":\{"n":12345678901234567890\}/);
});

/** What an export makes of a node that answers so. */
async function exportFrom(answerTo: (path: string) => readonly [number, unknown]): Promise<CliRun> {
  const server = createServer((request, response) => {
    const [status, body] = answerTo(request.url ?? "");
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  try {
    return await gyre(["export", "carts", "--nodes", `http://127.0.0.1:${port}`], {});
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test.each([
  ["does not say whether it is the last", { keys: [] }],
  ["says so in other words", { keys: [], complete: "true" }],
  ["is not the last, and has no cursor", { keys: [], complete: false }],
  ["has keys that are none", { keys: [1], complete: true }],
  ["has none", { complete: true }],
])("a page that %s makes it fail", async (_what, page) => {
  const { code, err } = await exportFrom(() => [200, page]);
  expect(code).toBe(1);
  expect(err).toContain("not complete: 0 keys were written before that");
});

test.each([
  ["not_found", 0],
  ["deleted", 0],
  ["no_such_route", 1],
  [undefined, 1],
])("a key whose read is 404 with the code %s ends it with exit code %d", async (code, exitCode) => {
  for (const key of ["k", ".."]) {
    const problem = { status: 404, code };
    const run404 = await exportFrom((path) => {
      if (path.startsWith("/v1/kv/carts?")) return [200, { keys: [key], complete: true }];
      return path.endsWith(":batch") ? [200, { results: [problem] }] : [404, problem];
    });
    expect([run404.code, run404.out]).toEqual([exitCode, ""]);
  }
});

test("prints only what begins with a prefix", async () => {
  for (const key of ["a/1", "a/2", "b/1"]) await put(key, "1");
  const { out, err } = await run("carts", "--prefix", "a/");
  expect(
    out
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { key: string }).key)
      .toSorted(),
  ).toEqual(["a/1", "a/2"]);
  expect(err).toBe("2 keys of carts\n");
});

test("an empty bucket is an empty export", async () => {
  expect(await run("nobody-wrote")).toMatchObject({ code: 0, out: "", err: "0 keys of nobody-wrote\n" });
});

test("what cannot be read makes it fail, and it says how far it came", async () => {
  here.coordinator.answers.get = () => ({
    kind: "failed",
    code: "quorum_not_met",
    outcome: "not_applied",
    detail: "one of two owners answered",
    retryable: false,
  });
  await put("k", "1");
  const { code, err } = await run("carts");
  expect(code).toBe(1);
  expect(err).toContain("gyre: quorum_not_met: one of two owners answered");
  expect(err).toContain("not complete: 0 keys were written before that");
  expect((await run("carts", "--concurrency", "100")).code).toBe(2);
});
