/** The listener itself: hostile bytes, overload, and a stop that loses nothing and never hangs. */
import { connect, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { LoadControl } from "../../../services/api/ports.ts";
import { MAX_INFLIGHT_REQUESTS } from "../../../services/base/limits.ts";
import type { GetAnswer } from "../../../services/coordinator/contract.ts";
import { refused } from "../../../services/coordinator/failures.ts";
import { type ApiNode, apiNode, found, sibling } from "../../support/api-node.ts";
import { HeldClock } from "../../support/held-clock.ts";

let here: ApiNode;
let port: number;
const sockets: Socket[] = [];
beforeEach(async () => {
  here = apiNode();
  port = Number((await here.api.listen("127.0.0.1:0")).split(":")[1]);
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await here.api.close();
});

interface Connection {
  readonly socket: Socket;
  /** all bytes so far, once they contain `text`; rejects when the connection ends before */
  until(text: string): Promise<string>;
  readonly closed: Promise<string>;
}

function open(): Connection {
  const socket = connect(port, "127.0.0.1");
  sockets.push(socket);
  let received = "";
  const waiting: { text: string; resolve: (all: string) => void; reject: (error: Error) => void }[] = [];
  const look = (isEnd: boolean): void => {
    for (const one of waiting.splice(0)) {
      if (received.includes(one.text)) one.resolve(received);
      else if (isEnd) one.reject(new Error(`closed after ${JSON.stringify(received)}`));
      else waiting.push(one);
    }
  };
  socket.setEncoding("utf8").on("data", (data) => {
    received += String(data);
    look(false);
  });
  socket.on("error", () => undefined);
  const closed = new Promise<string>((resolve) => {
    socket.on("close", () => {
      look(true);
      resolve(received);
    });
  });
  const until = (text: string): Promise<string> =>
    new Promise((resolve, reject) => {
      waiting.push({ text, resolve, reject });
      look(socket.destroyed);
    });
  return { socket, until, closed };
}

/** A read that waits until it is let go. */
function held(): { readonly letGo: () => void; readonly asked: Promise<void> } {
  const release = Promise.withResolvers<GetAnswer>();
  const asked = Promise.withResolvers<void>();
  here.coordinator.answers.get = () => {
    asked.resolve();
    return release.promise;
  };
  return { letGo: () => release.resolve({ kind: "not_found" }), asked: asked.promise };
}

const GET = "GET /v1/kv/b/k HTTP/1.1\r\nhost: h\r\n\r\n";

describe("bytes that are no request", () => {
  it.each([
    ["garbage\r\n\r\n", 400],
    ["GET /v1/kv/b/k HTTP/1.1\r\nhost: h\r\nx: y\0z\r\n\r\n", 400],
    [`GET /${"a".repeat(40_000)} HTTP/1.1\r\nhost: h\r\n\r\n`, 431],
    [`GET / HTTP/1.1\r\nhost: h\r\nx: ${"a".repeat(40_000)}\r\n\r\n`, 431],
    ["PUT /v1/kv/b/k HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400],
    ["PUT /v1/kv/b/k HTTP/1.1\r\nhost: h\r\ncontent-length: abc\r\n\r\n", 400],
    ["PUT /v1/kv/b/k HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400],
  ])("are answered with a problem document and a closed connection (case %#)", async (bytes, status) => {
    const { socket, closed } = open();
    socket.write(bytes);
    const text = await closed;
    expect(text.startsWith(`HTTP/1.1 ${status} `)).toBe(true);
    expect(text).toContain("content-type: application/problem+json");
    expect(text.toLowerCase()).toContain("gyre-request-id: 1234abcd-");
    expect(JSON.parse(text.slice(text.indexOf("\r\n\r\n") + 4))).toMatchObject({ status, code: "invalid_request" });
  });

  it("in headers of 20 KiB are still a request: a context and a long key fit", async () => {
    const { socket, until } = open();
    socket.write(`GET /v1/kv/b/${"%41".repeat(1_024)} HTTP/1.1\r\nhost: h\r\nx: ${"a".repeat(20_000)}\r\n\r\n`);
    expect(await until("not_found")).toContain("404 Not Found");
  });
});

describe("overload", () => {
  it("refuses the request over the limit at once with 503, Retry-After and not_applied, and recovers", async () => {
    const { letGo } = held();
    const share = MAX_INFLIGHT_REQUESTS * 0.9375;
    const waiting = Array.from({ length: share }, () => here.api.inject({ url: "/v1/kv/b/k" }));
    await expect.poll(() => here.coordinator.gets.length).toBe(share);
    const shed = await here.api.inject({ url: "/v1/kv/b/k" });
    expect([shed.statusCode, shed.json().code, shed.json().outcome, shed.json().retryable]).toEqual([
      503,
      "overloaded",
      "not_applied",
      true,
    ]);
    expect(shed.headers["retry-after"]).toBe("2");
    const write = await here.api.inject({ method: "PUT", url: "/v1/kv/b/k", payload: "x" });
    expect(write.statusCode).toBe(200);
    expect((await here.api.inject({ url: "/v1/kv/b" })).statusCode).toBe(503);
    expect((await here.api.inject({ url: "/readyz" })).statusCode).toBe(200);
    letGo();
    await Promise.all(waiting);
    expect((await here.api.inject({ url: "/v1/kv/b/k" })).statusCode).toBe(404);
    const { body } = await here.api.inject({ url: "/metrics" });
    expect(body).toContain('gyre_http_shed_requests_total{class="read",reason="requests"} 1\n');
    expect(body).toContain('gyre_http_shed_requests_total{class="list",reason="requests"} 1\n');
  });

  it("refuses keys' requests before the framework sees them, in the order of their coming, and nothing else", async () => {
    const answered: number[] = [];
    const calm = {
      limitOf: (work: string) => (work === "control" ? Number.POSITIVE_INFINITY : 0),
      reasonOf: () => "this node is busy",
      answered: () => void answered.push(0),
      follow: () => undefined,
    };
    const busy = apiNode(undefined, false, calm);
    const address = await busy.api.listen("127.0.0.1:0");
    const socket = connect(Number(address.split(":")[1]), "127.0.0.1");
    sockets.push(socket);
    let received = "";
    socket.setEncoding("utf8").on("data", (data) => {
      received += String(data);
    });
    const put = "PUT /v1/kv/b/k HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc";
    socket.write(`${GET}${put}GET /readyz HTTP/1.1\r\nhost: h\r\n\r\nGET /v1/kv/b HTTP/1.1\r\nhost: h\r\n\r\n`);
    await expect.poll(() => received.match(/HTTP\/1.1 \d+/g)?.length).toBe(4);
    expect(received.match(/HTTP\/1.1 \d+/g)).toEqual([503, 503, 200, 503].map((status) => `HTTP/1.1 ${status}`));
    expect(received.match(/this node is busy; try again after Retry-After/g)).toHaveLength(3);
    const { body } = await busy.api.inject({ url: "/metrics" });
    for (const work of ["read", "write", "list"]) {
      expect(body).toContain(`gyre_http_shed_requests_total{class="${work}",reason="limit"} 1\n`);
    }
    expect(answered).toEqual([]);
    await busy.api.close();
  });

  it("counts announced bytes before the body is read", async () => {
    const announced = open();
    const head = `PUT /v1/kv/b/k HTTP/1.1\r\nhost: h\r\ncontent-length: 1048576\r\n\r\n`;
    announced.socket.write(head);
    const others = Array.from({ length: 63 }, open);
    for (const { socket } of others) socket.write(head);
    const inflight = async (): Promise<string | undefined> =>
      /^gyre_http_inflight_bytes (\d+)$/m.exec((await here.api.inject({ url: "/metrics" })).body)?.[1];
    await expect.poll(inflight).toBe(String(64 * 1_048_576));
    const late = open();
    late.socket.write(head);
    expect(await late.until("overloaded")).toContain("503 Service Unavailable");
    for (const { socket } of [announced, ...others]) socket.destroy();
    await expect.poll(inflight).toBe("0");
  });

  it("forgets a client that went away before its answer, once nothing is done for it any more", async () => {
    const { letGo, asked } = held();
    const { socket } = open();
    socket.write(GET);
    await asked;
    socket.destroy();
    const inflight = async (): Promise<string> => (await here.api.inject({ url: "/metrics" })).body;
    await expect.poll(inflight).toContain('status="aborted"');
    expect(await inflight()).toContain("gyre_http_inflight_requests 2\n");
    letGo();
    // the scrape itself is the one request under way
    await expect.poll(inflight).toContain("gyre_http_inflight_requests 1\n");
  });

  it("takes the time of a read that was broken off for one of the node's where it was long", async () => {
    const told: number[] = [];
    const clock = new HeldClock();
    const calm = {
      ...{ limitOf: () => 64, reasonOf: () => "busy", follow: () => undefined },
      answered: (_work: string, ms: number): void => void told.push(ms),
    };
    const busy = apiNode(clock, false, calm);
    const address = Number((await busy.api.listen("127.0.0.1:0")).split(":")[1]);
    const failed = refused("quorum_not_met", "nobody answered", { retryable: true });
    for (const [at, ms] of [15, 50].entries()) {
      const release = Promise.withResolvers<GetAnswer>();
      busy.coordinator.answers.get = () => release.promise;
      const socket = connect(address, "127.0.0.1").on("error", () => undefined);
      socket.write(GET);
      const metrics = async (): Promise<string> => (await busy.api.inject({ url: "/metrics" })).body;
      await expect.poll(metrics).toContain("gyre_http_inflight_requests 2\n");
      await clock.advance(ms);
      socket.destroy();
      await expect.poll(metrics).toMatch(new RegExp(`_count\\{.*status="aborted"\\} ${at + 1}\n`));
      release.resolve(failed);
      await expect.poll(metrics).toContain("gyre_http_inflight_requests 1\n");
    }
    expect(told).toEqual([50]);
    const closed = busy.api.close();
    await clock.advance(1_000);
    await closed;
  });

  it("counts what it turns away for what that is itself, but not as a want of room", async () => {
    let counts: Parameters<LoadControl["follow"]>[0] | undefined;
    let limit = 64;
    const calm: LoadControl = {
      ...{
        limitOf: (work) => (work === "control" ? 64 : limit),
        reasonOf: () => "busy",
        answered: () => undefined,
        takesValues: () => false,
      },
      follow: (followed) => {
        counts = followed;
      },
    };
    const { api } = apiNode(undefined, false, calm);
    const url = `http://${await api.listen("127.0.0.1:0")}/v1/kv/b/k`;
    const put = async (): Promise<readonly [number, number | undefined, string | undefined]> => {
      const { status } = await fetch(url, { method: "PUT", body: "x" });
      const { body } = await api.inject({ url: "/metrics" });
      const shed = ["memory", "limit"].map(
        (reason) => new RegExp(`shed_requests_total\\{class="write",reason="${reason}"\\} (\\d+)`).exec(body)?.[1],
      );
      return [status, counts?.refusedOf("write"), shed.join(" ")];
    };
    expect(await put()).toEqual([503, 0, "1 0"]);
    const { statusCode } = await api.inject({ method: "POST", url: "/v1/kv/b:batch", payload: "{}" });
    expect([statusCode, counts?.refusedOf("write")]).toEqual([503, 0]);
    calm.takesValues = () => true;
    limit = 0;
    expect(await put()).toEqual([503, 1, "2 1"]);
    await api.close();
  });

  it("tells a read whose client has gone, and nobody else's", async () => {
    const gone: string[] = [];
    const release = Promise.withResolvers<GetAnswer>();
    here.coordinator.answers.get = ({ name, asker }) => {
      asker?.whenGone(() => gone.push(Buffer.from(name.key).toString()));
      return release.promise;
    };
    const [one, other] = [open(), open()];
    one.socket.write(GET.replace("/k ", "/one "));
    other.socket.write(GET.replace("/k ", "/other "));
    const inflight = async (): Promise<string> => (await here.api.inject({ url: "/metrics" })).body;
    await expect.poll(inflight).toContain("gyre_http_inflight_requests 3\n");
    one.socket.destroy();
    await expect.poll(() => gone).toEqual(["one"]);
    release.resolve({ kind: "not_found" });
    expect(await other.until("404")).toContain("404 Not Found");
  });

  it("forgets one at once that waits for others' work, which may last for hours", async () => {
    const asked = Promise.withResolvers<void>();
    const others = Promise.withResolvers<Awaited<ReturnType<typeof here.repair.waitForHints>>>();
    here.repair.waitForHints = () => {
      asked.resolve();
      return others.promise;
    };
    const { socket } = open();
    socket.write("POST /v1/repair?wait=hints HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n");
    await asked.promise;
    socket.destroy();
    const metrics = async (): Promise<string> => (await here.api.inject({ url: "/metrics" })).body;
    // the scrape itself
    await expect.poll(metrics).toContain("gyre_http_inflight_requests 1\n");
    expect(await metrics()).toContain('status="aborted"');
    // the answer that nobody waits for any more counts nothing out again
    others.resolve({ isDone: true, left: [], unreachable: [], durationMs: 1 });
    await new Promise((resolve) => setImmediate(resolve));
    expect(await metrics()).toContain("gyre_http_inflight_requests 1\n");
    expect(await metrics()).toContain("gyre_http_inflight_bytes 0\n");
  });
});

describe("a stop", () => {
  it("finishes what is under way, refuses what comes late, and is over as soon as that is done", async () => {
    const { letGo, asked } = held();
    const busy = open();
    busy.socket.write(GET);
    await asked;
    const late = open();
    late.socket.write("GET /livez HTTP/1.1\r\nhost: h\r\n");
    await expect.poll(() => late.socket.pending).toBe(false);
    let isClosed = false;
    const closing = here.api.close().then(() => (isClosed = true));
    late.socket.write("\r\n");
    late.socket.write("GET /v1/kv/b/k HTTP/1.1\r\nhost: h\r\n\r\n");
    const text = await late.closed;
    expect(text).toContain("200 OK");
    expect(text.toLowerCase()).toContain("connection: close");
    expect(isClosed).toBe(false);
    letGo();
    const answer = await busy.closed;
    expect(answer).toContain("404 Not Found");
    expect(answer.toLowerCase()).toContain("connection: close");
    await closing;
    expect(isClosed).toBe(true);
  });

  it("answers a late request on a live connection with 503 shutting_down and closes it", async () => {
    const { letGo, asked } = held();
    const busy = open();
    busy.socket.write(GET);
    await asked;
    const late = open();
    late.socket.write("GET /v1/kv/b/k HTTP/1.1\r\nhost: h\r\n");
    const ready = open();
    ready.socket.write("GET /readyz HTTP/1.1\r\nhost: h\r\n");
    // Both have reached the server once another request that was sent after them is answered.
    const marker = open();
    marker.socket.write("GET /livez HTTP/1.1\r\nhost: h\r\n\r\n");
    await marker.until("ok\n");
    const closing = here.api.close();
    late.socket.write("\r\n");
    ready.socket.write("\r\n");
    expect(await late.closed).toMatch(/503 Service Unavailable[^]*connection: close[^]*"code":"shutting_down"/i);
    expect(await ready.closed).toMatch(/503 Service Unavailable[^]*"code":"not_ready"[^]*this node is stopping/);
    letGo();
    await closing;
  });

  it("does not wait for idle connections, nor for a second call", async () => {
    const idle = open();
    idle.socket.write("GET /livez HTTP/1.1\r\nhost: h\r\n\r\n");
    await idle.until("ok\n");
    const [first, second] = [here.api.close(), here.api.close()];
    expect(first).toBe(second);
    await first;
    await idle.closed;
    await expect(
      new Promise((resolve, reject) => connect(port, "127.0.0.1", () => resolve(1)).on("error", reject)),
    ).rejects.toThrow("ECONNREFUSED");
  });
});

describe("a stop that waits for an answer that never comes", () => {
  it("cuts the connection after 10 s and says so", async () => {
    let nowMs = 0;
    const timers: (() => void)[] = [];
    const node = apiNode({
      monotonicMs: () => nowMs,
      wallMicros: () => 0,
      setTimer: (_delayMs, run) => {
        timers.push(run);
        return { cancel: () => undefined };
      },
      defer: (run) => void setImmediate(run),
    });
    const asked = Promise.withResolvers<void>();
    node.coordinator.answers.get = () => {
      asked.resolve();
      return new Promise(() => undefined);
    };
    port = Number((await node.api.listen("127.0.0.1:0")).split(":")[1]);
    const stuck = open();
    stuck.socket.write(GET);
    await asked.promise;
    let isClosed = false;
    const closing = node.api.close().then(() => (isClosed = true));
    for (; nowMs < 9_999; nowMs += 100) timers.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
    expect([isClosed, node.warnings]).toEqual([false, []]);
    nowMs = 10_000;
    timers.shift()?.();
    await closing;
    expect(await stuck.closed).toBe("");
    expect(node.warnings).toMatchObject([
      { event: "api.drain-timed-out", requestCount: 1 },
      { event: "http.slow", status: 0 },
    ]);
  });
});

describe("answers", () => {
  it("occupy bytes until the client has taken them", async () => {
    const big = sibling("text/plain", Buffer.alloc(8 * 1_048_576));
    here.coordinator.answers.get = () => found(big);
    const slow = open();
    slow.socket.pause();
    slow.socket.write("GET /v1/kv/b/k?raw=true HTTP/1.1\r\nhost: h\r\n\r\n");
    const inflight = async (): Promise<number> =>
      Number(/^gyre_http_inflight_bytes (\d+)$/m.exec((await here.api.inject({ url: "/metrics" })).body)?.[1]);
    await expect.poll(inflight).toBe(8 * 1_048_576);
    slow.socket.resume();
    await expect.poll(inflight).toBe(0);
  });
});

describe("listening", () => {
  it("fails with the system's code when the port is taken", async () => {
    const other = apiNode();
    await expect(other.api.listen(`127.0.0.1:${port}`)).rejects.toMatchObject({ code: "EADDRINUSE" });
    await other.api.close();
  });
});
