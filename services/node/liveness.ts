/**
 * Liveness: gossip joined to this node: its datagrams, its questions over links, its generation in the store, and what the
 * rest of the node asks of it. Must never say who belongs: that is membership's; dead is not removed.
 */

import {
  Gossip,
  type GossipStats,
  type LinkQuestion,
  type LinkTarget,
  type Member,
  type OwnFitness,
} from "../../gossip/index.ts";
import { clusterSecretsOf } from "../base/cluster-secrets.ts";
import type { Config } from "../base/config.ts";
import type { NodeId } from "../base/ids.ts";
import type { PeerIdentity } from "../peers/identity.ts";
import type { TopicHandler } from "../peers/peer-handler.ts";
import type { PeerLinks } from "../peers/peer-links.ts";
import { ownAddressOf } from "./own-address.ts";
import type { NodeWindows } from "./windows.ts";

/** Name of the document that counts this node's starts. */
const GENERATION_DOCUMENT = "gossip";
const QUESTIONS: readonly LinkQuestion[] = ["ping", "sync"];

/** What liveness is made of. */
export interface LivenessParts {
  readonly config: Config;
  readonly windows: NodeWindows;
  readonly links: PeerLinks;
  readonly documents: {
    readonly read: (name: string) => Uint8Array | undefined;
    readonly write: (name: string, bytes: Uint8Array) => Promise<void>;
  };
  /** membership still lists the node */
  readonly isKept: (nodeId: string) => boolean;
  /** a member says that it knows other records than this node */
  readonly onRecordsDiffer: (nodeId: string) => void;
  readonly onFatal: (error: Error) => void;
}

/** Who is alive, for one node. */
export class Liveness {
  readonly #parts: LivenessParts;
  #gossip: Gossip | undefined;
  #recordsHash = 0n;

  constructor(parts: LivenessParts) {
    this.#parts = parts;
  }

  /** The topics of gossip's questions over links. */
  topics(): readonly (readonly [string, TopicHandler])[] {
    return QUESTIONS.map((question) => [
      `gossip.${question}`,
      async (from, body) => this.#gossip?.answer(from, question, body) ?? null,
    ]);
  }

  /** Starts once the links listen at `bound`, which datagrams share with them; others are told `advertised`. */
  async start(advertised: string, bound: string): Promise<void> {
    const { config, windows } = this.#parts;
    const bindHost = withPortOf(config.peerAddress, bound);
    const [bindAddress] = await windows.network.resolve(bindHost).catch(() => []);
    const advertisedAddress = await ownAddressOf(windows, advertised);
    const gossip = new Gossip(
      {
        nodeId: config.nodeId,
        zone: config.zone,
        bindAddress: bindAddress ?? bindHost,
        advertisedAddress,
        clusterName: config.cluster,
        secrets: clusterSecretsOf(config),
        profile: config.gossipProfile,
        isKept: this.#parts.isKept,
        seeds: () => this.#seeds(),
      },
      {
        clock: windows.clock,
        random: windows.random.fork("gossip"),
        log: windows.log,
        datagrams: windows.datagrams,
        calls: { ask: (target, question, body, timeoutMs) => this.#ask(target, question, { body, timeoutMs }) },
        generations: { load: async () => this.#generation(), save: (generation) => this.#saveGeneration(generation) },
        loopDelayMs: windows.loopDelayMs,
        onFatal: this.#parts.onFatal,
      },
    );
    this.#gossip = gossip;
    gossip.setRecordsHash(this.#recordsHash);
    gossip.onRecordsDiffer(this.#parts.onRecordsDiffer);
    gossip.onEvent((event) => {
      if (event.kind !== "duplicate-identity") return;
      this.#parts.onFatal(new Error(`another process speaks under the name ${config.nodeId}: ${event.detail}`));
    });
    await gossip.start();
  }

  /** Tells the others that this node goes in peace. Resolves within two seconds. */
  async leave(): Promise<void> {
    const hasOthers = this.members().some(
      ({ facts, state }) => facts.nodeId !== this.#parts.config.nodeId && (state === "alive" || state === "suspect"),
    );
    if (hasOthers) await this.#gossip?.leave();
  }

  async stop(): Promise<void> {
    await this.#gossip?.stop();
  }

  /** A link to a peer stands. */
  peerUp(peer: PeerIdentity): void {
    this.#parts.windows.network.resolve(peer.address).then(
      ([address]) => {
        if (address !== undefined) this.#gossip?.memberMet(peer.nodeId, address);
      },
      () => {},
    );
  }

  /**
   * What routing believes; a node that gossip never heard of is left to the links. One that says of itself that it is slow
   * is asked last, as one that is suspected.
   */
  stateOf(node: NodeId): "alive" | "suspect" | "dead" {
    const member = this.#gossip?.member(node);
    if (member === undefined) return "alive";
    if (member.state === "dead" || member.state === "left") return "dead";
    return member.state === "suspect" || member.fitness?.isDegraded === true ? "suspect" : "alive";
  }

  /** A link stands, and gossip does not say that it is dead. */
  isAlive(node: NodeId): boolean {
    return this.#parts.links.isReachable(node) && this.stateOf(node) !== "dead";
  }

  members(): readonly Member[] {
    return this.#gossip?.members() ?? [];
  }

  member(node: NodeId): Member | undefined {
    return this.#gossip?.member(node);
  }

  stats(): GossipStats | undefined {
    return this.#gossip?.stats();
  }

  /** Tells the others from now on how this node fares. */
  setFitness(changed: Partial<OwnFitness>): void {
    this.#gossip?.setFitness(changed);
  }

  /** Names this hash of member records from now on. */
  setRecordsHash(hash: bigint): void {
    this.#recordsHash = hash;
    this.#gossip?.setRecordsHash(hash);
  }

  async #seeds(): Promise<readonly string[]> {
    const { config, windows } = this.#parts;
    const found = await Promise.all(config.seeds.map((seed) => windows.network.resolve(seed).catch(() => [])));
    return found.flat();
  }

  /** Over the data link: a few hundred bytes, and it must not wait behind transfers. */
  #ask(
    target: LinkTarget,
    question: LinkQuestion,
    { body, timeoutMs }: { readonly body: unknown; readonly timeoutMs: number },
  ): Promise<unknown> {
    const { links } = this.#parts;
    const known = links
      .knownPeers()
      .find((peer) => (target.nodeId === undefined ? peer.address === target.address : peer.nodeId === target.nodeId));
    return new Promise((resolve, reject) => {
      if (known === undefined) return reject(new Error("no link leads there"));
      links.call(known.nodeId, { kind: "ask", topic: `gossip.${question}`, body }, timeoutMs, (result) => {
        if (result.kind === "answer") resolve(result.body);
        else reject(new Error(`no answer: ${result.kind}`));
      });
    });
  }

  #generation(): number {
    const bytes = this.#parts.documents.read(GENERATION_DOCUMENT);
    const text = bytes === undefined ? "0" : Buffer.from(bytes).toString("utf8");
    return /^\d{1,10}$/.test(text) ? Number(text) : 0;
  }

  async #saveGeneration(generation: number): Promise<void> {
    await this.#parts.documents.write(GENERATION_DOCUMENT, Buffer.from(String(generation), "utf8"));
  }
}

function withPortOf(bind: string, bound: string): string {
  return `${bind.slice(0, bind.lastIndexOf(":"))}${bound.slice(bound.lastIndexOf(":"))}`;
}
