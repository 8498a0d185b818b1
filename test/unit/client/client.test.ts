import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { backoffMs } from "../../../services/client/backoff.ts";
import { GyreClient, keyPath } from "../../../services/client/client.ts";
import { FakeNodes } from "../../support/fake-nodes.ts";

let nodes: FakeNodes;
let client: GyreClient;
const pauses: number[] = [];
beforeEach(async () => {
  nodes = await FakeNodes.start(2);
  pauses.length = 0;
  const pause = async (ms: number): Promise<void> => {
    pauses.push(ms);
  };
  client = new GyreClient({ nodes: nodes.urls, pause, random: () => 0.5, timeoutMs: 2_000 });
});
afterEach(() => nodes[Symbol.asyncDispose]());

const AT = { bucket: "b", key: "a/b c" };
const value = (text: string): { readonly bytes: Uint8Array; readonly contentType: string } => ({
  bytes: Buffer.from(text),
  contentType: "application/json",
});

describe("the client", () => {
  test("writes, reads and deletes, and hands contexts on", async () => {
    const written = await client.put(AT, value("1"));
    expect(written).toMatchObject({ kind: "applied", siblingCount: 1, attemptCount: 1 });
    const read = await client.get(AT.bucket, AT.key);
    expect(read).toMatchObject({ kind: "found", contentType: "application/json", context: "c1" });
    expect(await client.delete(AT.bucket, AT.key, { context: "c1" })).toMatchObject({ kind: "applied" });
    expect(await client.get(AT.bucket, AT.key)).toMatchObject({ kind: "absent", context: "c2" });
    expect(await client.get(AT.bucket, "never")).toMatchObject({ kind: "absent", context: undefined });
  });

  test("shows siblings with the context that resolves them", async () => {
    nodes.store.set("b/s", { values: [Buffer.from("1"), Buffer.from("2")], context: "both", type: "application/json" });
    expect(await client.get("b", "s")).toMatchObject({
      kind: "siblings",
      siblings: [{ value: 1 }, { value: 2 }],
      context: "both",
    });
  });

  test("asks for siblings with the context of the conflict, else with the reader's own", async () => {
    for (const [ofConflict, wanted] of [
      ["newer", "newer"],
      [undefined, "own"],
    ] as const) {
      const sent: (string | null)[] = [];
      const answer = async (_url: unknown, init?: RequestInit): Promise<Response> => {
        sent.push(new Headers(init?.headers).get("gyre-context"));
        if (sent.length === 2) return Response.json({ siblings: [{ value: 1 }, { value: 2 }], context: "both" });
        const headers = ofConflict === undefined ? {} : { "gyre-context": ofConflict };
        return Response.json({ code: "siblings" }, { status: 409, headers });
      };
      const reader = new GyreClient({ nodes: ["http://one:1"], fetch: answer });
      expect(await reader.get("b", "s", { context: "own" })).toMatchObject({ kind: "siblings", context: "both" });
      expect(sent).toEqual(["own", wanted]);
    }
  });

  test("offers no explanation with a read of the stored bytes, which nodes refuse together", async () => {
    // Its type forbids it: raw and explain exclude each other.
    const explained: object = { query: { explain: "true" } };
    await client.get(AT.bucket, AT.key, explained);
    await client.put(AT, value("1"), { query: { explain: "true" } });
    await client.get(AT.bucket, AT.key, { query: { r: "1" } });
    expect(nodes.queries).toEqual(["?explain=true&raw=true", "?explain=true", "?r=1&raw=true"]);
  });

  /** A client whose nodes answer so, one request after the other, and go round. */
  function answered(...answers: readonly (() => Response)[]): GyreClient {
    let turn = 0;
    const fetchNext = async (): Promise<Response> => {
      turn += 1;
      return answers[(turn - 1) % answers.length]?.() ?? new Response(null, { status: 500 });
    };
    return new GyreClient({ nodes: ["http://one:1"], fetch: fetchNext });
  }
  const conflict = (): Response => Response.json({ code: "siblings" }, { status: 409 });
  const single = (): Response => Response.json({ value: 3, context: "one" });
  const raw = (): Response =>
    new Response("3", { headers: { "gyre-context": "one", "content-type": "application/json" } });

  test("never shows no siblings: resolved by another between its two requests, the one value is read", async () => {
    const read = await answered(conflict, single, raw).get("b", "s");
    expect(read).toMatchObject({ kind: "found", context: "one", bytes: new Uint8Array(Buffer.from("3")) });
  });

  test("tells when a value ends by itself, and of others nothing", async () => {
    const expires = "2026-11-20T10:01:00.000Z";
    const ending = (): Response => new Response("3", { headers: { "gyre-context": "one", "gyre-expires": expires } });
    expect(await answered(ending).get("b", "s")).toMatchObject({ kind: "found", expires });
    expect(await answered(raw).get("b", "s")).not.toHaveProperty("expires");
  });

  test("gives up, and says why, when versions change faster than they can be read", async () => {
    const read = await answered(conflict, single).get("b", "s");
    expect(read).toMatchObject({ kind: "failed", code: "siblings", outcome: "not_applied", isRetryable: true });
  });

  test("repeats what was not applied at the next node, after a pause that grows each time", async () => {
    nodes.mishapOf = (turn) => (turn <= 3 ? "not_applied" : "none");
    expect(await client.put(AT, value("1"))).toMatchObject({ kind: "applied", attemptCount: 4, node: nodes.urls[1] });
    expect(pauses).toEqual([25, 50, 100]);
  });

  test.each(["unknown_after", "broken_after", "broken_before"] as const)(
    "never repeats a write that was %s",
    async (mishap) => {
      nodes.mishapOf = () => mishap;
      expect(await client.put(AT, value("1"))).toMatchObject({ kind: "failed", outcome: "unknown", attemptCount: 1 });
      expect(nodes.log.length).toBe(1);
    },
  );

  test("gives up after its attempts, with the last node's words", async () => {
    nodes.mishapOf = () => "not_applied";
    const failed = await client.put(AT, value("1"));
    expect(failed).toMatchObject({ kind: "failed", code: "quorum_not_met", outcome: "not_applied", attemptCount: 6 });
  });

  test("goes round a node that is gone, for reads and for writes, without a pause", async () => {
    await nodes.end(0);
    expect(await client.put(AT, value("1"))).toMatchObject({ kind: "applied", attemptCount: 2 });
    expect(await client.get(AT.bucket, AT.key)).toMatchObject({ kind: "found" });
    expect(pauses).toEqual([]);
  });

  test("does not take an answer of another server for a missing key", async () => {
    expect(await client.get("..", "x")).toMatchObject({ kind: "failed", status: 404, code: "no_such_route" });
  });
});

test("a path carries any key as one segment", () => {
  expect(keyPath("b", "a/b?c#d%2F ü")).toBe("/v1/kv/b/a%2Fb%3Fc%23d%252F%20%C3%BC");
});

test("pauses grow, are bounded, and are never the same for all", () => {
  const ranges = [1, 3, 50].map((attempt) => [backoffMs(attempt, () => 0), backoffMs(attempt, () => 0.5)]);
  expect(ranges).toEqual([
    [0, 25],
    [0, 100],
    [0, 500],
  ]);
});
