/**
 * The membership door of the API: facts from `ClusterFacts`, plans from placement, changes by orders to the nodes that they
 * concern. A plan is remembered here by its hash; committing makes it again and does it only if nothing has changed.
 */
import type {
  AbortAnswer,
  ChangeFailed,
  ClusterDoor,
  ClusterStatus,
  CommitAnswer,
  KeyPlacement,
  LeaveAnswer,
  MembershipPlan,
  PlanAnswer,
  PlanChange,
  RingPage,
} from "../api/cluster-door.ts";
import type { NodeId } from "../base/ids.ts";
import { PLAN_LIFETIME_MS } from "../base/limits.ts";
import type { Membership } from "../cluster/membership.ts";
import type { MembershipOrder, OrderReply } from "../cluster/membership-messages.ts";
import type { Operator } from "../cluster/operator.ts";
import type { KeyName } from "../coordinator/contract.ts";
import { planChange } from "../placement/change-plan.ts";
import type { WaitingNode } from "../placement/planned-records.ts";
import { TargetTables } from "../placement/target-table.ts";
import type { ClusterFacts } from "./cluster-facts.ts";

/** What the door works with. */
export interface DoorParts {
  readonly self: NodeId;
  readonly facts: ClusterFacts;
  readonly membership: Membership;
  readonly operator: Operator;
  readonly isAlive: (node: NodeId) => boolean;
  /** estimated size of one copy of the partition */
  readonly bytesOf: (partition: number) => number;
  readonly monotonicMs: () => number;
}

interface Remembered {
  readonly plan: MembershipPlan;
  readonly atMs: number;
}

const MAX_PLANS = 16;
const NOT_MEMBER: ChangeFailed = {
  kind: "failed",
  detail: "this node is no member of a cluster yet: ask a member",
  outcome: "not_applied",
  isRetryable: true,
};

/** Membership of one node as the API sees it. */
export class NodeClusterDoor implements ClusterDoor {
  readonly #parts: DoorParts;
  readonly #plans = new Map<string, Remembered>();

  constructor(parts: DoorParts) {
    this.#parts = parts;
  }

