/**
 * Requests to any of several nodes, as a client with failover sends them: another node is asked when one did not take the
 * request or says that nothing came of it, never when a write may have had an effect. Must never wait beyond its timeout by much.
 */
import { Pool } from "undici";

/** A request for one key or route. */
export interface ClientRequest {
  readonly method: "GET" | "PUT" | "POST";
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** What became of a request after all nodes that could be asked. */
export type ClientAnswer =
  | { readonly kind: "answered"; readonly status: number; readonly json: Json; readonly attemptCount: number }
  /** no node took it: it has had no effect */
  | { readonly kind: "unsent"; readonly reason: string; readonly attemptCount: number }
  /** sent and not answered: whether it has had an effect is unknown */
  | { readonly kind: "lost"; readonly reason: string; readonly attemptCount: number };

/** An answer's document; empty when there was none. */
export type Json = Readonly<Record<string, unknown>>;

const CONNECTIONS_PER_NODE = 256;
/** A node that did not answer is asked last for so long; then by one request alone, until that one is answered. */
const SHY_MS = 1_000;
const NEVER_SENT = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "UND_ERR_CONNECT_TIMEOUT"];

interface Node {
  readonly pool: Pool;
  /** asked last until then; 0: it answered last time */
  shyUntilMs: number;
}

function codeOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0]);
  if (!(error instanceof Error)) return "unknown";
  const code = "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : error.name;
}

function parseJson(text: string): Json {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === "object" && parsed !== null ? { ...parsed } : {};
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

/** True when the answer says that the request had no effect and another node may do better. */
function isWorthAnother(status: number, json: Json, method: string): boolean {
  if (status !== 503 && status !== 429) return false;
  return method === "GET" || json["outcome"] === "not_applied";
}

/** A client of all targets. */
export class NodeClient {
  readonly #nodes: readonly Node[];
  readonly #token: string | undefined;
  readonly #timeoutMs: number;
  #turn = 0;

  /** `token`: none when it is empty. */
  constructor(targets: readonly string[], timeoutMs: number, token: string | undefined) {
    this.#token = token === "" ? undefined : token;
    this.#timeoutMs = timeoutMs;
    this.#nodes = targets.map((target) => ({
      shyUntilMs: 0,
      pool: new Pool(target, {
        connections: CONNECTIONS_PER_NODE,
        connect: { timeout: timeoutMs },
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
        keepAliveTimeout: 20_000,
      }),
    }));
  }

  /** Asks the nodes one after the other, each request beginning with the next one. */
  async ask(request: ClientRequest): Promise<ClientAnswer> {
    const order = this.#orderFrom(this.#turn);
    this.#turn += 1;
    let answer: ClientAnswer = { kind: "unsent", reason: "no node", attemptCount: 0 };
    for (const [attempt, node] of order.entries()) {
      answer = await this.#askOne(node, request, attempt + 1);
      const isFinal =
        answer.kind === "answered"
          ? !isWorthAnother(answer.status, answer.json, request.method)
          : answer.kind === "lost" && request.method !== "GET";
      if (isFinal) return answer;
    }
    return answer;
  }

  /** Ends all connections. */
  async close(): Promise<void> {
    await Promise.all(this.#nodes.map(({ pool }) => pool.destroy()));
  }

  #orderFrom(first: number): readonly Node[] {
    const nowMs = performance.now();
    const turned = this.#nodes.map((_, i) => this.#nodes[(first + i) % this.#nodes.length]).filter((node) => !!node);
    if (turned.every(({ shyUntilMs }) => shyUntilMs === 0)) return turned;
    const [next] = turned;
    const order = turned.toSorted((a, b) => Number(a.shyUntilMs > nowMs) - Number(b.shyUntilMs > nowMs));
    // Its time is up and this request tries it: the others stay away until it has answered.
    if (next !== undefined && next.shyUntilMs !== 0 && next.shyUntilMs <= nowMs)
      next.shyUntilMs = nowMs + this.#timeoutMs;
    return order;
  }

  async #askOne(node: Node, request: ClientRequest, attemptCount: number): Promise<ClientAnswer> {
    const headers: Record<string, string> = { ...request.headers };
    if (this.#token !== undefined) headers["authorization"] = `Bearer ${this.#token}`;
    if (request.body !== undefined) headers["content-type"] = "application/json";
    try {
      const { path, method, body = null } = request;
      const answer = await node.pool.request({ path, method, headers, body });
      const json = parseJson(await answer.body.text());
      node.shyUntilMs = 0;
      return { kind: "answered", status: answer.statusCode, json, attemptCount };
    } catch (error) {
      const reason = codeOf(error);
      node.shyUntilMs = performance.now() + SHY_MS;
      return { kind: NEVER_SENT.includes(reason) ? "unsent" : "lost", reason, attemptCount };
    }
  }
}
