/**
 * The process of the load generator: takes orders over IPC, one at a time, remembers which writes were acknowledged, and
 * reads them back. Must never be imported: `overload.ts` forks it, so that its work is not the servers'.
 */
import { createHistogram } from "node:perf_hooks";
import { generateFresh } from "./fresh-generator.ts";
import { generate, type Shot, type TargetResult } from "./generator.ts";
import { tryAsk } from "./http.ts";

/** What the process is told to do. */
export type Order =
  | {
      readonly kind: "load";
      readonly ports: readonly number[];
      readonly connectionsPerTarget: number;
      readonly depth?: number;
      readonly durationMs: number;
      readonly rate: number | undefined;
      readonly deadlineMs: number;
      readonly keyCount: number;
      /** each request over a connection of its own */
      readonly isFresh?: boolean;
      /** 0 … 1: how many of the requests for other keys than the hot one are writes */
      readonly writeShare: number;
      /** 0 … 1: how many of all requests are reads of one key */
      readonly hotShare: number;
      /** true: what would be reads of one key goes to many, and is counted as if it went to one */
      readonly isSpread?: boolean;
    }
  | { readonly kind: "verify"; readonly ports: readonly number[]; readonly sampleCount: number };

/** What it answers to `verify`. */
export interface Verified {
  readonly acknowledgedCount: number;
  readonly readCount: number;
  /** answered, and not with what was acknowledged */
  readonly lostCount: number;
  /** not answered after all tries */
  readonly unreadCount: number;
}

/** What it answers to `load`. */
export interface Loaded {
  readonly targets: readonly TargetResult[];
  /** of the generator itself */
  readonly cpuMicros: number;
  /** open loop: how long after they were due requests went out, ms; a generator that is late itself measures itself */
  readonly sentLateMs?: { readonly p50: number; readonly p99: number };
}

const PAD = "p".repeat(960);
const acknowledged: number[] = [];
let lastWriteId = 0;

function shots(order: Extract<Order, { kind: "load" }>): () => Shot {
  const { keyCount, writeShare, hotShare, isSpread = false, isFresh = false } = order;
  const more = isFresh ? "connection: close\r\n" : "";
  let owed = 0;
  return () => {
    const anyKey = 1 + Math.floor(Math.random() * (keyCount - 1));
    if (Math.random() < hotShare) return readOf(isSpread ? anyKey : 0, true, more);
    owed += writeShare;
    if (owed < 1) return readOf(anyKey, false, more);
    owed -= 1;
    lastWriteId += 1;
    const body = `{"i":${lastWriteId},"pad":"${PAD}"}`;
    const head = `PUT /v1/kv/over/w${lastWriteId} HTTP/1.1\r\nhost: localhost\r\n${more}content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
    return { bytes: Buffer.from(head + body, "latin1"), writeId: lastWriteId, isHot: false };
  };
}

function readOf(key: number, isHot: boolean, more: string): Shot {
  return {
    bytes: Buffer.from(`GET /v1/kv/bulk/key-${key} HTTP/1.1\r\nhost: localhost\r\n${more}\r\n`, "latin1"),
    writeId: -1,
    isHot,
  };
}

async function load(order: Extract<Order, { kind: "load" }>): Promise<Loaded> {
  const before = process.cpuUsage();
  const onBegin = (): void => void process.send?.("begun");
  const run = order.isFresh === true ? generateFresh : generate;
  const late = createHistogram();
  const targets = await run({
    ...order,
    next: shots(order),
    onAck: (id) => acknowledged.push(id),
    onSent: (lateMs) => late.record(1 + Math.round(lateMs)),
    onBegin,
  });
  const { user, system } = process.cpuUsage(before);
  const sentLateMs = { p50: late.percentile(50) - 1, p99: late.percentile(99) - 1 };
  return { targets, cpuMicros: user + system, ...(late.count > 0 && { sentLateMs }) };
}

async function verify({ ports, sampleCount }: Extract<Order, { kind: "verify" }>): Promise<Verified> {
  const step = Math.max(1, acknowledged.length / sampleCount);
  const sample = Array.from(
    { length: Math.floor(acknowledged.length / step) },
    (_, i) => acknowledged[Math.floor(i * step)] ?? 0,
  );
  let [lostCount, unreadCount, next] = [0, 0, 0];
  const worker = async (): Promise<void> => {
    for (let i = next++; i < sample.length; i = next++) {
      const found = await written(ports, sample[i] ?? 0);
      if (found === undefined) unreadCount += 1;
      else if (!found) lostCount += 1;
    }
  };
  await Promise.all(Array.from({ length: 16 }, worker));
  return { acknowledgedCount: acknowledged.length, readCount: sample.length, lostCount, unreadCount };
}

/** Whether the write is there; undefined: nobody says. Each is asked of all nodes in turn, a few times. */
async function written(ports: readonly number[], id: number): Promise<boolean | undefined> {
  for (let attempt = 0; attempt < 12; attempt += 1) {
    const port = ports[(id + attempt) % ports.length] ?? 0;
    const answer = await tryAsk(`http://127.0.0.1:${port}/v1/kv/over/w${id}`);
    if (answer?.status === 200) return (answer.body as { readonly value?: { readonly i?: number } }).value?.i === id;
    if (answer?.status === 404) return false;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return undefined;
}

process.on("message", (order: Order) => {
  const done = order.kind === "load" ? load(order) : verify(order);
  done.then(
    (result) => process.send?.(result),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(1);
    },
  );
});
