/** The quorum knobs of a request, from its query (API §3). Pure. Must never replace a wrong value by a default. */
import { DEFAULT_TIMEOUT_MS, MAX_REPLICAS } from "../base/limits.ts";
import type { Failure, Knobs, QuorumLevel } from "../coordinator/contract.ts";
import type { Incoming } from "./exchange.ts";
import { refusal, refusalForNow } from "./problem.ts";
import { booleanOf, integerOf, type Query, shown } from "./query.ts";
import { KNOB_QUERY, LEVEL_RULE, namesOf, TIMEOUT_RULE } from "./query-rules.ts";
import { wordOf } from "./value-rules.ts";

/** The query parameters that every key request understands. */
export const KNOB_NAMES: readonly string[] = namesOf(KNOB_QUERY);

const DEFAULTS: Knobs = { sloppy: true, timeoutMs: DEFAULT_TIMEOUT_MS, explain: false };

/** The knobs in the query; what is absent is left to the bucket. */
export function knobsOf(query: Query): Knobs | Failure {
  if (query.values.size === 0) return DEFAULTS;
  const sloppy = booleanOf(query, "sloppy", true);
  if (typeof sloppy !== "boolean") return sloppy;
  const explain = booleanOf(query, "explain", false);
  if (typeof explain !== "boolean") return explain;
  const timeoutMs = integerOf(query, "timeout", TIMEOUT_RULE);
  if (typeof timeoutMs !== "number") return timeoutMs;
  const levels: { r?: QuorumLevel; w?: QuorumLevel; pr?: QuorumLevel; pw?: QuorumLevel } = {};
  for (const name of ["r", "w", "pr", "pw"] as const) {
    const text = query.values.get(name);
    if (text === undefined) continue;
    const level = levelOf(name, text);
    if (typeof level === "object") return level;
    levels[name] = level;
  }
  return { ...levels, sloppy, timeoutMs, explain };
}

/** What is left of them for a request that waited for room: its time began when it came. */
export function afterWait(knobs: Knobs, { raw }: Pick<Incoming, "raw">): Knobs | Failure {
  const { waitedMs = 0 } = raw;
  if (waitedMs === 0) return knobs;
  const timeoutMs = Math.ceil(knobs.timeoutMs - waitedMs);
  if (timeoutMs >= 1) return { ...knobs, timeoutMs };
  return refusalForNow("overloaded", "this request's time was up before there was room for it; nothing was done");
}

function levelOf(name: string, text: string): QuorumLevel | Failure {
  const word = wordOf(LEVEL_RULE, text);
  if (word !== undefined) return word;
  if (!/^[0-9]{1,9}$/.test(text) || Number(text) === 0) {
    const rule = `${name} is a number from 1 to the bucket's n, or one, quorum, all; not ${shown(text)}`;
    return refusal("invalid_request", rule, { parameter: name });
  }
  const level = Number(text);
  if (level <= MAX_REPLICAS) return level;
  return refusal("quorum_exceeds_n", `${name}=${level} is more than any bucket's n (at most ${MAX_REPLICAS})`, {
    parameter: name,
  });
}
