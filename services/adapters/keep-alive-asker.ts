/**
 * Asks one listener of this machine over a few connections, one request after the other on each, and looks at no answer. For
 * rehearsals: a client that costs next to nothing beside the server. Must never take bytes of an answer for more than a sign.
 */
import { connect, type Socket } from "node:net";

/** What is asked. */
export interface Asking {
  /** `host:port` */
  readonly address: string;
  readonly connectionCount: number;
  /** a connection is given up when nothing comes for so long */
  readonly patienceMs: number;
  /** the next request, whole; undefined: no more */
  readonly next: () => Uint8Array | undefined;
}

/** Asks until there is no more to ask, or every connection has ended. Never rejects. */
export async function askListener({ address, connectionCount, patienceMs, next }: Asking): Promise<void> {
  const colon = address.lastIndexOf(":");
  const [host, port] = [address.slice(0, colon).replace(/^\[|\]$/g, ""), Number(address.slice(colon + 1))];
  await Promise.all(
    Array.from({ length: connectionCount }, () => askOver(connect(port, host).setTimeout(patienceMs), next)),
  );
}

function askOver(socket: Socket, next: Asking["next"]): Promise<void> {
  const ask = (): void => {
    const request = next();
    if (request === undefined) socket.destroy();
    else socket.write(request);
  };
  return new Promise((resolve) => {
    socket.on("connect", ask);
    socket.on("data", ask);
    socket.on("timeout", () => socket.destroy());
    // why it ended says the close that follows
    socket.on("error", () => {});
    socket.on("close", () => resolve());
  });
}
