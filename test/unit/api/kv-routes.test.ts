/** The key routes as API §3 words them. */
import { beforeEach, describe, expect, it } from "vitest";
import { parseNodeId } from "../../../services/base/ids.ts";
import {
  ACTOR,
  type ApiNode,
  apiNode,
  applied,
  bucket,
  found,
  NOON_MICROS,
  seen,
  sibling,
} from "../../support/api-node.ts";

let here: ApiNode;
beforeEach(() => {
  here = apiNode();
});

const KEY = "/v1/kv/carts/alice";
const JSON_TYPE = { "content-type": "application/json" };
const token = (counter = NOON_MICROS, key = "alice"): string =>
  here.contexts.encode({ bucket: bucket("carts"), key: Buffer.from(key) }, seen({ actor: ACTOR, counter }));

describe("PUT", () => {
  it("answers what was applied, in the shape of the specification", async () => {
    const reply = await here.api.inject({ method: "PUT", url: KEY, headers: JSON_TYPE, payload: '{"items":[1]}' });
    expect(reply.statusCode).toBe(200);
    expect(reply.headers["content-type"]).toBe("application/json");
    const body = reply.json();
    expect(body).toEqual({
      bucket: "carts",
      key: "alice",
      context: reply.headers["gyre-context"],
      dot: `0000abcdef01-${NOON_MICROS + 1_000}`,
      outcome: "applied",
      acks: { required: 2, received: 2, owners: 2, fallbacks: 0, durable: 2 },
      siblings: 1,
    });
    expect(reply.headers["gyre-siblings"]).toBe("1");
    expect(Object.keys(body)).toEqual(["bucket", "key", "context", "dot", "outcome", "acks", "siblings"]);
  });

  it("hands the coordinator name, bytes, type and default knobs", async () => {
    await here.api.inject({
      method: "PUT",
      url: KEY,
      headers: JSON_TYPE,
      payload: ' {"b":1e2, "a":12345678901234567890} ',
    });
    const [asked] = here.coordinator.puts;
    expect(asked?.name.bucket).toBe("carts");
    expect(Buffer.from(asked?.name.key ?? []).toString()).toBe("alice");
    expect(Buffer.from(asked?.bytes ?? []).toString()).toBe(' {"b":1e2, "a":12345678901234567890} ');
    expect(asked?.contentType).toBe("application/json");
    expect(asked?.context).toBeUndefined();
    expect(asked?.blind).toBeUndefined();
    expect(asked?.knobs).toEqual({ sloppy: true, timeoutMs: 2_000, explain: false });
  });

  it("takes the knobs from the query", async () => {
    const url = `${KEY}?w=all&pw=1&r=one&pr=quorum&sloppy=false&timeout=500&explain=true&blind=sibling`;
    await here.api.inject({ method: "PUT", url, headers: JSON_TYPE, payload: "1" });
    const [asked] = here.coordinator.puts;
    expect(asked?.knobs).toEqual({
      w: "all",
      pw: 1,
      r: "one",
      pr: "quorum",
      sloppy: false,
      timeoutMs: 500,
      explain: true,
    });
    expect(asked?.blind).toBe("sibling");
  });

  it("passes the context that an earlier answer gave", async () => {
    await here.api.inject({
      method: "PUT",
      url: KEY,
      headers: { ...JSON_TYPE, "gyre-context": token() },
      payload: "1",
    });
    expect(here.coordinator.puts[0]?.context).toEqual(seen({ actor: ACTOR, counter: NOON_MICROS }));
  });

  it.each([
    ["forged", () => "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],
    ["truncated", () => token().slice(0, -3)],
    ["of another key", () => token(NOON_MICROS, "bob")],
    ["empty", () => ""],
    ["given twice", () => `${token()}, ${token()}`],
    ["far too long", () => "A".repeat(9_000)],
  ])("refuses a context that is %s, and asks nobody", async (_name, make) => {
    for (const method of ["PUT", "DELETE", "GET"] as const) {
      const headers = { ...JSON_TYPE, "gyre-context": make() };
      const reply = await here.api.inject({ method, url: KEY, headers, ...(method === "PUT" ? { payload: "1" } : {}) });
      expect([reply.statusCode, reply.json().code, reply.json().outcome]).toEqual([
        400,
        "invalid_context",
        "not_applied",
      ]);
    }
    const { puts, deletes, gets } = here.coordinator;
    expect(puts.length + deletes.length + gets.length).toBe(0);
  });

  it("shows explain when it was asked for, and the number of siblings that stand", async () => {
    const explain = { partition: 5, ringHash: "ff", coordinator: "n1", replicas: [], repaired: [], hedged: false };
    here.coordinator.answers.put = () => ({
      ...applied({ actor: ACTOR, counter: 9 }),
      siblingCount: 3,
      explain: JSON.parse(JSON.stringify(explain)),
    });
    const reply = await here.api.inject({
      method: "PUT",
      url: `${KEY}?explain=true`,
      headers: JSON_TYPE,
      payload: "1",
    });
    expect(reply.json().explain).toEqual(explain);
    expect([reply.json().siblings, reply.headers["gyre-siblings"]]).toEqual([3, "3"]);
  });

  it.each([
    ["idempotency-key", "abc"],
    ["if-match", '"x"'],
    ["if-none-match", "*"],
    ["if-unmodified-since", "Fri, 20 Nov 2026 10:00:00 GMT"],
  ])("refuses %s in words rather than ignore it", async (name, value) => {
    const reply = await here.api.inject({
      method: "PUT",
      url: KEY,
      headers: { ...JSON_TYPE, [name]: value },
      payload: "1",
    });
    expect([reply.statusCode, reply.json().code, reply.json().header]).toEqual([400, "invalid_request", name]);
    expect(reply.json().detail.toLowerCase()).toContain(name);
    expect(here.coordinator.puts).toHaveLength(0);
  });

  it("refuses an encoded body, whose encoding would be lost", async () => {
    const headers = { "content-type": "text/plain", "content-encoding": "gzip" };
    const reply = await here.api.inject({ method: "PUT", url: KEY, headers, payload: "x" });
    expect([reply.statusCode, reply.json().code]).toEqual([415, "unsupported_media_type"]);
  });
});

describe("GET", () => {
  it("embeds a JSON value exactly as it was stored", async () => {
    const text = '{ "n": 12345678901234567890, "é":\n[1e2] }';
    here.coordinator.answers.get = () => found(sibling("application/json", text));
    const reply = await here.api.inject({ url: KEY });
    expect(reply.statusCode).toBe(200);
    expect(reply.body).toBe(
      `{"bucket":"carts","key":"alice","value":${text},"contentType":"application/json",` +
        `"modified":"2026-11-20T10:00:00.000Z","dot":"0000abcdef01-${NOON_MICROS}","context":"${token()}"}`,
    );
    expect(reply.headers).toMatchObject({
      "content-type": "application/json",
      "gyre-context": token(),
      "gyre-siblings": "1",
      etag: '"0000000000001234"',
    });
  });

  it("embeds long and non-ASCII values whole", async () => {
    for (const text of [JSON.stringify("ü".repeat(50_000)), JSON.stringify("a".repeat(50_000)), '"日本"']) {
      here.coordinator.answers.get = () => found(sibling("application/json", text));
      const reply = await here.api.inject({ url: "/v1/kv/carts/%E6%97%A5" });
      expect(reply.json().value).toBe(JSON.parse(text));
      expect(reply.json().key).toBe("日");
      expect(Number(reply.headers["content-length"])).toBe(reply.rawPayload.length);
    }
  });

  it("shows bytes of any other type as base64", async () => {
    here.coordinator.answers.get = () => found(sibling("image/png", Buffer.from([0, 255, 128])));
    const body = (await here.api.inject({ url: KEY })).json();
    expect([body.base64, body.contentType, "value" in body]).toEqual(["AP+A", "image/png", false]);
  });

  it("shows concurrent versions newest first, without a value that careless code would take", async () => {
    const newest = sibling("application/json", '{"a":2}', NOON_MICROS + 2_000);
    here.coordinator.answers.get = () => found(newest, sibling("text/plain", "old"));
    const reply = await here.api.inject({ url: KEY });
    const body = reply.json();
    expect(reply.statusCode).toBe(200);
    expect("value" in body).toBe(false);
    expect(body.siblings).toEqual([
      {
        value: { a: 2 },
        contentType: "application/json",
        modified: "2026-11-20T10:00:00.002Z",
        dot: `0000abcdef01-${NOON_MICROS + 2_000}`,
      },
      {
        base64: "b2xk",
        contentType: "text/plain",
        modified: "2026-11-20T10:00:00.000Z",
        dot: `0000abcdef01-${NOON_MICROS}`,
      },
    ]);
    expect([reply.headers["gyre-siblings"], body.context]).toEqual(["2", reply.headers["gyre-context"]]);
  });

  it("names the nodes that stood in for owners, in the body and a header, of every answer that they took part in", async () => {
    const fallbacks = ["n4", "n5"].map((id) => parseNodeId(id)).filter((id) => id !== undefined);
    const one = sibling("application/json", "1");
    const other = sibling("text/plain", "2", NOON_MICROS + 1_000);
    here.coordinator.answers.get = () => ({ ...found(one), fallbacks });
    const reply = await here.api.inject({ url: KEY });
    expect([reply.json().fallbacks, reply.headers["gyre-fallbacks"]]).toEqual([["n4", "n5"], "n4, n5"]);
    const raw = await here.api.inject({ url: `${KEY}?raw=true` });
    expect([raw.body, raw.headers["gyre-fallbacks"]]).toEqual(["1", "n4, n5"]);
    here.coordinator.answers.get = () => ({ ...found(one, other), fallbacks });
    const both = await here.api.inject({ url: `${KEY}?raw=true` });
    expect([both.statusCode, both.headers["gyre-fallbacks"]]).toEqual([409, "n4, n5"]);
    here.coordinator.answers.get = () => ({ kind: "deleted", context: found(one).set.clock, fallbacks });
    const gone = await here.api.inject({ url: KEY });
    expect([gone.statusCode, gone.json().fallbacks, gone.headers["gyre-fallbacks"]]).toEqual([
      404,
      ["n4", "n5"],
      "n4, n5",
    ]);
    here.coordinator.answers.get = () => found(one);
    const owners = await here.api.inject({ url: KEY });
    expect(["fallbacks" in owners.json(), "gyre-fallbacks" in owners.headers]).toEqual([false, false]);
  });

  it("answers 404 not_found for a key never written, and 404 deleted with the context to follow", async () => {
    const missing = await here.api.inject({ url: KEY });
    expect([missing.statusCode, missing.json().code, "context" in missing.json()]).toEqual([404, "not_found", false]);
    await here.api.inject({ method: "DELETE", url: KEY });
    const gone = await here.api.inject({ url: KEY });
    expect([gone.statusCode, gone.json().code]).toEqual([404, "deleted"]);
    expect(gone.json().context).toBe(gone.headers["gyre-context"]);
    const back = { ...JSON_TYPE, "gyre-context": gone.json().context };
    await here.api.inject({ method: "PUT", url: KEY, headers: back, payload: "1" });
    expect(here.coordinator.puts[0]?.context).toEqual(seen({ actor: ACTOR, counter: NOON_MICROS + 1_000 }));
  });

  it("passes a Gyre-Context on as the version to answer at least", async () => {
    await here.api.inject({ url: KEY, headers: { "gyre-context": token() } });
    await here.api.inject({ url: KEY });
    const [first, second] = here.coordinator.gets;
    expect(first?.atLeast).toEqual(seen({ actor: ACTOR, counter: NOON_MICROS }));
    expect(second !== undefined && "atLeast" in second).toBe(false);
  });

  it.each([
    ['"0000000000001234"', 304],
    ['W/"0000000000001234"', 304],
    ['"x", "0000000000001234"', 304],
    ["*", 304],
    ['"0000000000001235"', 200],
  ])("answers If-None-Match %s with %i", async (tag, status) => {
    here.coordinator.answers.get = () => found(sibling("application/json", "1"));
    const reply = await here.api.inject({ url: KEY, headers: { "if-none-match": tag } });
    expect(reply.statusCode).toBe(status);
    expect(reply.headers["gyre-context"]).toBe(token());
    expect(reply.headers.etag).toBe('"0000000000001234"');
    expect(reply.body === "").toBe(status === 304);
  });
});

describe("raw reads", () => {
  it.each([
    ["?raw=true", undefined, "application/json", "raw"],
    ["?raw=true", undefined, "image/png", "raw"],
    ["", "image/png", "image/png", "raw"],
    ["", "text/html, image/png;q=0.8", "image/png", "raw"],
    ["", "IMAGE/PNG", "image/png; a=b", "raw"],
    ["", "image/png;q=0", "image/png", "envelope"],
    ["", "image/*", "image/png", "envelope"],
    ["", "*/*", "image/png", "envelope"],
    ["", "application/json", "image/png", "envelope"],
    ["", "application/json", "application/json", "envelope"],
    ["", "application/json, text/plain, */*", "application/json", "envelope"],
    ["", "application/json, image/png, */*", "image/png", "envelope"],
    ["", "application/json;q=0.9, image/png", "image/png", "raw"],
    ["", "application/json, image/png;q=0.9", "image/png", "envelope"],
    ["", "application/json;q=0, image/png;q=0.001", "image/png", "raw"],
    ["", "image/png;q=..", "image/png", "envelope"],
    ["?explain=true", "image/png", "image/png", "envelope"],
  ])("query %j, Accept %j, stored %j: %s", async (query, accept, stored, shape) => {
    here.coordinator.answers.get = () => found(sibling(stored, "123"));
    const reply = await here.api.inject({ url: KEY + query, headers: accept === undefined ? {} : { accept } });
    expect(reply.statusCode).toBe(200);
    expect(reply.headers["content-type"]).toBe(shape === "raw" ? stored : "application/json");
    expect(reply.body === "123").toBe(shape === "raw");
    expect(reply.headers["gyre-context"]).toBe(token());
  });

  it("gives bytes back bit by bit, and browsers no script of this origin", async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    await here.api.inject({ method: "PUT", url: KEY, headers: { "content-type": "text/html" }, payload: bytes });
    const reply = await here.api.inject({ url: `${KEY}?raw=true` });
    expect(reply.rawPayload.equals(bytes)).toBe(true);
    expect(reply.headers).toMatchObject({ "content-type": "text/html", "x-content-type-options": "nosniff" });
    expect(reply.headers["content-security-policy"]).toContain("sandbox");
  });

  it.each(["?raw=true", ""])(
    "answers 409 to a raw read (%j) of concurrent versions, with the context to resolve them",
    async (query) => {
      here.coordinator.answers.get = () => found(sibling("image/png", "a", NOON_MICROS + 1), sibling("image/gif", "b"));
      const reply = await here.api.inject({ url: KEY + query, headers: { accept: "image/gif" } });
      expect([reply.statusCode, reply.json().code, reply.json().siblings]).toEqual([409, "siblings", 2]);
      expect(reply.headers["gyre-siblings"]).toBe("2");
      expect(reply.json().context).toBe(reply.headers["gyre-context"]);
    },
  );

  it("refuses explain with raw bytes, where it could not be shown", async () => {
    const reply = await here.api.inject({ url: `${KEY}?raw=true&explain=true` });
    expect([reply.statusCode, reply.json().parameter]).toEqual([400, "raw"]);
  });
});

