/**
 * The rehearsal of a node that starts again: before its peers and clients find it, three nodes of the same code answer each other's
 * and a client's requests in this process, on disks in memory, over loopback. A runtime compiles what runs often: without it the
 * first second of a busy cluster's requests finds cold code and waits for it. Must never touch the node's own data, outlast its time,
 * or keep a node from starting: what goes wrong here is told and forgotten.
 */
import { openLogEngine } from "../../storage/index.ts";
import type { Disk } from "../../storage/ports.ts";
import { type ApiServer, createApiServer } from "../api/server.ts";
import type { Config } from "../base/config.ts";
import { parseNodeId } from "../base/ids.ts";
import { MIN_PARTITIONS } from "../base/limits.ts";
import {
  REHEARSAL_CONNECTIONS,
  REHEARSAL_DISK_BYTES,
  REHEARSAL_MS,
  REHEARSAL_REQUESTS,
  REHEARSAL_SEGMENT_BYTES,
} from "../base/load-limits.ts";
import type { Log, Timer } from "../base/ports.ts";
import { hintEngineOptions } from "../handoff/hint-engine.ts";
import { apiPartsOf } from "./api-parts.ts";
import { GyreNode } from "./node.ts";
import type { NodeWindows } from "./windows.ts";

/** What a rehearsal needs of the node that is to start, and of the world. */
export interface RehearsalParts {
  readonly config: Config;
  /** those of the node; the disk stays its own */
  readonly windows: Pick<NodeWindows, "clock" | "random" | "network" | "datagrams" | "log">;
  /** an empty disk in memory that takes so many bytes */
  readonly emptyDisk: (totalBytes: number) => Disk;
  /** asks a listener over some connections, one request after the other on each, until there is no more to ask */
  readonly ask: (asking: {
    readonly address: string;
    readonly connectionCount: number;
    readonly patienceMs: number;
    readonly next: () => Uint8Array | undefined;
  }) => Promise<void>;
}

const NODE_COUNT = 3;
const LOOPBACK = "127.0.0.1:0";
const LOOK_MS = 10;
const PAD = "p".repeat(900);
const SILENCE: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** A rehearsal that is over. */
export interface Rehearsed {
  /** resolves when nothing is left of what it set up, which takes a second or two */
  readonly cleared: Promise<void>;
}

/** Rehearses for `REHEARSAL_MS` at most; what it set up ends by itself after that. Never rejects, and neither does `cleared`. */
export async function rehearse(parts: RehearsalParts): Promise<Rehearsed> {
  const { clock, log } = parts.windows;
  const beganMs = clock.monotonicMs();
  const failed = (error: unknown): void => log.warn({ event: "node.rehearsal-failed", error });
  const stage = new Stage(parts);
  const playing = stage.play().catch(failed);
  const cleared = playing.then(() => stage.clear()).catch(failed);
  await Promise.race([playing, stage.over]);
  const durationMs = Math.round(clock.monotonicMs() - beganMs);
  log.info({ event: "node.rehearsed", requestCount: stage.requestCount, durationMs });
  return { cleared };
}

/** What is set up for a rehearsal, and taken down after it. */
class Stage {
  /** resolves when the time is up */
  readonly over: Promise<void>;
  readonly #parts: RehearsalParts;
  readonly #nodes: GyreNode[] = [];
  readonly #timer: Timer;
  #api: ApiServer | undefined;
  #requestCount = 0;
  #isOver = false;

