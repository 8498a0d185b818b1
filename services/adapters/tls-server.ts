/**
 * The client listener on TLS 1.3: an HTTPS server in place of the framework's own, whose certificate changes while it serves.
 * Must never speak an older version, keep a connection whose handshake takes long, nor believe a certificate by a resumed session:
 * what it once proved may not hold any more (nodejs/node#35317; an expired certificate would come in until its ticket ends).
 */
import { constants } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { TLSSocket } from "node:tls";
import type { Log } from "../base/ports.ts";
import { TLS_HANDSHAKE_TIMEOUT_MS } from "../base/security-limits.ts";
import { FailureLimiter, sourceOf } from "../security/failure-limiter.ts";
import type { TlsMaterial, TlsSource } from "../security/tls-material.ts";
import { tlsWords } from "./tls-words.ts";

/** What a server of HTTP is told: Node's own names. */
interface HttpLimits {
  readonly maxHeaderSize: number;
  readonly headersTimeout: number;
  readonly requestTimeout: number;
  readonly keepAliveTimeout: number;
  readonly connectionsCheckingInterval: number;
}

/** Makes the server around a handler of requests. */
type TlsServerMaker = (
  limits: HttpLimits,
  handler: (request: IncomingMessage, response: ServerResponse) => void,
) => Server;

/** A maker of servers that show the source's certificate, whichever it is when a connection comes in. */
export function tlsServerMaker(source: TlsSource, log: Log, nowMs: () => number): TlsServerMaker {
  return (limits, handler) => {
    const server = createServer(
      {
        ...contextOf(source.current()),
        ...limits,
        handshakeTimeout: TLS_HANDSHAKE_TIMEOUT_MS,
        ALPNProtocols: ["http/1.1"],
      },
      handler,
    );
    source.onChange((material) => server.setSecureContext(contextOf(material)));
    refuseInWords(server, { log, nowMs, event: "api.tls-refused" });
    // Once for each connection, so that no request pays for it.
    server.prependListener("secureConnection", (socket: TLSSocket) => {
      socket.authorized = isProven(socket);
    });
    return server;
  };
}

/** The other side showed a certificate in this very handshake, and it holds now. */
export function isProven(
  socket: Pick<TLSSocket, "authorized" | "isSessionReused" | "getPeerX509Certificate">,
): boolean {
  return socket.authorized && !socket.isSessionReused() && socket.getPeerX509Certificate() !== undefined;
}

/**
 * What both kinds of listeners are told. Certificates of the other side are asked for when there is a CA, and judged later: probes
 * need none, and a refusal in words helps more than an alert. Where they are asked for no session can be resumed: without tickets
 * OpenSSL looks in a cache of the server's, and Node keeps none.
 */
export function contextOf({ cert, key, ca }: TlsMaterial): {
  readonly cert: string;
  readonly key: string;
  readonly minVersion: "TLSv1.3";
  readonly requestCert: boolean;
  readonly rejectUnauthorized: false;
  readonly ca?: string;
  readonly secureOptions?: number;
} {
  const own = { cert, key, minVersion: "TLSv1.3", rejectUnauthorized: false } as const;
  if (ca === undefined) return { ...own, requestCert: false };
  return { ...own, requestCert: true, ca, secureOptions: constants.SSL_OP_NO_TICKET };
}

/** Ends connections whose handshake failed, and says why, not too often for one source. */
export function refuseInWords(
  server: Server,
  how: {
    readonly log: Log;
    readonly nowMs: () => number;
    readonly event: string;
    /** what mends it, by its code */
    readonly advice?: (code: string) => string | undefined;
  },
): void {
  const limiter = new FailureLimiter(3, 60_000);
  // The one that is there hands TLS errors to the answerer of HTTP errors, which would write into a broken handshake.
  server.removeAllListeners("tlsClientError");
  server.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => {
    const address = socket.remoteAddress ?? "unknown";
    socket.destroy();
    const code = error.code ?? "";
    const words = tlsWords(code);
    // Whoever only looks whether the port is open, as load balancers do, is not told of.
    if (words === undefined) return;
    const { isOverLimit, heldBackCount } = limiter.fail(sourceOf(address), how.nowMs());
    if (isOverLimit) return;
    how.log.warn({ event: how.event, address, reason: words, ...adviceFact(how.advice?.(code)), heldBackCount });
  });
}

/** The fact for a line of the log, where there is advice. */
export function adviceFact(advice: string | undefined): { readonly advice?: string } {
  return advice === undefined ? {} : { advice };
}