describe("HEAD", () => {
  it("answers the headers of GET without a body", async () => {
    here.coordinator.answers.get = () => found(sibling("application/json", '{"a":1}'));
    const got = await here.api.inject({ url: KEY });
    const head = await here.api.inject({ method: "HEAD", url: KEY });
    expect([head.statusCode, head.body]).toEqual([200, ""]);
    for (const name of ["gyre-context", "gyre-siblings", "etag", "content-type", "content-length"]) {
      expect([name, head.headers[name]]).toEqual([name, got.headers[name]]);
    }
    here.coordinator.answers.get = () => ({ kind: "not_found" });
    const missing = await here.api.inject({ method: "HEAD", url: KEY });
    expect([missing.statusCode, missing.body]).toEqual([404, ""]);
  });
});

describe("DELETE", () => {
  it("answers 200 with context, outcome and acks, also when nothing was there", async () => {
    const reply = await here.api.inject({ method: "DELETE", url: KEY });
    expect(reply.statusCode).toBe(200);
    expect(reply.json()).toMatchObject({ outcome: "applied", siblings: 0, acks: { required: 2, received: 2 } });
    expect(reply.json().context).toBe(reply.headers["gyre-context"]);
  });

  it("passes the reader's context, or none", async () => {
    await here.api.inject({ method: "DELETE", url: KEY, headers: { "gyre-context": token() } });
    await here.api.inject({ method: "DELETE", url: `${KEY}?w=all` });
    const [first, second] = here.coordinator.deletes;
    expect(first?.context).toEqual(seen({ actor: ACTOR, counter: NOON_MICROS }));
    expect([second?.context, second?.knobs.w]).toEqual([undefined, "all"]);
  });
});

describe("every answer", () => {
  it("carries a request id of its own", async () => {
    const urls = [KEY, "/nowhere", "/v1/kv/carts/%ff", "/v1/kv/carts/%zz", "/readyz", "/"];
    const ids = await Promise.all(urls.map(async (url) => (await here.api.inject({ url })).headers["gyre-request-id"]));
    expect(new Set(ids).size).toBe(urls.length);
    for (const id of ids) expect(id).toMatch(/^1234abcd-[0-9a-z]+$/);
  });

  it("takes a traceparent without a word", async () => {
    const headers = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };
    expect((await here.api.inject({ url: KEY, headers })).statusCode).toBe(404);
  });
});