  status(): ClusterStatus {
    this.#forgetOld();
    // What was refused is remembered for the words of its commit alone.
    const last = [...this.#plans.values()].findLast(({ plan }) => plan.refusals.length === 0);
    const pendingPlan = last && {
      planHash: last.plan.planHash,
      changes: last.plan.changes,
      ageMs: Math.round(this.#parts.monotonicMs() - last.atMs),
    };
    return { ...this.#parts.facts.status(), pendingPlan };
  }

  ring(page: { readonly from: number; readonly limit: number }): RingPage {
    return this.#parts.facts.ring(page);
  }

  ringOf(name: KeyName): KeyPlacement {
    return this.#parts.facts.ringOf(name);
  }

  async plan(changes: readonly PlanChange[], isKept: (planHash: string) => boolean = () => true): Promise<PlanAnswer> {
    const plan = this.#planned(changes);
    if (plan === undefined) return NOT_MEMBER;
    if (!isKept(plan.planHash)) return { kind: "planned", plan };
    this.#plans.delete(plan.planHash);
    this.#plans.set(plan.planHash, { plan, atMs: this.#parts.monotonicMs() });
    for (const oldest of this.#plans.keys()) {
      if (this.#plans.size <= MAX_PLANS) break;
      this.#plans.delete(oldest);
    }
    return { kind: "planned", plan };
  }

  async commit(planHash: string): Promise<CommitAnswer> {
    this.#forgetOld();
    const remembered = this.#plans.get(planHash);
    if (remembered === undefined) {
      const detail = `no plan ${planHash} was made at this node in the last ${PLAN_LIFETIME_MS / 60_000} minutes: plan again`;
      return { kind: "unknown_plan", detail };
    }
    const plan = this.#planned(remembered.plan.changes);
    if (plan === undefined) return NOT_MEMBER;
    if (plan.planHash !== planHash) {
      const detail = "the records of the members are not those of the plan any more: plan again and look at it";
      return { kind: "plan_changed", detail };
    }
    if (plan.refusals.length > 0) return { kind: "refused", refusals: plan.refusals };
    // Nobody commits it a second time meanwhile.
    this.#plans.delete(planHash);
    const done: string[] = [];
    for (const change of plan.changes) {
      const reply = await this.#do(change);
      if (reply.kind === "done") {
        done.push(describe(change));
        continue;
      }
      const isRetryable = done.length === 0;
      // An order that was not answered may have been obeyed: committing again finds out, by the records.
      if (isRetryable) this.#plans.set(planHash, remembered);
      const before = isRetryable ? "" : `; done before it: ${done.join(", ")}: plan the rest again`;
      return {
        kind: "failed",
        detail: `${describe(change)}: ${reply.reason}${before}`,
        outcome: "unknown",
        isRetryable,
      };
    }
    return { kind: "committed", plan };
  }

  #forgetOld(): void {
    const nowMs = this.#parts.monotonicMs();
    for (const [planHash, { atMs }] of this.#plans) {
      if (nowMs - atMs >= PLAN_LIFETIME_MS) this.#plans.delete(planHash);
    }
  }

  async abort(node?: NodeId): Promise<AbortAnswer> {
    const { membership } = this.#parts;
    const { set } = membership;
    if (set === undefined) return NOT_MEMBER;
    const changing = set.members().filter((record) => record.status === "joining" || record.status === "leaving");
    const meant = node === undefined ? changing : changing.filter((record) => record.nodeId === node);
    if (meant.length === 0) {
      const refusal =
        node === undefined ? "no member is joining or leaving" : `node ${node} is neither joining nor leaving`;
      return { kind: "refused", refusals: [refusal] };
    }
    const nodes: { readonly node: NodeId; readonly status: "leaving" | "normal" }[] = [];
    for (const record of meant) {
      const reply = await this.#parts.operator.order(record.nodeId, { kind: "abort" });
      if (reply.kind === "refused") {
        const done = nodes.map((one) => `${one.node} is ${one.status}`).join(", ");
        // The same again would take back the leave of those whose join was taken back.
        const before = done === "" ? "" : `; done before it: ${done}: abort the rest by name`;
        const detail = `node ${record.nodeId}: ${reply.reason}${before}`;
        return { kind: "failed", detail, outcome: "unknown", isRetryable: done === "" };
      }
      nodes.push({ node: record.nodeId, status: reply.status === "normal" ? "normal" : "leaving" });
    }
    return { kind: "aborted", nodes };
  }

  async leave(): Promise<LeaveAnswer> {
    const { self, membership } = this.#parts;
    const plan = this.#planned([{ kind: "leave", node: self }]);
    if (plan === undefined) return NOT_MEMBER;
    if (plan.refusals.length > 0) return { kind: "refused", refusals: plan.refusals };
    const reply = await this.#parts.operator.obey({ kind: "leave" });
    if (reply.kind === "refused") return { kind: "refused", refusals: [reply.reason] };
    const slotsHeld = membership.store.record.slots.reduce((count, slot) => (slot >= 0 ? count + 1 : count), 0);
    return { kind: "leaving", slotsHeld };
  }

  #planned(changes: readonly PlanChange[]): MembershipPlan | undefined {
    const { membership, isAlive, bytesOf, self } = this.#parts;
    const { set, table } = membership;
    if (set === undefined || table === undefined) return undefined;
    const facts = {
      waiting: this.#waiting(),
      isAlive: (node: NodeId) => node === self || isAlive(node),
      bytesOf,
    };
    return planChange({ set, targets: new TargetTables(table.replicaCount), changes, facts });
  }

  /** Nodes that could join: those that no record names, those that have left and still run, and those that lost their disk. */
  #waiting(): readonly WaitingNode[] {
    const { isAlive, facts } = this.#parts;
    return facts
      .status()
      .members.filter(
        ({ status, node }) => status === "waiting" || (status === "left" && isAlive(node)) || facts.isEmpty(node),
      )
      .map(({ node, zone, host, weight }) => ({ node, zone, host, weight }));
  }

  async #do(change: PlanChange): Promise<OrderReply> {
    const { operator, membership } = this.#parts;
    const order = orderOf(change);
    if (order !== undefined) return operator.order(change.node, order);
    const member = membership.set?.memberNamed(change.node);
    if (member === undefined) return { kind: "refused", reason: `node ${change.node} is no member` };
    if (change.kind === "replace") return operator.order(change.with, { kind: "join", replaces: member.key });
    await membership.remove(member.key, undefined);
    return { kind: "done", status: "removed" };
  }
}

/** What the node itself is told; undefined for what is not its own to do. */
function orderOf(change: PlanChange): MembershipOrder | undefined {
  switch (change.kind) {
    case "join":
      return { kind: "join", replaces: undefined };
    case "leave":
      return { kind: "leave" };
    case "weight":
      return { kind: "weight", weight: change.weight };
    case "zone":
      return { kind: "zone", label: change.zone };
    case "host":
      return { kind: "host", label: change.host };
    case "remove":
    case "replace":
      return undefined;
  }
}

function describe(change: PlanChange): string {
  return change.kind === "replace" ? `replace ${change.node} with ${change.with}` : `${change.kind} ${change.node}`;
}
