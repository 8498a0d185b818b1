/**
 * What links of other nodes come in through: a port without TLS, with TLS, or with both while a running cluster moves from one to the
 * other. Must never take a connection without TLS unless the configuration says so, and must tell of each address that makes one
 * once a minute, as far as the bound on such lines allows.
 */
import { createServer as createPlainServer, type Server as HttpServer } from "node:http";
import type { ServerOptions } from "node:https";
import { createServer as createPort, type Server, type Socket } from "node:net";
import {
  WITHOUT_TLS_LINE_EVERY_MS,
  WITHOUT_TLS_LINES_AT_ONCE,
  WITHOUT_TLS_LINES_REFILL_MS,
} from "../base/security-limits.ts";
import { FailureLimiter } from "../security/failure-limiter.ts";
import { createPeerTlsServer, type PeerTls } from "./peer-tls.ts";

/** The first byte of a TLS connection (RFC 8446 §5.1, a record of the type handshake); no request of HTTP begins so. */
const TLS_HANDSHAKE_RECORD = 0x16;

/** A port for links. */
export interface PeerDoor {
  /** what listens, and what connections come from */
  readonly port: Server;
  /** what reads their requests */
  readonly readers: readonly HttpServer[];
}

/** The port that the configuration asks for; undefined: no TLS. */
export function createPeerDoor(limits: ServerOptions, tls: PeerTls | undefined): PeerDoor {
  if (tls === undefined) return single(createPlainServer(limits));
  if (tls.mode === undefined || tls.mode === "required") return single(createPeerTlsServer(limits, tls));
  return mixed(createPlainServer(limits), createPeerTlsServer(limits, tls), tls);
}

function single(server: HttpServer): PeerDoor {
  return { port: server, readers: [server] };
}

/** Who speaks first says by its first byte what it speaks; that byte goes back to be read again. */
function mixed(plain: HttpServer, secure: HttpServer, tls: PeerTls): PeerDoor {
  const tell = teller(tls);
  const port = createPort((socket) => {
    // Until a reader takes it; after that both may hear of it.
    socket.on("error", () => socket.destroy());
    socket.once("data", (first: Buffer) => {
      socket.pause();
      socket.unshift(first);
      const isTls = first[0] === TLS_HANDSHAKE_RECORD;
      if (!isTls) tell(socket);
      (isTls ? secure : plain).emit("connection", socket);
      if (!isTls) process.nextTick(() => socket.resume());
    });
  });
  return { port, readers: [plain, secure] };
}

/**
 * How an operator sees who does not dial with TLS yet. By the whole address, for nodes of one network share a /64; that somebody with
 * many addresses does not fill the log, there is a bound on all of them together.
 */
function teller({ log, nowMs }: PeerTls): (socket: Socket) => void {
  const each = new FailureLimiter(1, WITHOUT_TLS_LINE_EVERY_MS);
  const all = new FailureLimiter(WITHOUT_TLS_LINES_AT_ONCE, WITHOUT_TLS_LINES_REFILL_MS);
  return ({ remoteAddress: address = "unknown" }) => {
    const { isOverLimit, heldBackCount } = each.fail(address, nowMs());
    if (isOverLimit || all.fail("", nowMs()).isOverLimit) return;
    log.warn({ event: "peers.connection-without-tls", address, heldBackCount });
  };
}
