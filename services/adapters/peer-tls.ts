/**
 * Mutual TLS 1.3 on links between nodes: both sides show a certificate of the nodes' own CA, the side that is dialled one with the
 * name or address that was dialled. The handshake of the cluster secret follows inside. Must never take a link whose other side was
 * not proven, and never resume a session: what a certificate once proved may not hold any more.
 */
import { createServer, type Server, type ServerOptions } from "node:https";
import type { TLSSocket } from "node:tls";
import type { Log } from "../base/ports.ts";
import type { PeerTlsMode } from "../base/security-knobs.ts";
import { TLS_HANDSHAKE_TIMEOUT_MS } from "../base/security-limits.ts";
import { certificateCode } from "../security/client-certificate.ts";
import { FailureLimiter, sourceOf } from "../security/failure-limiter.ts";
import type { TlsSource } from "../security/tls-material.ts";
import { adviceFact, contextOf, isProven, refuseInWords } from "./tls-server.ts";
import { peerAdvice, rootCodeOf, TlsError, tlsWords } from "./tls-words.ts";

/** What links need for TLS. */
export interface PeerTls {
  readonly source: TlsSource;
  /** what certificates are looked at for in place of the host that is dialled */
  readonly name?: string | undefined;
  /** undefined: `required` */
  readonly mode?: PeerTlsMode | undefined;
  readonly log: Log;
  /** of a clock that never goes back */
  readonly nowMs: () => number;
}

const EVENT = "peers.tls-refused";
/** Of what an unproven certificate says, in a line of the log. */
const MAX_CLAIM_CHARS = 160;

/** A server that lets nobody through to HTTP whose certificate is not of the CA. */
export function createPeerTlsServer(limits: ServerOptions, { source, log, nowMs }: PeerTls): Server {
  const server = createServer({
    ...contextOf(source.current()),
    ...limits,
    handshakeTimeout: TLS_HANDSHAKE_TIMEOUT_MS,
    ALPNProtocols: ["http/1.1"],
  });
  source.onChange((material) => server.setSecureContext(contextOf(material)));
  refuseInWords(server, { log, nowMs, event: EVENT, advice: peerAdvice });
  const limiter = new FailureLimiter(3, 60_000);
  server.prependListener("secureConnection", (socket: TLSSocket) => {
    if (isProven(socket)) return;
    const address = socket.remoteAddress ?? "unknown";
    const code = certificateCode(socket);
    const claim = claimOf(socket);
    socket.destroy();
    const { isOverLimit, heldBackCount } = limiter.fail(sourceOf(address), nowMs());
    if (isOverLimit) return;
    const why = { reason: tlsWords(code) ?? code, ...adviceFact(peerAdvice(code)) };
    log.warn({ event: EVENT, address, ...claim, ...why, heldBackCount });
  });
  return server;
}

/** What a certificate says of itself: which file of which node it may be. Nothing of it is proven. */
function claimOf(socket: TLSSocket): { readonly certificate?: string } {
  const shown = socket.getPeerX509Certificate();
  if (shown === undefined) return {};
  // A certificate may have no subject, whatever the types say.
  const subject: string | undefined = shown.subject;
  const words = `${subject ?? shown.subjectAltName ?? "no name"}, valid until ${shown.validTo}`.replaceAll(
    /[^ -~]+/g,
    " ",
  );
  return { certificate: words.length > MAX_CLAIM_CHARS ? `${words.slice(0, MAX_CLAIM_CHARS)} …` : words };
}

/** What a dialling side is told, as of now. */
export function dialContextOf({ source }: PeerTls): {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  readonly minVersion: "TLSv1.3";
  readonly rejectUnauthorized: true;
  readonly maxCachedSessions: 0;
} {
  const { cert, key, ca } = source.current();
  return { cert, key, ca: ca ?? "", minVersion: "TLSv1.3", rejectUnauthorized: true, maxCachedSessions: 0 };
}

/** Why a dial failed, in words when TLS is the reason. */
export function dialErrorOf(error: unknown, address: string, isTls: boolean): unknown {
  const code = rootCodeOf(error);
  const words = tlsWords(code);
  if (words !== undefined) {
    const advice = peerAdvice(code);
    return new TlsError(`${address}: ${words}${advice === undefined ? "" : `; ${advice}`}`, { cause: error });
  }
  // The other side ends a connection at once when it does not speak what we do, or does not believe us.
  const isHungUp = code === "UND_ERR_SOCKET" || code === "ECONNRESET";
  if (!isTls || !isHungUp) return error;
  return new TlsError(`${address}: hung up during the TLS handshake: its log says why; maybe it speaks no TLS`, {
    cause: error,
  });
}
