/**
 * The public door of gossip: whoever wants to know who is alive imports from here.
 * Must never export a part of the protocol's inside.
 */
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
