/**
 * Who is alive, as one object: SWIM for one node, from one start to one stop. Must never send before its generation is
 * durable, and never say who belongs: dead is not removed. Source: gossip-ring notes part A.
 */
import assert from "node:assert/strict";
import { factsFlawOf, MAX_U32 } from "./core/codec-fields.ts";
import { Envelope } from "./core/envelope.ts";
import type { GossipSecrets } from "./core/envelope-keys.ts";
import type { GossipEvent, Member, MemberState, OwnFitness } from "./core/messages.ts";
import { faultOf, PROFILES, type SwimParameters } from "./core/parameters.ts";
import type { Publication } from "./core/swim-api.ts";
import { SwimCore } from "./core/swim-core.ts";
import { SwimDriver, type UserMessage } from "./driver.ts";
import type { GossipOptions, GossipPorts, GossipStats } from "./options.ts";
import type { DatagramSocket, LinkQuestion } from "./ports.ts";
import { Wire } from "./wire.ts";

const LOOPBACK = /^(?:127(?:\.\d{1,3}){3}|\[::1\]):/;
/** A farewell that nobody takes off our hands is over after so many lingers. */
const LEAVE_LIMIT_LINGERS = 2;

/** Gossip of one node, from one start to one stop. */
export class Gossip {
  readonly #options: GossipOptions;
  readonly #ports: GossipPorts;
  readonly #parameters: SwimParameters;
  readonly #eventListeners: ((event: GossipEvent) => void)[] = [];
  readonly #userListeners: ((message: UserMessage) => void)[] = [];
  readonly #recordsListeners: ((nodeId: string) => void)[] = [];
  #driver: SwimDriver | undefined;
  #address: string | undefined;
  #isStopped = false;
  #ownFitness: OwnFitness = { isDiskWritable: true, isDegraded: false };
  #secrets: GossipSecrets;
  #recordsHash = 0n;
  #leaving: Promise<void> | undefined;
  #onLeft: (() => void) | undefined;

