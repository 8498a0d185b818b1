/** First requests of connections: who is let on, when, and in which order. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { Newcomers, type NewLine, type NewRequest } from "../../../services/api/newcomers.ts";
import { NEWCOMER_DOUBTFUL_MS } from "../../../services/base/load-limits.ts";
import { FakeConnection } from "../../support/fake-connection.ts";
import { TurnClock } from "../../support/turn-clock.ts";

class Rig {
  readonly turns = new TurnClock();
  readonly begun: string[] = [];
  readonly waitedMs: (number | undefined)[] = [];
  /** not begun */
  goneCount = 0;
  readonly #newcomers = new Newcomers<NewRequest, string>({
    clock: this.turns,
    go: ({ waitedMs }, answer) => {
      this.begun.push(answer);
      this.waitedMs.push(waitedMs);
    },
    onGone: () => {
      this.goneCount += 1;
    },
  });

  /** A connection is taken in and closed, in each of so many turns. */
  async come(turnCount: number, turnMs: number): Promise<void> {
    for (let turn = 0; turn < turnCount; turn += 1) {
      this.#newcomers.came();
      this.turns.endTurn();
      await this.turns.advance(turnMs);
    }
  }

  /** One that is taken in now. */
  readonly takeIn = (): FakeConnection => {
    const line = new FakeConnection();
    this.#newcomers.came(line);
    return line;
  };

  readonly ask = (url: string, socket: NewLine): void => {
    this.#newcomers.enter({ method: "GET", url, socket }, url);
  };
}

/** One at which connections may have waited for long. */
async function crowded(): Promise<Rig> {
  const rig = new Rig();
  await rig.come(10, NEWCOMER_DOUBTFUL_MS / 10);
  return rig;
}

describe("the first request of a connection that may have waited for long", () => {
  it("is held for two turns, and those behind it with it, in their order", async () => {
    const { turns, begun, ask, takeIn } = await crowded();
    const one = takeIn();
    ask("/v1/kv/b/1", one);
    ask("/readyz", one);
    turns.endTurn();
    ask("/v1/kv/b/2", one);
    expect(begun).toEqual([]);
    turns.endTurn();
    expect(begun).toEqual(["/v1/kv/b/1", "/readyz", "/v1/kv/b/2"]);
    ask("/v1/kv/b/3", one);
    expect(begun.at(-1)).toBe("/v1/kv/b/3");
  });

  it("is held as long as what lay in the kernel may not have been read, and not later", async () => {
    const { turns, begun, ask, takeIn } = await crowded();
    const [soon, later] = [takeIn(), takeIn()];
    turns.endTurn();
    turns.endTurn();
    ask("/v1/kv/b/soon", soon);
    turns.endTurn();
    ask("/v1/kv/b/later", later);
    ask("/v1/kv/b/behind", soon);
    expect(begun).toEqual(["/v1/kv/b/later"]);
    turns.endTurn();
    expect(begun).toEqual(["/v1/kv/b/later", "/v1/kv/b/soon", "/v1/kv/b/behind"]);
  });

  it("is as old as it was held, as is each behind it", async () => {
    const rig = await crowded();
    const one = rig.takeIn();
    rig.ask("/v1/kv/b/1", one);
    rig.turns.endTurn();
    await rig.turns.advance(30);
    rig.ask("/v1/kv/b/2", one);
    await rig.turns.advance(5);
    rig.turns.endTurn();
    expect([rig.begun, rig.waitedMs, rig.goneCount]).toEqual([["/v1/kv/b/1", "/v1/kv/b/2"], [35, 5], 0]);
  });

  it("holds nobody else's", async () => {
    const { begun, ask, takeIn } = await crowded();
    ask("/v1/kv/b/1", takeIn());
    ask("/readyz", takeIn());
    expect(begun).toEqual(["/readyz"]);
  });

  it("is not held where it is of no key, nor are those that come after it", async () => {
    const { begun, ask, takeIn } = await crowded();
    const one = takeIn();
    ask("/readyz", one);
    ask("/v1/kv/b/1", one);
    expect(begun).toEqual(["/readyz", "/v1/kv/b/1"]);
  });

  it.each([{ destroyed: true }, { readableEnded: true }])("goes nowhere when its client has gone: %o", async (how) => {
    const rig = await crowded();
    const one = rig.takeIn();
    rig.ask("/v1/kv/b/1", one);
    rig.ask("/v1/kv/b/2", one);
    Object.assign(one, how);
    rig.turns.endTurn();
    expect(rig.goneCount).toBe(0);
    rig.turns.endTurn();
    expect([rig.begun, rig.goneCount]).toEqual([[], 2]);
  });
});

