/**
 * Bootstrap: the shell around `bootstrap-core.ts`. Feeds it links, ticks and messages one at a time, and lets nothing out
 * before what it rests on is durable. Must never decide anything itself. A record that cannot be written ends the node.
 */

import type { NodeId } from "../base/ids.ts";
import type { Clock, Log, LogFacts, Random, Timer } from "../base/ports.ts";
import type { PeerIdentity } from "../peers/identity.ts";
import type { Peers } from "../peers/messages.ts";
import { type TopicHandler, TopicRefusal } from "../peers/peer-handler.ts";
import { takeBootstrapInput } from "./bootstrap-core.ts";
import {
  BOOTSTRAP_TOPIC,
  type BootstrapReply,
  type BootstrapRequest,
  parseBootstrapReply,
  parseBootstrapRequest,
} from "./bootstrap-messages.ts";
import type { BootstrapSettings } from "./bootstrap-rules.ts";
import {
  type BootstrapInput,
  type BootstrapOutput,
  type BootstrapState,
  startBootstrapState,
} from "./bootstrap-state.ts";
import { type ClusterView, type MemberView, memberViewOf, waitingTextOf } from "./cluster-view.ts";
import { type Documents, encodeOwnRecord, OWN_RECORD_DOCUMENT, type OwnRecord, type Proposal } from "./own-record.ts";
import { openOwnRecord } from "./own-record-check.ts";

/** What the shell works with. */
export interface BootstrapParts {
  readonly settings: BootstrapSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly documents: Documents;
  readonly peers: Pick<Peers, "call">;
  /** Called once, when this node has become a member, or at once by `start` when it was one already. */
  readonly onMember: (view: MemberView) => void;
  /** The record could not be made durable: this node must end. */
  readonly onFailure: (error: Error) => void;
}

const TICK_MS = 250;
const CALL_BUDGET_MS = 1_000;
/** How often a node that waits says what for. */
const WAITING_LOG_MS = 10_000;

/** An input whose turn comes. */
interface Waiting {
  readonly input: BootstrapInput;
  readonly answer?: (reply: BootstrapReply) => void;
  /** to be done first, and only while nothing was promised; nothing else is promised meanwhile */
  readonly prepare?: () => Promise<void>;
  /** what followed is durable and done */
  readonly done?: () => void;
  /** preparing failed: nothing followed */
  readonly failed?: (error: unknown) => void;
}

/** One node's way into its cluster. Register `topicHandler` for `topic` and pass on what the links say of peers. */
export class Bootstrap {
  readonly topic: string = BOOTSTRAP_TOPIC;
  readonly #parts: BootstrapParts;
  readonly #random: Random;
  readonly #state: BootstrapState;
  readonly #queue: Waiting[] = [];
  readonly #asking = new Set<NodeId>();
  #memberView: MemberView | undefined;
  #clusterId: string | undefined;
  #timer: Timer | undefined;
  #isWorking = false;
  #isStopped = false;
  #saidAtMs: number;

  /** Throws `OwnRecordError` when the record cannot be read, or is another node's or another cluster's. */
  constructor(parts: BootstrapParts) {
    this.#parts = parts;
    this.#random = parts.random.fork("bootstrap");
    this.#state = startBootstrapState(parts.settings, openOwnRecord(parts.documents, parts.settings, parts.log));
    const { stage } = this.#state.record;
    this.#clusterId = stage.kind === "member" ? stage.proposal.config.clusterId : undefined;
    this.#saidAtMs = parts.clock.monotonicMs();
  }

  /** Begins to look for a cluster; a member by its record serves at once. */
  start(): void {
    this.#settleView(this.#state.record);
    this.#tick();
  }

  /** Does nothing more. A write under way is left to end by itself. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#queue.length = 0;
  }

  /** What the node may know now. */
  view(): ClusterView {
    return this.#memberView ?? { isBootstrapped: false, waitingFor: waitingTextOf(this.#state) };
  }

  /** The cluster that this node is durably a member of, known also before `start`. */
  get clusterId(): string | undefined {
    return this.#clusterId;
  }

  /** A link to a peer stands. */
  peerUp(peer: PeerIdentity): void {
    const { nodeId: id, zone, host, weight, address, clusterId } = peer;
    this.#push({ input: { kind: "peer_up", peer: { member: { id, zone, host, weight, address }, clusterId } } });
    this.#push({ input: { kind: "tick", candidateId: this.#candidateId() } });
  }

  /** No link leads to the peer any more. */
  peerDown(node: NodeId): void {
    this.#asking.delete(node);
    this.#push({ input: { kind: "peer_down", node } });
  }

  /** What was agreed when the cluster was made, for those who join; undefined before this node is a member. */
  agreement(): Proposal | undefined {
    const { stage } = this.#state.record;
    return this.#memberView !== undefined && stage.kind === "member" ? stage.proposal : undefined;
  }

