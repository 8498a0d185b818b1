/**
 * Five real nodes, two of them killed: sloppy writes go on for keys that have two of their three owners there, strict ones
 * are refused without a trace; the node that stood in is killed right after an answer, and nothing is lost; when all are
 * back, every owner holds every write.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pause, RealCluster, until } from "./cluster.ts";
import { type Answer, ask, putJson, tryAsk, valuesOf } from "./http.ts";

/** A multiple of three: each key has one writer. */
const KEYS = 201;
const DEAD = [3, 4];

let cluster: RealCluster;
/** what each key must hold in the end: the last value that was acknowledged */
const last = new Map<string, number>();
/** values of writes that were answered `unknown`, or not at all: they may show up beside it */
const maybe = new Map<string, string[]>();
let notes: Record<string, number> = {};

beforeAll(async () => {
  cluster = await RealCluster.start(5);
}, 60_000);
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
  console.log("sloppy:", JSON.stringify(notes));
});

const at = (node: number, key: string, query = ""): string => `${cluster.url(node)}/v1/kv/sloppy/${key}${query}`;

interface Report {
  readonly node: string;
  readonly role: string;
  readonly slot: number;
  readonly answer: string;
  readonly digest?: string;
  readonly hint: boolean;
}

function reportsOf(answer: Answer): readonly Report[] {
  const explain = answer.body["explain"];
  const replicas = typeof explain === "object" && explain !== null && "replicas" in explain ? explain.replicas : [];
  return Array.isArray(replicas) ? replicas : [];
}

function acksOf(answer: Answer): { readonly owners: number; readonly fallbacks: number; readonly durable: number } {
  const acks = answer.body["acks"];
  return typeof acks === "object" && acks !== null && "fallbacks" in acks
    ? (acks as { owners: number; fallbacks: number; durable: number })
    : { owners: 0, fallbacks: 0, durable: 0 };
}

async function ownersOf(key: string): Promise<readonly number[]> {
  const { body } = await ask(`${cluster.url(0)}/v1/ring/sloppy/${key}`);
  const owners: readonly unknown[] = Array.isArray(body["owners"]) ? body["owners"] : [];
  return owners.map((owner) => Number(/\d+/.exec(JSON.stringify(owner))?.[0] ?? 0) - 1);
}

/** Keys with two of their three owners among the nodes that are to die. */
async function hardKeys(): Promise<readonly string[]> {
  const keys: string[] = [];
  for (let i = 0; keys.length < 25 && i < KEYS; i += 1) {
    const owners = await ownersOf(`k${i}`);
    if (owners.filter((owner) => DEAD.includes(owner)).length === 2) keys.push(`k${i}`);
  }
  return keys;
}

let hard: readonly string[] = [];

