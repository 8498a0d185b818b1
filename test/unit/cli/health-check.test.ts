/** What a container engine runs to learn whether the node of its container takes requests. */
import { execFile } from "node:child_process";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";

const SCRIPT = join(import.meta.dirname, "../../../services/cli/health-check.mjs");
let server: Server | undefined;
afterEach(() => server?.close());

/** A node that answers so; resolves with its address as `GYRE_HTTP` has it. */
async function nodeAnswering(status: number, text: string): Promise<string> {
  const node = createServer((request, response) =>
    response.writeHead(request.url === "/readyz?verbose" ? status : 404).end(text),
  );
  server = node;
  return addressOf(node);
}

async function addressOf(node: Server): Promise<string> {
  await new Promise<void>((resolve) => {
    node.listen(0, "127.0.0.1", resolve);
  });
  const address = node.address();
  return `0.0.0.0:${typeof address === "object" && address !== null ? address.port : 0}`;
}

function check(address: string): Promise<{ readonly code: unknown; readonly out: string }> {
  return new Promise((resolve) => {
    const env = { ...process.env, GYRE_HTTP: address, GYRE_TLS_CERT: "" };
    execFile(process.execPath, [SCRIPT], { env }, (error, out) => resolve({ code: error?.code ?? 0, out }));
  });
}

test("a node that takes requests is healthy, by the port that it listens on", async () => {
  expect(await check(await nodeAnswering(200, "[ok] recovered"))).toEqual({ code: 0, out: "[ok] recovered\n" });
});

test("one that does not is not, and the reason is passed on", async () => {
  const words = await check(await nodeAnswering(503, "[no] joined: waits for the other members"));
  expect(words).toEqual({ code: 1, out: "[no] joined: waits for the other members\n" });
});

test("one whose answer breaks off is not healthy", async () => {
  const node = createServer((_request, response) => {
    response.writeHead(200, { "content-length": "100" }).write("[ok]", () => response.destroy());
  });
  server = node;
  const { code } = await check(await addressOf(node));
  expect(code).toBe(1);
});

test("where nobody listens the check fails in words, not with a trace", async () => {
  const { code, out } = await check("127.0.0.1:1");
  expect([code, out.split("\n").length]).toEqual([1, 2]);
  expect(out).toContain("ECONNREFUSED");
});
