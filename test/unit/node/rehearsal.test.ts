import { describe, expect, test } from "vitest";
import { askListener } from "../../../services/adapters/keep-alive-asker.ts";
import { createMemoryDisk } from "../../../services/adapters/memory-disk.ts";
import { createSystemClock } from "../../../services/adapters/system-clock.ts";
import { createSystemRandom } from "../../../services/adapters/system-random.ts";
import { createUdpDatagrams } from "../../../services/adapters/udp-datagrams.ts";
import { createUndiciNetwork } from "../../../services/adapters/undici-network.ts";
import { readConfig } from "../../../services/base/config.ts";
import { REHEARSAL_MS, REHEARSAL_REQUESTS } from "../../../services/base/load-limits.ts";
import type { Log, LogFacts, Network } from "../../../services/base/ports.ts";
import { type RehearsalParts, rehearse } from "../../../services/node/rehearsal.ts";
import { FakeClock } from "../../support/fake-clock.ts";

function setUp(): { readonly parts: RehearsalParts; readonly told: LogFacts[]; readonly answers: string[] } {
  const told: LogFacts[] = [];
  const answers: string[] = [];
  const tell = (facts: LogFacts): void => void told.push(facts);
  const log: Log = { debug: () => {}, info: tell, warn: tell, error: tell };
  const read = readConfig({ argv: [], env: {}, readText: () => ({ kind: "unreadable", reason: "" }), hostname: "n1" });
  if (read.kind !== "config") throw new Error(read.problems.join("\n"));
  const windows = {
    clock: createSystemClock(),
    random: createSystemRandom(),
    network: createUndiciNetwork(undefined),
    datagrams: createUdpDatagrams(),
    log,
  };
  return { parts: { config: read.config, windows, emptyDisk: createMemoryDisk, ask: askListener }, told, answers };
}

describe("a rehearsal", () => {
  test("is answered what it asks, by three nodes, and leaves no listener behind", async () => {
    const { parts, told } = setUp();
    const bound: string[] = [];
    const { network } = parts.windows;
    const watched: Network = {
      listen: async (address, accept) => {
        const listener = await network.listen(address, accept);
        bound.push(listener.address);
        return listener;
      },
      dial: (address, timeoutMs, name) => network.dial(address, timeoutMs, name),
      resolve: (address) => network.resolve(address),
    };
    const statuses = new Set<string>();
    let askedAt = "";
    const ask: RehearsalParts["ask"] = async (asking) => {
      askedAt = asking.address;
      const first = asking.next();
      const second = asking.next();
      for (const request of [first, second]) {
        const [line = ""] = Buffer.from(request ?? [])
          .toString("latin1")
          .split("\r\n");
        const [method = "", path = ""] = line.split(" ");
        const body = method === "PUT" ? '{"a":1}' : null;
        const headers = { "content-type": "application/json" };
        statuses.add(`${method} ${(await fetch(`http://${asking.address}${path}`, { method, body, headers })).status}`);
      }
      return parts.ask(asking);
    };
    const { cleared } = await rehearse({ ...parts, windows: { ...parts.windows, network: watched }, ask });
    expect(told).toMatchObject([{ event: "node.rehearsed" }]);
    expect(told[0]?.["requestCount"]).toBeGreaterThan(0);
    expect(told[0]?.["requestCount"]).toBeLessThanOrEqual(REHEARSAL_REQUESTS);
    // nothing under the first name, then the first write
    expect([...statuses].toSorted()).toEqual(["GET 404", "PUT 200"]);
    await cleared;
    expect(new Set(bound).size).toBe(3);
    for (const address of [...bound, askedAt])
      await expect(network.dial(address, 1_000)).rejects.toThrow(/ECONNREFUSED|refused/);
  });

  test("that cannot be set up is told, and keeps nobody from starting", async () => {
    const { parts, told } = setUp();
    const { cleared } = await rehearse({
      ...parts,
      emptyDisk: () => {
        throw new Error("no memory");
      },
    });
    await cleared;
    expect(told.map(({ event }) => event)).toEqual(["node.rehearsal-failed", "node.rehearsed"]);
    expect(told[1]).toMatchObject({ requestCount: 0 });
  });

  test("that hangs is over when its time is up", async () => {
    const { parts, told } = setUp();
    const clock = new FakeClock();
    const network: Network = { ...parts.windows.network, listen: () => new Promise(() => {}) };
    const rehearsed = rehearse({ ...parts, windows: { ...parts.windows, clock, network } });
    await clock.advance(REHEARSAL_MS - 1);
    expect(told).toEqual([]);
    await clock.advance(1);
    await rehearsed;
    expect(told).toMatchObject([{ event: "node.rehearsed", requestCount: 0, durationMs: REHEARSAL_MS }]);
  });
});
