/** The port of links while a cluster takes up TLS between its nodes: who can dial whom, and what a port without TLS lets in. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { connect, type Socket } from "node:net";
import { PassThrough } from "node:stream";
import { connect as connectSecurely } from "node:tls";
import { afterEach, describe, expect, test, vi } from "vitest";
import { createPeerDoor } from "../../../services/adapters/peer-door.ts";
import type { PeerTls } from "../../../services/adapters/peer-tls.ts";
import { createUndiciNetwork } from "../../../services/adapters/undici-network.ts";
import type { ByteLink, LogFacts } from "../../../services/base/ports.ts";
import type { PeerTlsMode } from "../../../services/base/security-knobs.ts";
import { TestCa } from "../../support/certificates.ts";
import { untilReal } from "../../support/until-real.ts";

const LOOPBACK = "127.0.0.1";
const HOUR_MS = 3_600_000;
const UPGRADE = "GET /peer HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: gyre-peer\r\n\r\n";
const ca = new TestCa("nodes");
const other = new TestCa("another");
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** What a server here accepts from now on, as the server sees it. */
function acceptedHere(): readonly Socket[] {
  const sockets: Socket[] = [];
  const note = (message: unknown): void => void sockets.push((message as { readonly socket: Socket }).socket);
  subscribe("net.server.socket", note);
  cleanups.push(() => unsubscribe("net.server.socket", note));
  return sockets;
}

/** In the order in which a cluster goes through them. */
const MOVES = ["none", "accept", "prefer", "required"] as const;
type Move = (typeof MOVES)[number];

const REACHES: Readonly<Record<Move, readonly Move[]>> = {
  none: ["none", "accept", "prefer"],
  accept: ["none", "accept", "prefer"],
  prefer: ["accept", "prefer", "required"],
  required: ["accept", "prefer", "required"],
};

interface Told {
  readonly lines: LogFacts[];
  readonly tls: PeerTls | undefined;
}

function toldOf(move: Move, from: TestCa = ca, validMs: readonly [number, number] = [-HOUR_MS, HOUR_MS]): Told {
  const lines: LogFacts[] = [];
  const note = (facts: LogFacts): void => void lines.push(facts);
  if (move === "none") return { lines, tls: undefined };
  const made = { ...from.issue({ name: "n1", hosts: [LOOPBACK], validMs }), ca: ca.cert, expiresAtMs: 0, expires: "" };
  const mode: PeerTlsMode = move;
  const log = { debug: note, info: note, warn: note, error: note };
  const source = { current: () => made, onChange: () => undefined };
  return { lines, tls: { source, mode, log, nowMs: () => performance.now() } };
}

async function accepting({ tls }: Told): Promise<{ readonly address: string; readonly accepted: ByteLink[] }> {
  const accepted: ByteLink[] = [];
  const listener = await createUndiciNetwork(tls).listen(`${LOOPBACK}:0`, (link) => accepted.push(link));
  cleanups.push(async () => {
    for (const link of accepted) link.close("over");
    await listener.close();
  });
  return { address: listener.address, accepted };
}

/** True when bytes go there and back over a link from one to the other. */
async function canLink(from: Told, to: Told): Promise<boolean> {
  const { address, accepted } = await accepting(to);
  let near: ByteLink;
  try {
    near = await createUndiciNetwork(from.tls).dial(address, 2_000);
  } catch {
    return false;
  }
  cleanups.push(() => near.close("over"));
  await untilReal(() => accepted.length > 0);
  let got = "";
  accepted[0]?.listen({ onBytes: (bytes) => accepted[0]?.write(bytes), onClose: () => undefined });
  near.listen({ onBytes: (bytes) => (got += Buffer.from(bytes).toString()), onClose: () => undefined });
  near.write(Buffer.from("there and back"));
  await untilReal(() => got.length >= 14);
  return got === "there and back";
}

/** What comes back until the connection ends. */
function answerTo(address: string, words: string): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect(Number(address.split(":")[1]), LOOPBACK, () => socket.write(words));
    socket.on("data", (part: Buffer) => (text += part.toString()));
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(text));
  });
}

describe("a cluster that takes up TLS between its nodes", () => {
  test.each(MOVES.flatMap((from) => MOVES.map((to) => ({ from, to, isSo: REACHES[from].includes(to) }))))(
    "links a node at $from to one at $to: $isSo",
    async ({ from, to, isSo }) => {
      expect(await canLink(toldOf(from), toldOf(to))).toBe(isSo);
    },
  );

  test("has links both ways all the time, while nodes are at one step or the next", () => {
    for (const [at, move] of MOVES.slice(0, -1).entries()) {
      const next = MOVES[at + 1] ?? move;
      expect([REACHES[move].includes(next), REACHES[next].includes(move)], move).toEqual([true, true]);
    }
  });
});

