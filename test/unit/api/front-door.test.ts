/** The door before the framework: how much of one client it deals with in a turn, and that a stop leaves nobody unread. */
import { createServer } from "node:http";
import { Worker } from "node:worker_threads";
import { afterEach, describe, expect, it } from "vitest";
import { Admission } from "../../../services/api/admission.ts";
import { FrontDoor } from "../../../services/api/front-door.ts";
import { FrontGate } from "../../../services/api/front-gate.ts";
import { crowdPlaceOf } from "../../../services/api/key-crowd.ts";
import { FLOOD_REFUSALS, PAUSE_LOOK_MS, REFUSED_PAUSE_MIN_MS } from "../../../services/base/load-limits.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { FakeLine } from "../../support/fake-line.ts";

const TARGET = "/v1/kv/b/k";

interface Room {
  readonly door: FrontDoor;
  readonly admission: Admission;
}

/** The door of a node whose places, one unless told, are all taken. */
function doorOf(clock: FakeClock, onRefused: () => void = () => undefined, limit = 1): Room {
  const calm = { limitOf: () => limit, reasonOf: () => "busy", answered: () => undefined, follow: () => undefined };
  const admission = new Admission();
  const gate = new FrontGate(admission, calm);
  for (const work of ["read", "write"] as const) {
    while (gate.reasonNow(work, TARGET) === undefined) {
      gate.crowd.enter(crowdPlaceOf(TARGET));
      admission.tryEnter(work, 0, limit);
    }
  }
  const reasonNow = gate.reasonNow.bind(gate);
  const door = new FrontDoor({ clock, gate, reasonNow, onRefused, nextId: () => "id-1", chance: () => 0 });
  return { door, admission };
}

const RESPONSE = { writeHead: () => undefined, end: () => undefined };

interface Flooded extends Room {
  readonly clock: FakeClock;
  readonly line: FakeLine;
}

/** A door that has refused one connection more than makes nobody wait. */
function flooded(limit?: number): Flooded {
  const [clock, line] = [new FakeClock(), new FakeLine()];
  const room = doorOf(clock, undefined, limit);
  const request = { method: "GET", url: TARGET, complete: true, socket: line };
  for (let n = 0; n <= FLOOD_REFUSALS; n += 1) expect(room.door.passes(request, RESPONSE)).toBe(false);
  return { ...room, clock, line };
}

describe("a door", () => {
  it.each([
    ["reads nobody on whom it refused for its node's sake", 1, false],
    ["reads everybody on whom it refused for a key's sake alone", 64, true],
  ])("%s", async (_, limit, isRead) => {
    const { clock, line } = flooded(limit);
    await clock.advance(0);
    expect(line.isRead).toBe(isRead);
  });
});

describe("a request that has waited unread for too long", () => {
  const LIMIT = 64;

  /** What becomes of requests that a line brings in the turn in which it is read again, and later: by method. */
  async function fates(placesLeft: number): Promise<readonly (readonly [string, boolean, string])[]> {
    const clock = new FakeClock();
    const { door, admission } = doorOf(clock, undefined, LIMIT);
    const texts: string[] = [];
    const response = { writeHead: () => undefined, end: (body: string) => texts.push(body) };
    const seen: (readonly [string, boolean, string])[] = [];
    const line = new FakeLine();
    const ask = (method: string): void => {
      const passed = door.passes({ method, url: "/v1/kv/b/other", complete: true, socket: line }, response);
      seen.push([method, passed, /waited for too long/.test(texts.at(-1) ?? "") ? "waited" : ""]);
      texts.length = 0;
    };
    while (admission.tryEnter("read", 0, LIMIT));
    for (let n = 0; n <= FLOOD_REFUSALS; n += 1) {
      expect(door.passes({ method: "GET", url: TARGET, complete: true, socket: line }, RESPONSE)).toBe(false);
    }
    await clock.advance(0);
    texts.length = 0;
    for (let n = 0; n < placesLeft; n += 1) {
      admission.leave("read", 0);
      admission.leave("write", 0);
    }
    line.on("resume", () => {
      ask("GET");
      ask("DELETE");
    });
    await clock.advance(REFUSED_PAUSE_MIN_MS + PAUSE_LOOK_MS);
    ask("GET");
    return seen;
  }

  it("is refused though some places are left, those of the other class and all later ones are not", async () => {
    expect(await fates(8)).toEqual([
      ["GET", false, "waited"],
      ["DELETE", true, ""],
      ["GET", true, ""],
    ]);
  });

  it("comes in where half of all places are left", async () => {
    expect(await fates(LIMIT / 2 + 1)).toEqual([
      ["GET", true, ""],
      ["DELETE", true, ""],
      ["GET", true, ""],
    ]);
  });
});

