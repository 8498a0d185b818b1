/** Query parameters: known, once, well formed, or 400 with words. */
import { beforeEach, describe, expect, it } from "vitest";
import { type ApiNode, apiNode } from "../../support/api-node.ts";

let here: ApiNode;
beforeEach(() => {
  here = apiNode();
});

describe("the query of a key request", () => {
  it.each([
    ["R=1", "R"],
    ["quorum=2", "quorum"],
    ["raw=true&foo", "foo"],
    ["blind=sibling", "blind"],
    ["__proto__=1", "__proto__"],
    ["%00=1", "\\u0000"],
  ])("?%s is 400 that names the parameter and lists the known ones", async (query, name) => {
    const reply = await here.api.inject({ url: `/v1/kv/b/k?${query}` });
    expect([reply.statusCode, reply.json().code]).toEqual([400, "invalid_request"]);
    expect(reply.json().detail).toContain(name);
    expect(reply.json().known).toEqual(["r", "w", "pr", "pw", "sloppy", "timeout", "explain", "raw"]);
    expect(here.coordinator.gets).toHaveLength(0);
  });

  it.each(["r=1&r=1", "raw=true&raw=false", "%72=1&r=2"])("?%s is 400: given more than once", async (query) => {
    const reply = await here.api.inject({ url: `/v1/kv/b/k?${query}` });
    expect([reply.statusCode, reply.json().code]).toEqual([400, "invalid_request"]);
    expect(reply.json().detail).toContain("more than once");
  });

  it.each([
    ["r=0", "invalid_request", "r"],
    ["r=", "invalid_request", "r"],
    ["r=-1", "invalid_request", "r"],
    ["r=1.5", "invalid_request", "r"],
    ["r=1e0", "invalid_request", "r"],
    ["w=QUORUM", "invalid_request", "w"],
    ["pw=most", "invalid_request", "pw"],
    ["r=8", "quorum_exceeds_n", "r"],
    ["w=99999999", "quorum_exceeds_n", "w"],
    ["sloppy=no", "invalid_request", "sloppy"],
    ["sloppy", "invalid_request", "sloppy"],
    ["explain=1", "invalid_request", "explain"],
    ["raw=yes", "invalid_request", "raw"],
    ["timeout=0", "invalid_request", "timeout"],
    ["timeout=30001", "invalid_request", "timeout"],
    ["timeout=2s", "invalid_request", "timeout"],
  ])("?%s is 400 %s about %s", async (query, code, parameter) => {
    const reply = await here.api.inject({ url: `/v1/kv/b/k?${query}` });
    expect([reply.statusCode, reply.json().code, reply.json().parameter]).toEqual([400, code, parameter]);
    expect(here.coordinator.gets).toHaveLength(0);
  });

  it.each(["r=%zz", "r=%ff", "%=1"])("?%s is 400: broken escapes", async (query) => {
    const reply = await here.api.inject({ url: `/v1/kv/b/k?${query}` });
    expect([reply.statusCode, reply.json().code]).toEqual([400, "invalid_request"]);
  });

  it.each(["", "?", "?&", "?r=1&", "?&&r=7"])("%j is fine", async (query) => {
    expect((await here.api.inject({ url: `/v1/kv/b/k${query}` })).json().code).toBe("not_found");
  });

  it("refuses a blind that is none of the three", async () => {
    const reply = await here.api.inject({ method: "PUT", url: "/v1/kv/b/k?blind=maybe", payload: "x" });
    expect([reply.statusCode, reply.json().parameter]).toEqual([400, "blind"]);
  });

  it.each(["/v1/cluster", "/v1/ring", "/v1/buckets", "/v1/buckets/b", "/v1/kv/b", "/readyz", "/livez", "/v1/ring/b/k"])(
    "%s refuses what it does not know",
    async (path) => {
      const reply = await here.api.inject({ url: `${path}?nope=1` });
      expect([reply.statusCode, reply.json().code]).toEqual([400, "invalid_request"]);
    },
  );
});
