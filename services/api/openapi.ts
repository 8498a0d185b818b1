/**
 * The OpenAPI 3.1 document of the client API: made of the routes themselves (method, path, summary, who may use them), the table of
 * operations and the rules that the parsers follow. Pure; the same on every node of a version. Must never state what the code
 * does not follow: a test compares both ways.
 */
import type { ErrorCode } from "../base/errors.ts";
import { HEADERS_READ_TIMEOUT_MS, MAX_HEADER_BYTES, REQUEST_READ_TIMEOUT_MS } from "../base/limits.ts";
import { VERSION } from "../base/version.ts";
import type { Route } from "./exchange.ts";
import { CLUSTER_OPERATIONS } from "./openapi-cluster-operations.ts";
import { CLUSTER_SCHEMAS } from "./openapi-cluster-schemas.ts";
import { codesByStatus } from "./openapi-codes.ts";
import { KV_OPERATIONS } from "./openapi-kv-operations.ts";
import { KV_SCHEMAS } from "./openapi-kv-schemas.ts";
import type { Answer, Content, HeaderName, Operation, Tag } from "./openapi-operation.ts";
import { PROBLEM_SCHEMAS, problemName } from "./openapi-problems.ts";
import { count, refTo, type Schema, schemaOfRule, text } from "./openapi-schema.ts";
import { CODES } from "./problem.ts";

/** Every operation of the API. */
export const OPERATIONS: readonly Operation[] = [...KV_OPERATIONS, ...CLUSTER_OPERATIONS];

const PROBLEM_TYPE = "application/problem+json";

/** The headings of the documentation. */
export const TAGS: Readonly<Record<Tag, string>> = {
  Keys: "Values by key: read, write, delete, list, many at once.",
  Buckets: "Settings of buckets. A bucket need not be made before it is used.",
  Cluster: "Members, ring, changes of membership, repair.",
  Node: "The node that is asked: probes, metrics, this documentation.",
};

/** What holds for all operations. */
export const ABOUT: string =
  "A leaderless, Dynamo-style key-value datastore. Any node answers any request.\n\n" +
  "Errors are problem documents (RFC 9457) with a stable `code`, the `outcome` of the request, and whether it is `retryable`; " +
  "`not_applied` means: no trace of it anywhere, ever. A query parameter that a path under /v1 does not know is refused with 400, as is one that comes twice. " +
  "Further members may be added to answers; clients ignore those that they do not know.\n\n" +
  "A path that exists answers other methods with 405 `method_not_allowed` and `Allow`; one that does not, with 404 `no_such_route`. Every GET has a HEAD. " +
  "Every answer carries `Gyre-Request-Id`, which names it in the node's log beside the trace of a `traceparent` (W3C Trace Context).";

const BEARER_WORDS =
  "A token of the node's tokens file. Where a right is named, the token must have it, over the bucket in question if it is one over buckets. " +
  "A node that was told of no tokens file asks for none, and listens beyond loopback only if it is told to.";

/** Every schema by its name. */
export const SCHEMAS: Readonly<Record<string, Schema>> = { ...KV_SCHEMAS, ...CLUSTER_SCHEMAS, ...PROBLEM_SCHEMAS };

const HEADERS: Readonly<Record<HeaderName | "RequestId", { readonly name: string; readonly header: Schema }>> = {
  RequestId: { name: "Gyre-Request-Id", header: header("Names this request in the node's log.", { type: "string" }) },
  Context: { name: "Gyre-Context", header: header("The causal context of what is answered.", refTo("Context")) },
  Siblings: { name: "Gyre-Siblings", header: header("How many concurrent versions there are.", count("", 0)) },
  ETag: {
    name: "ETag",
    header: header("Names the version, or the set of versions.", text("", { pattern: '^"[0-9a-f]{16}"$' })),
  },
  Expires: {
    name: "Gyre-Expires",
    header: header("When the value ends by itself; absent when it does not.", { type: "string", format: "date-time" }),
  },
  Fallbacks: {
    name: "Gyre-Fallbacks",
    header: header("Nodes that stood in for owners; absent when none did.", { type: "string" }),
  },
  ServerTiming: {
    name: "Server-Timing",
    header: header("Where the time went; with explain=true, or a sampled traceparent.", { type: "string" }),
  },
  RetryAfter: { name: "Retry-After", header: header("Seconds to wait before another try.", count("", 1)) },
  Challenge: { name: "WWW-Authenticate", header: header("Asks for a bearer token.", { type: "string" }) },
  Allow: { name: "Allow", header: header("The methods that the path takes.", { type: "string" }) },
};

