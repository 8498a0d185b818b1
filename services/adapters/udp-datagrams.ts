/**
 * The window on datagrams, on UDP. Must never look up a name: an address that is no literal is refused, for a resolver
 * that hangs would hang the failure detector with it. Errors of sending are counted and told, never thrown.
 */
import { createSocket, type RemoteInfo, type Socket, type SocketOptions } from "node:dgram";
import { isIP } from "node:net";
import type { DatagramSocket, Datagrams } from "../../gossip/index.ts";

/** Asked for; the system may grant less. The default of Linux holds some 700 of our datagrams. */
const RECEIVE_BUFFER_BYTES = 2 * 1_024 * 1_024;
const MAX_PORT = 65_535;
/** How often another free port is tried when the one that the first family got is taken in the other. */
const SAME_PORT_TRIES = 8;

type Family = 4 | 6;
type OnDatagram = Parameters<DatagramSocket["listen"]>[0];

interface Place {
  readonly host: string;
  readonly port: number;
  readonly family: Family;
}

/** The datagrams of this machine. Addresses are `host:port`, IPv6 hosts in brackets, literals all of them. */
export function createUdpDatagrams(): Datagrams {
  return { open };
}

async function open(address: string): Promise<DatagramSocket> {
  const place = placeOf(address);
  if (place === undefined) throw new TypeError(`not an address of the form literal:port: ${address}`);
  if (place.host !== "::") return new UdpSocket([await bound(place)]);
  for (let tries = 1; ; tries += 1) {
    const six = await bound(place);
    try {
      return new UdpSocket([six, await bound({ host: "0.0.0.0", port: six.address().port, family: 4 })]);
    } catch (error) {
      await closed(six);
      if (place.port !== 0 || tries === SAME_PORT_TRIES) throw error;
    }
  }
}

/** One or two sockets on one port number, one for each family. */
class UdpSocket implements DatagramSocket {
  readonly address: string;
  readonly #sockets: readonly Socket[];
  #sendErrorCount = 0;
  #onDatagram: OnDatagram | undefined;
  #closing: Promise<void> | undefined;

  constructor(sockets: readonly [Socket, ...Socket[]]) {
    this.#sockets = sockets;
    const { address, port } = sockets[0].address();
    this.address = joined(address, port);
    for (const socket of sockets) {
      // What the system tells late of something sent (an unreachable host) is no reason to end.
      socket.on("error", () => {
        this.#sendErrorCount += 1;
      });
      socket.on("message", (bytes: Buffer, from: RemoteInfo) => {
        if (this.#closing === undefined) this.#onDatagram?.(bytes, joined(from.address, from.port));
      });
    }
  }

  get sendErrorCount(): number {
    return this.#sendErrorCount;
  }

  send(bytes: Uint8Array, to: string, onRefused?: (code: string) => void): void {
    if (this.#closing !== undefined) return;
    const refuse = (code: string): void => {
      this.#sendErrorCount += 1;
      onRefused?.(code);
    };
    const place = placeOf(to);
    const socket = this.#sockets.find((one) => isIP(one.address().address) === place?.family);
    if (place === undefined || place.port === 0) return refuse("EINVAL");
    if (socket === undefined) return refuse("EAFNOSUPPORT");
    socket.send(bytes, place.port, place.host, (error: NodeJS.ErrnoException | null) => {
      if (error !== null && error !== undefined) refuse(error.code ?? "EIO");
    });
  }

  listen(onDatagram: OnDatagram): void {
    this.#onDatagram = onDatagram;
  }

  async close(): Promise<void> {
    this.#closing ??= Promise.all(this.#sockets.map(closed)).then(() => {});
    return this.#closing;
  }
}

function bound(place: Place): Promise<Socket> {
  const { host, port, family } = place;
  const options: SocketOptions = {
    type: family === 6 ? "udp6" : "udp4",
    ipv6Only: family === 6,
    recvBufferSize: RECEIVE_BUFFER_BYTES,
    // Only literals come here: without this each send asks the resolver all the same.
    lookup: (literal, _options, found) => found(null, literal, family),
  };
  return new Promise((fulfil, reject) => {
    const socket = createSocket(options);
    socket.once("error", reject);
    socket.bind({ address: host, port, exclusive: true }, () => {
      socket.off("error", reject);
      fulfil(socket);
    });
  });
}

function closed(socket: Socket): Promise<void> {
  return new Promise((fulfil) => {
    socket.close(() => fulfil());
  });
}

function placeOf(address: string): Place | undefined {
  const colon = address.lastIndexOf(":");
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  const port = /^\d{1,5}$/.test(address.slice(colon + 1)) ? Number(address.slice(colon + 1)) : Number.NaN;
  const family = isIP(host);
  return (family === 4 || family === 6) && port <= MAX_PORT ? { host, port, family } : undefined;
}

function joined(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