describe("a port that takes links with TLS and without", () => {
  test.each(["accept", "prefer"] as const)(
    "at %s tells who came without, and of nobody who came with it",
    async (move) => {
      const here = toldOf(move);
      expect(await canLink(toldOf("required"), here)).toBe(true);
      expect(here.lines).toEqual([]);
      expect(await canLink(toldOf("none"), here)).toBe(true);
      expect(here.lines).toMatchObject([{ event: "peers.connection-without-tls", address: LOOPBACK }]);
    },
  );

  test("believes whoever comes with TLS no more than one that takes nothing else", async () => {
    const here = toldOf("prefer");
    expect(await canLink(toldOf("required", other), here)).toBe(false);
    expect(await canLink(toldOf("required", ca, [-2 * HOUR_MS, -HOUR_MS]), here)).toBe(false);
    const { address, accepted } = await accepting(here);
    const text = await new Promise((resolve) => {
      let got = "";
      const socket = connectSecurely({ host: LOOPBACK, port: Number(address.split(":")[1]), ca: ca.cert }, () => {
        socket.write(UPGRADE);
      });
      socket.on("data", (part: Buffer) => (got += part.toString()));
      socket.on("error", () => undefined);
      socket.on("close", () => resolve(got));
    });
    expect([text, accepted]).toEqual(["", []]);
    expect(here.lines.filter(({ event }) => event === "peers.tls-refused")).toHaveLength(3);
  });

  test("dials nobody without TLS at prefer, though the other side has none: nobody on the way can talk it out of it", async () => {
    const { address, accepted } = await accepting(toldOf("none"));
    const dial = createUndiciNetwork(toldOf("prefer").tls).dial(address, 2_000);
    await expect(dial).rejects.toMatchObject({ code: "ERR_GYRE_TLS" });
    expect(accepted).toEqual([]);
  });

  test("takes nothing but upgrades, and what is neither TLS nor HTTP ends", async () => {
    const { address, accepted } = await accepting(toldOf("accept"));
    expect(await answerTo(address, "GET / HTTP/1.1\r\nhost: h\r\n\r\n")).toContain("426 Upgrade Required");
    expect(await answerTo(address, "\u0000\u0001\u0002\r\n\r\n")).not.toContain("101");
    expect(
      await answerTo(address, "\u0016\u0003\u0001no handshake at all, and a record of a length that lies"),
    ).not.toContain("1");
    expect(accepted).toEqual([]);
  });

  test.each(["none", "accept"] as const)(
    "at %s ends an upgrade to something else, though its client keeps the connection open and reads nothing",
    async (move) => {
      const { address, accepted } = await accepting(toldOf(move));
      const theirs = acceptedHere();
      const socket = connect({ port: Number(address.split(":")[1]), host: LOOPBACK, allowHalfOpen: true }, () =>
        socket.write("GET /x HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: nope\r\n\r\n"),
      );
      socket.pause().on("error", () => undefined);
      cleanups.push(() => socket.destroy());
      await untilReal(() => theirs.length === 1 && theirs[0]?.destroyed === true);
      expect([socket.destroyed, accepted]).toEqual([false, []]);
    },
  );

  test("names each address that comes without TLS once a minute, two of one network too, and not all of very many", async () => {
    let now = 0;
    const warned: unknown[] = [];
    const ignore = (): void => undefined;
    const log = {
      debug: ignore,
      info: ignore,
      error: ignore,
      warn: ({ address }: LogFacts) => void warned.push(address),
    };
    const { tls } = toldOf("accept");
    if (tls === undefined) throw new Error("no TLS at accept");
    const { port } = createPeerDoor({}, { ...tls, log, nowMs: () => now });
    const visit = (remoteAddress: string): void => {
      const socket = Object.assign(new PassThrough(), { remoteAddress });
      port.emit("connection", socket);
      socket.emit("data", Buffer.from("G"));
      socket.destroy();
    };
    for (const from of ["fd00::1", "fd00::2", "fd00::1"]) visit(from);
    expect(warned).toEqual(["fd00::1", "fd00::2"]);
    now = 60_000;
    visit("fd00::1");
    expect(warned.splice(0)).toEqual(["fd00::1", "fd00::2", "fd00::1"]);
    for (let number = 0; number < 1_000; number += 1) visit(`fd00::1:${number}`);
    expect(warned).toHaveLength(255);
  });

  test.each(["", "G", "\u0016"])("ends a connection that stays at %j, and no link", async (words) => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    cleanups.push(() => vi.useRealTimers());
    const { address, accepted } = await accepting(toldOf("prefer"));
    const link = await createUndiciNetwork(toldOf("required").tls).dial(address, 2_000);
    cleanups.push(() => link.close("over"));
    const ends: string[] = [];
    link.listen({ onBytes: () => undefined, onClose: () => ends.push("link") });
    const socket = connect(Number(address.split(":")[1]), LOOPBACK, () => words !== "" && socket.write(words));
    socket
      .on("error", () => undefined)
      .on("close", () => ends.push("connection"))
      .resume();
    for (let turns = 0; ends.length === 0 && turns < 100_000; turns += 1) {
      vi.advanceTimersByTime(10);
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
    expect([ends, accepted.length]).toEqual([["connection"], 1]);
  });
});
