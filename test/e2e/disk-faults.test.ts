/** Disks that fail and fill up under real processes: what is acknowledged stays, what is refused says so, the others go on. */
import { describe, expect, test } from "vitest";
import { pause, until } from "./cluster.ts";
import { FaultyCluster } from "./faulty-cluster.ts";
import { type Answer, ask, putJson, tryAsk } from "./http.ts";
import { reportsOf } from "./last-writes.ts";
import { HostWatch } from "./processor-time.ts";

interface Written {
  readonly key: string;
  readonly atMs: number;
  readonly answer: Answer | undefined;
}

/** Writes through these nodes, one after the other on each, until told to stop. */
class Load {
  readonly written: Written[] = [];
  #isOver = false;
  readonly #running: Promise<unknown>;

  constructor(cluster: FaultyCluster, nodes: readonly number[], padding: number) {
    const write = async (node: number): Promise<void> => {
      for (let i = 0; !this.#isOver; i += 1) {
        const key = `load-${node}-${i}`;
        const answer = await tryAsk(cluster.at(node, key, "?explain=true&timeout=10000"), {
          method: "PUT",
          body: JSON.stringify({ i, padding: "x".repeat(padding) }),
        });
        this.written.push({ key, atMs: performance.now(), answer });
      }
    };
    this.#running = Promise.all(nodes.map(write));
  }

