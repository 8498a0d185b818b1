/** What a PUT's body is stored as. */
import { beforeEach, describe, expect, it } from "vitest";
import { type ApiNode, apiNode } from "../../support/api-node.ts";

let here: ApiNode;
beforeEach(() => {
  here = apiNode();
});

async function put(
  type: string | undefined,
  payload: string | Buffer,
): Promise<{ status: number; code?: string; stored?: string }> {
  const headers = type === undefined ? {} : { "content-type": type };
  const reply = await here.api.inject({ method: "PUT", url: "/v1/kv/b/k", headers, payload: Buffer.from(payload) });
  const asked = here.coordinator.puts.at(-1);
  if (reply.statusCode !== 200) return { status: reply.statusCode, code: reply.json().code };
  return { status: 200, stored: asked?.contentType ?? "" };
}

describe("the body of a PUT", () => {
  it.each([
    ["application/json", '{"a":1}', "application/json"],
    ["application/json", "null", "application/json"],
    ["application/json", '"text"', "application/json"],
    ["application/json", "[1]\n", "application/json"],
    ["Application/JSON; charset=UTF-8", "1", "Application/JSON; charset=UTF-8"],
    ["application/x-www-form-urlencoded", '{"a":1}', "application/json"],
    ["application/x-www-form-urlencoded; charset=utf-8", "7", "application/json"],
    [undefined, "\0\x01", "application/octet-stream"],
    ["application/octet-stream", "", "application/octet-stream"],
    ["text/plain", "not json", "text/plain"],
    ["application/vnd.api+json", "not json", "application/vnd.api+json"],
    ["application/json5", "{a:1}", "application/json5"],
    ["image/png", "x", "image/png"],
  ])("of type %s, %j, is stored as %s", async (type, payload, stored) => {
    expect(await put(type, payload)).toEqual({ status: 200, stored });
    expect(Buffer.from(here.coordinator.puts[0]?.bytes ?? "?").toString()).toBe(payload);
  });

  it.each([
    ["application/json", "", 400, "invalid_request"],
    ["application/json", "{a:1}", 400, "invalid_request"],
    ["application/json", '{"a":1', 400, "invalid_request"],
    ["application/json", "\ufeff{}", 400, "invalid_request"],
    ["application/json", Buffer.from([0x22, 0xff, 0x22]), 400, "invalid_request"],
    ["application/json; charset=utf-16", "{}", 415, "unsupported_media_type"],
    ["application/x-www-form-urlencoded", "a=1&b=2", 415, "unsupported_media_type"],
    ["application/x-www-form-urlencoded", "", 415, "unsupported_media_type"],
    ["multipart/form-data; boundary=x", "--x--", 415, "unsupported_media_type"],
    ["garbage", "x", 415, "unsupported_media_type"],
    ["a/b/c", "x", 415, "unsupported_media_type"],
    [`text/${"x".repeat(300)}`, "x", 415, "unsupported_media_type"],
  ])("of type %s, %j, is refused with %i", async (type, payload, status, code) => {
    expect(await put(type, payload)).toEqual({ status, code });
    expect(here.coordinator.puts).toHaveLength(0);
  });

  it("tells curl's users what to send instead of a form", async () => {
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    const reply = await here.api.inject({ method: "PUT", url: "/v1/kv/b/k", headers, payload: "hello" });
    expect(reply.json().detail).toContain("-H 'content-type: text/plain'");
  });

  it("may be 1 MiB long and not a byte more", async () => {
    expect((await put("text/plain", Buffer.alloc(1_048_576))).status).toBe(200);
    expect(await put("text/plain", Buffer.alloc(1_048_577))).toEqual({ status: 413, code: "value_too_large" });
  });

  it("may not be missing", async () => {
    const reply = await here.api.inject({ method: "PUT", url: "/v1/kv/b/k" });
    expect([reply.statusCode, reply.json().parameter]).toEqual([400, "body"]);
  });
});
