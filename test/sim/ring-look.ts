/**
 * A look inside all nodes of a simulated cluster at once, as nobody in the real world has: is a slot held twice, is
 * everything where it belongs, do all know the same. Must never change anything.
 */
import type { GyreNode } from "../../services/node/node.ts";
import type { HolderTable } from "../../services/placement/holder-table.ts";
import type { MemberKey } from "../../services/placement/member-record.ts";
import type { SimCluster } from "./sim-cluster.ts";
import { SIM_PARTITIONS, SIM_REPLICAS } from "./sim-machine.ts";

interface Seen {
  readonly name: string;
  readonly node: GyreNode;
}

/** Looks at one cluster. */
export class RingLook {
  readonly #cluster: SimCluster;
  readonly #holders = new Int8Array(SIM_PARTITIONS * SIM_REPLICAS);

  constructor(cluster: SimCluster) {
    this.#cluster = cluster;
  }

  /** A slot that two running nodes serve now, or one that is served by no right, in words; undefined: there is none. */
  wrongHolding(): string | undefined {
    this.#holders.fill(-1);
    for (let at = 0; at < this.#cluster.size; at += 1) {
      const node = this.#cluster.inside(at);
      if (node === undefined) continue;
      const { slots } = node.membership.isMember ? node.membership.store.record : { slots: undefined };
      for (let partition = 0; partition < SIM_PARTITIONS; partition += 1) {
        const slot = node.slotOf(partition);
        if (slot === -1) continue;
        const name = `n${at + 1}`;
        // While it stops, a node hands nothing over: a release that became durable meanwhile is told after its restart.
        if (slots?.[partition] !== slot && !isStopping(node)) {
          return `${name} serves slot ${slot} of partition ${partition}, its durable record says ${slots?.[partition]}`;
        }
        const place = partition * SIM_REPLICAS + slot;
        const other = this.#holders[place] ?? -1;
        if (other !== -1) return `n${other + 1} and ${name} both serve slot ${slot} of partition ${partition}`;
        this.#holders[place] = at;
      }
    }
    return undefined;
  }

  /** What still differs from a ring at rest, in words; empty: all members agree and everything is where it belongs. */
  unrest(): readonly string[] {
    const running = this.#running();
    const members = running.filter(({ node }) => isMember(node));
    const found = members.flatMap((seen) => unrestOf(seen));
    for (const what of ["records", "target", "holders"] as const) {
      const views = new Map(members.map(({ name, node }) => [viewOf(node, what), name]));
      if (views.size > 1)
        found.push(`${what} differ: ${[...views].map(([view, name]) => `${name} ${view}`).join(", ")}`);
    }
    for (let partition = 0; partition < SIM_PARTITIONS; partition += 1) {
      const slots = members.map(({ node }) => node.slotOf(partition)).filter((slot) => slot >= 0);
      if (slots.toSorted().join() !== "0,1,2") found.push(`partition ${partition} has the slots [${slots.join()}]`);
    }
    return [...found, ...running.flatMap((seen) => leftoversOf(seen))];
  }

  /**
   * True when members run, all of them know these members to be out, and each knows of somebody that holds each slot: by
   * their records, not by a table that may lag behind them.
   */
  isMended(removed: readonly MemberKey[]): boolean {
    const members = this.#running().filter(({ node }) => isMember(node));
    return members.length > 0 && members.every(({ node }) => isWhole(node, removed));
  }

  /** Nodes that serve a slot of the partition. */
  holdersOf(partition: number): readonly number[] {
    return Array.from({ length: this.#cluster.size }, (_, at) => at).filter(
      (at) => (this.#cluster.inside(at)?.slotOf(partition) ?? -1) >= 0,
    );
  }

  #running(): readonly Seen[] {
    return Array.from({ length: this.#cluster.size }, (_, at) => at).flatMap((at) => {
      const node = this.#cluster.inside(at);
      return node === undefined ? [] : [{ name: `n${at + 1}`, node }];
    });
  }
}

function isMember({ membership }: GyreNode): boolean {
  return membership.isMember && !membership.isRemoved && membership.store.record.status !== "left";
}

function isStopping({ status }: GyreNode): boolean {
  return status.readyz().some((check) => check.name === "lifecycle" && !check.isOk);
}

function isWhole({ membership: { set } }: GyreNode, removed: readonly MemberKey[]): boolean {
  if (set === undefined || removed.some((key) => !set.isRemoved(key))) return false;
  const claims = set.members().map((record) => record.slots);
  for (let place = 0; place < SIM_PARTITIONS * SIM_REPLICAS; place += 1) {
    const partition = Math.floor(place / SIM_REPLICAS);
    if (!claims.some((slots) => slots[partition] === place % SIM_REPLICAS)) return false;
  }
  return true;
}

function viewOf({ membership }: GyreNode, what: "records" | "target" | "holders"): string {
  const { table } = membership;
  if (what === "records") return membership.recordsHash.toString(16);
  if (what === "target") return table?.ringHash.toString(16) ?? "";
  return table === undefined ? "" : holdersText(table);
}

function holdersText(table: HolderTable): string {
  return Array.from({ length: table.partitionCount }, (_, partition) =>
    table
      .ownersOf(partition)
      .map(({ node }) => node.slice(1))
      .join(""),
  ).join("|");
}

function unrestOf({ name, node }: Seen): string[] {
  const { table, store, set } = node.membership;
  const { ledger, record } = store;
  const found: string[] = [];
  if (record.status !== "normal") found.push(`${name} is ${record.status}`);
  if (ledger.staged.size > 0) found.push(`${name} has staged [${[...ledger.staged.keys()].join()}]`);
  if (ledger.minting.size > 0) found.push(`${name} mints [${[...ledger.minting.keys()].join()}]`);
  if (ledger.retained.size > 0) found.push(`${name} keeps old copies of [${[...ledger.retained].join()}]`);
  for (const conflict of set?.conflicts() ?? []) found.push(`${name} sees two lives of ${conflict.nodeId}`);
  const [move] = table?.moves ?? [];
  if (move !== undefined) {
    const { partition, departing, pending, unclaimed, vacant } = move;
    const from = departing.map((claim) => `${claim.node}/${claim.slot}`).join();
    found.push(
      `${name} sees ${table?.moves.length} partitions on the move, first ${partition}: from [${from}] to [${pending.join()}] ` +
        `unclaimed [${unclaimed.join()}] vacant [${vacant.map(({ slot }) => slot).join()}]`,
    );
  }
  return found;
}

/** What a node keeps of partitions whose slots it does not hold. */
function leftoversOf({ name, node }: Seen): string[] {
  const kept = Array.from({ length: SIM_PARTITIONS }, (_, partition) => partition).filter(
    (partition) => node.slotOf(partition) === -1 && node.engine.keyCountOf(partition) > 0,
  );
  return kept.length === 0 ? [] : [`${name} keeps keys of [${kept.join()}] and holds no slot of them`];
}
