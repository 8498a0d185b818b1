/** The ports that the runtime's `fetch` refuses: told beforehand, and never taken for a request that was lost. */
import { describe, expect, it, test } from "vitest";
import { addressFlaw } from "../../../services/client/blocked-ports.ts";
import { GyreClient } from "../../../services/client/client.ts";
import { gyre } from "../../support/cli-run.ts";

/** Whether the runtime refuses the port: then no dispatcher is ever asked to connect. */
async function isRefused(port: number): Promise<boolean> {
  let isAsked = false;
  const dispatch = (): boolean => {
    isAsked = true;
    throw new Error("far enough");
  };
  // Of a dispatcher, a whole undici, this much is used.
  const init: object = { dispatcher: { dispatch } };
  await fetch(`http://127.0.0.1:${port}/`, init).catch(() => undefined);
  return !isAsked;
}

test("the ports that are refused are the runtime's", async () => {
  const ports = Array.from({ length: 11_000 }, (_, at) => at + 1);
  const isWorthAsking = (port: number): boolean =>
    isFlawed(port) || isFlawed(port - 1) || isFlawed(port + 1) || port % 97 === 0;
  for (const port of ports.filter(isWorthAsking)) expect([port, isFlawed(port)]).toEqual([port, await isRefused(port)]);
});

function isFlawed(port: number): boolean {
  return addressFlaw(`http://127.0.0.1:${port}`) !== undefined;
}

describe("an address", () => {
  test.each([
    ["http://127.0.0.1:6000", /^port 6000 is one that HTTP clients refuse/],
    ["https://127.0.0.1:6667", /^port 6667 /],
    ["http://127.0.0.1:99999", /^it is no URL/],
    ["127.0.0.1", /^it is no URL/],
    ["ftp://127.0.0.1", /neither http:\/\/ nor https:\/\//],
  ])("%s is never sent anything: unsent, and a write was not applied", async (node, words) => {
    expect(addressFlaw(node)).toMatch(words);
    const client = new GyreClient({ nodes: [node], maxAttempts: 1 });
    const failed = await client.put({ bucket: "b", key: "k" }, { bytes: Buffer.from("1"), contentType: "text/plain" });
    expect(failed).toMatchObject({ kind: "failed", code: "unreachable", outcome: "not_applied", status: 0 });
    expect(failed.kind === "failed" && failed.detail).toContain(`${node} cannot be reached: ${addressFlaw(node)}`);
  });

  it.each([
    ["did not answer in time", new DOMException("the time is over", "TimeoutError")],
    ["broke the connection", Object.assign(new Error("reset"), { code: "ECONNRESET" })],
  ])("with such a port may have got a write all the same, where it %s", async (_, error) => {
    const fetchAnything = (): Promise<Response> => Promise.reject(error);
    const client = new GyreClient({ nodes: ["http://127.0.0.1:6000"], maxAttempts: 1, fetch: fetchAnything });
    const failed = await client.put({ bucket: "b", key: "k" }, { bytes: Buffer.from("1"), contentType: "text/plain" });
    expect(failed).toMatchObject({ kind: "failed", outcome: "unknown" });
  });

  it("that a command is given with such a port is a mistake of the command line", async () => {
    const { code, err } = await gyre(["get", "b", "k", "--nodes", "http://127.0.0.1:4401,127.0.0.1:6000"]);
    expect([code, err]).toEqual([2, expect.stringContaining('"127.0.0.1:6000": port 6000 is one that HTTP clients')]);
  });

  test.each(["http://n1:4401", "https://n1", "http://[::1]:4401"])("%s is fine", (node) => {
    expect(addressFlaw(node)).toBeUndefined();
  });
});
