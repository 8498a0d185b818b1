/** Bytes that are no request, and requests that do not come to their end: what is answered must be true of what was done. */
import { createServer } from "node:http";
import { connect, createServer as createTcpServer, type Socket, type Server as TcpServer } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { answerClientError } from "../../../services/api/client-error.ts";
import { CLIENT_ERROR_LINGER_MS, MAX_DROPPED_BYTES, MAX_HEADER_BYTES } from "../../../services/base/limits.ts";
import { ACTOR, type ApiNode, apiNode, applied, NOON_MICROS } from "../../support/api-node.ts";

const PUT = "PUT /v1/kv/b/k HTTP/1.1\r\nhost: h\r\ncontent-type: text/plain\r\n";
const WHOLE_PUT = `${PUT}content-length: 3\r\n\r\nabc`;
const GET = "GET /v1/kv/b/none HTTP/1.1\r\nhost: h\r\n\r\n";

/** What is done after a time, that a test calls itself. */
const timers: { readonly delayMs: number; readonly run: () => void }[] = [];
const setTimer = (delayMs: number, run: () => void): { cancel(): void } => {
  timers.push({ delayMs, run });
  return { cancel: () => undefined };
};
const HOW = { requestId: "id-1", clock: { setTimer } };

const sockets: Socket[] = [];
const ends: (() => unknown)[] = [];
afterEach(async () => {
  timers.length = 0;
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const end of ends.splice(0)) await end();
});

interface Client {
  readonly socket: Socket;
  /** all that came, when the other side has closed */
  readonly closed: Promise<string>;
  readonly received: () => string;
}

/** A client that does not close its side by itself. */
function open(port: number): Client {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  sockets.push(socket);
  let all = "";
  socket.setEncoding("latin1").on("data", (text) => {
    all += String(text);
  });
  socket.on("error", () => undefined);
  const closed = new Promise<string>((resolve) => {
    for (const event of ["end", "close"]) socket.on(event, () => resolve(all));
  });
  return { socket, closed, received: () => all };
}

/** Status and outcome of each answer. */
function answersIn(text: string): readonly unknown[] {
  const answers = text.split(/(?=HTTP\/1\.1 \d{3})/).filter((one) => one !== "");
  return answers.map((one) => `${one.slice(9, 12)} ${/"outcome":"(\w+)"/.exec(one)?.[1] ?? ""}`.trim());
}