  constructor(parts: RehearsalParts) {
    this.#parts = parts;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.over = promise;
    this.#timer = parts.windows.clock.setTimer(REHEARSAL_MS, () => {
      this.#isOver = true;
      resolve();
    });
  }

  /** Requests that were asked so far. */
  get requestCount(): number {
    return this.#requestCount;
  }

  /** Sets up, and asks. */
  async play(): Promise<void> {
    const { windows, ask } = this.#parts;
    const addresses = await freeAddresses(windows.network);
    const secret = Buffer.from(windows.random.bytes(32)).toString("hex");
    for (const [at, peerAddress] of addresses.entries()) {
      if (this.#isOver) return;
      this.#nodes.push(await this.#start(at, { peerAddress, seeds: addresses, secret }));
    }
    const [first] = this.#nodes;
    if (first === undefined) return;
    this.#api = createApiServer({
      ...windows,
      ...apiPartsOf(first),
      log: SILENCE,
      tokens: undefined,
      isMetricsOpen: true,
      refusesForeignHosts: true,
    });
    const address = await this.#api.listen(LOOPBACK);
    while (!this.#isOver && !this.#nodes.every(isReady)) {
      await new Promise<void>((resolve) => windows.clock.setTimer(LOOK_MS, resolve));
    }
    await ask({ address, connectionCount: REHEARSAL_CONNECTIONS, patienceMs: REHEARSAL_MS, next: () => this.#next() });
  }

  async clear(): Promise<void> {
    this.#timer.cancel();
    await this.#api?.close();
    await Promise.all(this.#nodes.map((node) => node.stop()));
  }

  #start(at: number, told: Pick<Config, "peerAddress" | "seeds" | "secret">): Promise<GyreNode> {
    const { windows: given, emptyDisk } = this.#parts;
    const disk = emptyDisk(REHEARSAL_DISK_BYTES);
    const windows: NodeWindows = { ...given, disk, log: SILENCE, loopDelayMs: () => 0 };
    const config = rehearsalConfig(this.#parts.config, at, told);
    const limits = {
      durability: config.durability,
      diskReserveBytes: 0,
      reserveBytes: 0,
      ballastBytes: 0,
      segmentBytes: REHEARSAL_SEGMENT_BYTES,
    };
    return GyreNode.start({
      config,
      windows,
      openStore: () => openLogEngine({ ...windows, partitionCount: config.partitionCount, ...limits }),
      openHints: (count) => openLogEngine({ ...windows, ...hintEngineOptions(disk, count), ...limits }),
      onFatal: () => {
        this.#isOver = true;
      },
    });
  }

  /** A write, a read of it, and so on. */
  #next(): Uint8Array | undefined {
    if (this.#isOver || this.#requestCount >= REHEARSAL_REQUESTS) return undefined;
    this.#requestCount += 1;
    const path = `/v1/kv/rehearsal/key-${this.#requestCount >> 1}`;
    if (this.#requestCount % 2 === 1) return Buffer.from(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`, "latin1");
    const body = `{"at":${this.#requestCount},"pad":"${PAD}"}`;
    const head = `PUT ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}`;
    return Buffer.from(`${head}\r\n\r\n${body}`, "latin1");
  }
}

/** A configuration of a node that nobody but the other two can find. */
function rehearsalConfig(own: Config, at: number, told: Pick<Config, "peerAddress" | "seeds" | "secret">): Config {
  const nodeId = parseNodeId(`rehearsal-${at + 1}`) ?? own.nodeId;
  return {
    ...own,
    ...told,
    nodeId,
    cluster: "rehearsal",
    advertiseAddress: told.peerAddress,
    bootstrapExpect: NODE_COUNT,
    join: "manual",
    gossipProfile: "fast",
    weight: 1,
    partitionCount: MIN_PARTITIONS,
    n: NODE_COUNT,
    r: 2,
    w: 2,
    diskReserveBytes: 0,
    hintsMaxBytes: REHEARSAL_SEGMENT_BYTES,
    previousSecret: undefined,
    tokensFile: undefined,
    tls: undefined,
    peerTls: undefined,
    otlp: undefined,
  };
}

/** Addresses that were free a moment ago: nodes tell each other theirs before they listen. */
async function freeAddresses(network: NodeWindows["network"]): Promise<readonly string[]> {
  const tried = await Promise.all(
    Array.from({ length: NODE_COUNT }, () => network.listen(LOOPBACK, (link) => link.close("rehearsal"))),
  );
  await Promise.all(tried.map((listener) => listener.close()));
  return tried.map(({ address }) => address);
}

function isReady({ status }: GyreNode): boolean {
  return status.readyz().every(({ isOk }) => isOk);
}