describe("nothing is held", () => {
  it("where no connection can have waited, were its client gone or not", () => {
    const { begun, ask, takeIn } = new Rig();
    ask("/v1/kv/b/1", Object.assign(takeIn(), { readableEnded: true }));
    expect(begun).toEqual(["/v1/kv/b/1"]);
  });

  it("of a connection that was taken in before others may have waited for so long", async () => {
    const rig = new Rig();
    const first = rig.takeIn();
    await rig.come(9, NEWCOMER_DOUBTFUL_MS / 10);
    const lastInTime = rig.takeIn();
    await rig.come(5, NEWCOMER_DOUBTFUL_MS / 10);
    rig.takeIn();
    rig.ask("/v1/kv/b/1", lastInTime);
    rig.ask("/v1/kv/b/2", first);
    expect(rig.begun).toEqual(["/v1/kv/b/1", "/v1/kv/b/2"]);
  });

  it("of requests over another object than what was taken in, as with TLS", async () => {
    const { begun, ask, takeIn } = await crowded();
    takeIn();
    ask("/v1/kv/b/1", new FakeConnection());
    expect(begun).toEqual(["/v1/kv/b/1"]);
  });

  it("after one turn in which none came, and the time counts anew", async () => {
    const rig = await crowded();
    rig.turns.endTurn();
    rig.ask("/v1/kv/b/1", rig.takeIn());
    rig.turns.endTurn();
    await rig.turns.advance(NEWCOMER_DOUBTFUL_MS / 10);
    await rig.come(8, NEWCOMER_DOUBTFUL_MS / 10);
    rig.ask("/v1/kv/b/2", rig.takeIn());
    expect(rig.begun).toEqual(["/v1/kv/b/1", "/v1/kv/b/2"]);
    await rig.come(1, NEWCOMER_DOUBTFUL_MS / 10);
    rig.ask("/v1/kv/b/3", rig.takeIn());
    expect(rig.begun.length).toBe(2);
  });

  it("in mind of a connection that says nothing, and turns are followed for a few more than connections come", async () => {
    const rig = await crowded();
    const one = rig.takeIn();
    one.end();
    for (let turn = 0; turn < 3; turn += 1) rig.turns.endTurn();
    rig.ask("/v1/kv/b/1", one);
    expect([rig.begun, rig.turns.plannedCount]).toEqual([["/v1/kv/b/1"], 0]);
  });
});

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

describe("at a socket", () => {
  // as long as some wait in the kernel each turn takes one in, as libuv does since 1.45: else none of these would be held
  it.each([
    ["nothing is begun for clients that closed while connections wait", 2 * NEWCOMER_DOUBTFUL_MS, ["/v1/kv/b/here"]],
    ["all is begun while none has waited for long", 0, expect.arrayContaining(["/v1/kv/b/gone-19", "/v1/kv/b/here"])],
  ])("%s", async (_, doubtfulMs, expected) => {
    const begun: string[] = [];
    let cameCount = 0;
    // so many ms in each run of turns after its first connection
    const clock = {
      monotonicMs: () => (cameCount > 1 ? doubtfulMs : 0),
      defer: (run: () => void) => void setImmediate(run),
    };
    const newcomers = new Newcomers<IncomingMessage, ServerResponse>({
      clock,
      go: ({ url = "" }, response) => {
        begun.push(url);
        response.end();
      },
      onGone: () => undefined,
    });
    const server = createServer((request, response) => newcomers.enter(request, response));
    server.on("connection", (line) => {
      cameCount += 1;
      newcomers.came(line);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    ends.push(() => new Promise((resolve) => server.close(resolve)));
    ends.push(() => server.closeAllConnections());
    const { port } = server.address() as AddressInfo;
    const send = (url: string, isGone: boolean): Promise<void> =>
      new Promise((resolve) => {
        const socket = connect(port, "127.0.0.1");
        socket.on("error", () => undefined).on("close", () => resolve());
        if (url !== "")
          socket.write(`PUT ${url} HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx`);
        if (isGone) socket.end();
        socket.resume();
      });
    await Promise.all([
      send("", true),
      ...Array.from({ length: 20 }, (_unused, n) => send(`/v1/kv/b/gone-${n}`, true)),
      send("/v1/kv/b/here", false),
      ...Array.from({ length: 10 }, () => send("", true)),
    ]);
    expect(begun).toEqual(expected);
  });
});
