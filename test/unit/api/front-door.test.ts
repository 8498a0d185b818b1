/** The door before the framework: who passes, who waits, who is refused, and how much of one client it deals with. */
import { EventEmitter, once } from "node:events";
import { createServer } from "node:http";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { afterEach, describe, expect, it } from "vitest";
import { tlsServerMaker } from "../../../services/adapters/tls-server.ts";
import { NO_CALLER } from "../../../services/api/caller-crowd.ts";
import { FrontDoor, type RequestSource, standBefore } from "../../../services/api/front-door.ts";
import { FULL_OF_BYTES, type Hindrance } from "../../../services/api/front-gate.ts";
import { allRoutes } from "../../../services/api/routes.ts";
import { type ApiServer, createApiServer } from "../../../services/api/server.ts";
import { MAX_INFLIGHT_BYTES, MAX_VALUE_BYTES } from "../../../services/base/limits.ts";
import {
  NEWCOMER_DOUBTFUL_MS,
  QUEUE_BODY_BYTES,
  QUEUE_LOOK_MS,
  QUEUE_MAX_BYTES,
  QUEUE_MAX_OF_ONE,
  QUEUE_REQUEST_BYTES,
  QUEUE_USEFUL_MS,
} from "../../../services/base/load-limits.ts";
import { apiDependencies, FakeCoordinator } from "../../support/api-node.ts";
import { TestCa } from "../../support/certificates.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { FakeConnection } from "../../support/fake-connection.ts";
import { HeldClock } from "../../support/held-clock.ts";
import { TurnClock } from "../../support/turn-clock.ts";

const TARGET = "/v1/kv/b/k";
const FULL: Hindrance = { kind: "node", reason: "limit", words: "full" };

interface Rig {
  readonly clock: FakeClock;
  readonly door: FrontDoor;
  /** what is asked of one connection or, without a number, of a new one: what became of it at once */
  ask(method: string, url: string, connection?: number, bytes?: number): string;
  /** requests that the framework has seen, with what they waited */
  readonly served: (readonly [text: string, waitedMs: number | undefined])[];
  /** the connection of the number */
  lineOf(connection: number): FakeConnection;
  why: Hindrance | undefined;
  /** of those that were refused, by what name they were counted */
  readonly reasons: string[];
  /** of each request that was asked about, whether it was said to */
  readonly bringsValue: boolean[];
  /** that may come in */
  freeBytes: number;
  isOpen: boolean;
}

function rig(): Rig {
  const clock = new FakeClock();
  const served: Rig["served"] = [];
  const lines = new Map<number, FakeConnection>();
  const door = new FrontDoor({
    clock,
    gate: { isOpen: () => here.isOpen, callerAtDoor: () => NO_CALLER },
    reasonNow: (_work, whose, bytes) => {
      here.bringsValue.push(whose.bringsValue);
      return here.why ?? (bytes > here.freeBytes ? FULL_OF_BYTES : undefined);
    },
    serve: ({ method, url, waitedMs }) => void served.push([`${method} ${url}`, waitedMs]),
    onRefused: (_work, { reason }) => void here.reasons.push(reason),
    nextId: () => "id",
    chance: () => 0,
  });
  const here: Rig = {
    clock,
    door,
    served,
    why: FULL,
    reasons: [],
    bringsValue: [],
    freeBytes: Number.POSITIVE_INFINITY,
    isOpen: true,
    lineOf: (connection) => {
      const line = lines.get(connection) ?? new FakeConnection();
      lines.set(connection, line);
      return line;
    },
    ask: (method, url, connection, bytes = 0) => {
      const [servedBefore, waitingBefore] = [served.length, door.waitingCount];
      let text = "";
      const response = { writeHead: () => undefined, end: (body: string) => (text = body) };
      const socket = connection === undefined ? new FakeConnection() : here.lineOf(connection);
      door.enter({ method, url, headers: { "content-length": `${bytes}` }, rawHeaders: [], socket }, response);
      if (served.length > servedBefore) return "served";
      return door.waitingCount > waitingBefore ? "waits" : text;
    },
  };
  return here;
}