  /** Throws a `TypeError` when the options are none. */
  constructor(options: GossipOptions, ports: GossipPorts) {
    const { nodeId, zone, advertisedAddress, bindAddress } = options;
    this.#options = options;
    this.#ports = ports;
    this.#secrets = options.secrets;
    this.#parameters = { ...PROFILES[options.profile], ...options.parameters };
    const flaw = factsFlawOf({ nodeId, zone, address: advertisedAddress ?? bindAddress }) ?? faultOf(this.#parameters);
    if (flaw !== undefined) throw new TypeError(`gossip cannot start: ${flaw}`);
    if (options.secrets.primary.length === 0 && !LOOPBACK.test(bindAddress)) {
      throw new TypeError("gossip cannot start: beyond loopback it needs a secret");
    }
  }

  /**
   * Makes this start's generation durable, binds, says hello to the seeds. Answers the address that others are told.
   * Rejects when the generation cannot be saved or the address not be bound. Once.
   */
  async start(): Promise<string> {
    assert.ok(this.#driver === undefined && !this.#isStopped, "gossip starts once");
    const { generations, datagrams } = this.#ports;
    const generation = (await generations.load()) + 1;
    assert.ok(Number.isInteger(generation) && generation > 0 && generation <= MAX_U32, "a generation is a u32");
    await generations.save(generation);
    const socket = await datagrams.open(this.#options.bindAddress);
    const address = this.#options.advertisedAddress ?? socket.address;
    if (this.#isStopped) {
      await socket.close();
      return address;
    }
    this.#address = address;
    this.#driver = this.#newDriver(generation, { socket, address });
    this.#driver.core.setRecordsHash(this.#recordsHash);
    this.#driver.start();
    return address;
  }

  /**
   * Tells the others that this node goes in peace; resolves after a second, when enough of them have been told, or after
   * two. Probes are answered until `stop`.
   */
  leave(): Promise<void> {
    const driver = this.#driver;
    if (driver === undefined || this.#isStopped) return Promise.resolve();
    this.#leaving ??= new Promise<void>((resolve) => {
      const limitMs = LEAVE_LIMIT_LINGERS * this.#parameters.leaveLingerMs;
      const guard = this.#ports.clock.setTimer(limitMs, resolve);
      this.#onLeft = () => {
        guard.cancel();
        resolve();
      };
      driver.act((core, nowMs) => core.leave(nowMs));
    });
    return this.#leaving;
  }

  /** Ends at once, without a word: to the others this node has died, unless it left before. Twice does no harm. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#onLeft?.();
    await this.#driver?.stop();
  }

  /** The address that others are told; undefined before the start. */
  get address(): string | undefined {
    return this.#address;
  }

  /** All members that are not forgotten, this one first. O(n). */
  members(): readonly Member[] {
    return this.#driver?.core.members() ?? [];
  }

  /** What is known of a member. */
  member(nodeId: string): Member | undefined {
    return this.#driver?.core.member(nodeId);
  }

  /** What this node believes of a member; undefined: never heard of. */
  stateOf(nodeId: string): MemberState | undefined {
    return this.member(nodeId)?.state;
  }

  /** `listener` is told of what happens to members; it must not throw. */
  onEvent(listener: (event: GossipEvent) => void): void {
    this.#eventListeners.push(listener);
  }

  /** `listener` is told of a member that names another hash of records than ours. */
  onRecordsDiffer(listener: (nodeId: string) => void): void {
    this.#recordsListeners.push(listener);
  }

  /** `listener` is told of user messages; one that was news it publishes again. */
  onUserMessage(listener: (message: UserMessage) => void): void {
    this.#userListeners.push(listener);
  }

  /** Names this hash of records (unsigned 64-bit) from now on; before the start too. */
  setRecordsHash(hash: bigint): void {
    this.#recordsHash = hash;
    this.#driver?.act((core) => core.setRecordsHash(hash));
  }

  /** Says in acks from now on what has changed of this; the delay of the event loop is measured by itself. */
  setFitness(changed: Partial<OwnFitness>): void {
    this.#ownFitness = { ...this.#ownFitness, ...changed };
  }

  /** Spreads bytes (≤ 512) by piggyback. */
  publish(publication: Publication): void {
    this.#driver?.act((core) => core.publish(publication));
  }

  /** Seals with another primary from now on, and opens with all that are given. Secrets are exchanged in three steps. */
  setSecrets(secrets: GossipSecrets): void {
    this.#secrets = secrets;
    this.#driver?.wire.setSecrets(secrets);
  }

  /** Says hello to an address, `literal:port`. */
  addSeedAddress(address: string): void {
    this.#driver?.act((core, nowMs) => core.join(address, nowMs));
  }

  /** A link has found this member: says hello, and exchanges tables with one that was not known. */
  memberMet(nodeId: string, address: string): void {
    const state = this.stateOf(nodeId);
    if (this.#driver === undefined || nodeId === this.#options.nodeId || state === "alive") return;
    this.addSeedAddress(address);
    if (state === undefined) void this.#driver.exchange.begin({ nodeId, address });
  }

  /**
   * What to answer to a question that came over a link from a member that the link has proved; undefined: to no question
   * of gossip's. Never throws. O(members).
   */
  answer(from: string, question: LinkQuestion, body: unknown): unknown {
    if (this.#driver === undefined || this.#isStopped) return undefined;
    return question === "ping" ? this.#options.nodeId : this.#driver.exchange.answer(from, body);
  }

  /** A copy of all counters, and levels as of now. O(members). Undefined before the start. */
  stats(): GossipStats | undefined {
    if (this.#driver === undefined) return undefined;
    const { core, wire, exchange } = this.#driver;
    const membersByState = { alive: 0, suspect: 0, dead: 0, left: 0 };
    for (const member of core.members()) membersByState[member.state] += 1;
    return {
      wire: wire.stats(),
      exchanges: exchange.stats,
      swim: { ...core.counters },
      health: core.health,
      ...core.life,
      membersHash: core.membersHash,
      membersByState,
    };
  }

  #newDriver(generation: number, at: { readonly socket: DatagramSocket; readonly address: string }): SwimDriver {
    const { nodeId, zone, clusterName, isKept, seeds } = this.#options;
    const { random } = this.#ports;
    const boot = random.u32();
    const envelope = new Envelope({ clusterName, nodeId, boot, secrets: this.#secrets });
    const datagramBytes = Math.min(this.#parameters.datagramBytes, envelope.maxFrameBytes);
    const parameters = { ...this.#parameters, datagramBytes };
    const facts = { nodeId, zone, address: at.address };
    const core = new SwimCore({ facts, generation, boot, parameters, random: () => random.float(), isKept });
    const tell = <T>(listeners: readonly ((what: T) => void)[], what: T): void => {
      for (const listener of listeners) listener(what);
    };
    return new SwimDriver({
      core,
      wire: new Wire(envelope, at.socket),
      parameters,
      ports: this.#ports,
      listener: {
        onEvent: (event) => tell(this.#eventListeners, event),
        onUserMessage: (message) => tell(this.#userListeners, message),
        onRecordsDiffer: (peer) => tell(this.#recordsListeners, peer),
        onLeaveDone: () => this.#onLeft?.(),
        seeds,
        ownFitness: () => this.#ownFitness,
      },
    });
  }
}