/** What a header of the document is called on the wire. */
export function headerNameOf(name: HeaderName): string {
  return HEADERS[name].name;
}

function header(description: string, { description: _none, ...schema }: Schema): Schema {
  return { description, schema };
}

/** The headers of the answers that carry a code. */
const HEADERS_OF_CODE: Readonly<Partial<Record<ErrorCode, readonly HeaderName[]>>> = {
  deleted: ["Context", "Fallbacks"],
  siblings: ["Context", "Siblings", "ETag", "Fallbacks"],
  method_not_allowed: ["Allow"],
  unauthenticated: ["Challenge"],
};

/** Statuses of any request, whatever its path: parts of the document that all operations share. */
const SHARED_ANSWERS: Readonly<Record<number, string>> = {
  408: "NotSentInTime",
  431: "HeadersTooLarge",
  500: "Defect",
};

/** A path as people write it: `/v1/kv/{bucket}/{key}`. */
export function shownPathOf({ path, shownPath }: Pick<Operation, "path" | "shownPath">): string {
  return shownPath ?? path.replace("*", "{key}").replaceAll(/:(\w+)/g, "{$1}");
}

/** An operation with its route. */
export interface Documented {
  readonly operation: Operation;
  readonly route: Route;
}

/** Every operation that one of these routes has. O(operations × routes). */
export function documentedIn(routes: readonly Route[]): readonly Documented[] {
  return OPERATIONS.flatMap((operation) => {
    const route = routes.find(({ method, path }) => method === operation.method && path === operation.path);
    return route === undefined ? [] : [{ operation, route: { ...route, access: operation.access ?? route.access } }];
  });
}

/** The document over these routes; one without an operation is left out, and a test sees to it that there is none. O(routes). */
export function openApiDocument(routes: readonly Route[]): Schema {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const { operation, route } of documentedIn(routes)) {
    const path = shownPathOf(operation);
    paths[path] ??= pathItem(path);
    paths[path][operation.method.toLowerCase()] = operationObject(route, operation);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "gyre",
      version: VERSION,
      description: ABOUT,
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    jsonSchemaDialect: "https://spec.openapis.org/oas/3.1/dialect/base",
    servers: [{ url: "/", description: "The node that answered this document." }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      schemas: SCHEMAS,
      headers: Object.fromEntries(Object.values(HEADERS).map(({ name, header: one }) => [name, one])),
      responses: sharedResponses(),
      securitySchemes: { bearer: { type: "http", scheme: "bearer", description: BEARER_WORDS } },
    },
  };
}

const PATH_NAMES: Readonly<Record<string, Schema>> = { bucket: refTo("BucketName"), key: refTo("Key") };

function pathItem(path: string): Record<string, unknown> {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? "");
  const parameters = names.map((name) => ({ name, in: "path", required: true, schema: PATH_NAMES[name] ?? {} }));
  return names.length === 0 ? {} : { parameters };
}

function operationObject(route: Route, operation: Operation): Schema {
  const { id, tag, body, refusedHeaders } = operation;
  const description = descriptionOf(operation);
  const query = operation.query.map(({ name, rule, meaning }) => {
    const parameter = { name, in: "query", description: meaning, schema: schemaOfRule(rule) };
    return rule.kind === "flag" ? { ...parameter, allowEmptyValue: true } : parameter;
  });
  const headers = (operation.headers ?? []).map(({ name, schema, meaning }) => {
    return { name, in: "header", description: meaning, schema };
  });
  const parameters = [...query, ...headers];
  return {
    operationId: id,
    tags: [tag],
    summary: route.summary,
    ...(description === "" ? {} : { description }),
    ...(refusedHeaders === undefined ? {} : { "x-refused-headers": refusedHeaders.map(([name]) => name) }),
    security: securityOf(route),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: { required: body.isRequired, content: contentOf(body.content) } }),
    responses: responsesOf(route, operation),
  };
}