  async stop(): Promise<readonly Written[]> {
    this.#isOver = true;
    await this.#running;
    return this.written;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

function isApplied({ answer }: Written): boolean {
  return answer?.status === 200;
}

/** Whether the node itself said that it holds the write, durably, before its client was answered. */
function isHeldBy(node: string, { answer }: Written): boolean {
  if (answer?.status !== 200) return false;
  return reportsOf(answer).some((one) => one.node === node && one.role === "owner" && one.answer === "ok");
}

describe("scenario 5: fsync-eio-is-fatal: a flush that fails", () => {
  test.each(["write", "fdatasync"] as const)(
    "(%s) ends the process within a second; the others keep serving; it comes back by the unclean path with all it had",
    async (broken) => {
      await using cluster = await FaultyCluster.start();
      const { nodes } = cluster;
      // so much that the next segment is soon laid down, which is flushed
      await using load = new Load(cluster, [0, 1], 40_000);
      await until("there is load", () => load.written.length > 20);
      cluster.breakDisk(2, { broken });
      await until("the disk has failed", () => nodes.log(2).includes("storage.failed"));
      const [failedMs, host] = [performance.now(), new HostWatch()];
      expect(await nodes.untilEnded(2)).toBe(1);
      expect(performance.now() - failedMs).toBeLessThan(host.within(1_000));
      const goneMs = failedMs + host.within(1_500);
      const late = (): readonly Written[] => load.written.filter(({ atMs }) => atMs > goneMs);
      await until("the others serve", () => late().length > 20);
      await pause(1_000);
      const written = await load.stop();
      const endedMs = late().map(({ atMs }) => atMs);
      const gapsMs = endedMs.map((ms, i) => ms - (endedMs[i - 1] ?? goneMs));
      expect(Math.max(...gapsMs)).toBeLessThan(host.within(2_000));
      expect(
        late()
          .filter((one) => !isApplied(one))
          .map(({ answer }) => answer?.text),
      ).toEqual([]);

      // alone: what it has is what it had
      const own = written.filter((one) => isHeldBy("n3", one)).slice(-200);
      expect(own.length).toBeGreaterThan(5);
      await Promise.all([0, 1].map((node) => nodes.stop(node)));
      cluster.breakDisk(2);
      nodes.spawn(2);
      const alone = (key: string): Promise<Answer | undefined> =>
        tryAsk(cluster.at(2, key, "?r=1&sloppy=false&timeout=10000"));
      await until("it answers", async () => (await alone(own[0]?.key ?? ""))?.status === 200);
      for (const { key } of own)
        expect([key, (await alone(key))?.body["value"]]).toMatchObject([key, { i: Number(key.split("-")[2]) }]);
      for (const node of [0, 1]) nodes.spawn(node);
      await nodes.untilReady();
      const listening = nodes.logged(2).findLast((line) => line["event"] === "node.listening");
      expect(listening).toMatchObject({ recovery: "unclean" });
      for (const { key } of written.filter(isApplied).slice(-200)) {
        const answer = await ask(cluster.at(2, key, "?r=2"));
        expect([key, answer.status]).toEqual([key, 200]);
      }
    },
  );
});

describe("scenario 14: disk-full-honest: disks that are full", () => {
  test("refuse puts as 507 not_applied, read on, and go on by themselves when there is space; nothing is lost", async () => {
    await using cluster = await FaultyCluster.start({ GYRE_DISK_RESERVE: "off" });
    await using load = new Load(cluster, [0, 1, 2], 700_000);
    await until("there is load", () => load.written.length > 10);
    for (const node of [0, 1, 2]) cluster.breakDisk(node, { isFull: true, freeShare: 0 });
    const isRefused = ({ answer }: Written): boolean => answer?.status === 507;
    await until("all nodes refuse", () => load.written.slice(-9).filter(isRefused).length === 9);
    const written = await load.stop();
    const refused = written.filter(isRefused);
    expect(refused.map(({ answer }) => [answer?.body["code"], answer?.body["outcome"]])).toEqual(
      refused.map(() => ["disk_full", "not_applied"]),
    );
    const kept = written.filter(isApplied);
    for (const [i, { key }] of kept.entries()) {
      expect([key, (await ask(cluster.at(i % 3, key))).status]).toEqual([key, 200]);
    }
    for (const node of [0, 1, 2]) cluster.breakDisk(node);
    await until("puts go on", async () => (await putJson(cluster.at(0, "after"), { i: 1 })).status === 200);
    for (const node of [0, 1, 2]) expect((await putJson(cluster.at(node, `after-${node}`), { i: 1 })).status).toBe(200);
    expect(cluster.nodes.running).toEqual([0, 1, 2]);
    for (const [i, { key }] of refused.entries()) {
      expect([key, (await ask(cluster.at(i % 3, key, "?r=3"))).status]).toEqual([key, 404]);
    }
    await Promise.all([0, 1, 2].map((node) => cluster.nodes.kill(node)));
    for (const node of [0, 1, 2]) cluster.nodes.spawn(node);
    await cluster.nodes.untilReady();
    for (const [i, { key }] of kept.entries()) {
      expect([key, (await ask(cluster.at(i % 3, key))).status]).toEqual([key, 200]);
    }
  });

  test("refuse puts before they are full, take deletes, and say at which level they are", async () => {
    await using cluster = await FaultyCluster.start();
    const { nodes } = cluster;
    expect((await putJson(cluster.at(0, "kept"), { i: 1 })).status).toBe(200);
    expect((await putJson(cluster.at(0, "deleted"), { i: 2 })).status).toBe(200);
    for (const node of [0, 1, 2]) cluster.breakDisk(node, { freeShare: 0.08 });
    const levelOf = async (node: number): Promise<string> => (await ask(`${nodes.url(node)}/readyz?verbose`)).text;
    const refuses = async (): Promise<boolean> => {
      const levels = await Promise.all([0, 1, 2].map(levelOf));
      return levels.every((level) => level.includes("[+] disk: refuses puts"));
    };
    await until("the nodes have looked", refuses);
    const refused = await putJson(cluster.at(1, "kept"), { i: 3 });
    expect([refused.status, refused.body["code"], refused.body["outcome"]]).toEqual([507, "disk_full", "not_applied"]);
    expect((await ask(cluster.at(2, "kept"))).body["value"]).toEqual({ i: 1 });
    expect((await ask(cluster.at(0, "deleted"), { method: "DELETE" })).status).toBe(200);
    expect((await ask(`${nodes.url(0)}/metrics`)).text).toContain('gyre_disk_level{level="no_puts"} 1');
    for (const node of [0, 1, 2]) cluster.breakDisk(node);
    await until("puts go on", async () => (await putJson(cluster.at(0, "kept"), { i: 4 })).status === 200);
  });
});
