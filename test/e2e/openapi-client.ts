/**
 * A client that knows nothing of gyre but its OpenAPI document, read from a running node. What is sent is made by a public package
 * (openapi-client-axios) from the document: operations by their id, parameters by their names, bodies by their media types.
 * Here is only what that package leaves to its users: it must never send what the document does not have unless it is told to,
 * and never take an answer that the document does not have: status, media type, schema, headers.
 */
import { Agent } from "node:http";
import { AxiosHeaders, type AxiosRequestConfig } from "axios";
import { OpenAPIClientAxios } from "openapi-client-axios";
import { at, type Json, members, operationsIn, resolved, SchemaChecks } from "../support/openapi-document.ts";

/** What is asked beside the operation. */
export interface Asked {
  /** by the names that the document gives them; another name throws */
  readonly params?: Readonly<Record<string, string | number>>;
  readonly body?: unknown;
  /** of the body, as the document has it; its first one when left out */
  readonly type?: string;
  /** the answer's media type that is wanted, as the document has it; the package's own wishes when left out */
  readonly accept?: string;
  readonly token?: string;
  /** what the document does not have */
  readonly stray?: {
    readonly headers?: Readonly<Record<string, string>>;
    readonly query?: Readonly<Record<string, string>>;
    readonly type?: string;
  };
  /** the node; the first one when left out */
  readonly url?: string;
}

/** An answer that is as the document says. */
export interface Told {
  readonly status: number;
  readonly headers: AxiosHeaders;
  readonly text: string;
  /** the parsed body, when it is JSON */
  readonly body: Json;
}

const PROBLEM = "application/problem+json";
/** Nodes come and go under the client: a connection is for one request. */
const AGENT = new Agent({ keepAlive: false });

/** Every answer that a document has: operation, status, and the code of a problem or else the media type. */
export function answersIn(document: Json): readonly string[] {
  return operationsIn(document).flatMap(({ id, operation }) =>
    Object.entries(members(operation["responses"])).flatMap(([status, answer]) => {
      const content = Object.entries(members(at(resolved(document, answer), "content") ?? {}));
      const kinds = content.flatMap(([type, media]) =>
        type === PROBLEM ? codesOf(document, at(media, "schema")) : [type],
      );
      return kinds.length === 0 ? [`${id} ${status}`] : kinds.map((kind) => `${id} ${status} ${kind}`);
    }),
  );
}

/** Every parameter and every media type of a body that a document has, each with its operation. */
export function askablesIn(document: Json): readonly string[] {
  return operationsIn(document).flatMap(({ id, path, operation }) => {
    const own = (operation["parameters"] ?? []) as readonly Json[];
    const shared = (at(document, "paths", path, "parameters") ?? []) as readonly Json[];
    const types = Object.keys(members(at(operation, "requestBody", "content") ?? {}));
    return [...[...shared, ...own].map(({ name }) => String(name)), ...types].map((name) => `${id} ${name}`);
  });
}

function codesOf(document: Json, schema: unknown): readonly string[] {
  const each = (at(schema, "oneOf") ?? [schema]) as readonly unknown[];
  return each.map((one) => String(at(resolved(document, one), "properties", "code", "const")));
}

/** The client. */
export class DocumentClient {
  readonly document: Json;
  /** operations that were answered with less than 400 */
  readonly performed: Set<string> = new Set();
  /** codes of the errors that came */
  readonly met: Set<string> = new Set();
  /** answers that came, as `answersIn` names them */
  readonly answered: Set<string> = new Set();
  /** parameters and media types of requests that were answered with less than 400, as `askablesIn` names them */
  readonly taken: Set<string> = new Set();
  readonly #api: OpenAPIClientAxios;
  readonly #checks: SchemaChecks;
  readonly #url: string;

  private constructor(document: Json, url: string) {
    this.document = document;
    this.#url = url;
    this.#checks = new SchemaChecks(document, true);
    const definition = structuredClone(document) as unknown as ConstructorParameters<
      typeof OpenAPIClientAxios
    >[0]["definition"];
    this.#api = new OpenAPIClientAxios({ definition });
    this.#api.initSync();
  }

  /** A client of the document that the node answers. */
  static async of(url: string): Promise<DocumentClient> {
    const response = await fetch(`${url}/openapi.json`);
    return new DocumentClient(members(await response.json()), url);
  }

  /** The operation's path parameters and body, as the document's own examples have them. */
  exampleOf(id: string): Asked {
    const operation = this.#api.getOperation(id);
    const required = ((operation?.parameters ?? []) as readonly unknown[]).filter(
      (one) => at(one, "required") === true,
    );
    const params = required.map((one) => {
      const [example] = (at(one, "schema", "examples") ?? []) as readonly unknown[];
      return [String(at(one, "name")), String(example)] as const;
    });
    const [media] = Object.values(members(at(operation, "requestBody", "content") ?? {}));
    return { params: Object.fromEntries(params), body: at(media, "example") };
  }

  /** Performs an operation, and throws when its answer is not as documented. */
  async call(id: string, asked: Asked = {}): Promise<Told> {
    const { params = {}, body, stray } = asked;
    const perform = this.#api.client[id];
    if (perform === undefined) throw new Error(`the document has no operation ${id}`);
    const type = this.#typeOf(id, asked);
    this.#checkAsked(id, params);
    const isJson = type === "application/json";
    const config = this.#configOf(asked, stray?.type ?? type);
    const response = await perform({ ...params }, isJson ? JSON.stringify(body) : body, config);
    const headers = AxiosHeaders.from(response.headers as AxiosHeaders);
    const told = toldOf(response.status, headers, String(response.data ?? ""));
    const { method, operation } = operationsIn(this.document).find((one) => one.id === id) ?? {};
    const documented = at(operation, "responses", String(told.status));
    this.#check(id, { documented, isHead: method === "HEAD" }, told);
    if (told.status < 400) {
      this.performed.add(id);
      const content = members(at(operation, "requestBody", "content") ?? {});
      const types = type === undefined ? [] : [type in content ? type : "*/*"];
      for (const name of [...Object.keys(params), ...types]) this.taken.add(`${id} ${name}`);
    }
    return told;
  }

