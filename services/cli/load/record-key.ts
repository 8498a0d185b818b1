/** Which key a record gets: some of its fields, joined. Pure. */
import { MAX_KEY_BYTES } from "../../base/limits.ts";

/** How keys are made. */
export interface KeyRule {
  /** names of members of the record, in order */
  readonly fields: readonly string[];
  readonly separator: string;
}

/** A key, or why the record has none. */
export type RecordKey =
  | { readonly kind: "key"; readonly key: string }
  | { readonly kind: "problem"; readonly problem: string };

function parseRecord(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return undefined;
    throw error;
  }
}

/** The key of the record in `bytes`, a JSON object. */
export function keyOf(bytes: Uint8Array, rule: KeyRule): RecordKey {
  const record = parseRecord(bytes);
  if (typeof record !== "object" || record === null || Array.isArray(record)) {
    return { kind: "problem", problem: "is not a JSON object" };
  }
  const members = record as Readonly<Record<string, unknown>>;
  const parts: string[] = [];
  for (const field of rule.fields) {
    const value = Object.hasOwn(members, field) ? members[field] : undefined;
    if (typeof value !== "string" && typeof value !== "number") {
      return { kind: "problem", problem: `has no text or number "${field}" for its key` };
    }
    parts.push(String(value));
  }
  const key = parts.join(rule.separator);
  const sizeBytes = Buffer.byteLength(key);
  if (sizeBytes === 0 || sizeBytes > MAX_KEY_BYTES) {
    return { kind: "problem", problem: `has a key of ${sizeBytes} bytes, allowed are 1 to ${MAX_KEY_BYTES}` };
  }
  if (key === "." || key === "..") return { kind: "problem", problem: `has the key "${key}", which no URL can carry` };
  return { kind: "key", key };
}