describe("a door", () => {
  it("has a request of a key wait for room, and lets it in when there is some, with what it waited", async () => {
    const here = rig();
    expect(here.ask("PUT", TARGET)).toBe("waits");
    await here.clock.advance(30);
    here.why = undefined;
    here.door.placeFree();
    await here.clock.advance(0);
    expect([here.served, here.door.waitingCount]).toEqual([[[`PUT ${TARGET}`, 30]], 0]);
    expect([here.door.waitedOf("write"), here.door.waitedOf("read"), here.door.waitedOf("list")]).toEqual([1, 0, 0]);
  });

  it("has nobody wait who is let in, nor anything but requests of a key", () => {
    const here = rig();
    expect(here.ask("GET", "/readyz")).toBe("served");
    expect(here.ask("GET", TARGET, 1)).toBe("waits");
    expect(here.ask("GET", "/readyz", 1)).toBe("served");
    here.why = undefined;
    expect(here.ask("GET", TARGET)).toBe("served");
    expect(here.served.every(([, waitedMs]) => waitedMs === undefined)).toBe(true);
  });

  it("has a request wait behind one of its own connection though there is room, and no more of them than a bound", () => {
    const here = rig();
    here.ask("GET", TARGET, 1);
    here.why = undefined;
    for (let n = 1; n < QUEUE_MAX_OF_ONE; n += 1) expect(here.ask("PUT", TARGET, 1)).toBe("waits");
    expect(here.ask("PUT", TARGET, 1)).toContain("this node has no room for what came before over this connection");
    expect([here.served, here.reasons]).toEqual([[], ["behind"]]);
  });

  it("lets everybody in once its node stops, whoever comes", () => {
    const here = rig();
    expect(here.ask("GET", TARGET, 1)).toBe("waits");
    here.door.letInAll();
    expect([here.ask("GET", TARGET, 1), here.ask("PUT", TARGET)]).toEqual(["served", "served"]);
    expect([here.served.length, here.door.waitingCount]).toEqual([3, 0]);
  });

  it("lets nothing in that has waited unread for too long, and takes it for as old as it may be", async () => {
    const here = rig();
    const fates: string[] = [];
    here.lineOf(1).once("resume", () => {
      here.why = undefined;
      fates.push(here.ask("GET", TARGET, 1), here.ask("GET", TARGET, 1));
    });
    here.ask("GET", TARGET, 1);
    here.ask("GET", TARGET, 1);
    await here.clock.advance(QUEUE_USEFUL_MS + 2 * QUEUE_LOOK_MS);
    expect([fates, here.served]).toEqual([["waits", "waits"], []]);
    await here.clock.advance(2 * QUEUE_LOOK_MS);
    expect([here.served, here.door.waitingCount]).toEqual([[], 0]);
    expect(here.ask("GET", TARGET, 1)).toBe("served");
  });

  it.each([
    ["line, headers and itself", {}, 0],
    ["and what is read of its body", { "content-length": "50000" }, 50_000],
    ["of a long body only what is read at once", { "content-length": "1000000" }, QUEUE_BODY_BYTES],
    ["of one of unknown length as much", { "transfer-encoding": "chunked" }, QUEUE_BODY_BYTES],
  ])("counts what a request that waits takes: %s", (_, headers, bodyBytes) => {
    const here = rig();
    const nothing = (): void => undefined;
    const ask = (): void => {
      const socket = new FakeConnection();
      const response = { writeHead: nothing, end: nothing };
      const rawHeaders = ["x".repeat(30_000), "y"];
      here.door.enter({ method: "PUT", url: TARGET, headers, rawHeaders, socket }, response);
    };
    for (let n = 0; n < 2_000; n += 1) ask();
    const eachBytes = 30_001 + TARGET.length + QUEUE_REQUEST_BYTES + bodyBytes;
    expect(here.door.waitingCount).toBe(Math.floor(QUEUE_MAX_BYTES / eachBytes));
  });

  it("takes a request of a key for what the framework will let it bring", () => {
    const limits = allRoutes(apiDependencies(), () => false)
      .filter(({ isOfOneKey }) => isOfOneKey === true)
      .map(({ bodyLimitBytes }) => bodyLimitBytes);
    expect([limits.length > 0, new Set(limits)]).toEqual([true, new Set([MAX_VALUE_BYTES])]);
  });

  it("asks for room for what a request brings, at its coming and at its turn", async () => {
    const here = rig();
    here.why = undefined;
    here.freeBytes = 10;
    expect([here.ask("PUT", TARGET, 1, 11), here.ask("PUT", TARGET, 2, 10)]).toEqual(["waits", "served"]);
    here.door.placeFree();
    await here.clock.advance(0);
    expect(here.door.waitingCount).toBe(1);
    here.freeBytes = 11;
    here.door.placeFree();
    await here.clock.advance(0);
    expect([here.served.length, here.door.waitingCount]).toEqual([2, 0]);
  });

  it("tells of a request that was left unread how long it may have been", async () => {
    const here = rig();
    here.lineOf(1).once("resume", () => void here.ask("GET", TARGET, 1));
    here.ask("GET", TARGET, 1);
    here.ask("GET", TARGET, 1);
    await here.clock.advance(100);
    here.why = undefined;
    here.door.placeFree();
    await here.clock.advance(0);
    expect(here.served.map(([, waitedMs]) => waitedMs)).toEqual([100, 100, 100]);
    expect([here.ask("GET", TARGET, 1), here.served.at(-1)?.[1]]).toEqual(["served", undefined]);
  });

  it("says of a PUT that it brings a value, and of nothing else", () => {
    const here = rig();
    here.why = undefined;
    for (const method of ["PUT", "DELETE", "GET", "HEAD"]) here.ask(method, TARGET);
    expect(here.bringsValue).toEqual([true, false, false, false]);
  });

  it("refuses at once for a hot key's sake, and of a class of which nothing is let in", () => {
    const here = rig();
    here.why = { kind: "own", reason: "hot_key", words: "hot" };
    expect(here.ask("GET", TARGET)).toContain("hot; try again");
    here.why = FULL;
    here.isOpen = false;
    expect(here.ask("PUT", TARGET)).toContain("full; try again");
    expect(here.door.waitingCount).toBe(0);
  });
});

