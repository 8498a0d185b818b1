/** Probes, metrics, the cluster's view, and the page for people. */
import { beforeEach, describe, expect, it } from "vitest";
import { type ApiNode, apiNode, clusterStatus } from "../../support/api-node.ts";

let here: ApiNode;
beforeEach(() => {
  here = apiNode();
});

describe("probes", () => {
  it.each(["/livez", "/readyz", "/startupz"])("%s is 200 ok, and names its checks with ?verbose", async (url) => {
    const reply = await here.api.inject({ url });
    expect([reply.statusCode, reply.body]).toEqual([200, "ok\n"]);
    const verbose = await here.api.inject({ url: `${url}?verbose` });
    expect(verbose.body).toMatch(/^(\[\+\] [a-z]+: [a-z ]+\n)+ok\n$/);
  });

  it("say why not with 503", async () => {
    here.status.ready = [
      { name: "storage", isOk: true, reason: "recovered" },
      { name: "ring", isOk: false, reason: "no slots known yet" },
    ];
    for (const url of ["/readyz", "/startupz?verbose"]) {
      const reply = await here.api.inject({ url });
      expect([reply.statusCode, reply.json().code, reply.headers["retry-after"]]).toEqual([503, "not_ready", "1"]);
      expect(reply.json().detail).toBe("ring: no slots known yet");
      expect(reply.json().checks).toContainEqual({ name: "storage", ok: true, reason: "recovered" });
    }
    expect((await here.api.inject({ url: "/livez" })).statusCode).toBe(200);
  });

  it("never ask whether the cluster has quorum", async () => {
    here.door.facts = clusterStatus({ reachableHolders: new Uint8Array(64) });
    expect((await here.api.inject({ url: "/v1/cluster/health" })).statusCode).toBe(503);
    expect((await here.api.inject({ url: "/readyz" })).statusCode).toBe(200);
  });
});

describe("a node whose ring never changes", () => {
  beforeEach(() => {
    here = apiNode(undefined, true);
  });

  it("shows what its status knows", async () => {
    expect((await here.api.inject({ url: "/v1/cluster" })).json()).toMatchObject({
      cluster: "gyre",
      node: "n1",
      members: [{ node: "n1" }],
    });
    const ring = (await here.api.inject({ url: "/v1/ring" })).json();
    expect([ring.partitions.length, ring.partitionCount, ring.next]).toEqual([1, 1, null]);
    const one = await here.api.inject({ url: "/v1/ring/b/a%2Fb" });
    expect(one.json()).toMatchObject({ bucket: "b", key: "a/b", partition: 7, owners: ["n1"] });
    here.status.health = { verdict: "unavailable", reasons: ["n2 is down"], partitionsWithoutQuorum: 64 };
    expect((await here.api.inject({ url: "/v1/cluster/health" })).json().partitionsWithoutQuorum).toBe(64);
    expect((await here.api.inject({ url: "/" })).body).toContain("the cluster of 1 is unavailable (n2 is down)");
  });

  it("has no routes that change it", async () => {
    expect((await here.api.inject({ method: "POST", url: "/v1/cluster/plan" })).statusCode).toBe(404);
  });
});

describe("/metrics", () => {
  it("is Prometheus text with the durations of the routes that were used", async () => {
    await here.api.inject({ url: "/v1/kv/b/k" });
    await here.api.inject({ url: "/nowhere" });
    const reply = await here.api.inject({ url: "/metrics" });
    expect(reply.headers["content-type"]).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(reply.body).toContain("# TYPE gyre_http_request_duration_seconds histogram\n");
    expect(reply.body).toContain(
      'gyre_http_request_duration_seconds_count{method="GET",route="/v1/kv/:bucket/*",status="4xx"} 1\n',
    );
    expect(reply.body).toContain("gyre_http_unmatched_requests_total 1\n");
    expect(reply.body).not.toContain('status="5xx"');
  });
});

describe("GET /", () => {
  it("is a verdict and three lines to paste for curl", async () => {
    const { body, headers } = await here.api.inject({ url: "/", headers: { host: "127.0.0.1:4401" } });
    expect(headers["content-type"]).toBe("text/plain; charset=utf-8");
    expect(body).toContain("node n1 of cluster gyre is ready; the cluster of 3 is healthy.");
    expect(body.match(/^curl .*http:\/\/127\.0\.0\.1:4401\/v1\/kv\/demo\/hello/gm)).toHaveLength(3);
  });

  it("tells what is wrong", async () => {
    here.status.ready = [{ name: "ring", isOk: false, reason: "no slots known yet" }];
    here.door.facts = clusterStatus({ concerns: ["the roof leaks"] });
    const { body } = await here.api.inject({ url: "/" });
    expect(body).toContain("not ready (no slots known yet); the cluster of 3 is degraded (the roof leaks)");
  });

  it("is a page without scripts for browsers, and echoes no hostile host", async () => {
    const headers = { accept: "text/html,*/*", host: '"><script>alert(1)</script>' };
    const page = await here.api.inject({ url: "/", headers });
    expect(page.headers["content-type"]).toBe("text/html; charset=utf-8");
    expect(page.headers["content-security-policy"]).toContain("default-src 'none'");
    expect(page.body).toContain("<h1>gyre</h1>");
    expect(page.body).not.toContain("<script");
  });
});
