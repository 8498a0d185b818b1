/**
 * What a call over a link costs: two processes on loopback, digests, fetches and stores, mostly 64 in flight. Prints calls
 * per second and CPU µs per call, both processes together, by the operating system's accounting.
 * Usage: node test/bench/link-bench.ts [seconds per measurement]
 */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { createPinoLog } from "../../services/adapters/pino-log.ts";
import { createSystemClock } from "../../services/adapters/system-clock.ts";
import { createSystemRandom } from "../../services/adapters/system-random.ts";
import { createUndiciNetwork } from "../../services/adapters/undici-network.ts";
import { type NodeId, parseNodeId } from "../../services/base/ids.ts";
import type { PeerRequest } from "../../services/peers/messages.ts";
import { PeerRequests } from "../../services/peers/peer-handler.ts";
import { PeerLinks } from "../../services/peers/peer-links.ts";

const BUDGET_MS = 2_000;

interface Shape {
  readonly name: string;
  readonly request: PeerRequest;
  readonly inFlight: number;
}

function nodeId(text: string): NodeId {
  const id = parseNodeId(text);
  if (id === undefined) throw new TypeError(text);
  return id;
}

function makeLinks(name: string, seeds: readonly string[]): PeerLinks {
  const random = createSystemRandom();
  const log = createPinoLog({ level: "warn", isPretty: false, facts: { node: name } });
  const stored = Promise.resolve({ kind: "stored", digest: 7n, isDurable: true } as const);
  const requests = new PeerRequests({
    replica: {
      slotOf: () => 1,
      isSuspect: () => false,
      digestOf: () => 42n,
      readEncoded: () => ({ kind: "object", object: new Uint8Array(1_024) }),
      store: () => stored,
    },
    log,
    clock: createSystemClock(),
  });
  return new PeerLinks(
    {
      nodeId: nodeId(name),
      bootNonce: random.bytes(16).toHex(),
      clusterName: "bench",
      clusterId: undefined,
      zone: "",
      host: "",
      weight: 1,
      secrets: { primary: new Uint8Array(0), others: [] },
      listenAddress: "127.0.0.1:0",
      advertisedAddress: undefined,
      seeds,
      handler: requests.handle,
    },
    { clock: createSystemClock(), random, network: createUndiciNetwork(), log },
  );
}

async function serve(): Promise<void> {
  const address = await makeLinks("server", []).start();
  process.on("message", () => process.send?.(cpuMicros()));
  process.on("disconnect", () => process.exit(0));
  process.send?.(address);
}

function cpuMicros(): number {
  const usage = process.cpuUsage();
  return usage.user + usage.system;
}

async function run(links: PeerLinks, { request, inFlight }: Shape, seconds: number): Promise<number> {
  const server = nodeId("server");
  const endMs = performance.now() + seconds * 1_000;
  let callCount = 0;
  await new Promise<void>((fulfil, reject) => {
    let underWay = inFlight;
    const once = (): void => {
      links.call(server, request, BUDGET_MS, (result) => {
        if (result.kind === "unsent" || result.kind === "lost") return reject(new Error(JSON.stringify(result)));
        callCount += 1;
        if (performance.now() < endMs) return once();
        underWay -= 1;
        if (underWay === 0) fulfil();
      });
    };
    for (let i = 0; i < inFlight; i += 1) once();
  });
  return callCount;
}

async function measure(seconds: number): Promise<void> {
  const child = fork(fileURLToPath(import.meta.url), ["serve"]);
  const next = (): Promise<unknown> => new Promise((fulfil) => child.once("message", fulfil));
  const address = String(await next());
  const serverCpu = async (): Promise<number> => {
    const answer = next();
    child.send("cpu");
    return Number(await answer);
  };
  const links = makeLinks("client", [address]);
  const up = new Promise<void>((fulfil) => links.onPeerUp(() => fulfil()));
  await links.start();
  await up;
  const key = { partition: 5, hash: 0x1234_5678_9abc_def0n, key: new TextEncoder().encode("bucket\0some-key-1234") };
  const store = (sizeBytes: number): PeerRequest => ({
    kind: "store",
    key,
    baseDigest: 1n,
    digest: 2n,
    object: new Uint8Array(sizeBytes),
  });
  const shapes: readonly Shape[] = [
    { name: "digest", request: { kind: "digest", key }, inFlight: 64 },
    { name: "digest", request: { kind: "digest", key }, inFlight: 8 },
    { name: "digest", request: { kind: "digest", key }, inFlight: 1 },
    { name: "fetch 1 KiB", request: { kind: "fetch", key }, inFlight: 64 },
    { name: "store 1 KiB", request: store(1_024), inFlight: 64 },
    { name: "store 4 KiB", request: store(4_096), inFlight: 64 },
    { name: "store 16 KiB", request: store(16_384), inFlight: 64 },
    { name: "store 64 KiB", request: store(65_536), inFlight: 32 },
    { name: "store 1 MiB", request: store(1_048_576), inFlight: 2 },
  ];
  for (const shape of shapes) {
    const { name, inFlight } = shape;
    await run(links, shape, 0.3);
    const [clientBefore, serverBefore] = [cpuMicros(), await serverCpu()];
    const callCount = await run(links, shape, seconds);
    const [clientMicros, serverMicros] = [cpuMicros() - clientBefore, (await serverCpu()) - serverBefore];
    const perCall = (micros: number): string => (micros / callCount).toFixed(2).padStart(7);
    console.log(
      `${`${name} × ${inFlight}`.padEnd(18)} ${Math.round(callCount / seconds)
        .toString()
        .padStart(8)} calls/s  CPU µs per call: ` +
        `client ${perCall(clientMicros)}  server ${perCall(serverMicros)}  both ${perCall(clientMicros + serverMicros)}`,
    );
  }
  await links.stop();
  child.disconnect();
}

if (process.argv[2] === "serve") await serve();
else await measure(Number(process.argv[2] ?? 3));
