/** Who is refused is not read for a while: nobody's answer waits for it, and nobody's body. */
import { EventEmitter } from "node:events";
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
  REFUSED_PAUSE_MS,
} from "../../../services/base/load-limits.ts";
import { apiDependencies, FakeCoordinator } from "../../support/api-node.ts";
import { TestCa } from "../../support/certificates.ts";
import { FakeClock } from "../../support/fake-clock.ts";

class Line extends EventEmitter {
  destroyed = false;
  isRead = true;
  pauses = 0;

  pause(): void {
    if (this.isRead) this.pauses += 1;
    this.isRead = false;
  }

  resume(): void {
    if (this.isRead) return;
    this.isRead = true;
    this.emit("resume");
  }
}

interface Rig {
  readonly clock: FakeClock;
  readonly refused: RefusedConnections;
  /** refuses a request of the line, in the middle of a flood */
  readonly refuse: (line: Line, work: RefusedWork) => void;
  readonly room: Record<RefusedWork, number>;
}

function rig(): Rig {
  const clock = new FakeClock();
  const room = { read: 0, write: 0 };
  const refused = new RefusedConnections({ clock, roomFor: (work) => room[work] });
  const gone = Object.assign(new Line(), { destroyed: true });
  const refuse = (line: Line, work: RefusedWork): void => {
    for (let i = 0; i < FLOOD_REFUSALS; i += 1) refused.refused(gone, work);
    refused.refused(line, work);
  };
  return { clock, room, refused, refuse };
}

function lines(count: number): Line[] {
  return Array.from({ length: count }, () => new Line());
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
    const [last = new Line()] = lines(1);
    for (const line of [...few, last]) refused.refused(line, "read");
    await clock.advance(0);
    expect([few.every(({ isRead }) => isRead), last.isRead, refused.count]).toEqual([true, false, 1]);
  });

  it("is read to the end of what came, then not for a quarter of a second, then again", async () => {
    const { clock, refused, refuse } = rig();
    const line = new Line();
    refuse(line, "read");
    expect(line.isRead).toBe(true);
    await clock.advance(0);
    expect([line.isRead, refused.count]).toEqual([false, 1]);
    await clock.advance(REFUSED_PAUSE_MS - 1);
    expect(line.isRead).toBe(false);
    await clock.advance(PAUSE_LOOK_MS + 1);
    expect([line.isRead, refused.count, clock.plannedCount]).toEqual([true, 0, 0]);
  });

  it("waits once for all that was refused of it, and no longer for what is refused meanwhile", async () => {
    const { clock, refused, refuse } = rig();
    const line = new Line();
    for (let i = 0; i < 8; i += 1) refuse(line, "read");
    await clock.advance(200);
    expect(line.pauses).toBe(1);
    line.resume();
    refuse(line, "write");
    await clock.advance(0);
    expect([line.isRead, refused.count]).toEqual([false, 1]);
    await clock.advance(REFUSED_PAUSE_MS - 200 + PAUSE_LOOK_MS);
    expect([line.isRead, refused.count]).toEqual([true, 0]);
  });

  it.each([
    ["whose body is on the way", ARRIVING, true],
    ["that has come whole", ARRIVED, false],
  ])("that also had a request let in %s is read on: %s", async (_, behind, isRead) => {
    const { clock, refused, refuse } = rig();
    const [line = new Line(), other = new Line()] = lines(2);
    refuse(line, "read");
    refused.admitted(line, behind);
    refused.admitted(other, behind);
    await clock.advance(0);
    expect([line.isRead, other.isRead, refused.count]).toEqual([isRead, true, isRead ? 0 : 1]);
  });

  it("is read no further in the turn, whoever has it read on, once its parser is done", async () => {
    const { clock, refused, refuse } = rig();
    const line = new Line();
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
    const [line, behind] = [new Line(), { complete: false }];
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
    const line = new Line();
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
    const line = new Line();
    refuse(line, "read");
    line.destroyed = true;
    await clock.advance(0);
    expect([refused.count, clock.plannedCount]).toEqual([0, 0]);
  });

  it("is read again when there is room for what it was refused, the oldest first, and no more than there is room for", async () => {
    const { clock, refused, refuse, room } = rig();
    const [readers, writers] = [lines(5), lines(5)];
    for (const line of readers) refuse(line, "read");
    for (const line of writers) refuse(line, "write");
    await clock.advance(0);
    room.read = 2;
    await clock.advance(PAUSE_LOOK_MS);
    expect(readers.map(({ isRead }) => isRead)).toEqual([true, true, false, false, false]);
    expect(writers.some(({ isRead }) => isRead)).toBe(false);
    room.read = Number.POSITIVE_INFINITY;
    await clock.advance(PAUSE_LOOK_MS);
    expect(readers.every(({ isRead }) => isRead)).toBe(true);
    expect(refused.count).toBe(5);
  });

  it("is read at once when the node stops", async () => {
    const { clock, refused, refuse } = rig();
    const [reader = new Line(), writer = new Line()] = lines(2);
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
          const one = all[line] ?? new Line();
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
        await clock.advance(REFUSED_PAUSE_MS + PAUSE_LOOK_MS);
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
    await clock.advance(REFUSED_PAUSE_MS + PAUSE_LOOK_MS);
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
    await clock.advance(REFUSED_PAUSE_MS + PAUSE_LOOK_MS);
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
    await clock.advance(REFUSED_PAUSE_MS + PAUSE_LOOK_MS);
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
    await clock.advance(REFUSED_PAUSE_MS + PAUSE_LOOK_MS);
    expect(await pausedCount()).toBe("0");
  });
});

const GET = "GET /v1/kv/b/k HTTP/1.1\r\nhost: h\r\n\r\n";
const READY = "GET /readyz HTTP/1.1\r\nhost: h\r\n\r\n";

function putHead(bytes: number): string {
  return `PUT /v1/kv/b/k HTTP/1.1\r\nhost: h\r\ncontent-length: ${bytes}\r\n\r\n`;
}
