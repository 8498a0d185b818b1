/** POST /v1/cluster/plan, commit, abort and leave: strict bodies, documents, refusals. */
import { beforeEach, describe, expect, it } from "vitest";
import { MAX_PLAN_CHANGES } from "../../../services/base/limits.ts";
import { type ApiNode, apiNode, membershipPlan } from "../../support/api-node.ts";

let here: ApiNode;
beforeEach(() => {
  here = apiNode();
});

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

async function post(path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const payload = body === undefined ? {} : { payload: typeof body === "string" ? body : JSON.stringify(body) };
  const reply = await here.api.inject({ method: "POST", url: `/v1/cluster/${path}`, headers, ...payload });
  return { status: reply.statusCode, body: reply.json() };
}

const HASH = "00112233445566aa";
const join = { kind: "join", node: "n4" };

describe("POST /v1/cluster/plan", () => {
  it("hands every kind of change on as it was asked, and answers the plan", async () => {
    const changes = [
      { kind: "join", node: "n4" },
      { kind: "leave", node: "n1" },
      { kind: "remove", node: "n2", force: true },
      { kind: "replace", node: "n3", with: "n5", force: false },
      { kind: "weight", node: "n4", weight: 0.5 },
      { kind: "zone", node: "n4", zone: "eu/1" },
      { kind: "host", node: "n4", host: "h4" },
    ];
    const { status, body } = await post("plan", { changes });
    expect(status).toBe(200);
    expect(here.door.asked).toEqual([{ plan: changes }]);
    expect(body).toEqual({
      planHash: HASH,
      changes,
      allowed: true,
      refusals: [],
      warnings: [],
      movedCopies: 48,
      minimumCopies: 48,
      bytes: 4_800,
      moves: [{ node: "n4", incoming: 48, outgoing: 0, bytesIn: 4_800, bytesOut: 0 }],
      before: {
        maxOverFair: 1,
        hottestOverMean: 1,
        slots: { n1: 64, n2: 64, n3: 64 },
        zones: { z1: 192 },
        zoneViolations: 0,
        zonesUsed: [0, 64],
      },
      after: expect.any(Object),
    });
  });

  it("keeps nothing for a commit with dryRun, and takes no other word for it", async () => {
    expect((await post("plan", { changes: [join], dryRun: true })).status).toBe(200);
    expect((await post("plan", { changes: [join], dryRun: false })).status).toBe(200);
    expect(here.door.asked).toEqual([{ plan: [join], isDryRun: true }, { plan: [join] }]);
    for (const dryRun of ["true", 1, null]) {
      expect(await post("plan", { changes: [join], dryRun })).toMatchObject({
        status: 400,
        body: { parameter: "dryRun" },
      });
    }
  });

  it("takes force as false when it is left out", async () => {
    await post("plan", {
      changes: [
        { kind: "remove", node: "n2" },
        { kind: "replace", node: "n3", with: "n5" },
      ],
    });
    expect(here.door.asked).toEqual([
      {
        plan: [
          { kind: "remove", node: "n2", force: false },
          { kind: "replace", node: "n3", with: "n5", force: false },
        ],
      },
    ]);
  });

  it("answers a plan that is refused with 200 and the refusals: it is a dry run", async () => {
    here.door.answers.plan = (changes) => ({
      kind: "planned",
      plan: membershipPlan(changes, { refusals: ["2 members would be left for N=3"] }),
    });
    const { status, body } = await post("plan", { changes: [{ kind: "leave", node: "n1" }] });
    expect([status, body["allowed"], body["refusals"]]).toEqual([200, false, ["2 members would be left for N=3"]]);
  });

  it("is 503 when this node cannot plan, with words", async () => {
    const failed = { kind: "failed", detail: "no member yet", outcome: "not_applied", isRetryable: true } as const;
    here.door.answers.plan = () => failed;
    expect(await post("plan", { changes: [join] })).toMatchObject({
      status: 503,
      body: { code: "not_ready", detail: "no member yet", outcome: "not_applied", retryable: true },
    });
  });

  it.each<{ readonly body: unknown; readonly says: string }>([
    { body: "", says: "the body is a JSON object" },
    { body: "[]", says: "the body is a JSON object" },
    { body: "{", says: "the body is a JSON object" },
    { body: { change: [join] }, says: 'unknown field "change"' },
    { body: {}, says: "changes is a list of at least one change" },
    { body: { changes: [] }, says: "changes is a list of at least one change" },
    { body: { changes: join }, says: "changes is a list of at least one change" },
    { body: { changes: ["join n4"] }, says: "changes[0] is no object" },
    { body: { changes: [{ node: "n4" }] }, says: "changes[0] needs a kind: join, leave, remove, replace, weight" },
    { body: { changes: [{ kind: "toString", node: "n4" }] }, says: "changes[0] needs a kind" },
    { body: { changes: [join, { kind: "join" }] }, says: "changes[1] needs a node" },
    { body: { changes: [{ kind: "join", node: "no node" }] }, says: "changes[0] needs a node" },
    { body: { changes: [{ ...join, force: true }] }, says: 'changes[0] has the unknown field "force"' },
    { body: { changes: [{ kind: "remove", node: "n4", force: "yes" }] }, says: "force that is neither true nor false" },
    { body: { changes: [{ kind: "replace", node: "n4" }] }, says: 'changes[0] needs "with"' },
    { body: { changes: [{ kind: "weight", node: "n4", weight: 0 }] }, says: "needs a weight above 0 and up to 64" },
    { body: { changes: [{ kind: "weight", node: "n4", weight: "2" }] }, says: "needs a weight above 0 and up to 64" },
    { body: { changes: [{ kind: "zone", node: "n4", zone: "a b" }] }, says: "needs a zone: a label" },
    { body: { changes: [join, { kind: "leave", node: "n4" }] }, says: "name n4 twice" },
    { body: { changes: [join, { kind: "replace", node: "n1", with: "n4" }] }, says: "name n4 twice" },
    { body: { changes: [{ kind: "replace", node: "n1", with: "n1" }] }, says: "name n1 twice" },
    {
      body: { changes: Array.from({ length: MAX_PLAN_CHANGES + 1 }, (_, at) => ({ kind: "join", node: `n${at}` })) },
      says: `the limit is ${MAX_PLAN_CHANGES}`,
    },
  ])("refuses $body: $says", async ({ body, says }) => {
    const answer = await post("plan", body);
    expect([answer.status, answer.body["code"]]).toEqual([400, "invalid_request"]);
    expect(answer.body["detail"]).toContain(says);
    expect(here.door.asked).toEqual([]);
  });
});

