/**
 * Bucket settings as clients write them: strict JSON in, a checked change out. Pure. Must never let an unknown field or
 * a wrong type through: a misspelt setting would otherwise hold its default in silence.
 */
import type { BucketSettings } from "../base/bucket-settings.ts";
import { MAX_REPLICAS } from "../base/limits.ts";
import type { Failure } from "../coordinator/contract.ts";
import { refusal } from "./problem.ts";
import { shown } from "./query.ts";

const FIELDS = ["n", "r", "w", "conflicts", "blindWrites"];

/** The settings that a body names, checked one by one, or what is wrong with it. */
export function settingsIn(
  body: unknown,
): { readonly kind: "change"; readonly change: Partial<BucketSettings> } | Failure {
  const fields = objectIn(body);
  if (fields === undefined) return refusal("invalid_request", `the body is a JSON object with ${FIELDS.join(", ")}`);
  const change: { -readonly [name in keyof BucketSettings]?: BucketSettings[name] } = {};
  for (const [name, value] of Object.entries(fields)) {
    switch (name) {
      case "n":
      case "r":
      case "w":
        if (typeof value !== "number" || !Number.isInteger(value) || value < 1 || value > MAX_REPLICAS) {
          return wrong(name, `a whole number from 1 to ${MAX_REPLICAS}`);
        }
        change[name] = value;
        break;
      case "conflicts":
        if (value !== "siblings" && value !== "lww") return wrong(name, "siblings or lww");
        change.conflicts = value;
        break;
      case "blindWrites":
        if (value !== "overwrite" && value !== "sibling" && value !== "reject") {
          return wrong(name, "overwrite, sibling or reject");
        }
        change.blindWrites = value;
        break;
      default:
        return refusal("invalid_request", `unknown setting ${shown(name)}; known: ${FIELDS.join(", ")}`, {
          known: FIELDS,
        });
    }
  }
  return { kind: "change", change };
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

function wrong(name: string, rule: string): Failure {
  return refusal("invalid_request", `${name} is ${rule}`, { parameter: name });
}
