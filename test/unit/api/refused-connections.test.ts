/** Who is refused is not read for a while: nobody's answer waits for it, and nobody's body. */
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { tlsServerMaker } from "../../../services/adapters/tls-server.ts";
import { RefusedConnections } from "../../../services/api/refused-connections.ts";
import { type ApiServer, createApiServer } from "../../../services/api/server.ts";
import { PAUSE_LOOK_MS, REFUSED_PAUSE_MS } from "../../../services/base/load-limits.ts";
import { apiDependencies } from "../../support/api-node.ts";
import { TestCa } from "../../support/certificates.ts";
import { FakeClock } from "../../support/fake-clock.ts";

class Line {
  isRead = true;
  pauses = 0;

  pause(): void {
    this.isRead = false;
    this.pauses += 1;
  }

  resume(): void {
    this.isRead = true;
  }
}

function rig(): { readonly clock: FakeClock; readonly refused: RefusedConnections; isRoomy: boolean } {
  const clock = new FakeClock();
  const state = { isRoomy: false };
  const refused = new RefusedConnections({ clock, isRoomy: () => state.isRoomy });
  return Object.assign(state, { clock, refused });
}

describe("a refused connection", () => {
  it("is read to the end of the turn, then not for a tenth of a second, then again", async () => {
    const { clock, refused } = rig();
    const line = new Line();
    refused.refused(line);
    expect(line.isRead).toBe(true);
    await clock.advance(0);
    expect([line.isRead, refused.count]).toEqual([false, 1]);
    await clock.advance(REFUSED_PAUSE_MS - 1);
    expect(line.isRead).toBe(false);
    await clock.advance(PAUSE_LOOK_MS + 1);
    expect([line.isRead, refused.count, clock.plannedCount]).toEqual([true, 0, 0]);
  });

  it("is paused once for all that was refused of it in a turn", async () => {
    const { clock, refused } = rig();
    const line = new Line();
    for (let i = 0; i < 8; i += 1) refused.refused(line);
    await clock.advance(0);
    refused.refused(line);
    await clock.advance(0);
    expect([line.pauses, refused.count]).toEqual([1, 1]);
  });

  it("is read on when a request of it was let in after the refused one: its body may be on the way", async () => {
    const { clock, refused } = rig();
    const line = new Line();
    refused.refused(line);
    refused.admitted(line);
    await clock.advance(0);
    expect([line.isRead, refused.count, clock.plannedCount]).toEqual([true, 0, 0]);
  });

  it("does not wait when there is room again", async () => {
    const world = rig();
    const line = new Line();
    world.refused.refused(line);
    await world.clock.advance(0);
    world.isRoomy = true;
    await world.clock.advance(PAUSE_LOOK_MS);
    expect(line.isRead).toBe(true);
  });

  it("is read again in bounded time whatever happened, and no timer is left behind", async () => {
    const step = fc.record({
      line: fc.nat(5),
      what: fc.constantFrom<"refused" | "admitted">("refused", "refused", "admitted"),
      thenMs: fc.nat(40),
      isRoomy: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const world = rig();
        const lines = Array.from({ length: 6 }, () => new Line());
        for (const { line, what, thenMs, isRoomy } of steps) {
          world.isRoomy = isRoomy;
          world.refused[what](lines[line] ?? new Line());
          await world.clock.advance(thenMs);
          expect(world.refused.count).toBe(lines.filter(({ isRead }) => !isRead).length);
        }
        world.isRoomy = false;
        await world.clock.advance(REFUSED_PAUSE_MS + PAUSE_LOOK_MS);
        expect(lines.every(({ isRead }) => isRead)).toBe(true);
        expect([world.refused.count, world.clock.plannedCount]).toEqual([0, 0]);
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
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    const closed = here.close();
    await clock.advance(1_000);
    await closed;
  });

  /** Refuses reads, lets writes in. */
  async function listening(): Promise<() => { readonly socket: Socket; readonly statuses: () => readonly string[] }> {
    const calm = {
      limitOf: (work: string) => (work === "read" ? 0 : 64),
      reasonOf: () => "this node is busy",
      answered: () => undefined,
      follow: () => undefined,
    };
    const deps = { ...apiDependencies(), clock, calm };
    here = createApiServer(deps, kind === "TLS" ? tlsServerMaker(source, deps.log, Date.now) : undefined);
    const port = Number((await here.listen("127.0.0.1:0")).split(":")[1]);
    const host = "127.0.0.1";
    return () => {
      const socket = kind === "TLS" ? connectTls({ port, host, ca: ca.cert }) : connect(port, host);
      sockets.push(socket);
      let received = "";
      socket.setEncoding("utf8").on("data", (data) => {
        received += String(data);
      });
      return { socket, statuses: () => [...received.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status ?? "") };
    };
  }

  const pausedCount = async (): Promise<string | undefined> =>
    /^gyre_http_paused_connections (\d+)$/m.exec((await here.inject({ url: "/metrics" })).body)?.[1];

  it("its next request waits in the kernel, others' do not, and all are answered in the end", async () => {
    const open = await listening();
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

  it("the body of a write that was let in behind a refused read is read at once", async () => {
    const open = await listening();
    const { socket, statuses } = open();
    socket.write(`${GET}PUT /v1/kv/b/k HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\na`);
    await expect.poll(statuses).toEqual(["503"]);
    socket.write("bc");
    await expect.poll(statuses).toEqual(["503", "200"]);
  });

  it("one that goes away meanwhile is forgotten", async () => {
    const open = await listening();
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
