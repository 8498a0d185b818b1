/**
 * One HTTP request to one node, with a bound on time. Tells what became of it: answered, never sent, or lost on the way.
 * Must never retry and never throw for what a network can do.
 */

import { addressFlaw } from "./blocked-ports.ts";
import { tlsReason } from "./tls-reasons.ts";

/** A request to a node. */
export interface NodeRequest {
  readonly method: "GET" | "PUT" | "DELETE" | "POST" | "HEAD";
  /** from the root, with its query */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly timeoutMs: number;
}

/** What became of a request at one node. */
export type NodeAnswer =
  | {
      readonly kind: "answered";
      readonly node: string;
      readonly status: number;
      readonly headers: Headers;
      readonly bytes: Uint8Array;
    }
  /** nothing left this machine, or nobody took it: it has had no effect */
  | { readonly kind: "unsent"; readonly node: string; readonly reason: string }
  /** it left, and no answer came: whether it had an effect is unknown */
  | { readonly kind: "lost"; readonly node: string; readonly reason: string };

/** As the built-in `fetch`; tests hand in their own. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** The same, with an API token in every request. */
export function withToken(fetchIt: Fetch, token: string): Fetch {
  return (url, init) => fetchIt(url, { ...init, headers: { ...plainHeaders(init), authorization: `Bearer ${token}` } });
}

function plainHeaders({ headers }: RequestInit): Readonly<Record<string, string>> {
  return Object.fromEntries(new Headers(headers));
}

/** Codes of errors that come before the first byte is sent. */
const NEVER_SENT: readonly string[] = [
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EADDRNOTAVAIL",
  "UND_ERR_CONNECT_TIMEOUT",
];

/** Codes of errors that may be about the address itself. */
const OF_NO_NETWORK: readonly string[] = ["", "ERR_INVALID_URL"];

/** The innermost cause that has a code, as `{ code, message }`. */
function rootOf(error: unknown): { readonly code: string; readonly message: string } {
  let code = "";
  let message = String(error);
  for (let depth = 0, at: unknown = error; depth < 5 && at instanceof Error; depth += 1, at = at.cause) {
    message = at.message === "" ? message : at.message;
    if ("code" in at && typeof at.code === "string") code = at.code;
    if (at instanceof AggregateError && at.errors.length > 0) return rootOf(at.errors[0]);
  }
  return { code, message };
}

/** Sends the request to `node` (`http://host:port`) and reads the whole answer. */
export async function askNode(fetchIt: Fetch, node: string, request: NodeRequest): Promise<NodeAnswer> {
  try {
    const response = await fetchIt(`${node}${request.path}`, {
      method: request.method,
      redirect: "error",
      signal: AbortSignal.timeout(request.timeoutMs),
      ...(request.headers === undefined ? {} : { headers: { ...request.headers } }),
      ...(request.body === undefined ? {} : { body: Buffer.from(request.body) }),
    });
    const bytes = new Uint8Array(await response.arrayBuffer());
    return { kind: "answered", node, status: response.status, headers: response.headers, bytes };
  } catch (error) {
    const root = rootOf(error);
    const tls = tlsReason(root.code);
    if (tls !== undefined) return { kind: "unsent", node, reason: tls };
    if (NEVER_SENT.includes(root.code)) return { kind: "unsent", node, reason: root.code };
    const isTimeout = error instanceof Error && error.name === "TimeoutError";
    // A fetch that does not refuse such ports may have sent it: only what no network has said can be about the address.
    const flaw = !isTimeout && OF_NO_NETWORK.includes(root.code) ? addressFlaw(node) : undefined;
    if (flaw !== undefined) return { kind: "unsent", node, reason: flaw };
    const reason = isTimeout ? `no answer within ${request.timeoutMs} ms` : root.code || root.message;
    return { kind: "lost", node, reason };
  }
}
