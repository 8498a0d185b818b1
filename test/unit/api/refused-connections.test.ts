/** Who is refused is not read for a while: nobody's answer waits for it, and nobody's body. */
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { tlsServerMaker } from "../../../services/adapters/tls-server.ts";
import { RefusedConnections, type RefusedWork } from "../../../services/api/refused-connections.ts";
import { type ApiServer, createApiServer } from "../../../services/api/server.ts";
import {
  FLOOD_REFUSALS,
  FLOOD_WINDOW_MS,
  PAUSE_LOOK_MS,
  REFUSED_PAUSE_EACH_MS,
  REFUSED_PAUSE_MAX_MS,
  REFUSED_PAUSE_MIN_MS,
  REFUSED_USEFUL_MS,
} from "../../../services/base/load-limits.ts";
import { apiDependencies, FakeCoordinator } from "../../support/api-node.ts";
import { TestCa } from "../../support/certificates.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { FakeLine } from "../../support/fake-line.ts";

interface Rig {
  readonly clock: FakeClock;
  readonly refused: RefusedConnections;
  /** refuses a request of the line, in the middle of a flood */
  readonly refuse: (line: FakeLine, work: RefusedWork) => void;
  readonly room: Record<RefusedWork, number>;
}

function rig(): Rig {
  const clock = new FakeClock();
  const room = { read: 0, write: 0 };
  const refused = new RefusedConnections({ clock, roomFor: (work) => room[work] });
  const gone = lines(FLOOD_REFUSALS).map((line) => Object.assign(line, { destroyed: true }));
  const refuse = (line: FakeLine, work: RefusedWork): void => {
    for (const one of gone) refused.refused(one, work);
    refused.refused(line, work);
  };
  return { clock, room, refused, refuse };
}

function lines(count: number): FakeLine[] {
  return Array.from({ length: count }, () => new FakeLine());
}

const ARRIVED = { complete: true };
const ARRIVING = { complete: false };

