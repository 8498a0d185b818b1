/**
 * Bucket settings as clients write them: strict JSON in, a checked change out. Pure. Must never let an unknown field or
 * a wrong type through: a misspelt setting would otherwise hold its default in silence.
 */
import type { BucketSettings } from "../base/bucket-settings.ts";
import { MAX_REPLICAS, MAX_TTL_SECONDS } from "../base/limits.ts";
import type { Failure } from "../coordinator/contract.ts";
import { refusal } from "./problem.ts";
import { shown } from "./query.ts";
import { BLIND_RULE } from "./query-rules.ts";
import { type ChoiceRule, type IntegerRule, wordOf, wordsText } from "./value-rules.ts";

type SettingRule = IntegerRule | ChoiceRule;

const COUNT_RULE: IntegerRule = { kind: "integer", min: 1, max: MAX_REPLICAS };

/** A time to live: seconds, 0 for no end. */
export const TTL_SECONDS_RULE: IntegerRule = { kind: "integer", min: 0, max: MAX_TTL_SECONDS };
/** What each setting may be. */
export const SETTING_RULES: Readonly<Record<keyof BucketSettings, SettingRule>> = {
  n: COUNT_RULE,
  r: COUNT_RULE,
  w: COUNT_RULE,
  conflicts: { kind: "choice", words: ["siblings", "lww"] },
  blindWrites: BLIND_RULE,
  ttlSeconds: TTL_SECONDS_RULE,
};
const RULES: ReadonlyMap<string, SettingRule> = new Map(Object.entries(SETTING_RULES));
const FIELDS = [...RULES.keys()];

/** What a time to live may be, in words. */
export const TTL_RULE: string = `a whole number of seconds from 1 to ${MAX_TTL_SECONDS}, or 0 for no end`;

/** The settings that a body names, checked one by one, or what is wrong with it. */
export function settingsIn(
  body: unknown,
): { readonly kind: "change"; readonly change: Partial<BucketSettings> } | Failure {
  const fields = objectIn(body);
  if (fields === undefined) return refusal("invalid_request", `the body is a JSON object with ${FIELDS.join(", ")}`);
  let change: Partial<BucketSettings> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (!FIELDS.includes(name)) {
      return refusal("invalid_request", `unknown setting ${shown(name)}; known: ${FIELDS.join(", ")}`, {
        known: FIELDS,
      });
    }
    const one = settingOf(name, value);
    if (typeof one === "string") return refusal("invalid_request", `${name} is ${one}`, { parameter: name });
    change = { ...change, ...one };
  }
  return { kind: "change", change };
}

/** One setting, or the rule that it breaks, in words. */
function settingOf(name: string, value: unknown): Partial<BucketSettings> | string {
  const rule = RULES.get(name);
  if (rule?.kind === "choice") return wordOf(rule, value) === undefined ? wordsText(rule) : { [name]: value };
  const { min, max } = rule ?? COUNT_RULE;
  if (isWholeBetween(value, min, max)) return { [name]: value };
  return name === "ttlSeconds" ? TTL_RULE : `a whole number from ${min} to ${max}`;
}

function isWholeBetween(value: unknown, least: number, most: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= least && value <= most;
}

/** Whether the settings agree with each other; undefined when they do. */
export function settingsConflict(settings: BucketSettings): Failure | undefined {
  for (const name of ["r", "w"] as const) {
    if (settings[name] > settings.n) {
      const words = `${name} would be ${settings[name]}, more than n, which would be ${settings.n}`;
      return refusal("quorum_exceeds_n", words, { parameter: name });
    }
  }
  return undefined;
}

/** The JSON object in a request's body; undefined when there is none. */
function objectIn(body: unknown): object | undefined {
  if (!(body instanceof Buffer)) return undefined;
  try {
    const parsed: unknown = JSON.parse(body.toString("utf8"));
    return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}