describe("five nodes, N = 3, W = R = 2", () => {
  test("take writes for every key", async () => {
    for (let i = 0; i < KEYS; i += 1) {
      const answer = await putJson(at(i % 5, `k${i}`), i);
      expect(answer.status, answer.text).toBe(200);
      last.set(`k${i}`, i);
    }
    hard = await hardKeys();
    expect(hard.length).toBeGreaterThanOrEqual(5);
  }, 60_000);

  test("go on taking them when two are killed: after they are noticed, without an error for any key", async () => {
    const failures: { readonly at: number; readonly text: string }[] = [];
    let count = 0;
    let sloppyCount = 0;
    const load = async (node: number, endsAt: number): Promise<void> => {
      for (let i = node; performance.now() < endsAt; i += 3) {
        const key = `k${i % KEYS}`;
        const value = 1_000_000 + i;
        const answer = await tryAsk(at(node, key), { method: "PUT", body: String(value) });
        count += 1;
        if (answer?.status === 200) {
          last.set(key, value);
          if (acksOf(answer).fallbacks > 0) sloppyCount += 1;
        } else {
          failures.push({ at: performance.now(), text: answer?.text ?? "no answer" });
          if (answer?.body["outcome"] !== "not_applied") maybe.set(key, [...(maybe.get(key) ?? []), String(value)]);
        }
      }
    };
    const startedAt = performance.now();
    // One writer for each node that stays; each key is written by one of them only, or the last value would be anybody's.
    const running = Promise.all([0, 1, 2].map((node) => load(node, startedAt + 5_000)));
    await pause(1_000);
    await Promise.all(DEAD.map((node) => cluster.kill(node)));
    const killedAt = performance.now();
    await running;
    const lastFailure = Math.max(0, ...failures.map((failure) => failure.at - killedAt));
    notes = {
      ...notes,
      writes: count,
      sloppy: sloppyCount,
      failed: failures.length,
      lastFailureMs: Math.round(lastFailure),
    };
    expect(failures.filter((failure) => failure.at - killedAt > 1_000).map(({ text }) => text)).toEqual([]);
    expect(sloppyCount).toBeGreaterThan(20);
  }, 30_000);

  test("say of each write who took it, durably, and of each read who stood in", async () => {
    for (const key of hard.slice(0, 5)) {
      const written = await putJson(at(0, key, "?explain=true"), { key });
      expect(written.body, written.text).toMatchObject({ outcome: "applied", acks: { required: 2, durable: 2 } });
      const kept = reportsOf(written).filter(({ role, answer }) => role === "fallback" && answer === "ok");
      expect(kept.length).toBeGreaterThanOrEqual(1);
      expect(kept.every(({ hint }) => hint)).toBe(true);
      const read = await ask(at(1, key));
      expect([read.status, read.body["value"]]).toEqual([200, { key }]);
      expect(read.headers.get("gyre-fallbacks")).toBe((read.body["fallbacks"] as readonly string[]).join(", "));
      const follow = await putJson(at(2, key), -1, { "gyre-context": read.headers.get("gyre-context") ?? "" });
      expect(follow.body["siblings"], follow.text).toBe(1);
      last.set(key, -1);
    }
  });

  test("refuse strict writes for keys without a quorum of owners, and those never appear", async () => {
    for (const key of hard) {
      const strict = await putJson(at(0, key, "?sloppy=false"), "never");
      expect([strict.status, strict.body["code"], strict.body["outcome"]]).toEqual([
        503,
        "quorum_not_met",
        "not_applied",
      ]);
      const owners = await putJson(at(1, key, "?pw=2"), "never");
      expect([owners.status, owners.body["outcome"]]).toEqual([503, "not_applied"]);
      expect((await ask(at(2, key, "?sloppy=false"))).status).toBe(503);
    }
  }, 30_000);

  test("never say that a key is not there on the word of stand-ins", async () => {
    let refused = 0;
    for (let i = 0; i < 200; i += 1) {
      const key = `nobody-wrote-${i}`;
      const answer = await ask(at(i % 3, key));
      expect([404, 503], answer.text).toContain(answer.status);
      if (answer.status === 503) refused += 1;
    }
    expect(refused).toBeGreaterThan(0);
  }, 30_000);

  test("lose nothing when the node that stood in is killed right after its answer, and comes back", async () => {
    let killed = 0;
    for (const key of hard.slice(0, 4)) {
      const through = (await ownersOf(key)).find((owner) => !DEAD.includes(owner)) ?? 0;
      const value = 2_000_000 + killed;
      const written = await putJson(at(through, key, "?explain=true"), value);
      const keeper = reportsOf(written).find(({ role, answer }) => role === "fallback" && answer === "ok");
      expect(written.body["outcome"], written.text).toBe("applied");
      last.set(key, value);
      const node = Number(keeper?.node.slice(1)) - 1;
      await cluster.kill(node);
      cluster.spawn(node);
      await cluster.untilReady([node]);
      killed += 1;
    }
    expect(killed).toBe(4);
  }, 120_000);

  test("deliver everything when all are back: every owner of every key holds the last write", async () => {
    const backAt = performance.now();
    for (const node of DEAD) cluster.spawn(node);
    await cluster.untilReady(DEAD);
    notes = { ...notes, readyMs: Math.round(performance.now() - backAt) };
    const waited = await ask(`${cluster.url(0)}/v1/repair?wait=hints&timeout=30000`, { method: "POST", body: "{}" });
    expect(waited.status, waited.text).toBe(200);
    notes = { ...notes, deliveredMs: Math.round(performance.now() - backAt) };
    await until(
      "three links lead from node 0 to the owners of every key",
      async () => {
        return (await ask(at(0, hard[0] ?? "", "?r=all&sloppy=false"))).status === 200;
      },
      10_000,
    );
    for (const [key, value] of last) {
      const answer = await ask(at(Number(key.slice(1)) % 5, key, "?r=all&sloppy=false&explain=true"));
      const others = valuesOf(answer).filter((shown) => shown !== String(value));
      expect([answer.status, valuesOf(answer).length - others.length], `${key}: ${answer.text}`).toEqual([200, 1]);
      expect(maybe.get(key) ?? []).toEqual(expect.arrayContaining(others));
      const owners = reportsOf(answer).filter(({ answer: word }) => word === "ok");
      expect(new Set(owners.map(({ slot }) => slot)).size).toBe(3);
      expect(new Set(owners.map(({ digest }) => digest)).size, `${key}: ${answer.text}`).toBe(1);
    }
  }, 90_000);
});
