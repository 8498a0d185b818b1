/** Who is alive and who belongs, with real processes: a node killed, a node stopped for a while, and strangers at the door. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RealCluster, until } from "./cluster.ts";
import { look, nameOf } from "./elastic-story.ts";
import { putJson } from "./http.ts";
import { OracleLoad } from "./oracle-load.ts";
import { HostWatch } from "./processor-time.ts";

const SECRET = "the secret of this cluster, in a test";

let cluster: RealCluster;
beforeAll(async () => {
  cluster = await RealCluster.start(3, { GYRE_PARTITIONS: "64", GYRE_SECRET: SECRET });
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

async function livenessOf(node: number, at: number): Promise<string | undefined> {
  const seen = await look(cluster, at);
  return seen?.members.find((member) => member.node === nameOf(node))?.liveness;
}

async function isSeenBy(all: readonly number[], node: number, states: readonly string[]): Promise<boolean> {
  const seen = await Promise.all(all.map((at) => livenessOf(node, at)));
  return seen.every((state) => state !== undefined && states.includes(state));
}

/** Whether `at` writes without asking `node`, which holds a replica of everything here. */
async function isPassedOver(node: number, at: number): Promise<boolean> {
  const { body } = await putJson(`${cluster.url(at)}/v1/kv/passed-over/k?explain=true`, "any");
  const { explain } = body as { readonly explain?: { readonly replicas: readonly Replica[] } };
  const part = explain?.replicas.find((replica) => replica.node === nameOf(node));
  return explain !== undefined && (part === undefined || UNTOUCHED.includes(part.answer));
}

interface Replica {
  readonly node: string;
  readonly answer: string;
}

const UNTOUCHED = ["not_asked", "unreachable"];

describe("a node of three that fails", () => {
  test("killed: suspected and passed over by the others within 5 s, alive for them within 2 s of its return", async () => {
    const load = new OracleLoad(cluster, { sessionCount: 2, keyCount: 20, seed: 1, thinkMs: 10 }, () => [0, 1]);
    load.start();
    await until("the load runs", () => load.counts.appliedCount >= 30);
    expect(await isPassedOver(2, 0)).toBe(false);
    const host = new HostWatch();
    await cluster.kill(2);
    const [suspectedMs, passedOverMs] = await Promise.all([
      until("n3 suspected", () => isSeenBy([0, 1], 2, ["suspect", "dead"])),
      until("n3 passed over", async () => (await isPassedOver(2, 0)) && isPassedOver(2, 1)),
    ]);
    cluster.spawn(2);
    await cluster.untilReady([2]);
    const backMs = await until("n3 alive again", () => isSeenBy([0, 1, 2], 2, ["alive"]));
    await load.stop();
    tell({ suspectedMs, passedOverMs, backMs });
    expect(suspectedMs).toBeLessThan(host.within(5_000));
    expect(passedOverMs).toBeLessThan(host.within(5_000));
    expect(backMs).toBeLessThan(host.within(2_000));
    expect(load.counts.appliedCount).toBeGreaterThan(60);
    expect(await load.judge(2, "after the kill")).toEqual([]);
    expect(load.oracle.violations).toEqual([]);
  });

  test("stopped for 10 s: refutes by a higher incarnation of the same life, and nothing written is lost", async () => {
    const live: number[] = [0, 1];
    const plan = { sessionCount: 2, keyCount: 20, seed: 2, thinkMs: 10, bucket: "paused" };
    const load = new OracleLoad(cluster, plan, () => live);
    load.start();
    const pid = cluster.pid(2);
    const before = livesIn(0);
    const host = new HostWatch();
    const stoppedAt = performance.now();
    cluster.signal(2, "SIGSTOP");
    const suspectedMs = await until("n3 suspected", () => isSeenBy([0, 1], 2, ["suspect", "dead"]));
    await until("10 s are over", () => performance.now() - stoppedAt >= 10_000);
    cluster.signal(2, "SIGCONT");
    live.push(2);
    const backMs = await until("n3 alive again", () => isSeenBy([0, 1, 2], 2, ["alive"]));
    await until("all agree that all live", () => isCalm());
    const recoveredAt = livesIn(0).length;
    const appliedThen = load.counts.appliedCount;
    await until("the load goes on through all three", () => load.counts.appliedCount > appliedThen + 200);
    await load.stop();
    tell({ suspectedMs, backMs, applied: load.counts.appliedCount, longestFailureMs: load.counts.longestFailureMs });
    expect(load.counts.appliedCount).toBeGreaterThan(100);
    expect(cluster.pid(2)).toBe(pid);
    expect(suspectedMs).toBeLessThan(host.within(5_000));
    expect(backMs).toBeLessThan(host.within(2_000));
    expect(load.counts.longestFailureMs).toBeLessThan(host.within(2_000));
    // no second trouble: whoever had refuted is not doubted again
    expect(livesIn(0).slice(recoveredAt)).toEqual([]);
    expect(await load.judge(2, "after the pause")).toEqual([]);
    expect(load.oracle.violations).toEqual([]);
    const lives = livesIn(0).slice(before.length);
    expect(new Set(lives.map(({ generation }) => generation)).size).toBe(1);
    const at = lives.findIndex(({ kind }) => kind === "gossip.member-recover");
    const doubted = lives.slice(0, at).map(({ incarnation }) => incarnation);
    expect(doubted.length).toBeGreaterThan(0);
    expect(lives[at]?.incarnation).toBeGreaterThan(Math.max(...doubted));
  });
});

