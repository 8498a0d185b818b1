/** What the pages of documentation say of rules, schemas and rights, in words; shared by their two forms. Pure. */
import type { RouteAccess } from "./exchange.ts";
import type { Operation } from "./openapi-operation.ts";
import type { Schema } from "./openapi-schema.ts";

/** A word that names a schema of the document, or a text. */
export type TypeWord = { readonly schema: string } | string;

/** What a schema allows, in words; named schemas stay names, so that a page can link them. */
export function typeWords(schema: Schema): readonly TypeWord[] {
  const { $ref, oneOf, anyOf, items, type, const: only, enum: words, additionalProperties } = schema;
  if (typeof $ref === "string") return [{ schema: $ref.slice($ref.lastIndexOf("/") + 1) }];
  const choices = listIn(oneOf) ?? listIn(anyOf);
  if (choices !== undefined && type === undefined) {
    return choices.flatMap((one, index) => [...(index === 0 ? [] : [" or "]), ...typeWords(one)]);
  }
  if (only !== undefined) return [JSON.stringify(only)];
  if (Array.isArray(words)) return [words.map((word) => JSON.stringify(word)).join(" | ")];
  if (isSchema(items)) return ["list of ", ...typeWords(items)];
  if (type === "object" && isSchema(additionalProperties)) return ["map to ", ...typeWords(additionalProperties)];
  return [simpleType(schema)];
}

/** The same as one text. */
export function typeText(schema: Schema): string {
  return typeWords(schema)
    .map((word) => (typeof word === "string" ? word : word.schema))
    .join("");
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  integer: "whole number",
  boolean: "true or false",
  string: "text",
};

function simpleType(schema: Schema): string {
  const { type, format, contentEncoding } = schema;
  if (format === "binary") return "bytes";
  const types = Array.isArray(type) ? type.map(String) : typeof type === "string" ? [type] : ["any JSON"];
  const names = types.map((name) => TYPE_NAMES[name] ?? name).join(" or ");
  const form = format === "date-time" ? ", a time" : contentEncoding === "base64" ? " in base64" : "";
  const bounds = [
    said(schema["exclusiveMinimum"], " above "),
    said(schema["minimum"], " from "),
    said(schema["maximum"], " to "),
    form,
    said(schema["pattern"], " like "),
    said(schema["default"], ", ", " when left out"),
  ];
  return names + bounds.join("");
}

/** A word of a schema with what goes around it; nothing when it has none. */
function said(value: unknown, before: string, after = ""): string {
  const isPlain = typeof value === "number" || typeof value === "string" || typeof value === "boolean";
  return isPlain ? `${before}${value}${after}` : "";
}

/** The members of an object's schema, with whether each must be there. */
export function membersOf(
  schema: Schema,
): readonly { readonly name: string; readonly schema: Schema; readonly isRequired: boolean }[] {
  const { properties, required } = schema;
  if (!isSchema(properties)) return [];
  const must: readonly unknown[] = Array.isArray(required) ? required : [];
  return Object.entries(properties).flatMap(([name, one]) =>
    isSchema(one) ? [{ name, schema: one, isRequired: must.includes(name) }] : [],
  );
}

/** An anonymous schema with members of its own inside this one: an object, the entries of a list, a choice. */
export function nestedIn(schema: Schema): readonly Schema[] {
  const { items, oneOf, anyOf } = schema;
  if (isSchema(items)) return nestedIn(items);
  const choices = listIn(oneOf) ?? listIn(anyOf);
  if (choices !== undefined && schema["properties"] === undefined) return choices.flatMap(nestedIn);
  return membersOf(schema).length === 0 ? [] : [schema];
}

/** What a schema says of itself. */
export function descriptionOf({ description }: Schema): string {
  return typeof description === "string" ? description : "";
}

/** Whether another try may help, in words. */
export function retryText(isRetryable: boolean | undefined): string {
  if (isRetryable === undefined) return "Its `retryable` says whether another try may help.";
  return isRetryable ? "Another try, or another node, may be answered otherwise." : "Another try is answered the same.";
}

/** A request to try at the first node of `npm start`, for a shell. */
export function curlLine({ method, body }: Operation, shownPath: string): string {
  const path = shownPath.replace("{bucket}", "carts").replace("{key}", "alice");
  const how = method === "GET" ? "" : method === "HEAD" ? " -I" : ` -X ${method}`;
  const example = body?.content[0]?.example;
  const data = example === undefined ? "" : ` -H 'content-type: application/json' -d '${JSON.stringify(example)}'`;
  return `curl${how} http://127.0.0.1:4401${path}${data}`;
}

/** Who may use a route, in words. */
export function accessText(access: RouteAccess): string {
  switch (access.kind) {
    case "open":
      return "Everybody.";
    case "known":
      return "Whoever shows a valid token.";
    case "parts":
      return `Whoever shows a valid token; each part needs its right: ${access.rights.join(", ")}.`;
    case "cluster":
      return `Right: ${access.right}.`;
    case "bucket":
      return `Right: ${access.right} on the bucket.`;
  }
}

function listIn(value: unknown): readonly Schema[] | undefined {
  return Array.isArray(value) ? value.filter(isSchema) : undefined;
}

function isSchema(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
