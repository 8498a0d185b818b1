/**
 * Rounds of: writers on all nodes, kill -9 of all three at a random moment, restart. Every write answered `applied` must be
 * there, or superseded by a write that had read it. `KILL_ROUNDS` sets the rounds (default 4; the acceptance runs 20).
 */
import { expect, test } from "vitest";
import { Oracle, type WriteRecord } from "../sim/oracle.ts";
import { PATIENCE_MS, pause, RealCluster, until } from "./cluster.ts";
import { type Answer, ask, tryAsk } from "./http.ts";

const ROUNDS = Number(process.env["KILL_ROUNDS"] ?? "4");
const SEED = Number(process.env["KILL_SEED"] ?? String(Date.now() % 1_000_000));
const KEY_COUNT = 24;
/** the node that is told to start as it is */
const UNREHEARSED = 2;

let state = SEED;
const random = (): number => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state / 2 ** 32;
};

interface Seen {
  readonly context: string;
  readonly saw: readonly number[];
}

const oracle = new Oracle();
let nextId = 1;
let appliedCount = 0;
const wasKilled = { now: false };

function idsOf(body: Readonly<Record<string, unknown>>): readonly number[] {
  const siblings = body["siblings"];
  const values: readonly unknown[] = Array.isArray(siblings)
    ? siblings.map((one: { readonly value: unknown }) => one.value)
    : [body["value"]];
  return values.flatMap((value) =>
    typeof value === "object" && value !== null && "id" in value ? [Number(value.id)] : [],
  );
}

async function readKey(url: string, key: string): Promise<Seen | undefined> {
  const invokedAt = performance.now();
  const answer = await tryAsk(url);
  if (answer === undefined || answer.status === 503 || answer.status >= 500) return undefined;
  const saw = answer.status === 200 ? idsOf(answer.body) : [];
  oracle.onRead({ key, invokedAt, returnedAt: performance.now(), saw, isStrict: true });
  const context = answer.headers.get("gyre-context");
  return context === null ? undefined : { context, saw };
}

async function writeKey(url: string, key: string, seen: Seen | undefined): Promise<void> {
  const id = nextId;
  nextId += 1;
  const record: WriteRecord = {
    id,
    key,
    kind: "put",
    saw: seen?.saw ?? [],
    invokedAt: performance.now(),
    returnedAt: Number.POSITIVE_INFINITY,
    outcome: "unknown",
  };
  oracle.begin(record);
  const answer = await tryAsk(seen === undefined ? `${url}?blind=sibling` : url, {
    method: "PUT",
    body: JSON.stringify({ id, padding: "x".repeat(id % 700) }),
    headers: seen === undefined ? {} : { "gyre-context": seen.context },
  });
  if (answer === undefined || answer.body["outcome"] === "unknown") return;
  record.returnedAt = performance.now();
  record.outcome = answer.status === 200 ? "applied" : "not_applied";
  if (answer.status === 200) appliedCount += 1;
}

async function writer(cluster: RealCluster, index: number): Promise<void> {
  while (!wasKilled.now) {
    const key = `k${Math.floor(random() * KEY_COUNT)}`;
    const url = `${cluster.url(index % 3)}/v1/kv/kill/${key}`;
    const seen = await readKey(url, key);
    // Blind siblings add up to the limit: mostly write with what was read.
    if (!wasKilled.now) await writeKey(url, key, seen !== undefined && random() < 0.9 ? seen : undefined);
  }
}

/** Reads from all replicas; nodes that have just come back need a moment until their links stand. */
async function readAll(url: string): Promise<Answer> {
  const endsAt = performance.now() + PATIENCE_MS;
  for (;;) {
    const answer = await ask(url);
    if (answer.status !== 503 || performance.now() > endsAt) return answer;
    await pause(50);
  }
}

test(`${ROUNDS} rounds of killing all nodes lose no acknowledged write (seed ${SEED})`, async () => {
  await using cluster = await RealCluster.start(3, {}, (node): Record<string, string> => {
    return node === UNREHEARSED ? { GYRE_REHEARSAL: "off" } : {};
  });
  for (let round = 0; round < ROUNDS; round += 1) {
    wasKilled.now = false;
    const writers = Array.from({ length: 9 }, (_, index) => writer(cluster, index));
    const appliedBefore = appliedCount;
    await pause(200 + random() * 1_200);
    // a kill before anything was acknowledged proves nothing
    await until("some writes are applied", () => appliedCount > appliedBefore + 20);
    wasKilled.now = true;
    await Promise.all([0, 1, 2].map((node) => cluster.kill(node)));
    await Promise.all(writers);
    for (const node of [0, 1, 2]) cluster.spawn(node);
    await cluster.untilReady();
    for (let i = 0; i < KEY_COUNT; i += 1) {
      const key = `k${i}`;
      for (const node of [0, 1, 2]) {
        const answer = await readAll(`${cluster.url(node)}/v1/kv/kill/${key}?r=all`);
        expect([200, 404], answer.text).toContain(answer.status);
        oracle.onFinal(key, answer.status === 200 ? idsOf(answer.body) : [], `node ${node} in round ${round}`);
      }
    }
    expect(oracle.violations).toEqual([]);
  }
  expect(appliedCount).toBeGreaterThan(ROUNDS * 20);
  // Each start but the first runs the code warm, before the node is found, unless it is told not to.
  const again = (events: readonly string[]): readonly string[] => Array.from({ length: ROUNDS }, () => events).flat();
  const starts = [0, 1, 2].map((node) =>
    cluster
      .logged(node)
      .map(({ event }) => String(event).replace("node.not-rehearsed", "node.rehearsed"))
      .filter((event) => event === "node.rehearsed" || event === "node.listening"),
  );
  const warm = ["node.listening", ...again(["node.rehearsed", "node.listening"])];
  expect(starts).toEqual([warm, warm, ["node.listening", ...again(["node.listening"])]]);
  // A start for which there was too little processor time is none; that there never is any is a defect.
  const played = [0, 1].flatMap((node) => cluster.logged(node)).filter(({ event }) => event === "node.rehearsed");
  expect(played.some(({ requestCount }) => Number(requestCount) > 0)).toBe(true);
});
