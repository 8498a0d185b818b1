/** First requests of connections: who is let on, when, and in which order. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { Newcomers, type NewLine, type NewRequest } from "../../../services/api/newcomers.ts";
import { NEWCOMER_DOUBTFUL_MS } from "../../../services/base/load-limits.ts";
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

  /** A connection is taken in, in each of so many turns. */
  async comes(turnCount: number, turnMs: number): Promise<void> {
    for (let turn = 0; turn < turnCount; turn += 1) {
      this.#newcomers.came();
      this.turns.endTurn();
      await this.turns.advance(turnMs);
    }
  }

  readonly ask = (url: string, socket: NewLine): void => {
    this.#newcomers.enter({ method: "GET", url, socket }, url);
  };
}

/** One at which connections may have waited for long. */
async function crowded(): Promise<Rig> {
  const rig = new Rig();
  await rig.comes(10, NEWCOMER_DOUBTFUL_MS / 10);
  return rig;
}

function newLine(): NewLine {
  return { destroyed: false, readableEnded: false };
}

describe("the first request of a connection", () => {
  it("is held for two turns where connections wait, and those behind it with it, in their order", async () => {
    const { turns, begun, ask } = await crowded();
    const one = newLine();
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

  it("is as old as it was held", async () => {
    const rig = await crowded();
    rig.ask("/v1/kv/b/1", newLine());
    rig.turns.endTurn();
    await rig.turns.advance(30);
    rig.turns.endTurn();
    expect([rig.begun, rig.waitedMs, rig.goneCount]).toEqual([["/v1/kv/b/1"], [30], 0]);
  });

  it("is not held with TLS", async () => {
    const { begun, ask } = await crowded();
    ask("/v1/kv/b/1", { ...newLine(), encrypted: true });
    expect(begun).toEqual(["/v1/kv/b/1"]);
  });

  it("holds nobody else's", async () => {
    const { begun, ask } = await crowded();
    ask("/v1/kv/b/1", newLine());
    ask("/readyz", newLine());
    expect(begun).toEqual(["/readyz"]);
  });

  it("is not held where it is of no key, nor are those that come after it", async () => {
    const { begun, ask } = await crowded();
    const one = newLine();
    ask("/readyz", one);
    ask("/v1/kv/b/1", one);
    expect(begun).toEqual(["/readyz", "/v1/kv/b/1"]);
  });

  it.each([{ destroyed: true }, { readableEnded: true }])("goes nowhere when its client has gone: %o", async (how) => {
    const rig = await crowded();
    const one = newLine();
    rig.ask("/v1/kv/b/1", one);
    rig.ask("/v1/kv/b/2", one);
    Object.assign(one, how);
    rig.turns.endTurn();
    expect(rig.goneCount).toBe(0);
    rig.turns.endTurn();
    expect([rig.begun, rig.goneCount]).toEqual([[], 2]);
  });
});

describe("where no connection can have waited for long", () => {
  it("nothing is held, were its client gone or not", () => {
    const { begun, ask } = new Rig();
    ask("/v1/kv/b/1", { destroyed: false, readableEnded: true });
    expect(begun).toEqual(["/v1/kv/b/1"]);
  });

  it("nothing is held just before connections may have waited for so long", async () => {
    const rig = new Rig();
    await rig.comes(9, NEWCOMER_DOUBTFUL_MS / 10);
    rig.ask("/v1/kv/b/1", newLine());
    expect(rig.begun).toEqual(["/v1/kv/b/1"]);
  });

  it("nothing is held after one turn in which none came, and the time counts anew", async () => {
    const rig = await crowded();
    rig.turns.endTurn();
    rig.ask("/v1/kv/b/1", newLine());
    await rig.comes(9, NEWCOMER_DOUBTFUL_MS / 10);
    rig.ask("/v1/kv/b/2", newLine());
    expect(rig.begun).toEqual(["/v1/kv/b/1", "/v1/kv/b/2"]);
    await rig.comes(1, NEWCOMER_DOUBTFUL_MS / 10);
    rig.ask("/v1/kv/b/3", newLine());
    expect(rig.begun.length).toBe(2);
  });

  it("nothing is counted: turns are followed no longer than connections come", async () => {
    const rig = new Rig();
    await rig.comes(3, 1);
    rig.turns.endTurn();
    expect(rig.turns.plannedCount).toBe(0);
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
    server.on("connection", () => {
      cameCount += 1;
      newcomers.came();
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
