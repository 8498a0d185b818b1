/**
 * The rehearsal of a node that starts again: before its peers and clients find it, three nodes of the same code answer each other's
 * and a client's requests in this process, on disks in memory, over loopback. A runtime compiles what runs often: without it the
 * first second of a busy cluster's requests finds cold code and waits for it. Must never touch the node's own data, delay its start for
 * longer than its time, or keep it from starting: what fails here is told and forgotten.
 */
import assert from "node:assert/strict";
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
/** one less, so that some requests are for the other two alone, and are forwarded */
const REPLICA_COUNT = 2;
const KEY_COUNT = 256;
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
  const { requestCount } = stage;
  const durationMs = Math.round(clock.monotonicMs() - beganMs);
  if (requestCount === 0) log.warn({ event: "node.not-rehearsed", durationMs });
  else log.info({ event: "node.rehearsed", requestCount, durationMs });
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
    if (first === undefined || this.#isOver) return;
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
    const ends = await Promise.allSettled([this.#api?.close(), ...this.#nodes.map((node) => node.stop())]);
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  }

  #start(at: number, told: Pick<Config, "peerAddress" | "seeds" | "secret">): Promise<GyreNode> {
    const { windows: given, emptyDisk } = this.#parts;
    const { clock, random, network, datagrams } = given;
    const disk = emptyDisk(REHEARSAL_DISK_BYTES);
    // Nobody measures the load: there is one meter, and it is the node's own.
    const windows: NodeWindows = { clock, random, network, datagrams, disk, log: SILENCE, loopDelayMs: () => 0 };
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
      onFatal: (error) => {
        this.#isOver = true;
        given.log.warn({ event: "node.rehearsal-failed", error });
      },
    });
  }

  /** A write, a read, and so on; of keys that are there already in the end, as those of clients are. */
  #next(): Uint8Array | undefined {
    if (this.#isOver || this.#requestCount >= REHEARSAL_REQUESTS) return undefined;
    const isRead = this.#requestCount % 2 === 1;
    const writeCount = this.#requestCount >> 1;
    // Not of what the other connections write just now.
    const at = isRead ? Math.max(0, writeCount - REHEARSAL_CONNECTIONS) : writeCount;
    this.#requestCount += 1;
    const path = `/v1/kv/rehearsal/key-${at % KEY_COUNT}`;
    if (isRead) return Buffer.from(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`, "latin1");
    const body = `{"at":${at},"pad":"${PAD}"}`;
    const head = `PUT ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}`;
    return Buffer.from(`${head}\r\n\r\n${body}`, "latin1");
  }
}

/** A configuration of a node that nobody but the other two can find. */
function rehearsalConfig(own: Config, at: number, told: Pick<Config, "peerAddress" | "seeds" | "secret">): Config {
  const nodeId = parseNodeId(`rehearsal-${at + 1}`);
  assert.ok(nodeId !== undefined, "the names of a rehearsal are names");
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
    n: REPLICA_COUNT,
    r: REPLICA_COUNT,
    w: REPLICA_COUNT,
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
