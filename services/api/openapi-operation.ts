/**
 * What is told of a route beside what it says of itself (method, path, summary, who may use it, its class of work): the shape of
 * the lines in the tables of operations. Types only, and the parts that several lines share.
 */
import type { ErrorCode } from "../base/errors.ts";
import type { Route, RouteAccess } from "./exchange.ts";
import type { Schema } from "./openapi-schema.ts";
import type { QueryParameter } from "./query-rules.ts";

/** A request header that means something to a route. */
export interface HeaderParameter {
  readonly name: string;
  readonly schema: Schema;
  readonly meaning: string;
}

/** One body by its media type. */
export interface Content {
  readonly mediaType: string;
  readonly schema: Schema;
  readonly example?: unknown;
}

/** An answer that is no problem document. */
export interface Answer {
  readonly status: number;
  readonly meaning: string;
  /** names of the document's headers, beside the request id */
  readonly headers?: readonly HeaderName[];
  readonly content?: readonly Content[];
}

/** Headers of answers, by their name in the document. */
export type HeaderName =
  | "Context"
  | "Siblings"
  | "ETag"
  | "Expires"
  | "Fallbacks"
  | "ServerTiming"
  | "RetryAfter"
  | "Challenge"
  | "Allow";

/** Under which heading a route is shown. */
export type Tag = "Keys" | "Buckets" | "Cluster" | "Node";

/** One line: a route's parameters, bodies, answers and errors. */
export interface Operation {
  /** unique; generated clients call it so */
  readonly id: string;
  readonly method: Route["method"];
  /** the route's own pattern */
  readonly path: string;
  /** as people write it, when that is not what follows from the pattern */
  readonly shownPath?: string;
  readonly tag: Tag;
  /** what the summary does not say, in sentences */
  readonly description?: string;
  readonly query: readonly QueryParameter[];
  readonly headers?: readonly HeaderParameter[];
  /** headers that are refused, each with the words of the refusal */
  readonly refusedHeaders?: readonly (readonly [name: string, words: string])[];
  readonly body?: { readonly isRequired: boolean; readonly content: readonly Content[] };
  /** who may use it by default, where that is a setting: the document is the same on every node */
  readonly access?: RouteAccess;
  readonly answers: readonly Answer[];
  /** its own errors; those of every route follow from the route */
  readonly codes: readonly ErrorCode[];
}

/** A JSON body. */
export function json(schema: Schema, example?: unknown): readonly Content[] {
  const mediaType = "application/json";
  return [example === undefined ? { mediaType, schema } : { mediaType, schema, example }];
}

/** The answer of status 200 in JSON. */
export function ok(meaning: string, schema: Schema, example?: unknown): Answer {
  return { status: 200, meaning, content: json(schema, example) };
}