describe("what breaks behind requests that were read whole", () => {
  let here: ApiNode;
  let port: number;
  let letGo: () => void;
  beforeEach(async () => {
    here = apiNode();
    ends.push(() => here.api.close());
    port = Number((await here.api.listen("127.0.0.1:0")).split(":")[1]);
    const released = Promise.withResolvers<void>();
    letGo = released.resolve;
    here.coordinator.answers.put = async () => {
      await released.promise;
      return applied({ actor: ACTOR, counter: NOON_MICROS });
    };
  });

  async function answersTo(bytes: string): Promise<readonly unknown[]> {
    const client = open(port);
    client.socket.write(bytes, "latin1");
    await expect.poll(() => here.coordinator.puts.length).toBe(1);
    // Whatever was going to be said before the write is done has been said once another connection has been answered.
    const other = open(port);
    other.socket.write("GET /livez HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    await other.closed;
    expect(client.received()).toBe("");
    letGo();
    return answersIn(await client.closed);
  }

  it.each([
    ["a length that counts characters", `${PUT}content-length: 3\r\n\r\nabcde`, "400 not_applied"],
    ["no HTTP", `${WHOLE_PUT}\0\0\0\0`, "400 not_applied"],
    ["more of no HTTP than is read", `${WHOLE_PUT}${"\0".repeat(2 * MAX_DROPPED_BYTES)}`, "400 not_applied"],
    ["a head that is too long", `${WHOLE_PUT}GET /${"a".repeat(MAX_HEADER_BYTES)}`, "431 not_applied"],
  ])("is answered after the write that was applied: %s", async (_what, bytes, last) => {
    expect(await answersTo(bytes)).toEqual(["200 applied", last]);
  });

  it("is answered in the order of the requests, whichever answer was there first", async () => {
    expect(await answersTo(`${WHOLE_PUT}${GET}${PUT}transfer-encoding: chunked\r\n\r\nzz\r\n${WHOLE_PUT}`)).toEqual([
      "200 applied",
      "404 not_applied",
      "400 not_applied",
    ]);
    expect(here.coordinator.puts).toHaveLength(1);
  });

  it("is not answered at all where the last request asked for the connection's end", async () => {
    const head = `${PUT}connection: close\r\ncontent-length: 3\r\n\r\n`;
    expect(await answersTo(`${head}abcde`)).toEqual(["200 applied"]);
  });

  it("leaves what is due unanswered when the client closes its side after it, as Node itself does", async () => {
    const client = open(port);
    client.socket.write(`${WHOLE_PUT}\0\0\0\0`);
    await expect.poll(() => here.coordinator.puts.length).toBe(1);
    client.socket.end();
    expect(answersIn(await client.closed)).toEqual([]);
    letGo();
  });

  it("waits for a client that has closed its side", async () => {
    const client = open(port);
    client.socket.end(`${WHOLE_PUT}GET /unfinished HT`);
    await expect.poll(() => here.coordinator.puts.length).toBe(1);
    letGo();
    expect(answersIn(await client.closed)).toEqual(["200 applied", "400 not_applied"]);
  });
});

describe("a request that is not sent to its end", () => {
  const LATE = [
    ["its body", `${PUT}content-length: 5\r\n\r\nabc`, "de"],
    ["its head", PUT, "content-length: 2\r\n\r\nde"],
  ] as const;
  const done: string[] = [];
  const accepted: Socket[] = [];
  let errorCount = 0;
  let port: number;
  let letGo: () => void;
  beforeEach(async () => {
    done.length = 0;
    accepted.length = 0;
    errorCount = 0;
    const released = Promise.withResolvers<void>();
    letGo = released.resolve;
    const limits = { headersTimeout: 20, requestTimeout: 20, connectionsCheckingInterval: 5 };
    const server = createServer(limits, (request, response) => {
      request.resume();
      request.on("error", () => undefined);
      request.on("end", () => {
        done.push(String(request.url));
        if (request.url === "/held") void released.promise.then(() => response.end("{}"));
        else response.end("{}");
      });
    });
    server.on("connection", (socket) => accepted.push(socket));
    server.on("clientError", (error, socket) => {
      errorCount += 1;
      const code = "code" in error ? String(error.code) : undefined;
      answerClientError({ code }, accepted.find((one) => one === socket) ?? expect.fail(), HOW);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    port = portOf(server);
    ends.push(() => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    });
  });

  it.each(LATE)("is 408 and never applied, even if the rest comes after all: %s", async (_what, bytes, rest) => {
    const client = open(port);
    client.socket.write(bytes);
    expect(answersIn(await client.closed)).toEqual(["408 not_applied"]);
    const ended = new Promise((resolve) => accepted[0]?.once("close", resolve));
    client.socket.write(rest);
    await expect.poll(() => accepted[0]?.bytesRead).toBe(bytes.length + rest.length);
    timers[0]?.run();
    await ended;
    expect(done).toEqual([]);
  });

  it.each(LATE)("is 408 after the answers of those before it: %s", async (_what, bytes, rest) => {
    const client = open(port);
    const all = `GET /held HTTP/1.1\r\nhost: h\r\n\r\n${bytes}`;
    client.socket.write(all);
    await expect.poll(() => errorCount).toBe(1);
    client.socket.write(rest);
    await expect.poll(() => accepted[0]?.bytesRead).toBe(all.length + rest.length);
    letGo();
    expect(answersIn(await client.closed)).toEqual(["200", "408 not_applied"]);
    expect(done).toEqual(["/held"]);
  });

  it("has its connection closed after a time if the client does not", async () => {
    const client = open(port);
    client.socket.write(PUT);
    await client.closed;
    const ended = new Promise((resolve) => accepted[0]?.once("close", resolve));
    expect([accepted[0]?.destroyed, timers.map(({ delayMs }) => delayMs)]).toEqual([false, [CLIENT_ERROR_LINGER_MS]]);
    timers[0]?.run();
    await ended;
  });

  it("has no more than a bound of what still comes read, and is answered all the same", async () => {
    const client = open(port);
    client.socket.write(PUT);
    const answered = await client.closed;
    // More than any kernel keeps for one connection.
    client.socket.write(Buffer.alloc(64 * MAX_DROPPED_BYTES));
    await expect.poll(() => accepted[0]?.isPaused()).toBe(true);
    const ended = new Promise((resolve) => accepted[0]?.once("close", resolve));
    timers[0]?.run();
    await ended;
    expect(answersIn(answered)).toEqual(["408 not_applied"]);
    expect(accepted[0]?.bytesRead).toBeGreaterThan(MAX_DROPPED_BYTES);
    expect(accepted[0]?.bytesRead).toBeLessThan(2 * MAX_DROPPED_BYTES);
  });

  it("has no body in its answer if it is known to be a HEAD", async () => {
    const client = open(port);
    client.socket.write("HEAD /k HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nab");
    const text = await client.closed;
    expect([text.slice(0, 13), text.indexOf("\r\n\r\n")]).toEqual(["HTTP/1.1 408 ", text.length - 4]);
    expect(text).not.toContain("content-length");
  });
});

describe("a head of which only the beginning is known", () => {
  it.each([
    ["HEAD /k HT", ""],
    ["HEADS /k H", '{"type":"/docs/errors#invalid_request"'],
    ["GET /HEAD ", '{"type":"/docs/errors#invalid_request"'],
  ])("is answered without a body if it says HEAD: %s", async (begun, body) => {
    const server = createTcpServer((socket) => {
      answerClientError({ code: "HPE_HEADER_OVERFLOW", rawPacket: Buffer.from(begun) }, socket, HOW);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    ends.push(() => server.close());
    const text = await open(portOf(server)).closed;
    expect(text).toMatch(/^HTTP\/1\.1 431 /);
    expect(text.split("\r\n\r\n")[1]?.slice(0, body.length === 0 ? undefined : body.length)).toBe(body);
  });
});

function portOf(server: TcpServer): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}
