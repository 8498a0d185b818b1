/**
 * The TypeScript client: get, put and delete through any of several nodes, retried by outcome. A read is repeated when a node
 * cannot be reached or is not able; a write only when it certainly had no effect, for a repeated one could stand beside itself
 * as a sibling. How often and when is `retries.ts`'s to say. Must never hide an outcome. Source: API §3.
 */
import { askNode, type Fetch, type NodeAnswer, type NodeRequest, withToken } from "./http-node.ts";
import { expiresOf, fallbacksOf } from "./read-headers.ts";
import { contextHeader, jsonOf, patienceMsOf } from "./request-parts.ts";
import { Retries, retryAfterMsOf } from "./retries.ts";

/** What a client needs to know. */
export interface ClientOptions {
  /** `http://host:port`, at least one; the first is tried first, then the others in turn; who could not serve the last one, after them */
  readonly nodes: readonly string[];
  /** bound of one attempt, and of all pauses of a request together, milliseconds; default 5,000 */
  readonly timeoutMs?: number;
  /** attempts of one request over all nodes; default 6, and retries are at most a tenth of all requests and ten more */
  readonly maxAttempts?: number;
  /** an API token, sent with every request; over https:// only, unless the network is yours alone */
  readonly token?: string;
  readonly fetch?: Fetch;
  /** waits between attempts; tests hand in their own */
  readonly pause?: (ms: number) => Promise<void>;
  /** in [0, 1), for jitter */
  readonly random?: () => number;
  /** a clock that never goes back, milliseconds */
  readonly nowMs?: () => number;
}

/** The knobs and headers of one request. */
export interface RequestOptions {
  /** query parameters as in API §3: r, w, pr, pw, sloppy, timeout, explain, blind */
  readonly query?: Readonly<Record<string, string>>;
  /** an earlier answer's context */
  readonly context?: string | undefined;
  /** of a write: seconds until the value is gone, 0 for never; absent: as the bucket says */
  readonly ttl?: string | undefined;
}

/** The same for a read. It asks for the stored bytes, which have no room for an explanation: `ask` has. */
export interface ReadOptions extends RequestOptions {
  readonly query?: Readonly<Record<string, string>> & { readonly explain?: never };
}

/** What became of a request, when it is not what was asked for. */
export interface ClientFailure {
  readonly kind: "failed";
  /** HTTP status, 0 when no node answered */
  readonly status: number;
  readonly code: string;
  readonly outcome: "not_applied" | "unknown";
  readonly isRetryable: boolean;
  readonly detail: string;
  /** the node that said so last */
  readonly node: string;
  readonly attemptCount: number;
  /** the problem document, when there was one */
  readonly problem?: Readonly<Record<string, unknown>>;
}

/** What a read found. */
export type ReadResult =
  | {
      readonly kind: "found";
      readonly bytes: Uint8Array;
      readonly contentType: string;
      readonly context: string;
      readonly node: string;
      /** when the value ends by itself, ISO; absent: it does not */
      readonly expires?: string;
      /** nodes that stood in for owners of the key; absent: none did */
      readonly fallbacks?: readonly string[];
    }
  /** concurrent versions: merge them and write with the context */
  | {
      readonly kind: "siblings";
      readonly siblings: readonly unknown[];
      readonly context: string;
      readonly node: string;
      readonly fallbacks?: readonly string[];
    }
  /** never written, or deleted: then with the context that a re-create follows */
  | { readonly kind: "absent"; readonly context: string | undefined; readonly node: string }
  | ClientFailure;

/** What a write did. */
export type WriteResult =
  | {
      readonly kind: "applied";
      readonly context: string;
      readonly siblingCount: number;
      readonly node: string;
      readonly attemptCount: number;
      /** the whole answer */
      readonly answer: Readonly<Record<string, unknown>>;
    }
  | ClientFailure;

/** What a POST was answered. */
export type PostResult =
  | { readonly kind: "answered"; readonly node: string; readonly answer: Readonly<Record<string, unknown>> }
  | ClientFailure;

const DEFAULT_TIMEOUT_MS = 5_000;
const DEFAULT_ATTEMPTS = 6;
/** How often in a row siblings may be resolved by others between the two requests that read them. */
const MAX_RESOLVED = 8;
const CHANGING: Omit<ClientFailure, "node" | "attemptCount"> = {
  kind: "failed",
  status: 409,
  code: "siblings",
  outcome: "not_applied",
  isRetryable: true,
  detail: "the key's versions change faster than they can be read: read again",
};