const GET = `GET ${TARGET} HTTP/1.1\r\nhost: h\r\n\r\n`;
const READY = "GET /readyz HTTP/1.1\r\nhost: h\r\n\r\n";
const ca = new TestCa("cluster");
const material = { ...ca.issue({ name: "n1", hosts: ["127.0.0.1"] }), ca: ca.cert, expiresAtMs: 0, expires: "" };
const source = { current: () => material, onChange: () => undefined };

function putHead(bytes: number): string {
  return `PUT ${TARGET} HTTP/1.1\r\nhost: h\r\ncontent-length: ${bytes}\r\n\r\n`;
}

interface Client {
  readonly socket: Socket;
  readonly text: () => string;
  readonly statuses: () => readonly string[];
}

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

function clientOf(socket: Socket): Client {
  let received = "";
  socket.on("error", () => undefined);
  socket.setEncoding("utf8").on("data", (data) => {
    received += String(data);
  });
  ends.push(() => socket.destroy());
  const statuses = (): readonly string[] =>
    [...received.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status ?? "");
  return { socket, text: () => received, statuses };
}

describe.each(["plain", "TLS"])("at a socket, %s", (kind) => {
  interface Full {
    readonly open: () => Client;
    readonly here: ApiServer;
    readonly clock: HeldClock;
    /** over which the request came that takes the only place */
    readonly occupant: Socket;
    /** ends that request */
    readonly free: () => void;
    readonly waitingCount: () => Promise<string | undefined>;
  }

  /** A node that is full of requests of the class: one. */
  async function fullOf(busy: "read" | "write"): Promise<Full> {
    const clock = new HeldClock();
    const calm = {
      limitOf: (work: string) => (work === busy ? 1 : 64),
      reasonOf: () => "this node is busy",
      answered: () => undefined,
      follow: () => undefined,
    };
    const coordinator = new FakeCoordinator();
    const occupied = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    const idle = new FakeCoordinator();
    if (busy === "read") {
      coordinator.answers.get = async (request) => {
        occupied.resolve();
        await ended.promise;
        return idle.get(request);
      };
    } else {
      coordinator.answers.put = async (request) => {
        occupied.resolve();
        await ended.promise;
        return idle.put(request);
      };
    }
    const deps = { ...apiDependencies(), clock, calm, coordinator };
    const here = createApiServer(deps, kind === "TLS" ? tlsServerMaker(source, deps.log, Date.now) : undefined);
    const port = Number((await here.listen("127.0.0.1:0")).split(":")[1]);
    ends.push(async () => {
      ended.resolve();
      const closed = here.close();
      await clock.advance(1_000);
      await closed;
    });
    const host = "127.0.0.1";
    const open = (): Client =>
      clientOf(kind === "TLS" ? connectTls({ port, host, ca: ca.cert }) : connect({ port, host }));
    const { socket: occupant } = open();
    occupant.write(busy === "read" ? GET : `${putHead(1)}x`);
    await occupied.promise;
    const waitingCount = async (): Promise<string | undefined> =>
      /^gyre_http_waiting_requests (\d+)$/m.exec((await here.inject({ url: "/metrics" })).body)?.[1];
    return { open, here, clock, occupant, free: ended.resolve, waitingCount };
  }

  it("a request waits, others' do not, and it is served when there is room, its wait told", async () => {
    const { open, here, clock, free, waitingCount } = await fullOf("read");
    const [one, other] = [open(), open()];
    one.socket.write(GET.replace(TARGET, `${TARGET}?explain=true`));
    await expect.poll(waitingCount).toBe("1");
    other.socket.write(READY);
    await expect.poll(other.statuses).toEqual(["200"]);
    await clock.advance(40);
    expect(one.statuses()).toEqual([]);
    free();
    await expect.poll(one.statuses).toEqual(["404"]);
    expect(one.text()).toMatch(/server-timing: total;dur=40, queue;dur=40, coord;dur=0/);
    expect(await waitingCount()).toBe("0");
    // and counted: 40 ms of the one that took the place, and 40 of this one
    const { body } = await here.inject({ url: "/metrics" });
    expect(body).toMatch(/^gyre_http_request_duration_seconds_sum\{[^}]*method="GET"[^}]*\} 0\.08$/m);
  });

  it("one whose time is up before there is room is refused, and nothing is done", async () => {
    const { open, clock, free, waitingCount } = await fullOf("write");
    const { socket, statuses, text } = open();
    socket.write(putHead(1).replace(TARGET, `${TARGET}?timeout=30`));
    await expect.poll(waitingCount).toBe("1");
    await clock.advance(30);
    free();
    socket.write("x");
    await expect.poll(statuses).toEqual(["503"]);
    expect(text()).toMatch(/"outcome":"not_applied".*time was up before there was room/);
  });

  it("one that has waited for too long is refused, and what follows it is answered", async () => {
    const { open, clock, waitingCount } = await fullOf("read");
    const { socket, statuses, text } = open();
    socket.write(GET);
    await expect.poll(waitingCount).toBe("1");
    await clock.advance(QUEUE_USEFUL_MS + 2 * QUEUE_LOOK_MS);
    await expect.poll(statuses).toEqual(["503"]);
    expect(text()).toContain("it has waited for too long; try again after Retry-After");
    socket.write(READY);
    await expect.poll(statuses).toEqual(["503", "200"]);
  });

  it("a write waits with half of its body on the way, which is read once it is let in", async () => {
    const { open, free, waitingCount } = await fullOf("write");
    const { socket, statuses } = open();
    socket.write(`${putHead(3)}a`);
    await expect.poll(waitingCount).toBe("1");
    free();
    await expect.poll(waitingCount).toBe("0");
    socket.write("bc");
    await expect.poll(statuses).toEqual(["200"]);
  });

  it("a write that is refused with half of its body on the way is answered, and what follows it is, too", async () => {
    const { open, clock, waitingCount } = await fullOf("write");
    const { socket, statuses } = open();
    socket.write(`${putHead(3)}a`);
    await expect.poll(waitingCount).toBe("1");
    await clock.advance(QUEUE_USEFUL_MS + 2 * QUEUE_LOOK_MS);
    await expect.poll(statuses).toEqual(["503"]);
    socket.write(`bc${READY}`);
    await expect.poll(statuses).toEqual(["503", "200"]);
  });

  it("requests that were sent on without waiting are answered in their order", async () => {
    const { open, free, waitingCount } = await fullOf("read");
    const { socket, statuses } = open();
    socket.write(`${GET}${putHead(1)}x${GET.replace(TARGET, `${TARGET}?no=1`)}${GET}`);
    await expect.poll(waitingCount).toBe("4");
    expect(statuses()).toEqual([]);
    free();
    await expect.poll(statuses).toEqual(["404", "200", "400", "404"]);
  });

  it("what waits is answered when the node stops", async () => {
    const { open, here, waitingCount } = await fullOf("read");
    const { socket, statuses, text } = open();
    socket.write(GET);
    await expect.poll(waitingCount).toBe("1");
    void here.close();
    await expect.poll(statuses).toEqual(["503"]);
    expect(text()).toContain("shutting_down");
  });

  it.each(["read", "write"] as const)(
    "what is done for one that has gone keeps its place until it is done: %s",
    async (busy) => {
      const { open, here, clock, occupant, free, waitingCount } = await fullOf(busy);
      const { socket, statuses } = open();
      socket.write(busy === "read" ? GET : `${putHead(1)}x`);
      await expect.poll(waitingCount).toBe("1");
      occupant.destroy();
      const aborted = /^gyre_http_request_duration_seconds_count\{[^}]*status="aborted"[^}]*\} 1$/m;
      await expect.poll(async () => (await here.inject({ url: "/metrics" })).body).toMatch(aborted);
      await clock.advance(2 * QUEUE_LOOK_MS);
      expect([statuses(), await waitingCount()]).toEqual([[], "1"]);
      free();
      await expect
        .poll(async () => {
          await clock.advance(QUEUE_LOOK_MS);
          return statuses();
        })
        .toEqual([busy === "read" ? "404" : "200"]);
    },
  );

  it("one that goes away meanwhile is forgotten", async () => {
    const { open, waitingCount } = await fullOf("read");
    const { socket } = open();
    socket.write(GET);
    await expect.poll(waitingCount).toBe("1");
    socket.destroy();
    await expect.poll(waitingCount).toBe("0");
  });
});

