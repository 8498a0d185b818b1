/** Nodes that hand slots over for real, over a fake clock, with data and records that are maps. For unit tests. */
import { type NodeId, parseNodeId } from "../../services/base/ids.ts";
import type { LogFacts } from "../../services/base/ports.ts";
import { SlotHandover } from "../../services/cluster/handover.ts";
import type { HandoverParts, HandoverView, PageSource, ReceiveResult } from "../../services/cluster/handover-ports.ts";
import { applyChange, emptyLedger, type LedgerChange, type SlotLedger } from "../../services/cluster/slot-ledger.ts";
import type { MemberKey } from "../../services/placement/member-record.ts";
import { FakeClock } from "./fake-clock.ts";
import { seededDraws } from "./seeded.ts";

/** What all nodes agree on: there is no gossip here. */
export interface FakeRecords {
  /** by partition: the members that should hold it */
  readonly targets: MemberKey[][];
  readonly removed: Set<MemberKey>;
}

export class FakeHandoverNode {
  readonly key: MemberKey;
  readonly nodeId: NodeId;
  readonly ledger: SlotLedger;
  /** what the disk has */
  durable: string[] = [];
  readonly data: Map<number, string>;
  readonly held: Map<number, number> = new Map();
  readonly closed: Set<number> = new Set();
  readonly logged: LogFacts[] = [];
  readonly asked: string[] = [];
  handover: SlotHandover;
  isUp = true;
  /** so many of the next removals of a copy fail */
  failingDropCount = 0;

  constructor(cluster: FakeHandoverCluster, index: number) {
    this.key = `${index}`.padStart(16, "0");
    const nodeId = parseNodeId(`n${index}`);
    if (nodeId === undefined) throw new Error("no node id");
    this.nodeId = nodeId;
    this.ledger = emptyLedger(new Int8Array(cluster.partitionCount).fill(-1));
    this.data = new Map();
    this.handover = new SlotHandover(cluster.partsOf(this), cluster);
  }
}

export class FakeHandoverCluster {
  readonly clock: FakeClock = new FakeClock();
  readonly nodes: FakeHandoverNode[] = [];
  readonly records: FakeRecords;
  readonly partitionCount: number;
  readonly replicaCount = 3;
  readonly mintQuietMs = 1_000;
  /** the most partitions that came to one node, and left one, at a time */
  mostIncoming = 0;
  /** topics that get no answer: `from>to` */
  readonly cut: Set<string> = new Set();
  /** nodes that nobody has told anything since they began */
  readonly unconfirmed: Set<MemberKey> = new Set();
  readonly #draws = seededDraws(7);

  constructor(nodeCount: number, partitionCount: number) {
    this.partitionCount = partitionCount;
    this.records = { targets: Array.from({ length: partitionCount }, () => []), removed: new Set() };
    for (let index = 0; index < nodeCount; index += 1) this.nodes.push(new FakeHandoverNode(this, index));
  }

  node(index: number): FakeHandoverNode {
    const found = this.nodes[index];
    if (found === undefined) throw new Error(`no node ${index}`);
    return found;
  }

  /** Partition `partition` is held by these nodes, in slot order, and has this content. */
  place(partition: number, holders: readonly number[], content: string): void {
    for (const [slot, index] of holders.entries()) {
      const node = this.node(index);
      node.ledger.slots[partition] = slot;
      node.held.set(partition, slot);
      node.data.set(partition, content);
    }
    this.target(partition, holders);
  }

  target(partition: number, nodes: readonly number[]): void {
    this.records.targets[partition] = nodes.map((index) => this.node(index).key);
  }

  holdersOf(partition: number): readonly (number | undefined)[] {
    return [0, 1, 2].map((slot) => {
      const index = this.nodes.findIndex(
        (node) => node.ledger.slots[partition] === slot && !this.records.removed.has(node.key),
      );
      return index === -1 ? undefined : index;
    });
  }

  start(): void {
    for (const node of this.nodes) if (node.isUp) node.handover.start();
  }

  /** The process ends at once; another comes up over what the disk kept. */
  restart(index: number): void {
    const node = this.node(index);
    node.handover.stop();
    node.closed.clear();
    node.handover = new SlotHandover(this.partsOf(node), this);
    node.handover.start();
  }

