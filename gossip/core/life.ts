/**
 * The order of a member's lives: generation first, then incarnation. Stored lives only grow, whatever becomes of the state beside them.
 * Source: gossip-ring notes §A.3; that the number must be kept even when the state does not change: al8n/memberlist #197.
 */
import type { Life } from "./messages.ts";

/** The largest generation and incarnation: both travel as u32. */
export const LAST_NUMBER = 0xffffffff;

/** Negative, 0 or positive, as `a` is before, the same as or after `b`. */
export function compareLives(a: Life, b: Life): number {
  return a.generation - b.generation || a.incarnation - b.incarnation;
}
