import { describe, expect, it } from "vitest";
import type { NodeId } from "../../../services/base/ids.ts";
import { Bootstrap } from "../../../services/cluster/bootstrap.ts";
import type { BootstrapSettings } from "../../../services/cluster/bootstrap-rules.ts";
import type { MemberView } from "../../../services/cluster/cluster-view.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { nodeId, settingsFor } from "./bootstrap-world.ts";
import { KeptLog, MemoryDocuments, seededRandom, TestLinks } from "./cluster-fixtures.ts";

const shape = { expect: 3, replicaCount: 3 };

interface Node {
  readonly id: NodeId;
  readonly bootstrap: Bootstrap;
  readonly documents: MemoryDocuments;
  readonly log: KeptLog;
  readonly views: MemberView[];
  readonly failures: Error[];
}

/** Nodes on one clock, linked as the test says. */
class Cluster {
  readonly clock: FakeClock = new FakeClock();
  readonly links: TestLinks = new TestLinks();
  readonly nodes: Map<string, Node> = new Map();
  #seed = 1;

  start(name: string, change: Partial<BootstrapSettings> = {}, documents = new MemoryDocuments()): Node {
    const log = new KeptLog();
    const views: MemberView[] = [];
    const failures: Error[] = [];
    const settings = { ...settingsFor(name, shape), ...change };
    const { id } = settings.node;
    this.#seed += 1;
    const bootstrap = new Bootstrap({
      settings,
      clock: this.clock,
      random: seededRandom(this.#seed),
      log,
      documents,
      peers: this.links.from(id),
      onMember: (view) => views.push(view),
      onFailure: (error) => failures.push(error),
    });
    this.links.handlers.set(id, new Map([[bootstrap.topic, bootstrap.topicHandler]]));
    bootstrap.start();
    const node = { id, bootstrap, documents, log, views, failures };
    this.nodes.set(name, node);
    return node;
  }

  stop(name: string): MemoryDocuments {
    const node = this.node(name);
    node.bootstrap.stop();
    this.links.handlers.delete(node.id);
    this.nodes.delete(name);
    for (const other of this.nodes.values()) other.bootstrap.peerDown(node.id);
    return node.documents;
  }

  link(...names: readonly string[]): void {
    for (const from of names) for (const to of names) if (from !== to) this.#show(from, to);
  }

  node(name: string): Node {
    const node = this.nodes.get(name);
    if (node === undefined) throw new Error(`${name} runs`);
    return node;
  }

  waitingFor(name: string): string {
    const view = this.node(name).bootstrap.view();
    return view.isBootstrapped ? "" : view.waitingFor;
  }

  #show(from: string, to: string): void {
    const { node: member, clusterName } = settingsFor(to, shape);
    const { id, zone, host, weight, address } = member;
    const { clusterId } = this.node(to).bootstrap;
    const bootNonce = "0".repeat(32);
    this.node(from).bootstrap.peerUp({ nodeId: id, bootNonce, clusterName, clusterId, address, zone, host, weight });
  }
}