interface SeenLife {
  readonly kind: string;
  readonly generation: number;
  readonly incarnation: number;
}

/** What a node has logged of n3's lives. */
function livesIn(node: number): readonly SeenLife[] {
  return cluster.logged(node).flatMap(({ event, node: subject, generation, incarnation }) => {
    const isAbout = subject === "n3" && typeof event === "string" && event.startsWith("gossip.member-");
    return isAbout ? [{ kind: event, generation: Number(generation), incarnation: Number(incarnation) }] : [];
  });
}

async function isCalm(): Promise<boolean> {
  const looks = await Promise.all([0, 1, 2].map((node) => look(cluster, node)));
  return looks.every((one) => one?.verdict === "healthy");
}

describe("strangers at the door", () => {
  test.each([
    { what: "another cluster name", env: { GYRE_CLUSTER: "elsewhere" }, reason: "other_cluster_name" },
    { what: "another secret", env: { GYRE_SECRET: "quite another secret, in a test" }, reason: "wrong_secret" },
  ])("a node of $what is refused in words on both sides, and is nobody's member", async ({ env, reason }) => {
    const [stranger = 3] = await cluster.grow(1, env);
    await until(
      `${reason} is logged on both sides`,
      () => isRefused(stranger, reason) && [0, 1, 2].every((node) => isRefused(node, reason)),
    );
    await expectStranger(stranger);
    await cluster.kill(stranger);
  });

  test("a node of another cluster of the same name and secret is refused, and is nobody's member", async () => {
    const alone = { GYRE_SEEDS: "", GYRE_BOOTSTRAP_EXPECT: "1", GYRE_N: "1" };
    const [stranger = 3] = await cluster.grow(1, alone);
    await cluster.untilReady([stranger]);
    await cluster.stop(stranger);
    cluster.spawn(stranger, {});
    await until(
      "other_cluster_id is logged",
      () => [0, 1, 2].some((node) => isRefused(node, "other_cluster_id")) && isRefused(stranger, "other_cluster_id"),
    );
    await expectStranger(stranger);
    await cluster.kill(stranger);
  });
});

function isRefused(node: number, reason: string): boolean {
  return cluster.logged(node).some((line) => line["event"] === "peers.refused" && line["reason"] === reason);
}

async function expectStranger(stranger: number): Promise<void> {
  for (const node of [0, 1, 2]) {
    const seen = await look(cluster, node);
    expect(seen?.members.map((member) => member.node)).toEqual(["n1", "n2", "n3"]);
    expect(seen?.verdict).toBe("healthy");
  }
  const own = await look(cluster, stranger);
  expect(own?.members.map((member) => member.node) ?? []).not.toContain("n1");
}

function tell(measured: Readonly<Record<string, number>>): void {
  const words = Object.entries(measured).map(([name, value]) => `${name} ${value.toFixed(0)}`);
  process.stdout.write(`${words.join(", ")}\n`);
}