describe("a refused connection", () => {
  it("is read on while refusals are few, whoever they are of", async () => {
    const { clock, refused } = rig();
    const few = lines(FLOOD_REFUSALS);
    for (let window = 0; window < 3; window += 1) {
      for (const line of few) refused.refused(line, "read");
      await clock.advance(FLOOD_WINDOW_MS);
    }
    expect(few.every(({ isRead }) => isRead)).toBe(true);
    const [last = new FakeLine()] = lines(1);
    for (const line of [...few, last]) refused.refused(line, "read");
    await clock.advance(0);
    expect([few.every(({ isRead }) => isRead), last.isRead, refused.count]).toEqual([true, false, 1]);
  });

  it("is read to the end of what came, then not for a quarter of a second, then again", async () => {
    const { clock, refused, refuse } = rig();
    const line = new FakeLine();
    refuse(line, "read");
    expect(line.isRead).toBe(true);
    await clock.advance(0);
    expect([line.isRead, refused.count]).toEqual([false, 1]);
    await clock.advance(REFUSED_PAUSE_MIN_MS - 1);
    expect(line.isRead).toBe(false);
    await clock.advance(PAUSE_LOOK_MS + 1);
    expect([line.isRead, refused.count, clock.plannedCount]).toEqual([true, 0, 0]);
  });

  it("waits once for all that was refused of it, and no longer for what is refused meanwhile", async () => {
    const { clock, refused, refuse } = rig();
    const line = new FakeLine();
    for (let i = 0; i < 8; i += 1) refuse(line, "read");
    await clock.advance(200);
    expect(line.pauses).toBe(1);
    line.resume();
    refuse(line, "write");
    await clock.advance(0);
    expect([line.isRead, refused.count]).toEqual([false, 1]);
    await clock.advance(REFUSED_PAUSE_MIN_MS - 200 + PAUSE_LOOK_MS);
    expect([line.isRead, refused.count]).toEqual([true, 0]);
  });

  it.each([
    ["whose body is on the way", ARRIVING, true],
    ["that has come whole", ARRIVED, false],
  ])("that also had a request let in %s is read on: %s", async (_, behind, isRead) => {
    const { clock, refused, refuse } = rig();
    const [line = new FakeLine(), other = new FakeLine()] = lines(2);
    refuse(line, "read");
    refused.admitted(line, behind);
    refused.admitted(other, behind);
    await clock.advance(0);
    expect([line.isRead, other.isRead, refused.count]).toEqual([isRead, true, isRead ? 0 : 1]);
  });

  it("is read no further in the turn, whoever has it read on, once its parser is done", async () => {
    const { clock, refused, refuse } = rig();
    const line = new FakeLine();
    refuse(line, "write");
    expect(line.isRead).toBe(true);
    await Promise.resolve();
    expect(line.isRead).toBe(false);
    line.resume();
    line.resume();
    expect([line.isRead, line.listenerCount("resume")]).toEqual([false, 1]);
    await clock.advance(0);
    line.resume();
    expect([line.isRead, refused.count, line.listenerCount("resume")]).toEqual([true, 1, 0]);
  });

  it("is held again by a refusal behind what was let in, once that has come whole", async () => {
    const { refused, refuse } = rig();
    const [line, behind] = [new FakeLine(), { complete: false }];
    refuse(line, "read");
    refused.admitted(line, behind);
    await Promise.resolve();
    expect(line.isRead).toBe(true);
    behind.complete = true;
    refuse(line, "read");
    await Promise.resolve();
    expect(line.isRead).toBe(false);
  });

  it.each([
    ["has just been held", 0],
    ["waits already", 1],
  ])("is read on for the rest of what was let in though it %s", async (_, turns) => {
    const { clock, refused, refuse } = rig();
    const line = new FakeLine();
    for (let turn = 0; turn <= turns; turn += 1) {
      await clock.advance(turn);
      refuse(line, "read");
      await Promise.resolve();
      expect(line.isRead).toBe(false);
    }
    refused.admitted(line, ARRIVING);
    await clock.advance(0);
    expect([line.isRead, refused.count, line.listenerCount("resume")]).toEqual([true, 0, 0]);
  });

  it("is not kept once it is gone", async () => {
    const { clock, refused, refuse } = rig();
    const line = new FakeLine();
    refuse(line, "read");
    line.destroyed = true;
    await clock.advance(0);
    expect([refused.count, clock.plannedCount]).toEqual([0, 0]);
  });

  it("is read again when there is room for what it was refused, the last first, and no more than there is room for", async () => {
    const { clock, refused, refuse, room } = rig();
    const [readers, writers] = [lines(5), lines(5)];
    for (const line of readers) refuse(line, "read");
    for (const line of writers) refuse(line, "write");
    await clock.advance(0);
    room.read = 2;
    await clock.advance(PAUSE_LOOK_MS);
    expect(readers.map(({ isRead }) => isRead)).toEqual([false, false, false, true, true]);
    expect(writers.some(({ isRead }) => isRead)).toBe(false);
    room.read = Number.POSITIVE_INFINITY;
    await clock.advance(PAUSE_LOOK_MS);
    expect(readers.every(({ isRead }) => isRead)).toBe(true);
    expect(refused.count).toBe(5);
  });

  it.each([
    [10, REFUSED_PAUSE_MIN_MS],
    [300, 300 * REFUSED_PAUSE_EACH_MS],
    [2_000, REFUSED_PAUSE_MAX_MS],
  ])("waits the longer the more of them there are: of %i for %i ms", async (count, pauseMs) => {
    const { clock, refused, refuse } = rig();
    const all = lines(count);
    for (const line of all) refuse(line, "read");
    await clock.advance(0);
    await clock.advance(pauseMs - PAUSE_LOOK_MS);
    expect([refused.count, all.some(({ isRead }) => isRead)]).toEqual([count, false]);
    await clock.advance(2 * PAUSE_LOOK_MS);
    expect([refused.count, all.every(({ isRead }) => isRead)]).toEqual([0, true]);
  });

  it("is read for an answer alone when it has waited for too long, and that no longer than for what it had sent", async () => {
    const { clock, refused, refuse, room } = rig();
    const line = new FakeLine();
    room.write = 1;
    const seen: boolean[][] = [];
    const look = (): void => void seen.push([refused.isOverdue(line, "read"), refused.isOverdue(line, "write")]);
    refuse(line, "read");
    await clock.advance(0);
    // as the kernel does: what it had sent comes in the turns to come
    line.on("resume", () => {
      look();
      clock.defer(() => setImmediate(look));
    });
    await clock.advance(REFUSED_PAUSE_MIN_MS + PAUSE_LOOK_MS);
    look();
    expect([line.isRead, seen]).toEqual([
      true,
      [
        [true, false],
        [true, false],
        [false, false],
      ],
    ]);
  });

  it.each([
    ["there is room", 1, false],
    ["there is none either", 0, true],
  ])("has waited for too long for the other class of which %s: %s", async (_, places, isOverdue) => {
    const { clock, refused, refuse, room } = rig();
    const line = new FakeLine();
    refuse(line, "read");
    await clock.advance(0);
    room.write = places;
    const seen: boolean[] = [];
    line.on(
      "resume",
      () => void seen.push(refused.isOverdue(line, "write"), refused.isOverdue(new FakeLine(), "write")),
    );
    await clock.advance(REFUSED_PAUSE_MIN_MS + PAUSE_LOOK_MS);
    expect(seen).toEqual([isOverdue, false]);
  });

  it("is one of fewer that are read the more each of them brings at once", async () => {
    const { clock, refused, room } = rig();
    const all = lines(40);
    for (let turn = 0; turn < 40; turn += 1) {
      for (let n = 0; n < 8; n += 1) for (const line of all) refused.refused(line, "read");
      await clock.advance(0);
    }
    expect(refused.count).toBe(40);
    room.read = 63;
    await clock.advance(PAUSE_LOOK_MS);
    expect(all.filter(({ isRead }) => isRead)).toHaveLength(64 / 8);
  });

  it("is as good as any when it is read because there is room", async () => {
    const { clock, refused, refuse, room } = rig();
    const [old = new FakeLine(), young = new FakeLine()] = lines(2);
    const overdue: (readonly [string, boolean])[] = [];
    for (const [name, line] of [
      ["old", old],
      ["young", young],
    ] as const) {
      line.on("resume", () => void overdue.push([name, refused.isOverdue(line, "read")]));
    }
    refuse(old, "read");
    await clock.advance(REFUSED_PAUSE_MIN_MS / 2);
    refuse(young, "read");
    await clock.advance(0);
    room.read = 1;
    await clock.advance(2 * PAUSE_LOOK_MS);
    expect(overdue).toEqual([
      ["young", false],
      ["old", false],
    ]);
  });

  it("is as good as any when it is refused again and read for room, however long the turn takes", async () => {
    const { clock, refused, refuse, room } = rig();
    const line = new FakeLine();
    refuse(line, "read");
    await clock.advance(0);
    const overdue: boolean[] = [];
    line.on("resume", () => void overdue.push(refused.isOverdue(line, "read")));
    // a turn of the event loop that does not end: what is put off comes after all of this
    const put: (() => void)[] = [];
    const { defer } = clock;
    clock.defer = (run) => void put.push(run);
    await clock.advance(REFUSED_PAUSE_MIN_MS + PAUSE_LOOK_MS);
    refuse(line, "read");
    for (const run of put.splice(0)) run();
    room.read = 1;
    await clock.advance(PAUSE_LOOK_MS);
    expect(overdue).toEqual([true, false]);
    clock.defer = defer;
  });

  it("is read for an answer alone when there is room too late", async () => {
    const { clock, refused, refuse, room } = rig();
    const all = lines(500);
    const overdue: boolean[] = [];
    for (const line of all) {
      line.on("resume", () => void overdue.push(refused.isOverdue(line, "read")));
      refuse(line, "read");
    }
    await clock.advance(0);
    await clock.advance(REFUSED_USEFUL_MS - PAUSE_LOOK_MS);
    room.read = 1;
    await clock.advance(PAUSE_LOOK_MS);
    room.read = 0;
    await clock.advance(PAUSE_LOOK_MS);
    room.read = 1;
    await clock.advance(PAUSE_LOOK_MS);
    expect(overdue).toEqual([false, true]);
  });

  it("is read at once when the node stops", async () => {
    const { clock, refused, refuse } = rig();
    const [reader = new FakeLine(), writer = new FakeLine()] = lines(2);
    refuse(reader, "read");
    refuse(writer, "write");
    await clock.advance(0);
    refused.readAll();
    expect([reader.isRead, writer.isRead, refused.count]).toEqual([true, true, 0]);
    refuse(reader, "read");
    await Promise.resolve();
    refuse(reader, "read");
    expect([refused.readAll(), reader.isRead, refused.readAll()]).toEqual([true, true, false]);
    await clock.advance(PAUSE_LOOK_MS);
    expect([reader.isRead, clock.plannedCount]).toEqual([true, 0]);
  });

  it("is read again in bounded time whatever happened, and no timer is left behind", async () => {
    const step = fc.record({
      line: fc.nat(5),
      work: fc.constantFrom<RefusedWork>("read", "write"),
      isLetIn: fc.boolean(),
      behind: fc.constantFrom(ARRIVED, ARRIVING),
      /** undefined: in the same turn, read on by others */
      thenMs: fc.option(fc.nat(60), { nil: undefined }),
      room: fc.integer({ min: -2, max: 2 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const { clock, refused, refuse, room } = rig();
        const all = lines(6);
        for (const { line, work, isLetIn, behind, thenMs, room: places } of steps) {
          room[work] = places;
          const one = all[line] ?? new FakeLine();
          if (isLetIn) refused.admitted(one, behind);
          else refuse(one, work);
          if (thenMs === undefined) {
            await Promise.resolve();
            if (!isLetIn) one.resume();
            continue;
          }
          await clock.advance(thenMs);
          expect(refused.count).toBe(all.filter(({ isRead }) => !isRead).length);
        }
        Object.assign(room, { read: 0, write: 0 });
        await clock.advance(0);
        await clock.advance(REFUSED_PAUSE_MIN_MS + PAUSE_LOOK_MS);
        expect(all.some((line) => line.listenerCount("resume") > 0)).toBe(false);
        expect(all.every(({ isRead }) => isRead)).toBe(true);
        expect([refused.count, clock.plannedCount]).toEqual([0, 0]);
      }),
      { numRuns: 60 },
    );
  });
});

/** Time stands still until it is told to go on; turns of the event loop are real. */
class HeldClock extends FakeClock {
  override defer(run: () => void): void {
    setImmediate(run);
  }
}

const ca = new TestCa("cluster");
const material = { ...ca.issue({ name: "n1", hosts: ["127.0.0.1"] }), ca: ca.cert, expiresAtMs: 0, expires: "" };
const source = { current: () => material, onChange: () => undefined };

describe.each(["plain", "TLS"])("at a socket, %s", (kind) => {
  const clock = new HeldClock();
  let here: ApiServer;
  const sockets: Socket[] = [];
  let end: () => void;
  afterEach(async () => {
    end();
    for (const socket of sockets.splice(0)) socket.destroy();
    const closed = here.close();
    await clock.advance(1_000);
    await closed;
  });

  interface Client {
    readonly socket: Socket;
    readonly text: () => string;
    readonly statuses: () => readonly string[];
  }

  /** A node that is full of requests of the class: one, which never ends by itself. */
  async function fullOf(busy: RefusedWork): Promise<() => Client> {
    const calm = {
      limitOf: (work: string) => (work === busy ? 1 : 64),
      reasonOf: () => "this node is busy",
      answered: () => undefined,
      follow: () => undefined,
    };
    const coordinator = new FakeCoordinator();
    const occupied = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    end = ended.resolve;
    const hold = async (): Promise<never> => {
      occupied.resolve();
      await ended.promise;
      throw new Error("the test is over");
    };
    if (busy === "read") coordinator.answers.get = hold;
    else coordinator.answers.put = hold;
    const deps = { ...apiDependencies(), clock, calm, coordinator };
    here = createApiServer(deps, kind === "TLS" ? tlsServerMaker(source, deps.log, Date.now) : undefined);
    const port = Number((await here.listen("127.0.0.1:0")).split(":")[1]);
    const host = "127.0.0.1";
    const open = (): Client => {
      const socket = kind === "TLS" ? connectTls({ port, host, ca: ca.cert }) : connect(port, host);
      sockets.push(socket);
      let received = "";
      socket.on("error", () => undefined);
      socket.setEncoding("utf8").on("data", (data) => {
        received += String(data);
      });
      const text = (): string => received;
      return {
        socket,
        text,
        statuses: () => [...received.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status ?? ""),
      };
    };
    open().socket.write(busy === "read" ? GET : `${putHead(1)}x`);
    await occupied.promise;
    const flood = open();
    flood.socket.write((busy === "read" ? GET : `${putHead(1)}x`).repeat(FLOOD_REFUSALS));
    await expect.poll(() => flood.statuses().length).toBe(FLOOD_REFUSALS);
    return open;
  }

  const pausedCount = async (): Promise<string | undefined> =>
    /^gyre_http_paused_connections (\d+)$/m.exec((await here.inject({ url: "/metrics" })).body)?.[1];

  it("its next request waits in the kernel, others' do not, and all are answered in the end", async () => {
    const open = await fullOf("read");
    const [flood, other] = [open(), open()];
    flood.socket.write(`${GET}${GET}`);
    await expect.poll(flood.statuses).toEqual(["503", "503"]);
    await expect.poll(pausedCount).toBe("1");
    await new Promise((resolve) => flood.socket.write(READY, resolve));
    other.socket.write(READY);
    await expect.poll(other.statuses).toEqual(["200"]);
    expect(flood.statuses()).toEqual(["503", "503"]);
    await clock.advance(REFUSED_PAUSE_MIN_MS + PAUSE_LOOK_MS);
    await expect.poll(flood.statuses).toEqual(["503", "503", "200"]);
    expect(await pausedCount()).toBe("0");
  });

  it("so does one that was refused a write which came whole: its end does not have it read on", async () => {
    const open = await fullOf("write");
    const [flood, other] = [open(), open()];
    flood.socket.write(`${putHead(1)}x${putHead(1)}x`);
    await expect.poll(flood.statuses).toEqual(["503", "503"]);
    await expect.poll(pausedCount).toBe("1");
    await new Promise((resolve) => flood.socket.write(READY, resolve));
    other.socket.write(READY);
    await expect.poll(other.statuses).toEqual(["200"]);
    expect(flood.statuses()).toEqual(["503", "503"]);
    await clock.advance(REFUSED_PAUSE_MIN_MS + PAUSE_LOOK_MS);
    await expect.poll(flood.statuses).toEqual(["503", "503", "200"]);
  });

  it("the body of a write that was let in behind a refused read is read at once", async () => {
    const open = await fullOf("read");
    const { socket, statuses } = open();
    socket.write(`${GET}${putHead(3)}a`);
    await expect.poll(statuses).toEqual(["503"]);
    socket.write("bc");
    await expect.poll(statuses).toEqual(["503", "200"]);
  });

  it("a write that was refused with half of its body on the way is answered, and what follows it is, too", async () => {
    const open = await fullOf("write");
    const { socket, statuses } = open();
    socket.write(`${putHead(3)}a`);
    await expect.poll(statuses).toEqual(["503"]);
    socket.write(`bc${READY}`);
    await clock.advance(REFUSED_PAUSE_MIN_MS + PAUSE_LOOK_MS);
    await expect.poll(statuses).toEqual(["503", "200"]);
  });

  it("what it had sent before the node stopped is answered", async () => {
    const open = await fullOf("read");
    const { socket, statuses, text } = open();
    socket.write(GET);
    await expect.poll(statuses).toEqual(["503"]);
    await expect.poll(pausedCount).toBe("1");
    await new Promise((resolve) => socket.write(GET, resolve));
    void here.close();
    await expect.poll(statuses).toEqual(["503", "503"]);
    expect(text()).toContain("shutting_down");
  });

  it("one that goes away meanwhile is forgotten", async () => {
    const open = await fullOf("read");
    const { socket, statuses } = open();
    socket.write(GET);
    await expect.poll(statuses).toEqual(["503"]);
    await expect.poll(pausedCount).toBe("1");
    socket.destroy();
    await clock.advance(REFUSED_PAUSE_MIN_MS + PAUSE_LOOK_MS);
    expect(await pausedCount()).toBe("0");
  });
});

const GET = "GET /v1/kv/b/k HTTP/1.1\r\nhost: h\r\n\r\n";
const READY = "GET /readyz HTTP/1.1\r\nhost: h\r\n\r\n";

function putHead(bytes: number): string {
  return `PUT /v1/kv/b/k HTTP/1.1\r\nhost: h\r\ncontent-length: ${bytes}\r\n\r\n`;
}
