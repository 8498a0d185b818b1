/**
 * A connection to a node on which the head of each request can be changed or held back, so that a client that only sends right
 * requests meets the errors of wrong, late and cut ones. Must never change an answer.
 */
import { connect, createServer, type Server, type Socket } from "node:net";

const HEAD_END = "\r\n\r\n";

/** What is sent in place of a head, and after how long the rest of the request follows. */
export interface Sent {
  readonly now: string;
  /** sent before the body, when it is there; a promise that never resolves holds the request for good */
  readonly later?: Promise<string>;
}

/** One wire, to one node. */
export class Wire implements AsyncDisposable {
  readonly url: string;
  /** heads, or what is sent in their place, that have left for the node */
  sentCount = 0;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;

  private constructor(url: string, server: Server, sockets: Set<Socket>) {
    this.url = url;
    this.#server = server;
    this.#sockets = sockets;
  }

  /** Opens a wire to the node at `url`; `change` gets each head as text, its empty line included. */
  static async to(url: string, change: (head: string) => Sent): Promise<Wire> {
    const { hostname, port } = new URL(url);
    const sockets = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true }, (client) => {
      const node = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
      for (const socket of [client, node]) {
        sockets.add(socket.on("error", () => sockets.delete(socket)));
        socket.on("close", () => sockets.delete(socket));
      }
      node.pipe(client);
      let begun = Buffer.alloc(0);
      const read = (chunk: Buffer): void => {
        begun = Buffer.concat([begun, chunk]);
        const end = begun.indexOf(HEAD_END) + HEAD_END.length;
        if (end < HEAD_END.length) return;
        client.off("data", read).pause();
        const { now, later } = change(begun.toString("latin1", 0, end));
        const rest = begun.subarray(end);
        node.write(now, "latin1", () => {
          wire.sentCount += 1;
        });
        void (later ?? Promise.resolve("")).then((text) => {
          node.write(Buffer.concat([Buffer.from(text, "latin1"), rest]));
          client.pipe(node);
        });
      };
      client.on("data", read);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const own = typeof address === "object" && address !== null ? address.port : 0;
    const wire = new Wire(`http://127.0.0.1:${own}`, server, sockets);
    return wire;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
