/**
 * Relays between the nodes of one machine, so that a node can be cut off without root: each node is advertised by its relay's
 * address, and everything between two nodes, links and datagrams, passes through it. Datagrams leave by the sender's own relay, so that
 * answers come back the same way. Who opens a link is found by the port that it comes from. Linux only.
 */
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";

const HOST = "127.0.0.1";
/** Another address of the same loopback, so that a relay can have the very port of its node: datagrams are bound to it. */
const RELAY_HOST = "127.0.0.2";
const LISTEN_STATE = "0A";

interface Port {
  /** where the node itself listens */
  readonly nodePort: number;
  readonly links: Server;
  readonly datagrams: DatagramSocket;
}

interface Link {
  readonly from: number;
  readonly to: number;
  readonly sockets: readonly [Socket, Socket];
}

/** Lines of the kernel's table of TCP sockets: local port, state, inode. */
function tcpTable(): readonly { readonly port: number; readonly state: string; readonly inode: string }[] {
  const lines = readFileSync("/proc/net/tcp", "utf8").trim().split("\n").slice(1);
  return lines.map((line) => {
    const fields = line.trim().split(/\s+/);
    return { port: Number.parseInt((fields[1] ?? "").slice(9), 16), state: fields[3] ?? "", inode: fields[9] ?? "" };
  });
}

function hasSocket(pid: string, inode: string): boolean {
  try {
    const folder = `/proc/${pid}/fd`;
    return readdirSync(folder).some((fd) => readlinkSync(`${folder}/${fd}`) === `socket:[${inode}]`);
  } catch {
    // The process, or one of its files, is gone: then it is not the one.
    return false;
  }
}

/** The relays of all nodes, by node number from 1. */
export class Relay {
  readonly #ports: Port[] = [];
  readonly #cut = new Set<number>();
  readonly #links = new Set<Link>();

  /** Opens a relay for the node at each of these ports. */
  static async start(nodePorts: readonly number[]): Promise<Relay> {
    if (process.platform !== "linux") throw new Error("a split needs Linux: relays find senders in /proc");
    const relay = new Relay();
    for (const nodePort of nodePorts) await relay.#open(nodePort);
    return relay;
  }

  /** What each node is to be advertised as. */
  get addresses(): readonly string[] {
    return this.#ports.map(({ nodePort }) => `${RELAY_HOST}:${nodePort}`);
  }

  /** Cuts a node off: nothing passes, nothing is refused, as on a broken line. Joined again, old links are reset. */
  cut(node: number, isCut: boolean): void {
    if (isCut) this.#cut.add(node);
    else this.#cut.delete(node);
    for (const link of this.#links) {
      if (link.from !== node && link.to !== node) continue;
      for (const socket of link.sockets) {
        if (isCut) socket.pause();
        else socket.destroy();
      }
    }
  }

  /** Closes everything. */
  async close(): Promise<void> {
    for (const { sockets } of this.#links) for (const socket of sockets) socket.destroy();
    await Promise.all(
      this.#ports.map(async ({ links, datagrams }) => {
        datagrams.close();
        await new Promise((resolve) => links.close(resolve));
      }),
    );
  }

  async #open(nodePort: number): Promise<void> {
    const node = this.#ports.length + 1;
    const links = createServer({ pauseOnConnect: true }, (socket) => this.#link(socket, node));
    await new Promise<void>((resolve, reject) => {
      links.once("error", reject).listen(nodePort, RELAY_HOST, resolve);
    });
    const datagrams = createSocket("udp4", (bytes, { port }) => {
      const from = this.#ports.findIndex((one) => one.nodePort === port) + 1;
      const sender = this.#ports[from - 1];
      if (sender === undefined || this.#isCut(from, node)) return;
      sender.datagrams.send(bytes, nodePort, HOST);
    });
    await new Promise<void>((resolve, reject) => {
      datagrams.once("error", reject).bind(nodePort, RELAY_HOST, resolve);
    });
    this.#ports.push({ nodePort, links, datagrams });
  }

  #isCut(from: number, to: number): boolean {
    return this.#cut.has(from) || this.#cut.has(to);
  }

  #link(incoming: Socket, to: number): void {
    const from = this.#senderOf(incoming.remotePort ?? 0);
    const outgoing = connect({ port: this.#ports[to - 1]?.nodePort ?? 0, host: HOST });
    const link: Link = { from, to, sockets: [incoming, outgoing] };
    this.#links.add(link);
    const end = (): void => {
      this.#links.delete(link);
      incoming.destroy();
      outgoing.destroy();
    };
    for (const socket of link.sockets) socket.on("error", end).on("close", end);
    incoming.on("data", (bytes) => outgoing.write(bytes));
    outgoing.on("data", (bytes) => incoming.write(bytes));
    if (this.#isCut(from, to)) outgoing.pause();
    else incoming.resume();
  }

  /** The node whose process opened the connection that comes from this port; 0 when none did. */
  #senderOf(port: number): number {
    const table = tcpTable();
    const inode = table.find((line) => line.port === port && line.state !== LISTEN_STATE)?.inode;
    const listening = this.#ports.map(
      ({ nodePort }) => table.find((line) => line.port === nodePort && line.state === LISTEN_STATE)?.inode,
    );
    if (inode === undefined) return 0;
    const pid = readdirSync("/proc").find((name) => /^\d+$/.test(name) && hasSocket(name, inode));
    if (pid === undefined) return 0;
    return listening.findIndex((own) => own !== undefined && hasSocket(pid, own)) + 1;
  }
}
