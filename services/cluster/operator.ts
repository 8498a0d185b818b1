/**
 * Operator: what people ask of membership, done where it must be done: a node's own record is changed by that node alone,
 * so orders travel to it; a removal may be written anywhere. Also the way of an empty node into a running cluster.
 * Must never move data itself: records change, the hand-over follows them.
 */
import type { NodeId } from "../base/ids.ts";
import type { Clock, Log, Random, Timer } from "../base/ports.ts";
import type { CallResult, Peers } from "../peers/messages.ts";
import { type TopicHandler, TopicRefusal } from "../peers/peer-handler.ts";
import type { MemberKey, MemberRecord } from "../placement/member-record.ts";
import { allOf, parseNews, type RecordNews } from "../placement/record-codec.ts";
import { RecordSet } from "../placement/record-set.ts";
import type { Bootstrap } from "./bootstrap.ts";
import type { ClusterConfig, ClusterMember } from "./cluster-config.ts";
import { joiningRecord } from "./first-records.ts";
import { encodeMemberDocument, MEMBER_DOCUMENT } from "./member-document.ts";
import { encodeMembersDocument, MEMBERS_DOCUMENT } from "./members-file.ts";
import type { Membership } from "./membership.ts";
import {
  AGREEMENT_TOPIC,
  type Agreement,
  type MembershipOrder,
  ORDER_TOPIC,
  type OrderReply,
  parseAgreement,
  parseOrder,
  parseOrderReply,
} from "./membership-messages.ts";
import type { Documents } from "./own-record.ts";
import { emptyLedger } from "./slot-ledger.ts";

