/**
 * Named scenario of a disk that is slow and does not fail, with real processes: whatever makes bytes durable on one node takes half
 * a second more for a while. Number and name: research notes on reliability, §6.4. What that costs others is not judged here, on a
 * machine that is shared, but in virtual time (`test/sim/scenarios/slow-disk.test.ts`).
 */
import { describe, expect, test } from "vitest";
import { DISK_BAD_LOOKS, DISK_GOOD_LOOKS, DISK_LOOK_MS, DISK_SLOW_PUT_MS } from "../../services/base/load-limits.ts";
import { pause, type RealCluster, until } from "./cluster.ts";
import { look, type MemberLook, nameOf } from "./elastic-story.ts";
import { FaultyCluster } from "./faulty-cluster.ts";
import { type Answer, ask, tryAsk } from "./http.ts";

const SLOW = 2;
const OTHERS = [0, 1];
const ALL = [...OTHERS, SLOW];
const DELAY_MS = 500;
const THINK_MS = 10;
/** By which a timer and the wall clock that dates the log may disagree. */
const CLOCK_MS = 100;

type SlowMember = MemberLook & { readonly fitness: { readonly degraded: boolean } | null };

/** What the node says of the slow one; undefined when it says nothing. */
async function seenBy({ nodes }: FaultyCluster, at: number): Promise<SlowMember | undefined> {
  const member = (await look(nodes, at))?.members.find(({ node }) => node === nameOf(SLOW));
  return member as SlowMember | undefined;
}

/** Waits until all say of the slow node that others had better ask it last, or no longer; itself first. */
async function untilDegraded(cluster: FaultyCluster, isDegraded: boolean): Promise<void> {
  for (const at of [SLOW, ...OTHERS]) {
    const isSaid = async (): Promise<boolean> => (await seenBy(cluster, at))?.fitness?.degraded === isDegraded;
    await until(`n${at + 1} says degraded: ${isDegraded}`, isSaid);
  }
}

/** Through each node a write, a read of it, and so on, until told to stop. */
class Load {
  doneCount = 0;
  /** answers that were no success, or not what had been written */
  readonly bad: (Answer | undefined)[] = [];
  #isOver = false;
  readonly #running: Promise<unknown>;

  constructor(cluster: FaultyCluster) {
    this.#running = Promise.all(ALL.map((node) => this.#run(cluster, node)));
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #run(cluster: FaultyCluster, node: number): Promise<void> {
    for (let i = 0; !this.#isOver; i += 1) {
      const url = cluster.at(node, `k-${node}-${i % 10}`, "?timeout=10000");
      const written = await tryAsk(url, { method: "PUT", body: JSON.stringify({ i }) });
      if (written?.status !== 200) this.bad.push(written);
      const read = await tryAsk(url);
      if (read?.status !== 200 || JSON.stringify(read.body["value"]) !== JSON.stringify({ i })) this.bad.push(read);
      this.doneCount += 1;
      await pause(THINK_MS);
    }
  }
}

describe("scenario 27: slow-node-not-dead: a disk that takes half a second more for each flush", () => {
  test("the node says so itself and stays a member; nobody is failed; it is well again by itself", async () => {
    await using cluster = await FaultyCluster.start();
    const { nodes } = cluster;
    await using load = new Load(cluster);
    const saysWell = async (): Promise<boolean> =>
      (await ask(`${nodes.url(SLOW)}/readyz?verbose`)).text.includes("writes become durable in time");
    await until("there is load", () => load.doneCount > 30);
    await until("the disk is well", saysWell);
    const linesBefore = ALL.map((node) => nodes.logged(node).length);
    const since = (node: number): ReturnType<RealCluster["logged"]> => nodes.logged(node).slice(linesBefore[node]);

    cluster.breakDisk(SLOW, { flushDelayMs: DELAY_MS });
    await untilDegraded(cluster, true);
    const seen = await Promise.all(ALL.map((node) => seenBy(cluster, node)));
    const reasons = (await look(nodes, 0))?.reasons;
    const ready = await ask(`${nodes.url(SLOW)}/readyz?verbose`);
    const doneSlow = load.doneCount;
    await until("the load goes on", () => load.doneCount > doneSlow + 60);
    const later = await seenBy(cluster, SLOW);

    cluster.breakDisk(SLOW);
    const endedMs = Date.now();
    await untilDegraded(cluster, false);
    await load.stop();

    const lines = since(SLOW).filter(({ event }) => String(event).startsWith("calm.disk-"));
    const turn = lines.findIndex(({ event }) => event === "calm.disk-degraded");
    const steps = lines.slice(turn - 1, turn + 2);
    expect(steps.map(({ event }) => event)).toEqual(["calm.disk-slow", "calm.disk-degraded", "calm.disk-well"]);
    const [slowMs = 0, degradedMs = 0, wellMs = 0] = steps.map(({ time }) => Date.parse(String(time)));
    expect(steps[1]?.["putMs"]).toBeGreaterThan(DISK_SLOW_PUT_MS);
    expect(degradedMs - slowMs).toBeGreaterThan((DISK_BAD_LOOKS - 1) * DISK_LOOK_MS - CLOCK_MS);
    expect(wellMs - endedMs).toBeGreaterThan((DISK_GOOD_LOOKS - 1) * DISK_LOOK_MS - CLOCK_MS);
    const member = { status: "normal", liveness: "alive", fitness: { degraded: true } };
    expect([...seen, later]).toMatchObject([member, member, member, member]);
    expect([ready.status, ready.text]).toEqual([
      200,
      expect.stringMatching(/disk-speed: degraded: a write takes \d+ ms/),
    ]);
    expect(reasons).toContain(`the disk of node ${nameOf(SLOW)} is slow: others ask it last`);
    expect(load.bad.map((answer) => answer?.text)).toEqual([]);
    const said = OTHERS.flatMap((at) => since(at)).filter(({ node }) => node === nameOf(SLOW));
    expect(said.filter(({ event }) => /^gossip\.member-(?:suspect|dead|left)$/.test(String(event)))).toEqual([]);
    expect(nodes.running).toEqual(ALL);
  });
});