/** The path of a key. */
export function keyPath(bucket: string, key: string): string {
  return `/v1/kv/${encodeURIComponent(bucket)}/${encodeURIComponent(key)}`;
}

/** The members of a JSON object, none when the bytes are no such thing. */
export function parseObject(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
    return typeof parsed === "object" && parsed !== null ? (parsed as Record<string, unknown>) : {};
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

/** Puts an answer that is not the one hoped for into words and an outcome. */
export function failureOf(answer: NodeAnswer, attemptCount: number): ClientFailure {
  const { node } = answer;
  if (answer.kind !== "answered") {
    const outcome = answer.kind === "unsent" ? "not_applied" : "unknown";
    const detail = `${node} ${answer.kind === "unsent" ? "cannot be reached" : "gave no answer"}: ${answer.reason}`;
    return { kind: "failed", status: 0, code: "unreachable", outcome, isRetryable: true, detail, node, attemptCount };
  }
  const problem = parseObject(answer.bytes);
  const { code, detail, outcome, retryable } = problem;
  return {
    kind: "failed",
    status: answer.status,
    code: typeof code === "string" ? code : "unexpected_answer",
    outcome: outcome === "not_applied" || answer.status < 500 ? "not_applied" : "unknown",
    isRetryable: retryable === true || answer.status === 503,
    detail: typeof detail === "string" ? detail : `${node} answered ${answer.status}`,
    node,
    attemptCount,
    problem,
  };
}

/** Reads and writes keys through the first of its nodes that can. */
export class GyreClient {
  readonly nodes: readonly string[];
  readonly #timeoutMs: number;
  readonly #retries: Retries;
  readonly #fetch: Fetch;
  readonly #pause: (ms: number) => Promise<void>;
  readonly #nowMs: () => number;

  constructor(options: ClientOptions) {
    this.nodes = options.nodes.map((node) => node.replace(/\/+$/, ""));
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const { token, maxAttempts = DEFAULT_ATTEMPTS, random = Math.random } = options;
    this.#retries = new Retries(this.nodes, { maxAttempts, random });
    const fetchIt = options.fetch ?? fetch;
    this.#fetch = token === undefined ? fetchIt : withToken(fetchIt, token);
    this.#pause = options.pause ?? ((ms) => new Promise((resolve) => setTimeout(resolve, ms)));
    this.#nowMs = options.nowMs ?? (() => performance.now());
  }

  /** Reads a key as the bytes that were stored. */
  async get(bucket: string, key: string, options: ReadOptions = {}): Promise<ReadResult> {
    let result = await this.#raw(bucket, key, options);
    // Siblings come with a second request, before which somebody may have resolved them: then there is one value to be read.
    for (let tries = 1; result === "resolved" && tries < MAX_RESOLVED; tries += 1) {
      result = await this.#raw(bucket, key, options);
    }
    if (result !== "resolved") return result;
    return { ...CHANGING, node: this.nodes[0] ?? "", attemptCount: MAX_RESOLVED };
  }

  async #raw(bucket: string, key: string, options: RequestOptions): Promise<ReadResult | "resolved"> {
    const sent = {
      method: "GET" as const,
      path: pathOf(bucket, key, { ...options.query, raw: "true" }),
      headers: contextHeader(options),
    };
    const { answer, attemptCount } = await this.#ask(sent, true);
    if (answer.kind !== "answered") return failureOf(answer, attemptCount);
    const { status, headers, bytes, node } = answer;
    const context = headers.get("gyre-context") ?? undefined;
    if (status === 200) {
      const contentType = headers.get("content-type") ?? "";
      const told = { ...expiresOf(headers), ...fallbacksOf(headers) };
      return { kind: "found", bytes, contentType, context: context ?? "", node, ...told };
    }
    if (status === 404 && ["not_found", "deleted"].includes(String(parseObject(bytes)["code"]))) {
      return { kind: "absent", context, node };
    }
    // The second read must not see less than the first: what resolves the siblings covers their context.
    if (status === 409) return this.#siblings(bucket, key, { ...options, context: context ?? options.context });
    return failureOf(answer, attemptCount);
  }

  /** Writes a value. Give the context of what you read to replace exactly that. */
  async put(
    target: { readonly bucket: string; readonly key: string },
    value: { readonly bytes: Uint8Array; readonly contentType: string },
    options: RequestOptions = {},
  ): Promise<WriteResult> {
    const path = pathOf(target.bucket, target.key, options.query);
    const ttl = options.ttl === undefined ? {} : { "gyre-ttl": options.ttl };
    const headers = { ...contextHeader(options), "content-type": value.contentType, ...ttl };
    return this.#write({ method: "PUT", path, headers, body: value.bytes });
  }

  /** Deletes a key: with a context exactly what its reader saw. */
  async delete(bucket: string, key: string, options: RequestOptions = {}): Promise<WriteResult> {
    return this.#write({ method: "DELETE", path: pathOf(bucket, key, options.query), headers: contextHeader(options) });
  }

  /** Any GET that is answered with JSON; the status decides whether it was. */
  async ask(path: string): Promise<NodeAnswer> {
    return (await this.#ask({ method: "GET", path }, true)).answer;
  }

  /** Any POST that only reads, answered and repeated as `ask` is. */
  async askWith(path: string, document: unknown): Promise<NodeAnswer> {
    return (await this.#ask({ method: "POST", path, ...jsonOf(document) }, true)).answer;
  }

  /** Sends a document to any path that takes one; repeated, as a write is, only when it certainly had no effect. */
  async post(path: string, document: unknown): Promise<PostResult> {
    const { answer, attemptCount } = await this.#ask({ method: "POST", path, ...jsonOf(document) }, false);
    if (answer.kind !== "answered" || answer.status !== 200) return failureOf(answer, attemptCount);
    return { kind: "answered", node: answer.node, answer: parseObject(answer.bytes) };
  }

  async #siblings(bucket: string, key: string, options: RequestOptions): Promise<ReadResult | "resolved"> {
    const path = pathOf(bucket, key, options.query);
    const headers = { ...contextHeader(options), accept: "application/json" };
    const { answer, attemptCount } = await this.#ask({ method: "GET", path, headers }, true);
    if (answer.kind === "answered" && answer.status === 404) return "resolved";
    if (answer.kind !== "answered" || answer.status !== 200) return failureOf(answer, attemptCount);
    const { siblings, context } = parseObject(answer.bytes);
    // Never an empty list: whoever merged that and wrote with its context would remove the value that is there.
    if (!Array.isArray(siblings)) return "resolved";
    const seen = typeof context === "string" ? context : "";
    return { kind: "siblings", siblings, context: seen, node: answer.node, ...fallbacksOf(answer.headers) };
  }

  async #write(request: Omit<NodeRequest, "timeoutMs">): Promise<WriteResult> {
    const { answer, attemptCount } = await this.#ask(request, false);
    if (answer.kind !== "answered" || answer.status !== 200) return failureOf(answer, attemptCount);
    const body = parseObject(answer.bytes);
    return {
      kind: "applied",
      context: answer.headers.get("gyre-context") ?? "",
      siblingCount: Number(answer.headers.get("gyre-siblings") ?? "1"),
      node: answer.node,
      attemptCount,
      answer: body,
    };
  }

  /** Asks one node after the other until one gives an answer that another try would not better, or none may be made. */
  async #ask(
    request: Omit<NodeRequest, "timeoutMs">,
    isRead: boolean,
  ): Promise<{ readonly answer: NodeAnswer; readonly attemptCount: number }> {
    const course = this.#retries.begin(this.#nowMs(), patienceMsOf(request.path, this.#timeoutMs));
    for (;;) {
      const { url, attemptCount } = course;
      const answer = await askNode(this.#fetch, url, { ...request, timeoutMs: this.#timeoutMs });
      if (answer.kind === "answered" && answer.status < 500) {
        course.onServed();
        return { answer, attemptCount };
      }
      const failure = failureOf(answer, attemptCount);
      if (!failure.isRetryable) return { answer, attemptCount };
      const retryAfterMs = answer.kind === "answered" ? retryAfterMsOf(answer.headers) : 0;
      const why = { isUnsent: answer.kind === "unsent", code: failure.code, retryAfterMs, nowMs: this.#nowMs() };
      course.onUnable(why);
      const isSafe = isRead || failure.outcome === "not_applied";
      const pauseMs = isSafe ? course.again(why) : undefined;
      if (pauseMs === undefined) return { answer, attemptCount };
      if (pauseMs > 0) await this.#pause(pauseMs);
    }
  }
}

function pathOf(bucket: string, key: string, query: Readonly<Record<string, string>> | undefined): string {
  const text = new URLSearchParams(query).toString();
  return text === "" ? keyPath(bucket, key) : `${keyPath(bucket, key)}?${text}`;
}
