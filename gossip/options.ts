/**
 * What gossip is told at its start, and what it tells of itself. No code here.
 */

import type { GossipSecrets } from "./core/envelope-keys.ts";
import type { ProfileName, SwimParameters } from "./core/parameters.ts";
import type { SwimCounters } from "./core/swim-api.ts";
import type { Datagrams, GenerationStore, GossipClock, GossipLog, GossipRandom, MemberCalls } from "./ports.ts";
import type { ExchangeStats } from "./table-exchange.ts";
import type { WireStats } from "./wire.ts";

/** What a node says of itself, and how it gossips. */
export interface GossipOptions {
  /** 1 … 63 bytes of `[A-Za-z0-9._-]`: the stable name */
  readonly nodeId: string;
  /** ≤ 63 bytes of ASCII */
  readonly zone: string;
  /** `literal:port` to bind for datagrams; port 0 takes any */
  readonly bindAddress: string;
  /** `literal:port` that others send to; undefined = the address bound */
  readonly advertisedAddress: string | undefined;
  readonly clusterName: string;
  /** an empty primary: nothing is sealed, for loopback only */
  readonly secrets: GossipSecrets;
  readonly profile: ProfileName;
  /** replaces numbers of the profile; for tests */
  readonly parameters?: Partial<SwimParameters>;
  /** true while the application says that the node belongs: a dead one that does is never forgotten */
  readonly isKept: (nodeId: string) => boolean;
  /** where to say hello: `literal:port` each, resolved anew at each call; our own among them does no harm */
  readonly seeds: () => Promise<readonly string[]>;
}

/** The windows of gossip. */
export interface GossipPorts {
  readonly clock: GossipClock;
  readonly random: GossipRandom;
  readonly log: GossipLog;
  readonly datagrams: Datagrams;
  readonly calls: MemberCalls;
  readonly generations: GenerationStore;
  /** p99 delay of the event loop in ms since the last call; 0 where nobody measures */
  readonly loopDelayMs: () => number;
  /** the generation cannot be made durable: gossip has stopped, and so must the node */
  readonly onFatal: (error: Error) => void;
}

/** Counters since the start, and levels as of now. */
export interface GossipStats {
  readonly wire: WireStats;
  readonly exchanges: Readonly<ExchangeStats>;
  readonly swim: Readonly<SwimCounters>;
  /** Lifeguard's local health: 0 (well) … 7 */
  readonly health: number;
  readonly generation: number;
  readonly incarnation: number;
  readonly membersHash: number;
  readonly membersByState: Readonly<Record<"alive" | "suspect" | "dead" | "left", number>>;
}
