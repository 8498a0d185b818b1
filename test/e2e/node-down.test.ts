/** Nodes that die: with one down the cluster goes on; with two it says 503 with facts, and what it refused never appears. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pause, RealCluster, until } from "./cluster.ts";
import { type Answer, ask, putJson, tryAsk, valuesOf } from "./http.ts";
import { HostWatch } from "./processor-time.ts";

let cluster: RealCluster;
beforeAll(async () => {
  cluster = await RealCluster.start(3);
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

const at = (node: number, key: string, query = ""): string => `${cluster.url(node)}/v1/kv/down/${key}${query}`;

describe("one node of three killed under load", () => {
  test("after the requests in flight, reads and writes at 2/2/3 go on without an error", async () => {
    const answers: { readonly sentAt: number; readonly answer: Answer | undefined }[] = [];
    let isOver = false;
    const load = async (node: number): Promise<void> => {
      for (let i = 0; !isOver; i += 1) {
        const sentAt = performance.now();
        // a machine that is busy with other things may keep an fsync waiting for longer than the usual deadline
        const url = at(node, `load-${node}-${i % 50}`, "?timeout=10000");
        const answer = i % 2 === 0 ? await tryAsk(url, { method: "PUT", body: `{"i":${i}}` }) : await tryAsk(url);
        answers.push({ sentAt, answer });
      }
    };
    const running = Promise.all([load(0), load(1)]);
    await pause(800);
    await cluster.kill(2);
    const [killedAt, host] = [performance.now(), new HostWatch()];
    // by when they were sent: one that hung on the node's death is answered when its time is up
    const late = (): readonly (Answer | undefined)[] =>
      answers.filter(({ sentAt }) => sentAt > killedAt + host.within(1_000)).map(({ answer }) => answer);
    const isEnough = (): boolean => performance.now() > killedAt + 2_200 && late().length > 100;
    await until("there are answers after the kill", isEnough).finally(() => {
      isOver = true;
    });
    await running;
    const bad = late().filter((answer) => answer === undefined || answer.status >= 500);
    expect(bad.map((answer) => answer?.text)).toEqual([]);
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
    for (const key of refused) {
      for (const node of [0, 1, 2]) {
        // until all links stand again a read from all is 503, and never anything else
        let status = 503;
        const isAnswered = async (): Promise<boolean> => {
          ({ status } = await ask(at(node, key, "?r=all&timeout=10000")));
          return status !== 503;
        };
        await until(`all answer for ${key}`, isAnswered);
        expect([key, node, status]).toEqual([key, node, 404]);
      }
    }
    expect((await putJson(at(0, "alive", "?timeout=10000"), { ok: true })).status).toBe(200);
    expect(valuesOf(await ask(at(2, "alive", "?timeout=10000")))).toEqual(['{"ok":true}']);
  });
});
