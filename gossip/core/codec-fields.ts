/**
 * What the texts of gossip may be, and what is checked of them wherever they come from: configuration, datagrams, links.
 * Must never let through what another member would refuse: a datagram with one bad field is refused whole.
 */
import type { MemberFacts } from "./messages.ts";

/** Longest `host:port`: an IPv6 literal in brackets with its scope, and a port. */
export const MAX_ADDRESS_BYTES = 72;
/** Bytes that a `user` message carries. */
export const MAX_USER_BYTES = 512;
/** Largest value of Lifeguard's health score. */
export const MAX_HEALTH = 7;
/** Largest value of a 32-bit field. */
export const MAX_U32 = 0xffff_ffff;

const NODE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const ADDRESS = /^(?:\[[0-9A-Za-z:.%_-]{2,64}\]|[0-9A-Za-z._-]{1,66}):\d{1,5}$/;
const ZONE = /^[\x20-\x7e]{0,63}$/;

/** Whether the text may be a member's name. */
export function isNodeId(text: string): boolean {
  return NODE_ID.test(text);
}

/** Whether the text may be an address; that its host is a literal is the socket's business. */
export function isAddress(text: string): boolean {
  return text.length <= MAX_ADDRESS_BYTES && ADDRESS.test(text);
}

/** What is wrong with what a member says of itself, in words; undefined when nothing is. */
export function factsFlawOf(facts: MemberFacts): string | undefined {
  if (!isNodeId(facts.nodeId)) return "its name is no node id";
  if (!isAddress(facts.address)) return "its address is no host:port of at most 72 bytes";
  if (!ZONE.test(facts.zone)) return "its zone is longer than 63 bytes or not ASCII";
  return undefined;
}