  partsOf(node: FakeHandoverNode): HandoverParts {
    return {
      peers: { ask: (to, _topic, body) => this.#ask(node, to, body) },
      store: {
        ledger: node.ledger ?? emptyLedger(new Int8Array(this.partitionCount).fill(-1)),
        commit: (changes) => this.#commit(node, changes),
      },
      gate: {
        close: (partition) => {
          node.closed.add(partition);
          return this.#after(1);
        },
        open: (partition) => node.closed.delete(partition),
        hold: (partition, slot) => node.held.set(partition, slot),
      },
      donorData: {
        openAttempt: () => undefined,
        closeAttempt: () => undefined,
        pull: (partition) => Promise.resolve(node.data.get(partition) ?? ""),
        changes: () => Promise.resolve("nothing"),
        copy: (partition) => Promise.resolve(node.data.get(partition) ?? ""),
        isCoveredBy: async (partition, { pull }) => (await pull("leaves")) === node.data.get(partition),
        seal: (partition) => Promise.resolve({ body: node.data.get(partition), count: 1, root: "00" }),
      },
      receiverData: {
        clearLeftovers: (partition) => this.#drop(node, partition),
        dropPartition: (partition) => this.#drop(node, partition),
        receive: (partition, source, onProgress) => this.#receive(node, partition, source, onProgress),
        merge: (partition, source, onProgress) => this.#receive(node, partition, source, onProgress),
        finish: (partition, _source, last) => {
          node.data.set(partition, String(last.body));
          return Promise.resolve({ kind: "equal" });
        },
        summary: () => Promise.resolve({ count: 1, root: "00" }),
      },
      view: this.#viewOf(node),
      clock: this.clock,
      random: {
        u32: () => this.#draws.u32(),
        float: () => this.#draws.u32() / 2 ** 32,
        bytes: (count) => this.#draws.bytes(count),
        fork: () => {
          throw new Error("nobody forks here");
        },
      },
      log: {
        debug: (facts) => node.logged.push(facts),
        info: (facts) => node.logged.push(facts),
        warn: (facts) => node.logged.push(facts),
        error: (facts) => node.logged.push(facts),
      },
    };
  }

  #viewOf(node: FakeHandoverNode): HandoverView {
    const { records, nodes } = this;
    const living = (): FakeHandoverNode[] => nodes.filter((one) => !records.removed.has(one.key));
    const isTarget = (partition: number, key: MemberKey): boolean => records.targets[partition]?.includes(key) ?? false;
    const holdersOf = (partition: number): { key: MemberKey; slot: number }[] =>
      living().flatMap(({ key, ledger }) => {
        const slot = ledger.slots[partition] ?? -1;
        return slot === -1 ? [] : [{ key, slot }];
      });
    const mine = (): number[] =>
      records.targets.flatMap((keys, partition) =>
        keys.includes(node.key) && node.ledger.slots[partition] === -1 ? [partition] : [],
      );
    return {
      ownKey: node.key,
      isTarget,
      isRemoved: (key) => records.removed.has(key),
      hasLeft: () => false,
      isStaying: () => true,
      nodeOf: (key) => living().find((one) => one.key === key)?.nodeId,
      holdersOf,
      isAlive: (key) => living().some((one) => one.key === key && one.isUp),
      others: () => living().flatMap((one) => (one === node ? [] : [one.key])),
      membersHash: () =>
        living()
          .map((one) => one.nodeId)
          .join(),
      isIntroduced: () => true,
      isConfirmed: () => !this.unconfirmed.has(node.key),
      wanted: () =>
        mine().flatMap((partition) => {
          const donors = holdersOf(partition).filter(({ key }) => !isTarget(partition, key));
          const liveHolderCount = holdersOf(partition).length;
          return donors.length === 0
            ? []
            : [{ partition, donors: donors.map(({ key }) => key), liveHolderCount, isUrgent: false }];
        }),
      mints: () => {
        const [removed] = records.removed;
        if (removed === undefined) return [];
        return mine().flatMap((partition) => {
          const slot = this.holdersOf(partition).indexOf(undefined);
          return slot === -1 ? [] : [{ partition, slot, removed }];
        });
      },
      news: () => new Uint8Array([1]),
      learn: () => this.#after(1),
    };
  }

  async #ask(from: FakeHandoverNode, to: NodeId, body: unknown): Promise<unknown> {
    const target = this.nodes.find((one) => one.nodeId === to);
    from.asked.push(JSON.stringify(body));
    await this.#after(1);
    if (target === undefined || !target.isUp || this.cut.has(`${from.nodeId}>${to}`)) {
      await this.#after(2_000);
      return undefined;
    }
    const incoming = from.handover.progress().incoming.length;
    this.mostIncoming = Math.max(this.mostIncoming, incoming);
    // A process that ended answers nobody.
    const silence = this.#after(2_000).then(() => undefined);
    const reply = await Promise.race([target.handover.handler(from.nodeId, structuredClone(body)), silence]);
    await this.#after(1);
    return this.cut.has(`${to}>${from.nodeId}`) ? undefined : structuredClone(reply);
  }

  async #commit(node: FakeHandoverNode, changes: readonly LedgerChange[]): Promise<void> {
    for (const change of changes) applyChange(node.ledger, change);
    await this.#after(2);
    node.durable.push(...changes.map((change) => change.kind));
  }

  async #receive(
    node: FakeHandoverNode,
    partition: number,
    source: PageSource,
    onProgress: (sizeBytes: number) => void,
  ): Promise<ReceiveResult> {
    const page = await source.pull("leaves");
    if (typeof page !== "string") return { kind: "failed", reason: "no page" };
    onProgress(page.length);
    node.data.set(partition, page);
    return { kind: "copied" };
  }

  async #drop(node: FakeHandoverNode, partition: number): Promise<void> {
    await this.#after(1);
    if (node.failingDropCount > 0) {
      node.failingDropCount -= 1;
      throw new Error("the disk is full");
    }
    node.data.delete(partition);
  }

  #after(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.clock.setTimer(delayMs, resolve));
  }
}
