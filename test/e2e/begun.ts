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

/** Since the start of the nodes at these addresses, together. */
export async function begunBy(urls: readonly string[]): Promise<Begun> {
  const byStatus = new Map<string, number>();
  const byMs = new Map<number, number>();
  for (const text of await Promise.all(urls.map((url) => askSurely(`${url}/metrics`)))) {
    for (const [, status = "", times] of text.matchAll(COUNT)) add(byStatus, status, Number(times));
    for (const [, le = "", times] of text.matchAll(BUCKET)) {
      add(byMs, le === "+Inf" ? Number.POSITIVE_INFINITY : Math.round(Number(le) * 1e6) / 1e3, Number(times));
    }
  }
  return { byStatus, byMs };
}

/** What has been begun between the two. */
export function begunBetween(before: Begun, after: Begun): Begun {
  const difference = <K>(one: ReadonlyMap<K, number>, other: ReadonlyMap<K, number>): Map<K, number> =>
    new Map([...other].map(([key, count]) => [key, notNegative(count - (one.get(key) ?? 0))]));
  return {
    byStatus: difference(before.byStatus, after.byStatus),
    byMs: difference(before.byMs, after.byMs),
  };
}

/** A node that counts from 0 again has started again: nothing can be said of it. */
function notNegative(count: number): number {
  if (count < 0) throw new Error("a node began to count anew");
  return count;
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
