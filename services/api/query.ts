/**
 * The query string, strictly: each parameter known, named once, well formed; anything else is refused in words, because
 * a typo in a quorum knob must never pass in silence. `+` is a space here, as in every HTML form; write `%2B` for a
 * plus. Pure. Must never drop a parameter.
 */
import type { Failure } from "../coordinator/contract.ts";
import { percentDecoded, utf8Text } from "./percent.ts";
import { refusal } from "./problem.ts";

/** The parameters of one request by name. */
export interface Query {
  readonly kind: "query";
  readonly values: ReadonlyMap<string, string>;
}

const NOTHING: Query = { kind: "query", values: new Map() };

/** The parameters in `text` (what follows the `?`), each one of `known`. */
export function parseQuery(text: string, known: readonly string[]): Query | Failure {
  if (text === "") return NOTHING;
  const values = new Map<string, string>();
  for (const piece of text.split("&")) {
    if (piece === "") continue;
    const equals = piece.indexOf("=");
    const name = decoded(equals === -1 ? piece : piece.slice(0, equals));
    const value = equals === -1 ? "" : decoded(piece.slice(equals + 1));
    if (name === undefined || value === undefined) {
      return refusal("invalid_request", "the query string has a broken percent escape, or is not UTF-8");
    }
    if (!known.includes(name)) {
      return refusal("invalid_request", `unknown query parameter ${shown(name)}; known here: ${listed(known)}`, {
        parameter: name.slice(0, 64),
        known,
      });
    }
    if (values.has(name)) {
      return refusal("invalid_request", `query parameter ${name} is given more than once`, { parameter: name });
    }
    values.set(name, value);
  }
  return { kind: "query", values };
}

/** `true` or `false`; `fallback` when absent. */
export function booleanOf(query: Query, name: string, fallback: boolean): boolean | Failure {
  const text = query.values.get(name);
  if (text === undefined) return fallback;
  if (text === "true") return true;
  if (text === "false") return false;
  return refusal("invalid_request", `${name} is true or false, not ${shown(text)}`, { parameter: name });
}

/** A whole number in `min … max`; `fallback` when absent. */
export function integerOf(
  query: Query,
  name: string,
  range: { readonly min: number; readonly max: number; readonly fallback: number },
): number | Failure {
  const text = query.values.get(name);
  if (text === undefined) return range.fallback;
  const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= range.min && value <= range.max) return value;
  const rule = `${name} is a whole number from ${range.min} to ${range.max}, not ${shown(text)}`;
  return refusal("invalid_request", rule, { parameter: name, min: range.min, max: range.max });
}

/** Client text inside a sentence: quoted, cut to 64 characters. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
}

function listed(known: readonly string[]): string {
  return known.length === 0 ? "none" : known.join(", ");
}

function decoded(text: string): string | undefined {
  const bytes = percentDecoded(text.includes("+") ? text.replaceAll("+", " ") : text);
  return bytes === undefined ? undefined : utf8Text(bytes);
}
