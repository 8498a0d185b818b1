/**
 * How long compaction rests after a piece of work. Pure. As the other works behind the scenes it takes its share of the time, and
 * no more than half of it; but dead bytes are a debt that grows while it rests, so that the deeper it is, or the scarcer space is,
 * the less it yields. At twice the bound, or half way from the bound to nothing but dead bytes, and where puts are refused for want
 * of space it does not rest at all.
 * Must never come to a stop: what is only put off fills the disk. Source: DESIGN §8, §10 (one background budget).
 */

/** What the rest follows from. */
export interface PaceReading {
  readonly workedMs: number;
  /** 0 … 1: the share of its full pace that background work has now */
  readonly share: number;
  /** the share of dead bytes, 0 … 1 */
  readonly deadRatio: number;
  /** the share of them that is tolerated, above 0, up to 1 */
  readonly bound: number;
  /** 0 … 1: of the way to where puts are refused for want of space */
  readonly scarcity: number;
}

/** of the time, of what has its full pace and no debt */
const UNHURRIED = 1 / 2;
const MAX_REST_MS = 1_000;

/** Milliseconds, 0 … 1,000. */
export function compactionRestMs({ workedMs, share, deadRatio, bound, scarcity }: PaceReading): number {
  const fullPaceAt = Math.min(2 * bound, (1 + bound) / 2);
  const deadDebt = bound < fullPaceAt ? (deadRatio - bound) / (fullPaceAt - bound) : 1;
  const debt = within(Math.max(deadDebt, scarcity));
  const unhurried = UNHURRIED * within(share);
  const duty = unhurried + (1 - unhurried) * debt;
  const owedMs = workedMs * (1 - duty);
  if (owedMs <= 0) return 0;
  // a duty near 0 is not divided by
  return owedMs >= MAX_REST_MS * duty ? MAX_REST_MS : owedMs / duty;
}

function within(share: number): number {
  return Math.min(1, Math.max(0, share));
}
