/**
 * What nodes have begun of their clients' requests of keys, by their own count and clock: of those that a client gave up it knows
 * neither how many were begun nor how long they took. Must never take a node that does not answer for one that has begun nothing.
 */
import { pause } from "./cluster.ts";
import { tryAsk } from "./http.ts";

/** Requests that have been begun and have ended; a refusal at the door is none. */
export interface Begun {
  /** by what became of them: "2xx", "5xx", "aborted" … */
  readonly byStatus: ReadonlyMap<string, number>;
  /** that took so many ms at most, by that bound, from when the node had read them on; cumulative */
  readonly byMs: ReadonlyMap<number, number>;
}

const COUNT =
  /^gyre_http_request_duration_seconds_count\{(?=[^}]*route="\/v1\/kv\/)[^}]*status="(\w+)"[^}]*\} (\d+)$/gm;
const BUCKET =
  /^gyre_http_request_duration_seconds_bucket\{(?=[^}]*route="\/v1\/kv\/)[^}]*le="([\d.]+|\+Inf)"[^}]*\} (\d+)$/gm;

/** Since the start of each of the nodes at these addresses. */
export function begunBy(urls: readonly string[]): Promise<readonly Begun[]> {
  return Promise.all(urls.map(async (url) => begunIn(await askSurely(`${url}/metrics`))));
}

function begunIn(text: string): Begun {
  const byStatus = new Map<string, number>();
  const byMs = new Map<number, number>();
  for (const [, status = "", times] of text.matchAll(COUNT)) add(byStatus, status, Number(times));
  for (const [, le = "", times] of text.matchAll(BUCKET)) {
    add(byMs, le === "+Inf" ? Number.POSITIVE_INFINITY : Math.round(Number(le) * 1e6) / 1e3, Number(times));
  }
  return { byStatus, byMs };
}

/** What all have begun between the two looks, together. A node that counts anew has started again: nothing can be said of it. */
export function begunBetween(before: readonly Begun[], after: readonly Begun[]): Begun {
  const whole = { byStatus: new Map<string, number>(), byMs: new Map<number, number>() };
  after.forEach(({ byStatus, byMs }, node) => {
    const then = before[node];
    if (then === undefined) throw new Error("a node that was not asked before");
    addDifference(whole.byStatus, then.byStatus, byStatus);
    addDifference(whole.byMs, then.byMs, byMs);
  });
  return whole;
}

function addDifference<K>(sums: Map<K, number>, then: ReadonlyMap<K, number>, now: ReadonlyMap<K, number>): void {
  for (const key of new Set([...then.keys(), ...now.keys()])) {
    const difference = (now.get(key) ?? 0) - (then.get(key) ?? 0);
    if (difference < 0) throw new Error(`a node counts anew: ${String(key)} ${difference}`);
    add(sums, key, difference);
  }
}

/** How many that were. */
export function begunCount({ byStatus }: Begun): number {
  return [...byStatus.values()].reduce((sum, count) => sum + count, 0);
}

/** The bound within which the share of them (0 … 1) ended, ms; NaN when there were none. */
export function withinMs(begun: Begun, share: number): number {
  const total = begunCount(begun);
  const bounds = [...begun.byMs].toSorted(([one], [other]) => one - other);
  return total === 0
    ? Number.NaN
    : (bounds.find(([, count]) => count >= total * share)?.[0] ?? Number.POSITIVE_INFINITY);
}

async function askSurely(url: string): Promise<string> {
  for (let tries = 0; tries < 10; tries += 1) {
    const answer = await tryAsk(url);
    if (answer?.status === 200) return answer.text;
    await pause(500);
  }
  throw new Error(`no answer from ${url}`);
}

function add<K>(counts: Map<K, number>, key: K, count: number): void {
  counts.set(key, (counts.get(key) ?? 0) + count);
}
