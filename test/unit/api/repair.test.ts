/** POST /v1/repair: what is waited for, for how long, and what is told when it takes longer. */
import { beforeEach, describe, expect, it } from "vitest";
import { DEFAULT_REPAIR_WAIT_MS } from "../../../services/base/limits.ts";
import { type ApiNode, apiNode, node } from "../../support/api-node.ts";

let here: ApiNode;
beforeEach(() => {
  here = apiNode();
});

async function post(
  query: string,
  headers: Record<string, string> = {},
): Promise<{ readonly status: number; readonly body: Record<string, unknown> }> {
  const reply = await here.api.inject({ method: "POST", url: `/v1/repair${query}`, headers });
  return { status: reply.statusCode, body: reply.json() };
}

describe("POST /v1/repair?wait=hints", () => {
  it("answers when all that was kept for others is delivered", async () => {
    expect(await post("?wait=hints&timeout=250")).toEqual({
      status: 200,
      body: { waitedFor: "hints", durationMs: 12, unreachable: [] },
    });
    await post("?wait=hints");
    expect(here.repair.waits).toEqual([250, DEFAULT_REPAIR_WAIT_MS]);
  });

  it("is 504 while there is a member that could not be asked, and names it: it may keep some too", async () => {
    here.repair.hints = { ...here.repair.hints, isDone: false, unreachable: [node("n4")] };
    expect(await post("?wait=hints&timeout=1000")).toMatchObject({
      status: 504,
      body: {
        code: "not_finished",
        detail: expect.stringMatching(/n4 cannot be asked.*ignoreUnreachable=true/),
        left: [],
        unreachable: ["n4"],
      },
    });
  });

  it("waits for those that can be asked alone when it is told so, and names the others", async () => {
    here.repair.hints = { ...here.repair.hints, unreachable: [node("n4")] };
    expect(await post("?wait=hints&ignoreUnreachable=true")).toMatchObject({
      status: 200,
      body: { unreachable: ["n4"] },
    });
    await post("?wait=hints&ignoreUnreachable=false");
    expect(here.repair.isIgnoring).toEqual([true, false]);
  });

  it("is 504 not_finished when time is up, and tells where what is left", async () => {
    const left = [{ at: node("n2"), target: node("n4"), count: 7 }];
    here.repair.hints = { isDone: false, left, unreachable: [node("n4")], durationMs: 1_001 };
    expect(await post("?wait=hints&timeout=1000")).toMatchObject({
      status: 504,
      body: {
        code: "not_finished",
        outcome: "unknown",
        retryable: true,
        detail:
          "after 1000 ms 7 hints are known not to be delivered, for n4: are these nodes up? and n4 cannot be asked.",
        left,
        unreachable: ["n4"],
      },
    });
  });

  it("tells of hints for slots that nobody holds", async () => {
    const left = [
      { at: node("n2"), target: null, count: 3 },
      { at: node("n1"), target: node("n4"), count: 7 },
    ];
    here.repair.hints = { isDone: false, left, unreachable: [], durationMs: 1_001 };
    expect(await post("?wait=hints&timeout=1000")).toMatchObject({
      status: 504,
      body: { detail: expect.stringMatching(/10 hints .* for n4: .* for slots that nobody holds now: /), left },
    });
  });

  it.each([
    ["", "wait"],
    ["?wait=everything", "wait"],
    ["?wait=hints&timeout=0", "timeout"],
    ["?wait=hints&timeout=soon", "timeout"],
    ["?wait=hints&mode=fast", "mode"],
    ["?wait=hints&ignoreUnreachable=maybe", "ignoreUnreachable"],
    ["?all=true&ignoreUnreachable=true", "ignoreUnreachable"],
  ])("refuses %s in words that name %s", async (query, word) => {
    const { status, body } = await post(query);
    expect(status).toBe(400);
    expect(body["detail"]).toContain(word);
    expect(here.repair.waits).toEqual([]);
  });

  it("is not ordered by a page of another site", async () => {
    expect(await post("?wait=hints", { origin: "https://elsewhere.example" })).toMatchObject({ status: 403 });
    expect(here.repair.waits).toEqual([]);
  });
});

describe("POST /v1/repair: replicas are compared", () => {
  it.each([
    ["?all=true", undefined, { all: true }],
    ["?partition=63", 63, { partition: 63 }],
    ["?bucket=carts", undefined, { bucket: "carts" }],
  ])("with %s, and it answers when all hold the same", async (query, partition, compared) => {
    expect(await post(`${query}&timeout=250`)).toEqual({
      status: 200,
      body: { compared, comparisons: 6, repairedKeys: 2, unreachable: [], durationMs: 34 },
    });
    expect(here.repair.comparisons).toEqual([{ partition, timeoutMs: 250 }]);
  });

  it("is 504 not_finished when time is up, and names whom it waits for", async () => {
    const waitingFor = { n3: 4 };
    here.repair.compared = { ...here.repair.compared, isDone: false, left: 4, waitingFor, unreachable: [node("n3")] };
    expect(await post("?all=true&timeout=1000")).toMatchObject({
      status: 504,
      body: {
        code: "not_finished",
        detail: "after 1000 ms 4 of 6 comparisons are left; they wait for n3: are these nodes up?",
        left: 4,
        waitingFor,
        unreachable: ["n3"],
        repairedKeys: 2,
      },
    });
  });

  it.each([
    ["?partition=64", "partition"],
    ["?partition=all", "partition"],
    ["?bucket=No%20Bucket", "bucket"],
    ["?all=yes", "all"],
    ["?all=false", "what to repair"],
    ["?all=true&wait=hints", "at a time"],
    ["?all=true&partition=5", "at a time"],
  ])("refuses %s in words that name %s", async (query, word) => {
    const { status, body } = await post(query);
    expect(status).toBe(400);
    expect(body["detail"]).toContain(word);
    expect(here.repair.comparisons).toEqual([]);
  });
});

describe("POST /v1/repair?scrub=true", () => {
  it("answers what the node has read and found", async () => {
    expect(await post("?scrub=true&timeout=250")).toEqual({
      status: 200,
      body: { scrubbed: "n1", readBytes: 4096, rotCount: 3, lostCount: 2, rebuiltIndexCount: 1, durationMs: 56 },
    });
    expect(here.repair.scrubs).toEqual([250]);
  });

  it("is 504 not_finished when time is up first, and nothing when it is not asked for", async () => {
    here.repair.scrubbed = { ...here.repair.scrubbed, isDone: false };
    expect(await post("?scrub=true&timeout=9")).toMatchObject({
      status: 504,
      body: { code: "not_finished", detail: "after 9 ms node n1 has read 4096 bytes of its store; it goes on" },
    });
    for (const query of ["?scrub=false", "?scrub=now", "?scrub=true&all=true"])
      expect((await post(query)).status).toBe(400);
    expect(here.repair.scrubs).toEqual([9]);
  });
});
