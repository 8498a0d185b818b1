import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { askListener } from "../../../services/adapters/keep-alive-asker.ts";

const REQUEST = Buffer.from("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", "latin1");

let server: Server;
let address: string;
const seen = { requests: 0, connections: 0, atOnce: 0, most: 0 };

beforeEach(async () => {
  Object.assign(seen, { requests: 0, connections: 0, atOnce: 0, most: 0 });
  server = createServer((_request, response) => {
    seen.requests += 1;
    seen.atOnce += 1;
    seen.most = Math.max(seen.most, seen.atOnce);
    setImmediate(() => {
      seen.atOnce -= 1;
      response.end("ok");
    });
  });
  server.on("connection", () => {
    seen.connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => server.close());

test("asks one after the other on each connection until there is no more to ask, and closes them", async () => {
  let left = 40;
  const next = (): Uint8Array | undefined => (left-- > 0 ? REQUEST : undefined);
  await askListener({ address, connectionCount: 4, patienceMs: 5_000, next });
  expect(seen).toMatchObject({ requests: 40, connections: 4 });
  expect(seen.most).toBeLessThanOrEqual(4);
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

test("where nobody listens there is nothing to ask, and nothing is thrown", async () => {
  await new Promise<void>((resolve) => server.close(() => resolve()));
  await askListener({ address, connectionCount: 2, patienceMs: 5_000, next: () => expect.unreachable() });
});

test("a listener that hangs up is asked no more", async () => {
  server.on("connection", (socket) => socket.destroy());
  await askListener({ address, connectionCount: 3, patienceMs: 5_000, next: () => REQUEST });
  expect(seen).toMatchObject({ requests: 0, connections: 3 });
});

test("a listener that does not answer is given up", async () => {
  server.removeAllListeners("request");
  await askListener({ address, connectionCount: 2, patienceMs: 50, next: () => REQUEST });
  expect(seen.connections).toBe(2);
});
