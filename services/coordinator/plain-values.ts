/** Reading values that came over a link as plain data: each `parse…` gives the value or undefined, and never throws. */
import { MAX_CONTEXT_ENTRIES } from "../base/limits.ts";
import { bounded, contextOf } from "../versioning/causal-context.ts";
import { MAX_ACTOR, MAX_COUNTER } from "../versioning/dot.ts";
import type { CausalContext, Dot } from "../versioning/types.ts";

/** A plain record of fields. */
export type PlainRecord = Readonly<Record<string, unknown>>;

const HEX64 = /^[0-9a-f]{16}$/;

/** The record in `value`, or undefined when it is none. */
export function parseRecord(value: unknown): PlainRecord | undefined {
  const isRecord =
    typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
  return isRecord ? (value as PlainRecord) : undefined;
}

/** The items of an array, or undefined. */
export function parseArray(value: unknown): readonly unknown[] | undefined {
  return Array.isArray(value) ? value : undefined;
}

/** The text, or undefined. */
export function parseText(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** One of the allowed words, or undefined. */
export function parseWord<Word extends string>(value: unknown, allowed: readonly Word[]): Word | undefined {
  return allowed.find((word) => word === value);
}

/** The finite number ≥ `least`, or undefined. */
export function parseNumber(value: unknown, least: number): number | undefined {
  return typeof value === "number" && Number.isFinite(value) && value >= least ? value : undefined;
}

/** The whole number ≥ `least`, or undefined. */
export function parseCount(value: unknown, least: number): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= least ? value : undefined;
}

/** The bytes, or undefined. */
export function parseBytes(value: unknown): Uint8Array | undefined {
  return value instanceof Uint8Array ? value : undefined;
}

/** The unsigned 64-bit number in 16 hex digits, or undefined. */
export function parseHex64(value: unknown): bigint | undefined {
  return typeof value === "string" && HEX64.test(value) ? BigInt(`0x${value}`) : undefined;
}

/** A dot as `[actor, counter]`. */
export function plainDot(dot: Dot): readonly number[] {
  return [dot.actor, dot.counter];
}

/** The dot in `[actor, counter]`, or undefined. */
export function parseDot(value: unknown): Dot | undefined {
  const parts = parseArray(value);
  const actor = parseCount(parts?.[0], 1);
  const counter = parseCount(parts?.[1], 1);
  if (parts?.length !== 2 || actor === undefined || counter === undefined) return undefined;
  return actor <= MAX_ACTOR && counter <= MAX_COUNTER ? { actor, counter } : undefined;
}

/** A context as `[vector, detached]`, each a list of dots; no more of it than a token would tell, or than is taken. */
export function plainContext(context: CausalContext): readonly unknown[] {
  const { vector, detached } = bounded(context);
  return [vector.map(plainDot), detached.map(plainDot)];
}

/** The context in `[vector, detached]`, made canonical; undefined when malformed or beyond MAX_CONTEXT_ENTRIES. */
export function parseContext(value: unknown): CausalContext | undefined {
  const parts = parseArray(value);
  const vector = parseDots(parts?.[0]);
  const detached = parseDots(parts?.[1]);
  if (parts?.length !== 2 || vector === undefined || detached === undefined) return undefined;
  return vector.length + detached.length <= MAX_CONTEXT_ENTRIES ? contextOf(vector, detached) : undefined;
}

function parseDots(value: unknown): readonly Dot[] | undefined {
  const items = parseArray(value);
  if (items === undefined || items.length > MAX_CONTEXT_ENTRIES) return undefined;
  const dots: Dot[] = [];
  for (const item of items) {
    const dot = parseDot(item);
    if (dot === undefined) return undefined;
    dots.push(dot);
  }
  return dots;
}
