/**
 * Stand-ins for nodes, over real HTTP on loopback: several doors to one map, each of which can be made to fail in a chosen way.
 * For tests of clients only: it keeps no replicas and has no quorums.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

/** What happens to a request: served, refused, broken before or after it took effect, or answered as unknown. */
export type Mishap = "none" | "not_applied" | "broken_before" | "broken_after" | "unknown_after" | "late_sibling";

interface Stored {
  readonly values: readonly Buffer[];
  readonly context: string;
  readonly type: string;
}

/** Several fake nodes over one map. */
export class FakeNodes implements AsyncDisposable {
  /** chosen for each write; `turn` counts all requests */
  mishapOf: (turn: number, key: string) => Mishap = () => "none";
  readonly store: Map<string, Stored> = new Map();
  readonly log: string[] = [];
  /** the query of each request, in order */
  readonly queries: string[] = [];
  /** who stands in for owners in every request */
  fallbacks: readonly string[] = [];
  readonly #servers: Server[] = [];
  #turn = 0;
  #version = 0;
  /** their addresses, as clients write them */
  urls: readonly string[] = [];

  /** Starts `count` of them. */
  static async start(count: number): Promise<FakeNodes> {
    const nodes = new FakeNodes();
    const urls: string[] = [];
    for (let index = 0; index < count; index += 1) {
      const server = createServer((request, response) => nodes.#serve(request, response));
      await new Promise<void>((resolve) => {
        server.listen(0, "127.0.0.1", resolve);
      });
      const address = server.address();
      urls.push(`http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`);
      nodes.#servers.push(server);
    }
    nodes.urls = urls;
    return nodes;
  }

  /** Ends one for good: its port refuses. */
  async end(index: number): Promise<void> {
    const server = this.#servers[index];
    server?.closeAllConnections();
    await new Promise((resolve) => server?.close(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#servers.map((_, index) => this.end(index)));
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const url = new URL(request.url ?? "/", "http://node");
      const key = url.pathname.replace(/^\/v1\/kv\//, "");
      this.log.push(`${request.method} ${key}`);
      this.queries.push(url.search);
      this.#turn += 1;
      if (!url.pathname.startsWith("/v1/kv/"))
        this.#answer(response, 404, { code: "no_such_route", detail: url.pathname });
      else if (request.method === "GET") this.#get(key, url.searchParams.get("raw") === "true", response);
      else this.#write(key, request, { body: Buffer.concat(chunks), response });
    });
  }

  #get(key: string, isRaw: boolean, response: ServerResponse): void {
    const found = this.store.get(key);
    const context = found === undefined ? {} : { "gyre-context": found.context };
    const [only] = found?.values ?? [];
    if (found === undefined || only === undefined) {
      const code = found === undefined ? "not_found" : "deleted";
      this.#answer(response, 404, { code, detail: code }, context);
    } else if (found.values.length > 1 && isRaw) {
      this.#answer(response, 409, { code: "siblings", detail: "several versions" }, context);
    } else if (found.values.length > 1) {
      const siblings = found.values.map((value) => ({ value: JSON.parse(value.toString()) as unknown }));
      this.#answer(response, 200, { siblings, context: found.context }, context);
    } else {
      const stoodIn = this.fallbacks.length === 0 ? {} : { "gyre-fallbacks": this.fallbacks.join(", ") };
      response.writeHead(200, { "content-type": found.type, "gyre-siblings": "1", ...context, ...stoodIn });
      response.end(only);
    }
  }

  #write(
    key: string,
    request: IncomingMessage,
    exchange: { readonly body: Buffer; readonly response: ServerResponse },
  ): void {
    const { body, response } = exchange;
    const mishap = this.mishapOf(this.#turn, key);
    if (mishap === "not_applied") {
      this.#answer(response, 503, {
        code: "quorum_not_met",
        outcome: "not_applied",
        retryable: true,
        detail: "one node",
      });
      return;
    }
    if (mishap === "broken_before") {
      request.socket.destroy();
      return;
    }
    const values = request.method === "DELETE" ? [] : [body];
    this.#version += 1;
    const type = request.headers["content-type"] ?? "";
    if (mishap === "late_sibling") {
      request.socket.destroy();
      setTimeout(() => {
        const there = this.store.get(key);
        this.store.set(key, { values: [...(there?.values ?? []), ...values], context: `late${this.#version}`, type });
      }, 600);
      return;
    }
    this.store.set(key, { values, context: `c${this.#version}`, type });
    if (mishap === "broken_after") request.socket.destroy();
    else if (mishap === "unknown_after") {
      this.#answer(response, 503, {
        code: "quorum_not_met",
        outcome: "unknown",
        retryable: true,
        detail: "one ack of two",
      });
    } else {
      const acks = { required: 2, received: 2, owners: 2 - this.fallbacks.length, fallbacks: this.fallbacks.length };
      const answer = { outcome: "applied", context: `c${this.#version}`, siblings: 1, acks };
      this.#answer(response, 200, answer, { "gyre-context": `c${this.#version}`, "gyre-siblings": "1" });
    }
  }

  #answer(
    response: ServerResponse,
    status: number,
    body: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): void {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(body));
  }
}
