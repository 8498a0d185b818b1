/** What the server of connections is told, plain or with TLS: Node's own names, our bounds. Source: reliability notes §5.3. */
import {
  CONNECTIONS_CHECK_MS,
  HEADERS_READ_TIMEOUT_MS,
  KEEP_ALIVE_TIMEOUT_MS,
  MAX_HEADER_BYTES,
  REQUEST_READ_TIMEOUT_MS,
} from "../base/limits.ts";
import { LISTEN_BACKLOG } from "../base/load-limits.ts";

/** Bounds of one HTTP listener; times in milliseconds. */
export interface HttpLimits {
  readonly maxHeaderSize: number;
  readonly headersTimeout: number;
  readonly requestTimeout: number;
  readonly keepAliveTimeout: number;
  readonly connectionsCheckingInterval: number;
}

/** The bounds of the client listener. */
export const HTTP_LIMITS: HttpLimits = {
  maxHeaderSize: MAX_HEADER_BYTES,
  headersTimeout: HEADERS_READ_TIMEOUT_MS,
  requestTimeout: REQUEST_READ_TIMEOUT_MS,
  keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
  connectionsCheckingInterval: CONNECTIONS_CHECK_MS,
};

/** How a server listens at `host:port`, as the framework is told. */
export function listeningAt(address: string): {
  readonly host: string;
  readonly port: number;
  readonly backlog: number;
} {
  const colon = address.lastIndexOf(":");
  const name = address.slice(0, colon).replace(/^\[|\]$/g, "");
  // One address: at others of this name fastify has a server of its own listen, which has neither our door nor our bounds.
  const host = name === "localhost" ? "127.0.0.1" : name;
  return { host, port: Number(address.slice(colon + 1)), backlog: LISTEN_BACKLOG };
}