describe("a node that is full of bytes", () => {
  it("has what brings more than there is room for wait, and lets it in when there is, not before", async () => {
    const clock = new HeldClock();
    const here = createApiServer({ ...apiDependencies(), clock });
    // by name: at its other address nobody would wait
    const address = await here.listen("localhost:0");
    expect(address).toMatch(/^127\.0\.0\.1:\d+$/);
    ends.push(() => here.close());
    const open = (bytes: number): Client => {
      const client = clientOf(connect(Number(address.split(":")[1]), "127.0.0.1"));
      client.socket.write(putHead(bytes));
      return client;
    };
    const metric = async (name: string): Promise<number> =>
      Number(new RegExp(`^${name} (\\d+)$`, "m").exec((await here.inject({ url: "/metrics" })).body)?.[1]);
    const waitingCount = (): Promise<number> => metric("gyre_http_waiting_requests");
    const count = MAX_INFLIGHT_BYTES / MAX_VALUE_BYTES;
    const [first, second] = Array.from({ length: count }, () => open(MAX_VALUE_BYTES));
    await expect.poll(() => metric("gyre_http_inflight_bytes")).toBe(MAX_INFLIGHT_BYTES);
    const many = Array.from({ length: 10 }, () => open(MAX_VALUE_BYTES));
    await expect.poll(waitingCount).toBe(10);
    first?.socket.destroy();
    await expect.poll(waitingCount).toBe(9);
    second?.socket.destroy();
    await expect.poll(waitingCount).toBe(8);
    expect(many.flatMap(({ statuses }) => statuses())).toEqual([]);
  });
});

