/**
 * The network window: links are HTTP/1.1 Upgrades, dialled by undici (the one door to it) and accepted through `peer-door.ts`, with
 * certificates on both sides where there is TLS. Must never answer HTTP: whatever is no upgrade to our protocol is refused and its
 * connection closed.
 */
import { lookup } from "node:dns/promises";
import type { IncomingMessage } from "node:http";
import { isIP, type Server, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Client } from "undici";
import type { ByteLink, Listener, Network } from "../base/ports.ts";
import { TLS_HANDSHAKE_TIMEOUT_MS } from "../base/security-limits.ts";
import { createPeerDoor } from "./peer-door.ts";
import { dialContextOf, dialErrorOf, type PeerTls } from "./peer-tls.ts";
import { createSocketLink } from "./socket-link.ts";

/** What both sides must name in `Upgrade`. The version of what follows is checked by the handshake, not here. */
const PROTOCOL = "gyre-peer";
const PATH = "/peer";
const MAX_HEADER_BYTES = 4_096;
const HEADERS_TIMEOUT_MS = 2_000;
/** From the first byte of a connection, or from none, to the upgrade. */
const UPGRADE_TIMEOUT_MS = TLS_HANDSHAKE_TIMEOUT_MS + HEADERS_TIMEOUT_MS;
const MAX_UNUPGRADED_CONNECTIONS = 1_024;
const SWITCHING = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${PROTOCOL}\r\n\r\n`;
const REFUSAL = `HTTP/1.1 426 Upgrade Required\r\nConnection: close\r\nUpgrade: ${PROTOCOL}\r\nContent-Length: 0\r\n\r\n`;

const HTTP_LIMITS = {
  maxHeaderSize: MAX_HEADER_BYTES,
  headersTimeout: HEADERS_TIMEOUT_MS,
  requestTimeout: HEADERS_TIMEOUT_MS,
  connectionsCheckingInterval: HEADERS_TIMEOUT_MS,
  noDelay: true,
};

/** The network of this machine; with `tls` every link is mutual TLS, unless its mode says otherwise. Addresses are `host:port`, IPv6 hosts in brackets. */
export function createUndiciNetwork(tls?: PeerTls): Network {
  return {
    listen: (address, accept) => listen(address, accept, tls),
    dial: (address, timeoutMs, name) =>
      dial(address, timeoutMs, tls === undefined || tls.mode === "accept" ? undefined : { tls, name }),
    resolve,
  };
}

/** A client of one origin over undici, for whoever here speaks HTTP to somebody else: this file stays the one door to it. */
export function httpClient(origin: string, maxHeaderSize: number): Client {
  return new Client(origin, { maxHeaderSize });
}

async function listen(address: string, accept: (link: ByteLink) => void, tls: PeerTls | undefined): Promise<Listener> {
  const { host, port } = splitAddress(address);
  const { port: server, readers } = createPeerDoor(HTTP_LIMITS, tls);
  // By address: a TLS socket is another object than the one below it.
  const waiting = new Map<string, Socket>();
  server.on("connection", (socket: Socket) => {
    if (waiting.size >= MAX_UNUPGRADED_CONNECTIONS) {
      socket.destroy();
      return;
    }
    const remote = remoteOf(socket);
    waiting.set(remote, socket);
    const isWaiting = (): boolean => waiting.get(remote) === socket;
    // A reader that does not listen itself has no look at times of its own.
    const deadline = setTimeout(() => isWaiting() && socket.destroy(), UPGRADE_TIMEOUT_MS).unref();
    socket.once("close", () => {
      clearTimeout(deadline);
      if (isWaiting()) waiting.delete(remote);
    });
  });
  for (const reader of readers) {
    reader.on("request", (_request, response) => {
      response.writeHead(426, { connection: "close", upgrade: PROTOCOL, "content-length": 0 }).end();
    });
    reader.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Uint8Array) => {
      if (!isOurs(request)) return refuse(socket);
      waiting.delete(remoteOf(socket));
      acceptUpgrade(socket, head, accept);
    });
  }
  await listening(server, host, port);
  return {
    address: boundAddress(server, address),
    // Links outlive the listener: whoever holds one closes it.
    close: async () => {
      server.close();
      for (const socket of waiting.values()) socket.destroy();
    },
  };
}

function isOurs({ method, url, headers }: IncomingMessage): boolean {
  return method === "GET" && url === PATH && headers.upgrade === PROTOCOL;
}

/** The HTTP server has let go of it, and takes connections that are half open: nobody else would ever end it. */
function refuse(socket: Duplex): void {
  socket.on("error", () => socket.destroy());
  socket.end(REFUSAL, () => socket.destroy());
}

function acceptUpgrade(socket: Duplex, head: Uint8Array, accept: (link: ByteLink) => void): void {
  if (socket instanceof Socket) {
    socket.setNoDelay(true);
    socket.setTimeout(0);
  }
  socket.write(SWITCHING);
  accept(createSocketLink(socket, remoteOf(socket), head));
}

async function dial(
  address: string,
  timeoutMs: number,
  secured: { readonly tls: PeerTls; readonly name: string | undefined } | undefined,
): Promise<ByteLink> {
  const client = new Client(`${secured === undefined ? "http" : "https"}://${address}`, {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: timeoutMs,
    connect: {
      timeout: timeoutMs,
      noDelay: true,
      ...(secured === undefined
        ? {}
        : { ...dialContextOf(secured.tls), ...servernameOf(secured.tls.name ?? secured.name) }),
    },
  });
  try {
    const { socket } = await client.upgrade({
      path: PATH,
      method: "GET",
      protocol: PROTOCOL,
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (socket instanceof Socket) {
      socket.setNoDelay(true);
      socket.setTimeout(0);
    }
    return createSocketLink(socket, address, new Uint8Array(0));
  } catch (error) {
    throw dialErrorOf(error, address, secured !== undefined);
  } finally {
    // The socket has left the client; what remains is its bookkeeping.
    await client.destroy();
  }
}

/** The name that a certificate must have; without one it is the host that is dialled. */
function servernameOf(name: string | undefined): { readonly servername?: string } {
  if (name === undefined) return {};
  const host = name.includes(":") ? splitAddress(name).host : name;
  return isIP(host) === 0 ? { servername: host } : {};
}

async function resolve(address: string): Promise<readonly string[]> {
  const { host, port } = splitAddress(address);
  if (isIP(host) !== 0) return [address];
  const found = await lookup(host, { all: true });
  return [...new Set(found.map((entry) => joinAddress(entry.address, port)))].sort();
}

function listening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((fulfil, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      fulfil();
    });
  });
}

function boundAddress(server: Server, asked: string): string {
  const bound = server.address();
  return bound === null || typeof bound === "string" ? asked : joinAddress(bound.address, bound.port);
}

function remoteOf(socket: Duplex): string {
  if (!(socket instanceof Socket)) return "unknown";
  return joinAddress(socket.remoteAddress ?? "unknown", socket.remotePort ?? 0);
}

function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(":");
  const port = Number(address.slice(colon + 1));
  if (colon <= 0 || !Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new TypeError(`not an address of the form host:port: ${address}`);
  }
  return { host: address.slice(0, colon).replace(/^\[(.*)\]$/, "$1"), port };
}

function joinAddress(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