  /** Compares the answer of a request that no operation has with a shared answer of the document. */
  checkShared(name: string, status: number, headers: Readonly<Record<string, string>>, text: string): Told {
    const told = toldOf(status, AxiosHeaders.from(headers), text);
    this.#check(name, { documented: at(this.document, "components", "responses", name), isHead: false }, told);
    return told;
  }

  /** The package would send a parameter that it does not find as one of the query. */
  #checkAsked(id: string, params: object): void {
    const known = (this.#api.getOperation(id)?.parameters ?? []).map((one) => at(one, "name"));
    const unknown = Object.keys(params).filter((name) => !known.includes(name));
    if (unknown.length > 0) throw new Error(`the document has no parameter ${unknown.join(", ")} of ${id}`);
  }

  /** The media type of the body, out of the document; undefined: there is no body. */
  #typeOf(id: string, { body, type, stray }: Asked): string | undefined {
    if (body === undefined) return undefined;
    const known = Object.keys(members(at(this.#api.getOperation(id), "requestBody", "content") ?? {}));
    const chosen = type ?? known[0] ?? stray?.type;
    if (chosen === undefined) throw new Error(`the document has no body of ${id}`);
    if (type !== undefined && !known.includes(type) && !known.includes("*/*"))
      throw new Error(`the document has no body of ${id} of type ${type}`);
    return chosen;
  }

  #configOf({ accept, token, stray, url = this.#url }: Asked, type: string | undefined): AxiosRequestConfig {
    return {
      baseURL: url,
      headers: {
        ...(type === undefined ? {} : { "content-type": type }),
        ...(accept === undefined ? {} : { accept }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...stray?.headers,
      },
      params: stray?.query ?? {},
      responseType: "text",
      transformResponse: (text: unknown) => text,
      validateStatus: () => true,
      httpAgent: AGENT,
      timeout: 35_000,
    };
  }

  /** What is wrong with an answer throws; what it is an answer of is noted. */
  #check(
    what: string,
    { documented, isHead }: { readonly documented: unknown; readonly isHead: boolean },
    told: Told,
  ): void {
    const answer = resolved(this.document, documented);
    const where = `${what} answered ${told.status}: ${told.text.slice(0, 500)}`;
    if (answer === undefined) throw new Error(`${where}\nThe document has no such answer.`);
    for (const [name, header] of Object.entries(members(at(answer, "headers") ?? {}))) {
      const value = told.headers.get(name);
      const schema = at(resolved(this.document, header), "schema");
      const isThere = value !== undefined && value !== null;
      const absent = isSometimes(name, told.status) ? undefined : "is not there";
      const flaw = isThere ? this.#headerFlaw(schema, String(value)) : absent;
      if (flaw !== undefined) throw new Error(`${where}\nIts header ${name}: ${flaw}`);
    }
    if (told.headers.get("gyre-request-id") === undefined) throw new Error(`${where}\nIt has no Gyre-Request-Id.`);
    const type = String(told.headers.get("content-type") ?? "");
    const content = members(at(answer, "content") ?? {});
    if (told.text === "" && (isHead || Object.keys(content).length === 0)) {
      const codes = codesOf(this.document, at(content[PROBLEM], "schema"));
      const kinds = Object.keys(content).length === 0 ? [""] : codes.map((code) => ` ${code}`);
      for (const kind of kinds) this.answered.add(`${what} ${told.status}${kind}`);
      return;
    }
    if (told.text === "") throw new Error(`${where}\nIt has no body.`);
    const media = content[type] ?? content["*/*"];
    if (media === undefined) throw new Error(`${where}\nThe document has no such type: ${type}`);
    const isJson = type.includes("json") && content[type] !== undefined;
    const flaw = this.#checks.flaw(at(media, "schema"), isJson ? JSON.parse(told.text) : told.text);
    if (flaw !== undefined) throw new Error(`${where}\nIts body: ${flaw}`);
    const code = type === PROBLEM ? String(told.body["code"]) : undefined;
    if (code !== undefined) this.met.add(code);
    this.answered.add(`${what} ${told.status} ${code ?? (content[type] === undefined ? "*/*" : type)}`);
  }

  #headerFlaw(schema: unknown, text: string): string | undefined {
    const value = at(schema, "type") === "integer" ? Number(text) : text;
    return this.#checks.flaw(schema, value);
  }
}

/** Headers that say something special; all others that the document has are in every such answer. */
const SOMETIMES: ReadonlySet<string> = new Set(["gyre-expires", "gyre-fallbacks", "server-timing"]);

function isSometimes(header: string, status: number): boolean {
  const name = header.toLowerCase();
  // Of a key that never was there is no context.
  return SOMETIMES.has(name) || (name === "gyre-context" && status === 404);
}

function toldOf(status: number, headers: AxiosHeaders, text: string): Told {
  const isJson = /json/.test(String(headers.get("content-type") ?? "")) && text !== "";
  const parsed: unknown = isJson ? JSON.parse(text) : {};
  return { status, headers, text, body: typeof parsed === "object" && parsed !== null ? members(parsed) : {} };
}
