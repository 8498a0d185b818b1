import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { createMemoryDisk } from "../../../services/adapters/memory-disk.ts";
import { createSystemClock } from "../../../services/adapters/system-clock.ts";
import { createSystemRandom } from "../../../services/adapters/system-random.ts";
import { createUdpDatagrams } from "../../../services/adapters/udp-datagrams.ts";
import { createUndiciNetwork } from "../../../services/adapters/undici-network.ts";
import { readConfig } from "../../../services/base/config.ts";
import { REHEARSAL_MS, REHEARSAL_REQUESTS } from "../../../services/base/load-limits.ts";
import type { Clock, Log, LogFacts, Network } from "../../../services/base/ports.ts";
import { type RehearsalParts, rehearse } from "../../../services/node/rehearsal.ts";
import { FakeClock } from "../../support/fake-clock.ts";

type Asking = Parameters<RehearsalParts["ask"]>[0];

const PATIENCE_MS = 120_000;

/** A machine that is busy with other things has as much time as it needs. */
function patientClock(): Clock {
  const clock = createSystemClock();
  return {
    monotonicMs: () => clock.monotonicMs(),
    wallMicros: () => clock.wallMicros(),
    setTimer: (delayMs, run) => clock.setTimer(delayMs === REHEARSAL_MS ? PATIENCE_MS : delayMs, run),
    defer: (run) => clock.defer(run),
  };
}

/** Counts what is bound, and knows it afterwards. */
function watchedNetwork(): { readonly network: Network; readonly bound: string[] } {
  const bound: string[] = [];
  const network = createUndiciNetwork();
  const listen: Network["listen"] = async (address, accept) => {
    const listener = await network.listen(address, accept);
    bound.push(listener.address);
    return listener;
  };
  return { network: { ...network, listen }, bound };
}

function setUp(clock: Clock, network: Network): { readonly parts: RehearsalParts; readonly told: LogFacts[] } {
  const told: LogFacts[] = [];
  const tell = (facts: LogFacts): void => void told.push(facts);
  const log: Log = { debug: () => {}, info: tell, warn: tell, error: tell };
  const read = readConfig({ argv: [], env: {}, readText: () => ({ kind: "unreadable", reason: "" }), hostname: "n1" });
  if (read.kind !== "config") throw new Error(read.problems.join("\n"));
  const windows = { clock, random: createSystemRandom(), network, datagrams: createUdpDatagrams(), log };
  const ask = (): Promise<void> => Promise.resolve();
  return { parts: { config: read.config, windows, emptyDisk: createMemoryDisk, ask }, told };
}

/** Sends the very bytes, one request after the other; how often each method was answered with which status. */
async function statusesOf({ address, next }: Asking): Promise<ReadonlyMap<string, number>> {
  const [host, port] = address.split(":");
  const socket = connect(Number(port), host).setTimeout(PATIENCE_MS);
  const statuses = new Map<string, number>();
  await new Promise<void>((resolve, reject) => {
    let method = "";
    const ask = (): void => {
      const request = Buffer.from(next() ?? []);
      method = request.toString("latin1", 0, 3);
      if (request.length === 0) resolve();
      else socket.write(request);
    };
    socket.on("connect", ask);
    socket.on("timeout", () => reject(new Error("no answer")));
    socket.on("error", reject);
    socket.on("data", (bytes: Buffer) => {
      const name = `${method} ${bytes.toString("latin1", "HTTP/1.1 ".length, "HTTP/1.1 200".length)}`;
      statuses.set(name, (statuses.get(name) ?? 0) + 1);
      ask();
    });
  });
  socket.destroy();
  return statuses;
}

describe("a rehearsal", () => {
  test("is answered what it asks, reads find what was written, and no listener is left", async () => {
    const { network, bound } = watchedNetwork();
    const { parts, told } = setUp(patientClock(), network);
    let statuses: ReadonlyMap<string, number> = new Map();
    const ask = async (asking: Asking): Promise<void> => {
      bound.push(asking.address);
      statuses = await statusesOf(asking);
    };
    const { cleared } = await rehearse({ ...parts, ask });
    expect(told).toMatchObject([{ event: "node.rehearsed", requestCount: REHEARSAL_REQUESTS }]);
    const half = REHEARSAL_REQUESTS / 2;
    expect(Object.fromEntries(statuses)).toEqual({ "PUT 200": half, "GET 200": half });
    await cleared;
    // three to find free ports, three nodes, one client API
    expect(bound).toHaveLength(7);
    for (const address of bound) await expect(network.dial(address, 1_000)).rejects.toThrow(/ECONNREFUSED|refused/);
  });

  test("that cannot be set up is told, and keeps nobody from starting", async () => {
    const { parts, told } = setUp(patientClock(), createUndiciNetwork());
    const { cleared } = await rehearse({
      ...parts,
      emptyDisk: () => {
        throw new Error("no memory");
      },
    });
    await cleared;
    expect(told.map(({ event }) => event)).toEqual(["node.rehearsal-failed", "node.not-rehearsed"]);
  });

  test("that hangs is over when its time is up, and told as none", async () => {
    const clock = new FakeClock();
    const network: Network = { ...createUndiciNetwork(), listen: () => new Promise(() => {}) };
    const { parts, told } = setUp(clock, network);
    const rehearsed = rehearse(parts);
    await clock.advance(REHEARSAL_MS - 1);
    expect(told).toEqual([]);
    await clock.advance(1);
    await rehearsed;
    expect(told).toMatchObject([{ event: "node.not-rehearsed", durationMs: REHEARSAL_MS }]);
  });
});
