/**
 * The OpenAPI document as a server answers it, its schemas as checks, and the committed copy of it.
 * `npm run openapi` writes the copy: node test/support/openapi-document.ts
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { apiNode } from "./api-node.ts";

/** Where the committed copy lies. */
export const COPY: string = join(import.meta.dirname, "../../docs/openapi.json");

/** A piece of JSON with members. */
export type Json = { readonly [name: string]: unknown };

/** The members of a value that must have some. */
export function members(value: unknown): Json {
  if (typeof value !== "object" || value === null) throw new Error(`no members: ${JSON.stringify(value)}`);
  return value as Json;
}

/** The value under these names; undefined when there is none. */
export function at(value: unknown, ...names: readonly string[]): unknown {
  return names.reduce<unknown>(
    (one, name) => (typeof one === "object" && one !== null ? (one as Json)[name] : undefined),
    value,
  );
}

/** The text that a server of this version answers at /openapi.json. */
export async function documentText(): Promise<string> {
  const here = apiNode();
  const { body } = await here.api.inject({ url: "/openapi.json" });
  await here.api.close();
  return body;
}

/** One operation of the document with its path and method. */
export interface DocumentedOperation {
  readonly id: string;
  /** in capitals */
  readonly method: string;
  readonly path: string;
  readonly operation: Json;
}

/** Every operation of a document. */
export function operationsIn(document: Json): readonly DocumentedOperation[] {
  return Object.entries(members(document["paths"])).flatMap(([path, item]) =>
    Object.entries(members(item))
      .filter(([method]) => method !== "parameters")
      .map(([method, operation]) => {
        const id = String(at(operation, "operationId"));
        return { id, method: method.toUpperCase(), path, operation: members(operation) };
      }),
  );
}

/** The thing that a reference of this document means, or the thing itself. */
export function resolved(document: Json, thing: unknown): unknown {
  const ref = at(thing, "$ref");
  return typeof ref === "string" ? at(document, ...ref.slice(2).split("/")) : thing;
}

/** Checks of values against the document's schemas. */
export class SchemaChecks {
  readonly #document: Json;
  readonly #ajv: Ajv2020;
  readonly #made = new Map<string, ValidateFunction>();

  /** `isExact`: what the document does not name must not be there, but for facts of problems. */
  constructor(document: Json, isExact: boolean) {
    this.#document = document;
    const ajv = new Ajv2020({ strict: false, allErrors: false, validateFormats: true });
    formats.default(ajv);
    const schemas = members(at(document, "components", "schemas"));
    const shown = isExact ? Object.fromEntries(Object.entries(schemas).map(exact)) : schemas;
    ajv.addSchema({ $id: "document", components: { schemas: shown } });
    this.#ajv = ajv;
  }

  /** What is wrong with a value, in words; undefined when nothing is. */
  flaw(schema: unknown, value: unknown): string | undefined {
    const text = JSON.stringify(schema ?? {}).replaceAll('"#/components/', '"document#/components/');
    const check = this.#made.get(text) ?? this.#ajv.compile(members(JSON.parse(text)));
    this.#made.set(text, check);
    return check(value) ? undefined : this.#ajv.errorsText(check.errors);
  }

  /** The schema of an operation's answer; undefined when the document has no such answer. */
  answerSchema(id: string, status: number, contentType: string): unknown {
    const found = operationsIn(this.#document).find((one) => one.id === id);
    const answer = resolved(this.#document, at(found?.operation, "responses", String(status)));
    const content = members(at(answer, "content") ?? {});
    return at(content[contentType] ?? content["*/*"], "schema");
  }
}

/** The schema with every object closed; problems may always carry further facts. */
function exact([name, schema]: readonly [string, unknown]): readonly [string, unknown] {
  return [name, name.endsWith("Problem") ? schema : closed(schema)];
}

function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== "object" || schema === null) return schema;
  const inner = Object.fromEntries(Object.entries(schema).map(([name, one]) => [name, closed(one)]));
  const isOpen = "properties" in schema && !("additionalProperties" in schema) && "type" in schema;
  return isOpen ? { ...inner, additionalProperties: false } : inner;
}

if (import.meta.main) {
  writeFileSync(COPY, await documentText());
  process.stdout.write("docs/openapi.json written\n");
}
