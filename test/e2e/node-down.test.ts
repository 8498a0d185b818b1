/** Nodes that die: with one down the cluster goes on; with two it says 503 with facts, and what it refused never appears. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pause, RealCluster } from "./cluster.ts";
import { type Answer, ask, putJson, tryAsk, valuesOf } from "./http.ts";

let cluster: RealCluster;
beforeAll(async () => {
  cluster = await RealCluster.start(3);
}, 60_000);
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

const at = (node: number, key: string, query = ""): string => `${cluster.url(node)}/v1/kv/down/${key}${query}`;

describe("one node of three killed under load", () => {
  test("after the requests in flight, reads and writes at 2/2/3 go on without an error", async () => {
    const answers: { readonly at: number; readonly answer: Answer | undefined }[] = [];
    const load = async (node: number, until: number): Promise<void> => {
      for (let i = 0; performance.now() < until; i += 1) {
        const key = `load-${node}-${i % 50}`;
        const answer =
          i % 2 === 0
            ? await tryAsk(at(node, key), { method: "PUT", body: `{"i":${i}}` })
            : await tryAsk(at(node, key));
        answers.push({ at: performance.now(), answer });
      }
    };
    const startedAt = performance.now();
    const running = Promise.all([load(0, startedAt + 3_000), load(1, startedAt + 3_000)]);
    await pause(800);
    await cluster.kill(2);
    const killedAt = performance.now();
    await running;
    const late = answers.filter((one) => one.at > killedAt + 1_000);
    expect(late.length).toBeGreaterThan(100);
    const bad = late.filter(({ answer }) => answer === undefined || answer.status >= 500);
    expect(bad.map(({ answer }) => answer?.text)).toEqual([]);
  });
});

describe("two nodes of three killed", () => {
  test("writes are 503 not_applied with counts and reasons, and never appear later", async () => {
    await cluster.kill(1);
    await pause(300);
    const refused: string[] = [];
    for (let i = 0; i < 20; i += 1) {
      const answer = await putJson(at(0, `refused-${i}`), { i });
      expect([answer.status, answer.body["code"]]).toEqual([503, "quorum_not_met"]);
      expect(answer.headers.get("content-type")).toContain("application/problem+json");
      expect(answer.body["required"]).toBe(2);
      expect(Array.isArray(answer.body["replicas"])).toBe(true);
      if (answer.body["outcome"] === "not_applied") refused.push(`refused-${i}`);
    }
    expect(refused.length).toBeGreaterThan(15);
    const read = await ask(at(0, "load-0-0"));
    expect([read.status, read.body["code"]]).toEqual([503, "quorum_not_met"]);
    expect((await ask(at(0, "load-0-0", "?r=1"))).status).toBe(200);

    cluster.spawn(1);
    cluster.spawn(2);
    await cluster.untilReady();
    await pause(1_000);
    for (const key of refused) {
      for (const node of [0, 1, 2]) expect((await ask(at(node, key, "?r=all"))).status).toBe(404);
    }
    expect(valuesOf(await putJson(at(0, "alive"), { ok: true }).then(() => ask(at(2, "alive"))))).toEqual([
      '{"ok":true}',
    ]);
  });
});