describe("bootstrap", () => {
  it("makes one cluster of three nodes that see each other, each with its slots, within a second", async () => {
    const cluster = new Cluster();
    const nodes = ["a", "b", "c"].map((name) => cluster.start(name));
    cluster.link("a", "b", "c");
    await cluster.clock.advance(1_000);
    const views = nodes.flatMap((node) => node.views);
    expect(views).toHaveLength(3);
    expect(new Set(views.map((view) => view.clusterId)).size).toBe(1);
    expect(new Set(views.map((view) => view.table.ringHash)).size).toBe(1);
    for (let partition = 0; partition < 64; partition += 1) {
      expect(views.map((view) => view.slotOf(partition)).toSorted()).toEqual([0, 1, 2]);
      for (const [at, view] of views.entries()) {
        expect(view.slotOf(partition)).toBe(view.table.slotOf(partition, nodes[at]?.id ?? nodeId("none")));
      }
    }
  });

  it("falls silent once everyone has confirmed", async () => {
    const cluster = new Cluster();
    for (const name of ["a", "b", "c"]) cluster.start(name);
    cluster.link("a", "b", "c");
    await cluster.clock.advance(2_000);
    const callCount = cluster.links.callCount;
    await cluster.clock.advance(60_000);
    expect(cluster.links.callCount).toBe(callCount);
    expect(cluster.clock.plannedCount).toBe(0);
  });

  it("makes a cluster of a lone node at once", async () => {
    const cluster = new Cluster();
    const lone = settingsFor("solo", { expect: 1, replicaCount: 1 });
    const node = cluster.start("solo", lone);
    await cluster.clock.advance(300);
    expect(node.views).toHaveLength(1);
    expect(node.views[0]?.slotOf(63)).toBe(0);
  });

  it("is a member at once after a restart, without asking anyone", async () => {
    const cluster = new Cluster();
    for (const name of ["a", "b", "c"]) cluster.start(name);
    cluster.link("a", "b", "c");
    await cluster.clock.advance(1_000);
    const { clusterId } = cluster.node("b").bootstrap;
    const again = cluster.start("b", {}, cluster.stop("b"));
    expect(again.views).toHaveLength(1);
    expect(again.bootstrap.clusterId).toBe(clusterId);
  });

  it("tells what it waits for: members, the proposer, promises", async () => {
    const cluster = new Cluster();
    for (const name of ["a", "b", "c"]) cluster.start(name);
    expect(cluster.waitingFor("a")).toBe("1 of 3 expected members seen (a); waiting for 2 more.");
    cluster.links.cut.add("a>c");
    cluster.link("a", "b");
    cluster.link("b", "c");
    await cluster.clock.advance(500);
    expect(cluster.waitingFor("b")).toBe(
      "3 of 3 expected members seen (a, b, c); waiting for node a to propose the cluster.",
    );
    cluster.link("a", "c");
    await cluster.clock.advance(500);
    expect(cluster.waitingFor("a")).toBe("waiting for c to promise to be members of the proposed cluster.");
    expect(cluster.waitingFor("b")).toBe(
      "waiting for node a, to which this node has promised itself, to complete the cluster.",
    );
    cluster.stop("a");
    await cluster.clock.advance(20_000);
    expect(cluster.waitingFor("b")).toContain("node a, which cannot be reached");
    expect(cluster.node("b").log.lines.some((line) => line.event === "bootstrap.waiting")).toBe(true);
    expect(cluster.node("b").views).toHaveLength(0);
  });

  it("resumes when the proposer comes back after it had asked for promises", async () => {
    const cluster = new Cluster();
    for (const name of ["a", "b", "c"]) cluster.start(name);
    cluster.links.cut.add("a>c");
    cluster.link("a", "b", "c");
    await cluster.clock.advance(500);
    const documents = cluster.stop("a");
    cluster.links.cut.clear();
    await cluster.clock.advance(500);
    cluster.start("a", {}, documents);
    cluster.link("a", "b", "c");
    await cluster.clock.advance(2_000);
    expect([...cluster.nodes.values()].map((node) => node.views.length)).toEqual([1, 1, 1]);
  });

  it("completes through any member when the proposer dies right after its commit", async () => {
    const cluster = new Cluster();
    for (const name of ["a", "b", "c"]) cluster.start(name);
    cluster.link("a", "b", "c");
    // c's promise arrives, but nothing that a says later does.
    for (let step = 0; step < 50 && cluster.node("b").views.length === 0; step += 1) {
      if (cluster.node("c").documents.writeCount > 0) cluster.links.cut.add("a>c");
      await cluster.clock.advance(20);
    }
    cluster.stop("a");
    await cluster.clock.advance(2_000);
    expect(cluster.node("b").views).toHaveLength(1);
    expect(cluster.node("c").views).toHaveLength(1);
  });

  it.each([
    ["partitions (Q): 256 at node b, 64 in the proposal of node a", { partitionCount: 256 }],
    ["replicas (N): 2 at node b, 3 in the proposal of node a", { replicaCount: 2 }],
    ["members expected: 4 at node b, 3 in the proposal of node a", { expect: 4 }],
    ["cluster name: other at node b, test in the proposal of node a", { clusterName: "other" }],
  ])("refuses other settings with both values, once: %s", async (detail, change) => {
    const cluster = new Cluster();
    cluster.start("a");
    const b = cluster.start("b", change);
    cluster.start("c");
    cluster.link("a", "b", "c");
    await cluster.clock.advance(5_000);
    const errors = b.log.lines.filter((line) => line.level === "error");
    expect(errors).toEqual([{ level: "error", event: "bootstrap.refused", node: "a", detail }]);
    expect(cluster.waitingFor("a")).toContain(detail);
    expect([...cluster.nodes.values()].flatMap((node) => node.views)).toEqual([]);
  });

  it("does not mind that a node calls its address otherwise than its links do", async () => {
    const cluster = new Cluster();
    cluster.start("a");
    const b = cluster.start("b", { node: { ...settingsFor("b", shape).node, address: "localhost:4500" } });
    cluster.start("c");
    cluster.link("a", "b", "c");
    await cluster.clock.advance(1_000);
    expect(b.views).toHaveLength(1);
  });

  it("proposes anew when a member comes back with other labels before it has promised", async () => {
    const cluster = new Cluster();
    for (const name of ["a", "b", "c"]) cluster.start(name);
    cluster.links.cut.add("a>c");
    cluster.link("a", "b", "c");
    await cluster.clock.advance(500);
    cluster.stop("c");
    const moved = { ...settingsFor("c", shape).node, zone: "moved" };
    cluster.start("c", { node: moved });
    cluster.links.cut.clear();
    cluster.link("b", "c");
    const { id, zone, host, weight, address } = moved;
    const [bootNonce, clusterName, clusterId] = ["1".repeat(32), "test", undefined];
    cluster.node("a").bootstrap.peerUp({ nodeId: id, bootNonce, clusterName, clusterId, address, zone, host, weight });
    cluster.node("c").bootstrap.peerUp({
      ...settingsFor("a", shape).node,
      nodeId: nodeId("a"),
      bootNonce,
      clusterName,
      clusterId,
    });
    await cluster.clock.advance(2_000);
    const views = ["a", "b", "c"].flatMap((name) => cluster.node(name).views);
    expect(views.map((view) => view.members[2]?.zone)).toEqual(["moved", "moved", "moved"]);
  });

  it("takes the three lowest of four; the fourth waits and says why", async () => {
    const cluster = new Cluster();
    for (const name of ["a", "b", "c", "d"]) cluster.start(name);
    cluster.link("a", "b", "c", "d");
    await cluster.clock.advance(2_000);
    expect(["a", "b", "c", "d"].map((name) => cluster.node(name).views.length)).toEqual([1, 1, 1, 0]);
    cluster.node("d").bootstrap.peerDown(nodeId("a"));
    cluster.link("a", "d");
    await cluster.clock.advance(500);
    expect(cluster.waitingFor("d")).toContain("which was made without this node: `gyre join d`");
  });

  it("makes the fourth a member without slots once it adopts what the others agreed", async () => {
    const cluster = new Cluster();
    for (const name of ["a", "b", "c", "d"]) cluster.start(name);
    cluster.link("a", "b", "c", "d");
    await cluster.clock.advance(2_000);
    const agreement = cluster.node("a").bootstrap.agreement();
    expect(cluster.node("d").bootstrap.agreement()).toBeUndefined();
    if (agreement === undefined) throw new Error("node a is no member");
    expect(cluster.node("d").bootstrap.isEmpty).toBe(true);
    let preparedCount = 0;
    const adopted = cluster.node("d").bootstrap.adopt(agreement, async () => {
      preparedCount += 1;
    });
    await cluster.clock.advance(500);
    expect(await adopted).toBe(true);
    expect(preparedCount).toBe(1);
    const view = cluster.node("d").views[0];
    expect(view?.clusterId).toBe(agreement.config.clusterId);
    expect(Array.from({ length: agreement.config.partitionCount }, (_, p) => view?.slotOf(p))).toEqual(
      Array.from({ length: agreement.config.partitionCount }, () => -1),
    );
    cluster.start("d", {}, cluster.stop("d"));
    await cluster.clock.advance(500);
    expect(cluster.node("d").bootstrap.agreement()).toEqual(agreement);
  });

  it("promises nothing while an adoption is prepared, and goes on when that fails", async () => {
    const cluster = new Cluster();
    for (const name of ["a", "b", "c", "d"]) cluster.start(name);
    cluster.link("a", "b", "c");
    await cluster.clock.advance(2_000);
    const agreement = cluster.node("a").bootstrap.agreement();
    if (agreement === undefined) throw new Error("node a is no member");
    const { bootstrap } = cluster.node("d");
    let fail: (error: Error) => void = () => undefined;
    const adopted = bootstrap.adopt(agreement, () => new Promise((_, reject) => (fail = reject)));
    const answered: unknown[] = [];
    const ask = { kind: "offer", proposal: { ...agreement, proposer: nodeId("a") } };
    void bootstrap.topicHandler(nodeId("a"), ask, 1_000).then((reply) => answered.push(reply));
    await cluster.clock.advance(500);
    expect(answered).toEqual([]);
    fail(new Error("the disk is full"));
    await expect(adopted).rejects.toThrow("the disk is full");
    await cluster.clock.advance(500);
    expect([answered.length, bootstrap.isEmpty]).toEqual([1, true]);
  });

  it("adopts nothing while it has given a promise", async () => {
    const cluster = new Cluster();
    for (const name of ["a", "b", "c", "d"]) cluster.start(name);
    cluster.link("a", "b", "c", "d");
    await cluster.clock.advance(2_000);
    const agreement = cluster.node("a").bootstrap.agreement();
    if (agreement === undefined) throw new Error("node a is no member");
    const other = { ...agreement, config: { ...agreement.config, clusterId: "f".repeat(32) } };
    let preparedCount = 0;
    const adopted = cluster.node("b").bootstrap.adopt(other, async () => {
      preparedCount += 1;
    });
    await cluster.clock.advance(500);
    expect([await adopted, preparedCount]).toEqual([false, 0]);
    expect(cluster.node("b").bootstrap.agreement()).toEqual(agreement);
  });

  it("never goes on when the proposer lost its disk before the cluster was whole, and says what to do", async () => {
    const cluster = new Cluster();
    for (const name of ["a", "b", "c"]) cluster.start(name);
    cluster.links.cut.add("a>c");
    cluster.link("a", "b", "c");
    await cluster.clock.advance(500);
    cluster.stop("a");
    cluster.links.cut.clear();
    cluster.start("a");
    cluster.link("a", "b", "c");
    await cluster.clock.advance(5_000);
    // For all that b knows, a has made that cluster with another member that is away.
    expect(["a", "b", "c"].flatMap((name) => cluster.node(name).views)).toEqual([]);
    const words = "node b has promised attempt 1 of node a, which node a no longer knows: was its data directory lost?";
    expect(cluster.waitingFor("a")).toContain(words);
    expect(cluster.node("b").log.lines.filter((line) => line.level === "error")).toHaveLength(1);
    // The way out that the words name.
    cluster.stop("b");
    cluster.start("b");
    cluster.link("a", "b", "c");
    await cluster.clock.advance(2_000);
    expect(["a", "b", "c"].map((name) => cluster.node(name).views.length)).toEqual([1, 1, 1]);
  });

  it("gives no slots to a node that lost its data directory between promise and commit", async () => {
    const cluster = new Cluster();
    for (const name of ["a", "b", "c"]) cluster.start(name);
    cluster.link("a", "b", "c");
    await cluster.clock.advance(1_000);
    // As if the commit had never reached c: it comes back with nothing, and a is told of it once more.
    cluster.stop("c");
    const documents = cluster.stop("a");
    const wiped = cluster.start("c");
    cluster.start("a", {}, documents);
    cluster.link("a", "b", "c");
    await cluster.clock.advance(2_000);
    expect(wiped.views).toEqual([]);
    expect(wiped.log.lines.some((line) => line.event === "bootstrap.refused" && line.level === "error")).toBe(true);
  });

  it("ends the node when its record cannot be written, and tells nobody what it did not write", async () => {
    const cluster = new Cluster();
    for (const name of ["a", "b", "c"]) cluster.start(name);
    cluster.node("b").documents.failure = new Error("disk is gone");
    cluster.link("a", "b", "c");
    await cluster.clock.advance(2_000);
    expect(cluster.node("b").failures).toEqual([new Error("disk is gone")]);
    expect([...cluster.nodes.values()].flatMap((node) => node.views)).toEqual([]);
  });

  it("refuses what is no bootstrap request", async () => {
    const cluster = new Cluster();
    const node = cluster.start("a");
    for (const body of [undefined, 7, [], {}, { kind: "offer" }, { kind: "ask", clusterId: "x", attempt: 1 }]) {
      expect(await node.bootstrap.topicHandler(nodeId("b"), body, 1_000)).toMatchObject({ reason: "bad_request" });
    }
  });
});