  /** True while nothing was promised: only then a cluster may be adopted. */
  get isEmpty(): boolean {
    return this.#state.record.stage.kind === "empty";
  }

  /**
   * Makes this node a member without slots of a cluster that others made, after `prepare`, which is called only while
   * nothing was promised; then `onMember` is called. Resolves when that is durable; false when it did not come to it;
   * rejects as `prepare` does. Pending for ever when this node stops meanwhile.
   */
  adopt(proposal: Proposal, prepare: () => Promise<void>): Promise<boolean> {
    return new Promise((resolve, failed) => {
      const done = (): void => resolve(this.#clusterId === proposal.config.clusterId);
      this.#push({ input: { kind: "adopt", proposal }, prepare, done, failed });
    });
  }

  /** Answers the asks of `topic`. */
  readonly topicHandler: TopicHandler = async (from, body) => {
    const request = parseBootstrapRequest(body);
    if (request === undefined) return new TopicRefusal("bad_request", "not a bootstrap request");
    if (this.#isStopped) return new TopicRefusal("shutting_down", "this node is stopping");
    return new Promise<BootstrapReply>((answer) => this.#push({ input: { kind: "request", from, request }, answer }));
  };

  #tick(): void {
    if (this.#isStopped) return;
    this.#push({ input: { kind: "tick", candidateId: this.#candidateId() } });
    if (this.#isDone()) return;
    this.#sayWaiting();
    this.#timer = this.#parts.clock.setTimer(TICK_MS, () => this.#tick());
  }

  /** A member has nothing left to ask, once all whom it must tell have confirmed. */
  #isDone(): boolean {
    const { stage } = this.#state.record;
    if (stage.kind !== "member") return false;
    const { proposer, config } = stage.proposal;
    return proposer !== this.#parts.settings.node.id || this.#state.confirmed.size === config.members.length;
  }

  #push(waiting: Waiting): void {
    if (this.#isStopped) return;
    this.#queue.push(waiting);
    if (!this.#isWorking) void this.#work();
  }

  async #work(): Promise<void> {
    this.#isWorking = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        if (!(await this.#isPrepared(next))) continue;
        const output = takeBootstrapInput(this.#state, next.input);
        if (output.record !== undefined) await this.#write(output.record);
        if (this.#isStopped) return;
        this.#act(output, next);
        next.done?.();
      }
    } catch (error) {
      this.stop();
      this.#parts.onFailure(error instanceof Error ? error : new Error("bootstrap failed", { cause: error }));
    } finally {
      this.#isWorking = false;
    }
  }

  async #isPrepared({ prepare, failed }: Waiting): Promise<boolean> {
    try {
      if (this.isEmpty) await prepare?.();
      return !this.#isStopped;
    } catch (error) {
      failed?.(error);
      return false;
    }
  }

  async #write(record: OwnRecord): Promise<void> {
    await this.#parts.documents.write(OWN_RECORD_DOCUMENT, encodeOwnRecord(record));
    if (!this.#isStopped) this.#settleView(record);
  }

  #act(output: BootstrapOutput, { answer }: Waiting): void {
    if (output.reply !== undefined) answer?.(output.reply);
    for (const { level, facts } of output.logs) this.#parts.log[level](facts);
    for (const { to, request } of output.sends) this.#send(to, request);
  }

  /** One ask at a time for each peer: the next tick repeats what is still to be said. */
  #send(to: NodeId, request: BootstrapRequest): void {
    if (this.#asking.has(to)) return;
    this.#asking.add(to);
    this.#parts.peers.call(to, { kind: "ask", topic: BOOTSTRAP_TOPIC, body: request }, CALL_BUDGET_MS, (result) => {
      this.#asking.delete(to);
      const reply = result.kind === "answer" ? parseBootstrapReply(result.body) : undefined;
      if (reply !== undefined) this.#push({ input: { kind: "reply", from: to, request, reply } });
    });
  }

  /** Takes in what is durable. */
  #settleView(record: OwnRecord): void {
    if (this.#memberView !== undefined || record.stage.kind !== "member") return;
    this.#clusterId = record.stage.proposal.config.clusterId;
    this.#memberView = memberViewOf(record.stage);
    this.#parts.onMember(this.#memberView);
  }

  #sayWaiting(): void {
    const nowMs = this.#parts.clock.monotonicMs();
    if (this.#memberView !== undefined || nowMs - this.#saidAtMs < WAITING_LOG_MS) return;
    this.#saidAtMs = nowMs;
    const facts: LogFacts = { event: "bootstrap.waiting", waitingFor: waitingTextOf(this.#state) };
    this.#parts.log.info(facts);
  }

  #candidateId(): string {
    return Buffer.from(this.#random.bytes(16)).toString("hex");
  }
}
