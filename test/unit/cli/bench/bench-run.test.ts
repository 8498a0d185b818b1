/** What a bench measures, in virtual time: one connection, and answers that take what the test says. */
import { describe, expect, test } from "vitest";
import type { BenchTarget } from "../../../../services/cli/bench/bench-keys.ts";
import { type BenchResult, runBench } from "../../../../services/cli/bench/bench-run.ts";
import { FailureCounts, Latencies } from "../../../../services/cli/bench/latencies.ts";

interface Given {
  readonly rate?: number;
  readonly durationMs?: number;
  readonly writeShare?: number;
  /** how long the answer to the request of this number takes, ms */
  readonly tookMs?: (turn: number) => number;
  readonly statusOf?: (turn: number) => number;
  /** stops before the request of this number */
  readonly stopAt?: number;
}

interface Run {
  readonly result: BenchResult;
  readonly urls: readonly string[];
  readonly methods: readonly string[];
}

async function benched(given: Given): Promise<Run> {
  let nowMs = 0;
  const urls: string[] = [];
  const methods: string[] = [];
  const fetchIt = async (url: string, init: RequestInit): Promise<Response> => {
    const turn = urls.length;
    urls.push(url);
    methods.push(init.method ?? "");
    nowMs += given.tookMs?.(turn) ?? 1;
    const status = given.statusOf?.(turn) ?? 200;
    return status === 200 ? Response.json({}) : Response.json({ code: `code${status}` }, { status });
  };
  const target: BenchTarget = {
    nodes: ["http://one:1024", "http://two:1024"],
    bucket: "b",
    runId: "r",
    keyCount: 4,
    value: Buffer.from("v"),
    ttlSeconds: 9,
    timeoutMs: 1_000,
    connectionCount: 1,
    fetch: fetchIt,
    nowMs: () => nowMs,
    isStopping: () => urls.length >= (given.stopAt ?? Number.POSITIVE_INFINITY),
  };
  const result = await runBench(target, {
    durationMs: given.durationMs ?? 1_000,
    rate: given.rate,
    writeShare: given.writeShare ?? 0,
    pause: async (ms) => {
      nowMs += ms;
    },
    random: () => 0.5,
  });
  return { result, urls, methods };
}

/** One answer of half a second, all others of a millisecond. */
const stall = (turn: number): number => (turn === 10 ? 500 : 1);

describe("the open loop", () => {
  test("counts from the planned start: who had to wait behind a stall was slow, too", async () => {
    const { result } = await benched({ rate: 100, tookMs: stall });
    expect(result.reads.count).toBe(100);
    // 50 requests were due meanwhile, and left one after the other: a quarter of all waited more than 250 ms
    expect(result.reads.quantileMs(0.75)).toBeGreaterThan(230);
    expect(result.reads.quantileMs(0.99)).toBeGreaterThan(480);
    expect(result.unsent.count).toBe(0);
  });

  test("sends at the planned rate, no faster, through all nodes in turn", async () => {
    const { result, urls } = await benched({ rate: 10 });
    expect([result.reads.count, result.seconds]).toEqual([10, 1]);
    expect(urls.slice(0, 4).map((url) => new URL(url).hostname)).toEqual(["one", "two", "one", "two"]);
    expect(result.lateness.quantileMs(1)).toBeLessThan(0.01);
  });

  test("counts what was due and never sent for as long as it waited", async () => {
    const { result } = await benched({ rate: 100, tookMs: () => 100 });
    expect([result.reads.count, result.unsent.count]).toEqual([10, 90]);
    expect(result.unsent.summary(1).maxMs).toBeCloseTo(900, -1);
  });

  test("stops when it is asked to, and calls nothing unsent that was not due by then", async () => {
    const { result } = await benched({ rate: 100, stopAt: 20 });
    expect([result.reads.count, result.unsent.count]).toEqual([20, 0]);
    expect(result.seconds).toBeLessThan(0.25);
  });
});

describe("the closed loop", () => {
  test("sends when it has its answer: a stall is one slow request", async () => {
    const { result } = await benched({ tookMs: stall });
    expect(result.reads.count).toBe(501);
    expect(result.reads.quantileMs(0.99)).toBeLessThan(2);
    expect(result.reads.summary(1).maxMs).toBeCloseTo(500, -1);
    expect([result.unsent.count, result.lateness.count]).toEqual([0, 0]);
  });
});

test("writes are told apart from reads, and failures are counted by their code and are no latency", async () => {
  const { result, methods } = await benched({
    rate: 10,
    writeShare: 1,
    statusOf: (turn) => (turn < 2 ? 503 : turn === 2 ? 507 : 200),
  });
  expect(new Set(methods)).toEqual(new Set(["PUT"]));
  expect([result.reads.count, result.writes.count, result.failures.total]).toEqual([0, 7, 3]);
  expect(result.failures.byCode).toEqual({ code503: 2, code507: 1 });
});

test("latencies are known within a thousandth, from microseconds to an hour, and are none without any", () => {
  const latencies = new Latencies();
  expect(latencies.summary(1)).toEqual({ count: 0, perSecond: 0, p50Ms: 0, p95Ms: 0, p99Ms: 0, maxMs: 0 });
  for (let ms = 1; ms <= 1_000; ms += 1) latencies.record(ms);
  expect(latencies.quantileMs(0.5)).toBeCloseTo(500, -0.5);
  expect(latencies.quantileMs(0.99) / 990).toBeCloseTo(1, 2);
  latencies.record(1e12);
  expect(latencies.summary(10)).toMatchObject({ count: 1_001, perSecond: 100.1 });
});

test("so many codes are told apart, and no more: they come from others", () => {
  const failures = new FailureCounts();
  for (let at = 0; at < 1_000; at += 1) failures.add(`c${at}`);
  expect([Object.keys(failures.byCode).length, failures.total, failures.byCode["other"]]).toEqual([65, 1_000, 936]);
});