interface Stand {
  readonly clock: TurnClock;
  /** what the framework has seen, with what it waited, ms */
  readonly begun: (readonly [url: string, waitedMs: number | undefined])[];
  readonly door: FrontDoor;
  goneCount: number;
  refusedCount: number;
  why: Hindrance | undefined;
  /** asks over a connection that is taken in now */
  ask(url: string, line?: FakeConnection): void;
}

/** What stands before a server at which connections may have waited for long. */
async function crowdedStand(): Promise<Stand> {
  const [clock, server] = [new TurnClock(), new EventEmitter()];
  const begun: Stand["begun"] = [];
  server.on("request", ({ url, waitedMs }: { readonly url: string; readonly waitedMs?: number }) =>
    begun.push([url, waitedMs]),
  );
  const door = standBefore(server as RequestSource, {
    clock,
    gate: { isOpen: () => true, callerAtDoor: () => NO_CALLER },
    reasonNow: () => here.why,
    onRefused: () => {
      here.refusedCount += 1;
    },
    onGone: () => {
      here.goneCount += 1;
    },
    nextId: () => "id",
    chance: () => 0,
  });
  const here: Stand = {
    clock,
    begun,
    door,
    goneCount: 0,
    refusedCount: 0,
    why: undefined,
    ask: (url, socket = new FakeConnection()) => {
      server.emit("connection", socket);
      const response = { writeHead: () => undefined, end: () => undefined };
      server.emit("request", { method: "GET", url, headers: {}, rawHeaders: [], socket }, response);
    },
  };
  for (let turn = 0; turn < 10; turn += 1) {
    if (turn % 2 === 0) server.emit("drop");
    else server.emit("connection", new FakeConnection());
    clock.endTurn();
    await clock.advance(NEWCOMER_DOUBTFUL_MS / 10);
  }
  return here;
}

