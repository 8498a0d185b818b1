/**
 * Pieces of JSON Schema (2020-12, the dialect of OpenAPI 3.1), made from the rules that parsers follow. Pure. Must never write a
 * bound by hand that a rule has.
 */

import { MAX_REPLICAS } from "../base/limits.ts";
import { LEVEL_RULE } from "./query-rules.ts";
import type { ValueRule } from "./value-rules.ts";

/** A schema, or a part of one, as JSON. */
export type Schema = Readonly<Record<string, unknown>>;

/** What an object's schema may be told beside its members. */
export interface ObjectOptions {
  readonly description?: string;
  /** members that may be missing; all others are required */
  readonly optional?: readonly string[];
  /** other members are refused: bodies that are parsed strictly */
  readonly isClosed?: boolean;
}

/** An object with these members. */
export function objectOf(properties: Readonly<Record<string, Schema>>, options: ObjectOptions = {}): Schema {
  const { description, optional = [], isClosed = false } = options;
  const required = Object.keys(properties).filter((name) => !optional.includes(name));
  return {
    type: "object",
    ...(description === undefined ? {} : { description }),
    properties,
    ...(required.length === 0 ? {} : { required }),
    ...(isClosed ? { additionalProperties: false } : {}),
  };
}

/** A list of these. */
export function listOf(items: Schema, description?: string): Schema {
  return { type: "array", ...(description === undefined ? {} : { description }), items };
}

/** A map from names to these. */
export function mapOf(values: Schema, description: string): Schema {
  return { type: "object", description, additionalProperties: values };
}

/** The named schema of the document. */
export function refTo(name: string): Schema {
  return { $ref: `#/components/schemas/${name}` };
}

/** A text, in words. */
export function text(description: string, more: Schema = {}): Schema {
  return { type: "string", description, ...more };
}

/** A whole number from 0 on, or from `minimum`. */
export function count(description: string, minimum = 0): Schema {
  return { type: "integer", minimum, description };
}

/** A number from 0 on. */
export function amount(description: string): Schema {
  return { type: "number", minimum: 0, description };
}

/** True or false. */
export function flag(description: string): Schema {
  return { type: "boolean", description };
}

/** One of these words. */
export function wordIn(words: readonly string[], description?: string): Schema {
  return { type: "string", enum: words, ...(description === undefined ? {} : { description }) };
}

/** One of the words of a union of types: one too few or too many does not compile. */
export function unionOf<Word extends string>(words: Readonly<Record<Word, true>>, description?: string): Schema {
  return wordIn(Object.keys(words), description);
}

/** The same, or null. */
export function orNull(schema: Schema): Schema {
  const { type, ...rest } = schema;
  return typeof type === "string" ? { type: [type, "null"], ...rest } : { oneOf: [schema, { type: "null" }] };
}

/** What a rule allows. */
export function schemaOfRule(rule: ValueRule): Schema {
  switch (rule.kind) {
    case "integer": {
      const { min, max, fallback } = rule;
      const bounds = { type: "integer", minimum: min, maximum: max };
      return fallback === undefined ? bounds : { ...bounds, default: fallback };
    }
    case "choice":
      return { ...wordIn(rule.words), ...(rule.fallback === undefined ? {} : { default: rule.fallback }) };
    case "text":
      return {
        type: "string",
        ...(rule.maxBytes === undefined ? {} : { maxLength: rule.maxBytes }),
        ...(rule.pattern === undefined ? {} : { pattern: rule.pattern.source }),
      };
    case "boolean":
      return { type: "boolean", default: rule.fallback };
    case "true":
      return { type: "boolean", enum: [true] };
    case "level":
      return { oneOf: [{ type: "integer", minimum: 1, maximum: MAX_REPLICAS }, wordIn(LEVEL_RULE.words)] };
    case "flag":
      return { type: "string" };
  }
}