function descriptionOf({ description, refusedHeaders }: Operation): string {
  const refused =
    refusedHeaders === undefined
      ? []
      : [`Refused with 400, never ignored:\n\n${refusedHeaders.map(([, words]) => `- ${words}.`).join("\n")}`];
  return [...(description === undefined ? [] : [description]), ...refused].join("\n\n");
}

/** Names of rights stand where OpenAPI 3.1 has roles. */
function securityOf({ access }: Route): readonly Schema[] {
  switch (access.kind) {
    case "open":
      return [];
    case "known":
      return [{ bearer: [] }];
    case "parts":
      return [{ bearer: access.rights }];
    case "cluster":
    case "bucket":
      return [{ bearer: [access.right] }];
  }
}

function responsesOf(route: Route, operation: Operation): Schema {
  const hasBody = operation.method !== "HEAD";
  const answers = operation.answers.map((answer) => [String(answer.status), answerObject(answer)] as const);
  const problems = codesByStatus(route, operation).map(([status, codes]) => {
    const shared = SHARED_ANSWERS[status];
    const answer = shared === undefined ? problemAnswer(status, codes, hasBody) : responseRef(shared);
    return [String(status), answer] as const;
  });
  return Object.fromEntries([...answers, ...problems]);
}

function responseRef(name: string): Schema {
  return { $ref: `#/components/responses/${name}` };
}

function answerObject({ meaning, headers = [], content }: Answer): Schema {
  const body = content === undefined ? {} : { content: contentOf(content) };
  return { description: meaning, headers: headerRefs(headers), ...body };
}

function headerRefs(names: readonly HeaderName[]): Schema {
  const shown = (["RequestId", ...names] as const).map((name) => HEADERS[name].name);
  return Object.fromEntries(shown.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
}

function contentOf(content: readonly Content[]): Schema {
  return Object.fromEntries(
    content.map(({ mediaType, schema, example }) => [
      mediaType,
      example === undefined ? { schema } : { schema, example },
    ]),
  );
}

function problemAnswer(status: number, codes: readonly ErrorCode[], hasBody: boolean): Schema {
  const fromCodes = codes.flatMap((code) => HEADERS_OF_CODE[code] ?? []);
  const again: readonly HeaderName[] = status === 503 || status === 429 ? ["RetryAfter"] : [];
  const challenge: readonly HeaderName[] = status === 429 ? ["Challenge"] : [];
  const headers = [...new Set([...fromCodes, ...again, ...challenge])];
  const description = codes.map((code) => CODES[code].title).join(", or ");
  const answer = { description, headers: headerRefs(headers) };
  return hasBody ? { ...answer, content: { [PROBLEM_TYPE]: { schema: problemsOf(codes) } } } : answer;
}

function problemsOf(codes: readonly ErrorCode[]): Schema {
  const refs = codes.map((code) => refTo(problemName(code)));
  const [only] = refs;
  if (only !== undefined && refs.length === 1) return only;
  const mapping = Object.fromEntries(codes.map((code) => [code, refTo(problemName(code))["$ref"]]));
  return { oneOf: refs, discriminator: { propertyName: "code", mapping } };
}

function sharedResponses(): Schema {
  const of = (status: number, code: ErrorCode, description: string): Schema => {
    return { ...problemAnswer(status, [code], true), description };
  };
  const [head, whole] = [HEADERS_READ_TIMEOUT_MS / 1_000, REQUEST_READ_TIMEOUT_MS / 1_000];
  const late = `The head was not sent to its end within ${head} seconds, or the request within ${whole}.`;
  return {
    NotSentInTime: of(408, "invalid_request", late),
    HeadersTooLarge: of(431, "invalid_request", `The request line and headers are over ${MAX_HEADER_BYTES} bytes.`),
    Defect: of(500, "internal_error", CODES.internal_error.meaning),
    NoSuchRoute: of(404, "no_such_route", CODES.no_such_route.meaning),
    MethodNotAllowed: of(405, "method_not_allowed", CODES.method_not_allowed.meaning),
  };
}