describe("what stands before a server", () => {
  it("learns of its connections: where they wait nothing is begun for one that has gone", async () => {
    const here = await crowdedStand();
    here.ask("/v1/kv/b/gone", Object.assign(new FakeConnection(), { readableEnded: true }));
    here.ask("/v1/kv/b/here");
    expect(here.begun).toEqual([]);
    here.clock.endTurn();
    await here.clock.advance(30);
    here.clock.endTurn();
    expect([here.begun, here.goneCount]).toEqual([[["/v1/kv/b/here", 30]], 1]);
  });

  it("has a request be as old as it was held and has waited", async () => {
    const here = await crowdedStand();
    here.why = FULL;
    here.ask("/v1/kv/b/k");
    here.clock.endTurn();
    await here.clock.advance(30);
    here.clock.endTurn();
    expect([here.begun, here.door.waitingCount]).toEqual([[], 1]);
    await here.clock.advance(20);
    here.why = undefined;
    here.door.placeFree();
    await here.clock.advance(0);
    here.clock.endTurn();
    expect(here.begun).toEqual([["/v1/kv/b/k", 50]]);
  });

  it("serves none that was held for too long, though there is room", async () => {
    const here = await crowdedStand();
    here.ask("/v1/kv/b/k");
    here.clock.endTurn();
    await here.clock.advance(QUEUE_USEFUL_MS + 1);
    here.clock.endTurn();
    expect([here.begun, here.door.waitingCount]).toEqual([[], 1]);
    await here.clock.advance(QUEUE_LOOK_MS);
    expect([here.begun, here.door.waitingCount, here.refusedCount]).toEqual([[], 0, 1]);
  });
});

