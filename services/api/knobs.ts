/** The quorum knobs of a request, from its query (API §3). Pure. Must never replace a wrong value by a default. */
import { DEFAULT_TIMEOUT_MS, MAX_REPLICAS, MAX_TIMEOUT_MS } from "../base/limits.ts";
import type { Failure, Knobs, QuorumLevel } from "../coordinator/contract.ts";
import { refusal } from "./problem.ts";
import { booleanOf, integerOf, type Query, shown } from "./query.ts";

/** The query parameters that every key request understands. */
export const KNOB_NAMES: readonly string[] = ["r", "w", "pr", "pw", "sloppy", "timeout", "explain"];

const DEFAULTS: Knobs = { sloppy: true, timeoutMs: DEFAULT_TIMEOUT_MS, explain: false };

/** The knobs in the query; what is absent is left to the bucket. */
export function knobsOf(query: Query): Knobs | Failure {
  if (query.values.size === 0) return DEFAULTS;
  const sloppy = booleanOf(query, "sloppy", true);
  if (typeof sloppy !== "boolean") return sloppy;
  const explain = booleanOf(query, "explain", false);
  if (typeof explain !== "boolean") return explain;
  const timeoutMs = integerOf(query, "timeout", { min: 1, max: MAX_TIMEOUT_MS, fallback: DEFAULT_TIMEOUT_MS });
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

function levelOf(name: string, text: string): QuorumLevel | Failure {
  if (text === "one" || text === "quorum" || text === "all") return text;
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
