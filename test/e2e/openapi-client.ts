/**
 * A client that knows nothing of gyre but its OpenAPI document, read from a running node: operations by their id, parameters by
 * their names. Every answer is compared with the document: status, media type, schema, headers. Must never take an answer that
 * the document does not have.
 */
import { AxiosHeaders, type AxiosRequestConfig } from "axios";
import { type OpenAPIClient, OpenAPIClientAxios } from "openapi-client-axios";
import { at, type Json, members, operationsIn, resolved, SchemaChecks } from "../support/openapi-document.ts";

/** What is asked beside the operation. */
export interface Asked {
  /** by the names that the document gives them */
  readonly params?: Readonly<Record<string, string | number>>;
  /** sent as JSON, unless a header says what else it is */
  readonly body?: unknown;
  /** what the document does not know: other headers, other query parameters */
  readonly headers?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
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

/** The client. */
export class DocumentClient {
  readonly document: Json;
  /** operations that were answered with less than 400 */
  readonly performed: Set<string> = new Set();
  /** codes of the errors that came, each with its statuses */
  readonly met: Map<string, Set<number>> = new Map();
  readonly #client: OpenAPIClient;
  readonly #checks: SchemaChecks;
  readonly #url: string;

  private constructor(document: Json, url: string) {
    this.document = document;
    this.#url = url;
    this.#checks = new SchemaChecks(document, true);
    const definition = structuredClone(document) as unknown as ConstructorParameters<
      typeof OpenAPIClientAxios
    >[0]["definition"];
    const api = new OpenAPIClientAxios({ definition });
    this.#client = api.initSync();
  }

  /** A client of the document that the node answers. */
  static async of(url: string): Promise<DocumentClient> {
    const response = await fetch(`${url}/openapi.json`);
    return new DocumentClient(members(await response.json()), url);
  }

  /** Performs an operation, and throws when its answer is not as documented. */
  async call(id: string, asked: Asked = {}): Promise<Told> {
    const { params = {}, body, headers = {}, query = {}, url = this.#url } = asked;
    const isPlain = body !== undefined && headers["content-type"] === undefined;
    const config: AxiosRequestConfig = {
      baseURL: url,
      headers: { ...(isPlain ? { "content-type": "application/json" } : {}), ...headers },
      params: query,
      responseType: "text",
      transformResponse: (text: unknown) => text,
      validateStatus: () => true,
      timeout: 35_000,
    };
    const operation = this.#client[id];
    if (operation === undefined) throw new Error(`the document has no operation ${id}`);
    const response = await operation({ ...params }, isPlain ? JSON.stringify(body) : body, config);
    const told = toldOf(
      response.status,
      AxiosHeaders.from(response.headers as AxiosHeaders),
      String(response.data ?? ""),
    );
    const found = operationsIn(this.document).find((one) => one.id === id);
    const isHead = String(response.config.method).toLowerCase() === "head";
    this.#check(id, { documented: at(found?.operation, "responses", String(told.status)), isHead }, told);
    if (told.status < 400) this.performed.add(id);
    return told;
  }

  /** Compares the answer of a request that no operation has with a shared answer of the document. */
  checkShared(name: string, status: number, headers: Readonly<Record<string, string>>, text: string): Told {
    const told = toldOf(status, AxiosHeaders.from(headers), text);
    this.#check(name, { documented: at(this.document, "components", "responses", name), isHead: false }, told);
    return told;
  }

  /** What is wrong with an answer throws; the code of a problem is noted. */
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
    if (told.text === "" && (isHead || Object.keys(content).length === 0)) return;
    if (told.text === "") throw new Error(`${where}\nIt has no body.`);
    const media = content[type] ?? content["*/*"];
    if (media === undefined) throw new Error(`${where}\nThe document has no such type: ${type}`);
    const isJson = type.includes("json") && content[type] !== undefined;
    const flaw = this.#checks.flaw(at(media, "schema"), isJson ? JSON.parse(told.text) : told.text);
    if (flaw !== undefined) throw new Error(`${where}\nIts body: ${flaw}`);
    if (type === "application/problem+json") this.#note(told);
  }

  #headerFlaw(schema: unknown, text: string): string | undefined {
    const value = at(schema, "type") === "integer" ? Number(text) : text;
    return this.#checks.flaw(schema, value);
  }

  #note({ body, status }: Told): void {
    const code = String(body["code"]);
    this.met.set(code, (this.met.get(code) ?? new Set()).add(status));
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
