/**
 * The public door of gossip: whoever wants to know who is alive imports from here.
 * Must never export a part of the protocol's inside.
 */
export type { GossipSecrets } from "./core/envelope-keys.ts";
export type { Fitness, GossipEvent, Life, Member, MemberFacts, MemberState, OwnFitness } from "./core/messages.ts";
export type { ProfileName, SwimParameters } from "./core/parameters.ts";
export type { Publication } from "./core/swim-api.ts";
export type { UserMessage } from "./driver.ts";
export { Gossip } from "./gossip.ts";
export type { GossipOptions, GossipPorts, GossipStats } from "./options.ts";
export type {
  DatagramSocket,
  Datagrams,
  GenerationStore,
  GossipClock,
  GossipLog,
  GossipRandom,
  LinkQuestion,
  LinkTarget,
  MemberCalls,
} from "./ports.ts";
