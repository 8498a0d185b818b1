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

/** How it listens. */
export const LISTENING: { readonly backlog: number } = { backlog: LISTEN_BACKLOG };