describe("a node at which connections may have waited for long", () => {
  /** Whose turns are ended by hand. */
  async function crowdedNode(isTls: boolean): Promise<{ here: ApiServer; clock: TurnClock; port: number }> {
    const clock = new TurnClock();
    const deps = { ...apiDependencies(), clock };
    const here = createApiServer(deps, isTls ? tlsServerMaker(source, deps.log, Date.now) : undefined);
    const port = Number((await here.listen("127.0.0.1:0")).split(":")[1]);
    ends.push(() => here.close());
    clientOf(connect(port, "127.0.0.1"));
    await expect.poll(() => clock.plannedCount).toBe(1);
    await clock.advance(NEWCOMER_DOUBTFUL_MS);
    return { here, clock, port };
  }

  it("counts the requests that it does not begin, for their clients have gone", async () => {
    const { here, clock, port } = await crowdedNode(false);
    const { socket } = clientOf(connect(port, "127.0.0.1"));
    socket.end(GET.repeat(3));
    await once(socket, "close");
    clock.endTurn();
    clock.endTurn();
    expect((await here.inject({ url: "/metrics" })).body).toContain("\ngyre_http_gone_requests_total 3\n");
  });

  it("holds none that comes with TLS", async () => {
    const { port } = await crowdedNode(true);
    const { socket, statuses } = clientOf(connectTls({ port, host: "127.0.0.1", ca: ca.cert }));
    socket.write(GET);
    // there is no such key
    await expect.poll(statuses).toEqual(["404"]);
  });
});

describe("a client that sends on without waiting", () => {
  // One read is 64 KiB, 1,821 of the shortest of these; without a bound all would be read and refused.
  it.each([
    ["GET", `GET ${TARGET} HTTP/1.1\r\nhost:\r\n\r\n`],
    ["PUT", `PUT ${TARGET} HTTP/1.1\r\nhost:\r\ncontent-length: 1\r\n\r\nx`],
  ])("is not read on while its first request waits: %s", async (_, request) => {
    const clock = new HeldClock();
    let refusedCount = 0;
    const server = createServer(() => undefined);
    const door = standBefore(server, {
      clock,
      gate: { isOpen: () => true, callerAtDoor: () => NO_CALLER },
      reasonNow: () => FULL,
      onRefused: () => {
        refusedCount += 1;
      },
      onGone: () => undefined,
      nextId: () => "id",
      chance: () => 0,
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    ends.push(() => new Promise((resolve) => server.close(resolve)));
    ends.push(() => server.closeAllConnections());
    const address = server.address();
    const { socket, statuses } = clientOf(connect(typeof address === "object" ? (address?.port ?? 0) : 0, "127.0.0.1"));
    const requestCount = 60_000;
    socket.write(request.repeat(requestCount));
    await expect.poll(() => door.waitingCount).toBe(QUEUE_MAX_OF_ONE);
    // until nothing has been read for some turns
    for (let [quiet, before] = [0, -1]; quiet < 50; quiet = refusedCount === before ? quiet + 1 : 0) {
      before = refusedCount;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(refusedCount).toBeLessThan(requestCount / 10);
    expect(statuses()).toEqual([]);
    // and yet all are answered
    const goOn = async (): Promise<number> => {
      await clock.advance(QUEUE_USEFUL_MS + 2 * QUEUE_LOOK_MS);
      return statuses().length;
    };
    await expect.poll(goOn, { interval: 1 }).toBe(requestCount);
  });
});