describe("a door whose node stops", () => {
  it.each([
    ["of this turn, before it is held", () => undefined],
    ["of this turn, held already", () => Promise.resolve()],
    ["of an earlier turn", (clock: FakeClock) => clock.advance(0)],
  ])("reads one again that was refused: %s", async (_, pass) => {
    const { clock, door, line } = flooded();
    const passed = pass(clock);
    // awaiting nothing would be a turn of the microtasks, too
    if (passed !== undefined) await passed;
    let isDone = false;
    void door.readAll().then(() => {
      isDone = true;
    });
    await Promise.resolve();
    // What it has sent is read in the turns to come: the stop waits for them.
    expect([line.isRead, isDone]).toEqual([true, false]);
    await clock.advance(0);
    expect([line.isRead, isDone, door.unreadCount]).toEqual([true, true, 0]);
  });

  it("stops at once when nobody was refused", async () => {
    const clock = new FakeClock();
    await doorOf(clock).door.readAll();
    expect(clock.plannedCount).toBe(0);
  });
});

/** Time stands still until it is told to go on; turns of the event loop are real. */
class HeldClock extends FakeClock {
  override defer(run: () => void): void {
    setImmediate(run);
  }
}

const UPLOAD_PATH = "/upload";
/** Uploads, then requests without waiting. In a thread of its own: what waits in the kernel must grow while it is read. */
const CLIENT = `
const { port, flood } = require("node:worker_threads").workerData;
const socket = require("node:net").connect(port, "127.0.0.1").on("error", () => undefined);
const upload = "PUT ${UPLOAD_PATH} HTTP/1.1\\r\\nhost: h\\r\\ncontent-length: 1000000\\r\\n\\r\\n" + "x".repeat(1_000_000);
let left = 8;
socket.on("data", () => {
  left -= 1;
  if (left >= 0) socket.write(left === 0 ? flood : upload);
});
socket.write(upload);
`;

describe("a client that sends on without waiting, its window wide", () => {
  const ends: (() => unknown)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0)) await end();
  });

  /** How many of the requests were refused in each turn of the event loop, of the first ten that had any. */
  async function refusalsByTurn(request: string, requestCount: number): Promise<readonly number[]> {
    const clock = new HeldClock();
    const byTurn: number[] = [];
    let [ofTurn, inAll] = [0, 0];
    const endTurn = (): void => {
      byTurn.push(ofTurn);
      ofTurn = 0;
    };
    const { door } = doorOf(clock, () => {
      if (ofTurn === 0) setImmediate(endTurn);
      ofTurn += 1;
      inAll += 1;
    });
    const server = createServer((incoming, response) => {
      if (incoming.url !== UPLOAD_PATH) door.passes(incoming, response);
      else incoming.resume().on("end", () => response.end());
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = typeof address === "object" ? address?.port : undefined;
    const client = new Worker(CLIENT, { eval: true, workerData: { port, flood: request.repeat(requestCount) } });
    ends.push(() => client.terminate());
    ends.push(() => server.closeAllConnections());
    ends.push(() => new Promise((resolve) => server.close(resolve)));
    const look = async (): Promise<boolean> => {
      await clock.advance(REFUSED_PAUSE_MIN_MS + PAUSE_LOOK_MS);
      return byTurn.length >= 10 || inAll === requestCount;
    };
    await expect.poll(look, { interval: 1, timeout: 10_000 }).toBe(true);
    return byTurn;
  }

  // One read is 64 KiB, 1,821 of the shortest of these; without a bound it was 32 reads a turn: 58,254 of them, and a second.
  it.each([
    ["GET", `GET ${TARGET} HTTP/1.1\r\nhost:\r\n\r\n`],
    ["PUT", `PUT ${TARGET} HTTP/1.1\r\nhost:\r\ncontent-length: 1\r\n\r\nx`],
  ])("is read once in a turn: %s", async (_, request) => {
    const byTurn = await refusalsByTurn(request, 60_000);
    expect(Math.max(...byTurn)).toBeLessThan(5_000);
  });
});