/** What the operator works with. */
export interface OperatorParts {
  readonly self: ClusterMember;
  /** an empty node joins the cluster that it meets by itself */
  readonly joinsByItself: boolean;
  readonly partitionCount: number;
  readonly documents: Documents;
  readonly membership: Membership;
  readonly bootstrap: Pick<Bootstrap, "agreement" | "isEmpty" | "adopt">;
  readonly peers: Pick<Peers, "call">;
  /** nodes that a link leads to, members or not */
  readonly linkedNodes: () => readonly NodeId[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

const CALL_BUDGET_MS = 5_000;
const JOIN_EVERY_MS = 500;
/** A process under the name of a living member is ended by gossip well within this: until then it must not take its place. */
const FORMER_LIFE_MS = 5_000;
const KEY_BYTES = 8;
const NO_MEMBER = "no member of a cluster answers: name some in GYRE_SEEDS";

/** Register both handlers; `start` it with the node. */
export class Operator {
  readonly #parts: OperatorParts;
  readonly #random: Random;
  #timer: Timer | undefined;
  #isJoining = false;
  /** when a former life of this node, not removed, was first seen in the records; by the monotonic clock */
  #formerSeenMs: number | undefined;
  #isStopped = false;
  /** why the last attempt to join came to nothing, in words */
  trouble: string | undefined;

  constructor(parts: OperatorParts) {
    this.#parts = parts;
    this.#random = parts.random.fork("operator");
  }

  /** Begins to look for a cluster to join, if this node shall join by itself. */
  start(): void {
    if (this.#parts.joinsByItself) this.#tick();
  }

  /** Does nothing more. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  /** Answers `membership.agreement`. */
  readonly agreementHandler: TopicHandler = async () => {
    const proposal = this.#parts.bootstrap.agreement();
    const records = this.#parts.membership.everything();
    if (proposal === undefined || records === undefined) return new TopicRefusal("not_ready", "no member yet");
    return { proposal, records };
  };

  /** Answers `membership.order`. */
  readonly orderHandler: TopicHandler = async (_from, body) => {
    const order = parseOrder(body);
    return order === undefined ? new TopicRefusal("bad_request", "not an order") : this.obey(order);
  };

  /** Has `node` do something with its own record; it is done and durable when this resolves `done`. */
  async order(node: NodeId, order: MembershipOrder): Promise<OrderReply> {
    if (node === this.#parts.self.id) return this.obey(order);
    const result = await this.#call(node, ORDER_TOPIC, order);
    if (result.kind === "answer") {
      return (
        parseOrderReply(result.body) ?? { kind: "refused", reason: `node ${node} answers in words not known here` }
      );
    }
    const why = result.kind === "refused" ? result.detail : `node ${node} cannot be reached (${result.kind})`;
    return { kind: "refused", reason: why };
  }

  /** Does what an operator asks of this node. */
  async obey(order: MembershipOrder): Promise<OrderReply> {
    const { membership } = this.#parts;
    if (order.kind === "join") return this.#obeyJoin(order.replaces);
    if (!membership.isMember) return refused("this node is no member of a cluster");
    if (membership.isRemoved) return refused("this node was removed: wipe its data directory and join anew");
    const { status } = membership.store.newest;
    switch (order.kind) {
      case "leave":
        if (status === "left") return refused("this node has left already");
        await membership.change({ status: "leaving" });
        return done("leaving");
      case "abort": {
        if (status !== "joining" && status !== "leaving")
          return refused(`this node is ${status}: nothing is under way`);
        const next = status === "joining" ? "leaving" : "normal";
        await membership.change({ status: next });
        return done(next);
      }
      case "weight":
        await membership.change({ weight: order.weight });
        return done(status);
      case "zone":
        await membership.change({ zone: order.label });
        return done(status);
      case "host":
        await membership.change({ host: order.label });
        return done(status);
    }
  }

  async #obeyJoin(replaces: MemberKey | undefined): Promise<OrderReply> {
    const { membership } = this.#parts;
    if (!membership.isMember) return this.#join(replaces);
    const { status } = membership.store.record;
    if (membership.isRemoved) return refused("this node was removed: wipe its data directory and join anew");
    if (status !== "left") return refused(`this node is a member already (${status})`);
    const replaced = replaces === undefined ? undefined : membership.set?.recordOf(replaces);
    if (replaces !== undefined && replaced === undefined) return refused(`no member has the key ${replaces}`);
    const life = { key: this.#newKey(), partitionCount: this.#parts.partitionCount, replaced };
    const record = joiningRecord(this.#parts.self, life);
    const objection = membership.set === undefined ? undefined : objectionTo(membership.set, record);
    if (objection !== undefined) return refused(objection);
    await membership.rejoin(record);
    return done("joining");
  }

  #tick(): void {
    if (this.#isStopped || this.#parts.membership.isMember) return;
    this.#timer = this.#parts.clock.setTimer(JOIN_EVERY_MS, () => this.#tick());
    if (!this.#parts.bootstrap.isEmpty || this.#parts.linkedNodes().length === 0) return;
    this.#join(undefined, true).then(
      (reply) => this.#noteTrouble(reply),
      (error: unknown) => {
        if (!this.#isStopped) this.#parts.log.error({ event: "membership.join-failed", error });
      },
    );
  }

  /** That no member answers is how every new cluster begins: nothing to tell. */
  #noteTrouble(reply: OrderReply): void {
    const trouble = reply.kind === "refused" && reply.reason !== NO_MEMBER ? reply.reason : undefined;
    if (trouble !== undefined && trouble !== this.trouble) {
      this.#parts.log.warn({ event: "membership.cannot-join", reason: trouble });
    }
    this.trouble = trouble;
  }

  /** From empty to a member without slots. One attempt at a time. */
  async #join(replaces: MemberKey | undefined, isByItself = false): Promise<OrderReply> {
    if (this.#isJoining) return refused("this node is joining already");
    this.#isJoining = true;
    try {
      const agreement = await this.#fetchAgreement();
      if (agreement === undefined) return refused(NO_MEMBER);
      return await this.#adopt(agreement, { replaces, isByItself });
    } finally {
      this.#isJoining = false;
    }
  }

  async #fetchAgreement(): Promise<Agreement | undefined> {
    for (const node of this.#parts.linkedNodes()) {
      const result = await this.#call(node, AGREEMENT_TOPIC, {});
      const agreement = result.kind === "answer" ? parseAgreement(result.body) : undefined;
      if (agreement !== undefined) return agreement;
    }
    return undefined;
  }

  async #adopt(
    { proposal, records }: Agreement,
    { replaces, isByItself }: { readonly replaces: MemberKey | undefined; readonly isByItself: boolean },
  ): Promise<OrderReply> {
    const { bootstrap, self, partitionCount, log } = this.#parts;
    const { config } = proposal;
    if (!bootstrap.isEmpty) return refused("this node has promised itself to another cluster");
    if (config.partitionCount !== partitionCount) {
      const wanted = `GYRE_PARTITIONS=${config.partitionCount}`;
      return refused(
        `the cluster has ${config.partitionCount} partitions, this store ${partitionCount}: empty the data directory and set ${wanted}`,
      );
    }
    const news = parseNews(records, partitionCount);
    if (news === undefined) return refused("the member's records are not understood here");
    const set = setOf(news, config);
    const before = set.memberNamed(self.id);
    if (before !== undefined && isByItself && this.#mayFormerLive()) {
      return refused(`node ${self.id} is a member already: this node takes its place unless it shows itself`);
    }
    const replaced = replaces === undefined ? before : set.recordOf(replaces);
    if (replaces !== undefined && replaced === undefined) return refused(`no member has the key ${replaces}`);
    const record = joiningRecord(self, { key: this.#newKey(), partitionCount, replaced });
    const objection = objectionTo(set, record);
    if (objection !== undefined) return refused(objection);
    const write = async (): Promise<void> => {
      await this.#write({ clusterId: config.clusterId, record, set, replaced, before });
      log.info({ event: "membership.joining", key: record.key, replaces: replaced?.key });
    };
    const isMember = await bootstrap.adopt(proposal, write);
    return isMember ? done("joining") : refused("this node has promised itself to another cluster");
  }

  /** Only an operator's order says at once that the former life is over. */
  #mayFormerLive(): boolean {
    const nowMs = this.#parts.clock.monotonicMs();
    this.#formerSeenMs ??= nowMs;
    return nowMs - this.#formerSeenMs < FORMER_LIFE_MS;
  }

  /** The documents come before the adoption: a crash between leaves an empty node that joins anew under another key. */
  async #write({
    clusterId,
    record,
    set,
    replaced,
    before,
  }: {
    readonly clusterId: string;
    readonly record: MemberRecord;
    readonly set: RecordSet;
    readonly replaced: MemberRecord | undefined;
    readonly before: MemberRecord | undefined;
  }): Promise<void> {
    const { documents } = this.#parts;
    for (const life of new Set([replaced, before])) {
      if (life !== undefined) set.mergeRemoval({ key: life.key, by: record.key, replacedBy: record.key });
    }
    await documents.write(MEMBERS_DOCUMENT, encodeMembersDocument(clusterId, allOf(set)));
    const ledger = emptyLedger(record.slots.slice());
    await documents.write(MEMBER_DOCUMENT, encodeMemberDocument({ clusterId, record, ledger }));
  }

  #newKey(): MemberKey {
    return Buffer.from(this.#random.bytes(KEY_BYTES)).toString("hex");
  }

  #call(to: NodeId, topic: string, body: unknown): Promise<CallResult> {
    return new Promise((resolve) => this.#parts.peers.call(to, { kind: "ask", topic, body }, CALL_BUDGET_MS, resolve));
  }
}

function setOf(news: RecordNews, config: ClusterConfig): RecordSet {
  const set = new RecordSet(config.partitionCount, config.replicaCount);
  for (const record of news.records) set.mergeRecord(record);
  for (const removal of news.removals) set.mergeRemoval(removal);
  return set;
}

/** Why the members would not take this record: they would say so to their logs alone. */
function objectionTo(set: RecordSet, record: MemberRecord): string | undefined {
  const merged = set.copy().mergeRecord(record);
  return merged.kind === "refused" ? `the members would refuse this node's record: ${merged.reason}` : undefined;
}

function done(status: string): OrderReply {
  return { kind: "done", status };
}

function refused(reason: string): OrderReply {
  return { kind: "refused", reason };
}