describe("POST /v1/cluster/commit", () => {
  it("commits what was planned here", async () => {
    expect(await post("commit", { planHash: HASH })).toMatchObject({
      status: 200,
      body: { outcome: "applied", planHash: HASH, movedCopies: 48 },
    });
    expect(here.door.asked).toEqual([{ commit: HASH }]);
  });

  it("plans the same changes again when they are given, so that any node can commit", async () => {
    expect((await post("commit", { planHash: HASH, changes: [join] })).status).toBe(200);
    expect(here.door.asked).toEqual([{ plan: [join] }, { commit: HASH }]);
  });

  it("is 409 plan_changed, with nothing done, when the changes make another plan by now", async () => {
    const answer = await post("commit", { planHash: "ffffffffffffffff", changes: [join] });
    expect(answer).toMatchObject({ status: 409, body: { code: "plan_changed", outcome: "not_applied" } });
    expect(here.door.asked).toEqual([{ plan: [join], isDryRun: true }]);
  });

  it.each(["plan_changed", "unknown_plan"] as const)("is 409 plan_changed when membership says %s", async (kind) => {
    here.door.answers.commit = { kind, detail: "n5 has joined since" };
    expect(await post("commit", { planHash: HASH })).toMatchObject({
      status: 409,
      body: { code: "plan_changed", outcome: "not_applied", retryable: false, detail: "n5 has joined since" },
    });
  });

  it("is 409 change_refused with every reason", async () => {
    here.door.answers.commit = { kind: "refused", refusals: ["too few members", "n2 is down"] };
    expect(await post("commit", { planHash: HASH })).toMatchObject({
      status: 409,
      body: { code: "change_refused", refusals: ["too few members", "n2 is down"], outcome: "not_applied" },
    });
  });

  it("says so when some of it may have been done", async () => {
    here.door.answers.commit = { kind: "failed", detail: "n4 did not answer", outcome: "unknown", isRetryable: true };
    expect(await post("commit", { planHash: HASH })).toMatchObject({ status: 503, body: { outcome: "unknown" } });
  });

  it.each([{}, { planHash: 7 }, { planHash: "xyz" }, { plan: HASH }, { planHash: HASH, changes: [] }])(
    "refuses %j",
    async (body) => {
      expect((await post("commit", body)).status).toBe(400);
      expect(here.door.asked).toEqual([]);
    },
  );
});

describe("POST /v1/cluster/abort and leave", () => {
  it("abort takes a node, or all that are under way", async () => {
    expect(await post("abort", { node: "n4" })).toMatchObject({
      status: 200,
      body: { outcome: "applied", nodes: [{ node: "n4", status: "leaving" }] },
    });
    await post("abort");
    await post("abort", {});
    expect(here.door.asked).toEqual([{ abort: "n4" }, { abort: undefined }, { abort: undefined }]);
  });

  it("leave is this node's own, without a body", async () => {
    expect(await post("leave")).toMatchObject({ status: 200, body: { status: "leaving", slotsHeld: 64 } });
    here.door.answers.leave = { kind: "refused", refusals: ["2 members would be left for N=3"] };
    expect(await post("leave", {})).toMatchObject({ status: 409, body: { code: "change_refused" } });
    expect(here.door.asked).toEqual(["leave", "leave"]);
  });

  it("refuse what they do not know", async () => {
    expect((await post("abort", { nodes: ["n4"] })).status).toBe(400);
    expect((await post("abort", { node: "no node" })).status).toBe(400);
    expect((await post("leave", { node: "n4" })).status).toBe(400);
    expect((await post("leave?node=n4")).status).toBe(400);
    expect(here.door.asked).toEqual([]);
  });
});

describe("every change", () => {
  it("is refused to pages of other sites, which browsers mark with their origin", async () => {
    const foreign = { origin: "https://evil.example", host: "127.0.0.1:4401" };
    expect(await post("leave", undefined, foreign)).toMatchObject({ status: 403, body: { code: "forbidden" } });
    expect(await post("leave", undefined, { origin: "null", host: "127.0.0.1:4401" })).toMatchObject({ status: 403 });
    expect(here.door.asked).toEqual([]);
    const own = { origin: "http://127.0.0.1:4401", host: "127.0.0.1:4401" };
    expect((await post("leave", undefined, own)).status).toBe(200);
  });

  it("that meets a defect is 500 with outcome unknown", async () => {
    here.door.commit = () => Promise.reject(new Error("boom"));
    expect(await post("commit", { planHash: HASH })).toMatchObject({
      status: 500,
      body: { code: "internal_error", outcome: "unknown" },
    });
  });
});
