/**
 * The corpus of hostile requests: smuggling, odd encodings, names of JavaScript's own, deep and wide JSON. Each is sent as bytes, gets
 * a 4xx (or the plain truth, where it is a legal key), and the node lives on with nothing in its log.
 * Source: research: reliability §5.2, §5.3.
 */
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ApiNode, apiNode } from "../../support/api-node.ts";

let here: ApiNode;
let port: number;
beforeAll(async () => {
  here = apiNode();
  port = Number((await here.api.listen("127.0.0.1:0")).split(":")[1]);
});
afterAll(async () => {
  await here.api.close();
});

/** Everything that comes back until the other side closes; ours is closed for writing at once. */
function answersTo(bytes: string | Buffer): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect(port, "127.0.0.1", () => socket.end(bytes));
    socket.setEncoding("latin1").on("data", (part: string) => (text += part));
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(text));
  });
}

function statusesIn(text: string): readonly number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
}

const put = (headers: string, body: string): string =>
  `PUT /v1/kv/b/k HTTP/1.1\r\nhost: h\r\nconnection: close\r\n${headers}\r\n\r\n${body}`;
const get = (path: string, headers = ""): string =>
  `GET ${path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n${headers}\r\n`;
const post = (path: string, body: string): string =>
  `POST ${path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
const SMUGGLED = "GET /v1/kv/b/smuggled HTTP/1.1\r\nhost: h\r\n\r\n";

describe("bytes by which one request could hide another", () => {
  test.each([
    ["length and chunks", put("content-length: 4\r\ntransfer-encoding: chunked", `0\r\n\r\n${SMUGGLED}`)],
    ["chunks and length", put("transfer-encoding: chunked\r\ncontent-length: 4", `0\r\n\r\n${SMUGGLED}`)],
    ["two lengths", put("content-length: 1\r\ncontent-length: 60", `1${SMUGGLED}`)],
    ["two equal lengths", put("content-length: 1\r\ncontent-length: 1", "1")],
    ["a list of lengths", put("content-length: 1, 1", "1")],
    ["a length with a sign", put("content-length: +1", "1")],
    ["a negative length", put("content-length: -1", "1")],
    ["a length in hex", put("content-length: 0x1", "1")],
    ["a length that is no number in any machine", put(`content-length: ${"9".repeat(30)}`, "1")],
    ["a folded header", put("content-length: 1\r\nx: a\r\n b", "1")],
    ["a space before the colon", put("content-length : 1", "1")],
    ["a bare CR in a header", put("x: a\rcontent-length: 1", "1")],
    ["a bare LF after a header", put("x: a\ncontent-length: 1", "1")],
    ["chunks under another name", put("transfer-encoding: xchunked", `1\r\n1\r\n0\r\n\r\n`)],
    ["chunks not last", put("transfer-encoding: chunked, identity", `1\r\n1\r\n0\r\n\r\n`)],
    ["a chunk whose length is none", put("transfer-encoding: chunked", `g\r\n1\r\n0\r\n\r\n`)],
    ["a chunk longer than it says", put("transfer-encoding: chunked", `1\r\n123\r\n0\r\n\r\n`)],
    ["a chunk longer than anything", put("transfer-encoding: chunked", `ffffffffffffffffff\r\n1`)],
    ["no host", "GET /livez HTTP/1.1\r\n\r\n"],
    ["another version", "GET /livez HTTP/3.7\r\nhost: h\r\n\r\n"],
    ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["a method of nobody", "GYRE /livez HTTP/1.1\r\nhost: h\r\n\r\n"],
    ["a NUL in the path", "GET /livez\0 HTTP/1.1\r\nhost: h\r\n\r\n"],
    ["a NUL in a header", get("/livez", "x: a\0b\r\n")],
    [
      "a raw byte above ASCII in the path",
      Buffer.from("GET /v1/kv/b/\xff HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", "latin1"),
    ],
    ["a TLS greeting", Buffer.from("16030100c8010000c403031122334455", "hex")],
  ])("%s: one 4xx, the connection closed, nothing of the rest believed", async (_what, bytes) => {
    const asked = here.coordinator.gets.length;
    const told = await answersTo(bytes);
    expect(statusesIn(told)).toHaveLength(1);
    expect(statusesIn(told)[0]).toBeGreaterThanOrEqual(400);
    expect(statusesIn(told)[0]).toBeLessThan(500);
    expect(told).not.toMatch(/ {4}at |node_modules|\.ts:\d/);
    expect(here.coordinator.gets).toHaveLength(asked);
  });
});

describe("paths and names", () => {
  test.each([
    ["a way up", "/v1/kv/b/..%2f..%2f..%2fetc%2fpasswd", 404],
    ["a way up among buckets", "/v1/kv/..%2fb/k", 400],
    ["a way up as a segment", "/v1/kv/../../etc/passwd", 400],
    ["overlong UTF-8", "/v1/kv/b/%c0%af", 400],
    ["half a surrogate pair", "/v1/kv/b/%ed%a0%80", 400],
    ["bytes that are no UTF-8", "/v1/kv/b/%ff%fe", 400],
    ["a NUL", "/v1/kv/b/a%00b", 400],
    ["a broken escape", "/v1/kv/b/%zz", 400],
    ["an escape that is cut", "/v1/kv/b/%4", 400],
    ["an escape of an escape, which is a key like any other", "/v1/kv/b/%2561", 404],
    ["__proto__ as a key", "/v1/kv/b/__proto__", 404],
    ["constructor as a key", "/v1/kv/b/constructor", 404],
    ["toString as a bucket", "/v1/kv/toString/k", 400],
    ["__proto__ as a bucket", "/v1/kv/__proto__/k", 400],
    ["constructor as a bucket, which is a name like any other", "/v1/buckets/constructor", 200],
    ["__proto__ as a bucket's settings", "/v1/buckets/__proto__", 400],
    ["__proto__ as a parameter", "/v1/kv/b/k?__proto__=1", 400],
    ["constructor as a parameter", "/v1/kv/b/k?constructor=1", 400],
    ["a parameter twice", "/v1/kv/b/k?r=1&r=3", 400],
    ["a parameter as a list", "/v1/kv/b/k?r[]=1", 400],
    ["a number that is none", "/v1/kv/b/k?r=1e0", 400],
    ["a key over its limit", `/v1/kv/b/${"k".repeat(1_025)}`, 400],
    ["a key over its limit once decoded", `/v1/kv/b/${"%C3%A4".repeat(513)}`, 400],
    ["a path over everything", `/v1/kv/b/${"k".repeat(31_000)}`, 400],
    ["another store's admin path", "/_config/x", 404],
  ])("%s", async (_what, path, status) => {
    const told = await answersTo(get(path));
    expect(statusesIn(told)).toEqual([status]);
  });

  test("written in two Unicode forms are two keys, and each comes back as it was written", async () => {
    const forms = ["%C3%A9", "e%CC%81"];
    for (const form of forms)
      await answersTo(`PUT /v1/kv/nf/${form} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 1\r\n\r\n1`);
    const keys = here.coordinator.puts.slice(-2).map(({ name }) => Buffer.from(name.key).toString("hex"));
    expect(keys).toEqual(["c3a9", "65cc81"]);
  });

  test("headers called as JavaScript calls its own change nothing", async () => {
    const headers = "__proto__: a\r\nconstructor: b\r\ntoString: c\r\nhasOwnProperty: d\r\n";
    expect(statusesIn(await answersTo(get("/v1/kv/b/nothing", headers)))).toEqual([404]);
    expect(Object.getPrototypeOf({})).toBe(Object.prototype);
  });

  test("of headers none is left out: either all are seen, or the request is refused", async () => {
    const told = (count: number): Promise<string> => {
      const late = "gyre-context: forged\r\ncontent-length: 1\r\n\r\n1";
      return answersTo(`PUT /v1/kv/b/k HTTP/1.1\r\nhost: h\r\nconnection: close\r\n${"a:\r\n".repeat(count)}${late}`);
    };
    expect(await told(700)).toContain('"code":"invalid_context"');
    for (const count of [1_000, 2_000, 2_010, 6_000])
      expect(await told(count)).toMatch(/invalid_context|HTTP\/1\.1 431/);
    expect(
      here.coordinator.puts.filter(({ name }) => name.bucket === "b"),
      "a write that lost its context",
    ).toEqual([]);
  });

  test("a request id that the client sends is not given back", async () => {
    const told = await answersTo(get("/livez", "gyre-request-id: evil\r\nx-request-id: evil\r\n"));
    expect(told).not.toContain("evil");
  });
});

describe("bodies", () => {
  const DEEP = 200_000;

  test.each([
    ["settings that reach for the prototype", "PUT", "/v1/buckets/b", '{"__proto__":{"n":1}}', 400],
    ["settings that reach for the constructor", "PUT", "/v1/buckets/b", '{"constructor":{"prototype":{"n":1}}}', 400],
    ["settings that are a list", "PUT", "/v1/buckets/b", "[]", 400],
    ["settings as deep as their limit", "PUT", "/v1/buckets/b", '{"n":'.repeat(3_000), 400],
    ["a plan that reaches for the prototype", "POST", "/v1/cluster/plan", '{"__proto__":[],"changes":[]}', 400],
    [
      "a plan deep in brackets",
      "POST",
      "/v1/cluster/plan",
      `{"changes":${"[".repeat(9_000)}${"]".repeat(9_000)}}`,
      400,
    ],
    ["a batch that is no JSON", "POST", "/v1/kv/b:batch", "{", 400],
    ["a batch with another field", "POST", "/v1/kv/b:batch", '{"ops":[],"__proto__":1}', 400],
    [
      "a batch of more than its limit",
      "POST",
      "/v1/kv/b:batch",
      JSON.stringify({ ops: Array.from({ length: 129 }, () => ({ op: "get", key: "k" })) }),
      400,
    ],
    ["a batch deep in brackets", "POST", "/v1/kv/b:batch", "[".repeat(DEEP) + "]".repeat(DEEP), 400],
    ["JSON that does not end", "PUT", "/v1/kv/b/k", "[".repeat(DEEP), 400],
    ["JSON that is not UTF-8", "PUT", "/v1/kv/b/k", "\ud800", 400],
    ["a form", "PUT", "/v1/kv/b/k", "a=1&b=2", 415, "application/x-www-form-urlencoded"],
    ["parts of a form", "PUT", "/v1/kv/b/k", "--x", 415, "multipart/form-data; boundary=x"],
    ["a type that is none", "PUT", "/v1/kv/b/k", "1", 415, "application\tjson"],
    ["a type with a tail", "PUT", "/v1/kv/b/k", "1", 415, "application/json garbage"],
    ["a value over its limit", "PUT", "/v1/kv/b/k", "x".repeat(1_048_577), 413, "text/plain"],
  ])("%s", async (_what, method, path, body, status, type = "application/json") => {
    const bytes = body === "\ud800" ? Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]) : Buffer.from(body);
    const head = `${method} ${path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-type: ${type}\r\ncontent-length: ${bytes.length}\r\n\r\n`;
    const told = await answersTo(Buffer.concat([Buffer.from(head), bytes]));
    expect(statusesIn(told)).toEqual([status]);
    expect(told).not.toMatch(/ {4}at |node_modules|\.ts:\d/);
  });

  test("of no length that are over their limit are told the limit", async () => {
    const chunk = "x".repeat(20_000);
    const head = "PATCH /v1/buckets/b HTTP/1.1\r\nhost: h\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    const told = await answersTo(Buffer.from(`${head}${chunk.length.toString(16)}\r\n${chunk}\r\n0\r\n\r\n`));
    expect(statusesIn(told)).toEqual([413]);
    const problem = JSON.parse(told.slice(told.indexOf("\r\n\r\n") + 4));
    expect(problem).toMatchObject({ code: "value_too_large", limitBytes: 16_384 });
    expect(problem).not.toHaveProperty("sizeBytes");
  });

  test("of a batch with names of JavaScript's own are refused one by one", async () => {
    const ops =
      '{"ops":[{"op":"get","key":"__proto__"},{"__proto__":1,"op":"get","key":"k"},{"op":"constructor","key":"k"},{"op":"get","key":"\\ud800"}]}';
    const told = await answersTo(post("/v1/kv/b:batch", ops));
    const { results } = JSON.parse(told.slice(told.indexOf("\r\n\r\n") + 4));
    expect(results.map((one: { status: number }) => one.status)).toEqual([404, 400, 400, 400]);
  });

  test.each([
    ["PUT /v1/nowhere", 404],
    ["POST /livez", 405],
    ["PATCH /v1/kv/b/k", 405],
  ])("are not waited for where no route would take them: %s", async (line, status) => {
    const told = new Promise<string>((resolve) => {
      let text = "";
      // the length of a whole value, and nothing of it
      const head = `${line} HTTP/1.1\r\nhost: h\r\ncontent-length: 1000000\r\n\r\n`;
      const socket = connect(port, "127.0.0.1", () => socket.write(head));
      socket.setEncoding("latin1").on("data", (part: string) => (text += part));
      socket.on("error", () => undefined);
      socket.on("close", () => resolve(text));
    });
    expect(statusesIn(await told)).toEqual([status]);
  });

  test("of a browser's page of another site do not reach a batch", async () => {
    const body = '{"ops":[{"op":"delete","key":"k"}]}';
    const bytes = `POST /v1/kv/b:batch HTTP/1.1\r\nhost: h\r\norigin: http://evil.example\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
    expect(statusesIn(await answersTo(bytes))).toEqual([403]);
    expect(here.coordinator.deletes).toEqual([]);
  });
});

test("after all of it the node lives, and its log has nothing to say", async () => {
  expect(statusesIn(await answersTo(get("/livez")))).toEqual([200]);
  expect(here.errors).toEqual([]);
});
