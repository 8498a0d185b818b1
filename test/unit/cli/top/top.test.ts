/** `gyre top`: rates between two scrapes, lines of nodes, and the command against a real listener. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MetricsRegistry } from "../../../../services/base/metrics.ts";
import { parseCluster } from "../../../../services/cli/cluster-summary.ts";
import {
  KEPT_NAMES,
  parseScrape,
  quantileBetween,
  REQUEST_SECONDS,
} from "../../../../services/cli/top/metrics-text.ts";
import { linesOf, type NodeLook, pictureText } from "../../../../services/cli/top/top-picture.ts";
import { type ApiNode, apiNode } from "../../../support/api-node.ts";
import { gyre } from "../../../support/cli-run.ts";

/** A node's page, and the requests that it has seen. */
class Page {
  readonly registry: MetricsRegistry = new MetricsRegistry();
  startedAt = 1;
  received = 0;
  readonly #durations = new Map<string, ReturnType<MetricsRegistry["durations"]>>();

  constructor(node: string) {
    const gauge = (name: string, read: () => number): void => this.registry.gauge({ name, help: "h" }, read);
    this.registry.gauge({ name: "gyre_build_info", help: "h", labels: { node, version: "1" } }, () => 1);
    gauge("gyre_loop_delay_seconds", () => 0.012);
    gauge("gyre_background_share_ratio", () => 0.5);
    gauge("gyre_hints_kept", () => 7);
    gauge("gyre_handover_left", () => 3);
    gauge("gyre_disk_free_bytes", () => 25);
    gauge("gyre_disk_total_bytes", () => 100);
    gauge("process_start_time_seconds", () => this.startedAt);
    this.registry.total({ name: "gyre_handover_received_bytes_total", help: "h" }, () => this.received);
  }

  /** So many requests of one kind that took so long each. */
  requests(count: number, what: { route?: string; method?: string; status?: string; ms: number }): void {
    const { route = "/v1/kv/:bucket/*", method = "GET", status = "2xx" } = what;
    const labels = { method, route, status };
    const name = `${method} ${route} ${status}`;
    const durations =
      this.#durations.get(name) ?? this.registry.durations({ name: REQUEST_SECONDS, help: "h", labels });
    this.#durations.set(name, durations);
    for (let at = 0; at < count; at += 1) durations.observe(what.ms * 1_000);
  }

  look(atMs: number): NodeLook {
    return { url: "http://n:1", atMs, scrape: parseScrape(this.registry.render()), flaw: "" };
  }
}

const members = (...all: readonly Record<string, unknown>[]): ReturnType<typeof parseCluster> =>
  parseCluster(Buffer.from(JSON.stringify({ members: all })));
const N1 = { node: "n1", status: "normal", liveness: "alive" };

describe("a line", () => {
  test("is of what happened between the two scrapes, and of nothing before", () => {
    const page = new Page("n1");
    page.requests(1_000, { ms: 5_000 });
    page.requests(9_000, { ms: 0.1 });
    page.requests(1, { method: "PUT", ms: 1 });
    const before = page.look(1_000);
    page.requests(98, { ms: 1 });
    page.requests(2, { ms: 100, status: "4xx" });
    page.requests(20, { method: "PUT", ms: 20 });
    page.requests(4, { ms: 900, status: "5xx" });
    page.requests(50, { route: "/metrics", ms: 900 });
    page.requests(50, { route: "/v1/kv/:bucket", ms: 900 });
    page.received = 4_000;
    const [line] = linesOf([{ before, now: page.look(3_000) }], members(N1));
    expect(line).toMatchObject({ node: "n1", state: "alive", opsPerSecond: 60, failedPerSecond: 2, diskFill: 0.75 });
    expect(line).toMatchObject({ loopDelayMs: 12, backgroundShare: 0.5, hintCount: 7, slotsLeft: 3 });
    expect(line?.receivedBytesPerSecond).toBe(2_000);
    // buckets are two an octave: within one of them
    expect(line?.readP99Ms).toBeGreaterThan(65);
    expect(line?.readP99Ms).toBeLessThanOrEqual(131.1);
    expect(line?.writeP99Ms).toBeGreaterThan(16);
    expect(line?.writeP99Ms).toBeLessThanOrEqual(24.6);
  });

  test("has no rates when the process has started anew in between, nor without requests", () => {
    const page = new Page("n1");
    page.requests(1_000, { ms: 5 });
    const before = page.look(1_000);
    const [idle] = linesOf([{ before, now: page.look(2_000) }], members(N1));
    expect(idle).toMatchObject({ opsPerSecond: 0, readP99Ms: undefined });
    page.startedAt = 2;
    const [anew] = linesOf([{ before, now: page.look(2_000) }], members(N1));
    expect(anew).toMatchObject({ opsPerSecond: undefined, readP99Ms: undefined, hintCount: 7 });
  });

  test("of a node that does not answer says why, and members that were not asked are as others see them", () => {
    const page = new Page("n1");
    const down: NodeLook = { url: "http://n:2", atMs: 0, scrape: undefined, flaw: "not reached: ECONNREFUSED" };
    const others = [
      { node: "n3", status: "leaving", liveness: "dead" },
      { node: "n4", status: "left", liveness: "left" },
    ];
    const pairs = [
      { before: page.look(0), now: page.look(1_000) },
      { before: down, now: down },
    ];
    const lines = linesOf(pairs, members(N1, ...others));
    expect(lines.map(({ node, state }) => [node, state])).toEqual([
      ["n1", "alive"],
      ["http://n:2", "not reached: ECONNREFUSED"],
      ["n3", "dead, leaving"],
    ]);
    expect(pictureText(lines, 0)).toBe(
      [
        "00:00:00 UTC  0 ops/s at 1 nodes",
        "  node        state                      ops/s  5xx/s  read p99  write p99  loop   background  hints  to come  disk",
        "  n1          alive                      0      0      -         -          12 ms  50 %        7      3        75 %",
        "  http://n:2  not reached: ECONNREFUSED  -      -      -         -          -      -           -      -        -",
        "  n3          dead, leaving              -      -      -         -          -      -           -      -        -",
        "",
      ].join("\n"),
    );
  });
});

test("a scrape keeps what is asked for, however long the page", () => {
  const noise = Array.from({ length: 5_000 }, (_, at) => `gyre_other{n="${at}"} 1`).join("\n");
  const { values, reads } = parseScrape(`# HELP x y\n${noise}\nnonsense\ngyre_hints_kept 4\n`);
  expect([[...values], reads.size]).toEqual([[["gyre_hints_kept", 4]], 0]);
  expect(values.size).toBeLessThanOrEqual(KEPT_NAMES.length);
});

test("a quantile beyond the last bound is that bound", () => {
  const after = new Map([
    [1, 0],
    [Number.POSITIVE_INFINITY, 10],
  ]);
  expect(quantileBetween(new Map(), after, 0.99)).toBe(1);
});

describe("gyre top", () => {
  let here: ApiNode;
  let url: string;
  beforeAll(async () => {
    here = apiNode();
    url = `http://${await here.api.listen("127.0.0.1:0")}`;
  });
  afterAll(() => here.api.close());
  const top = (...argv: readonly string[]): ReturnType<typeof gyre> => gyre(["top", "--interval", "200ms", ...argv]);

  test("--once shows one picture of a node that answers, as words or as a document", async () => {
    const { code, out } = await top("--once", "--nodes", `${url},http://127.0.0.1:2`);
    expect([code, out.match(/^\S+ UTC {2}\d+ ops\/s at 1 nodes$/gm)?.length]).toEqual([0, 1]);
    expect(out).toMatch(/^ {2}http:\/\/127\.0\.0\.1:2 +not reached: ECONNREFUSED/m);
    const json = await top("--once", "--json", "--nodes", url);
    expect(JSON.parse(json.out)).toMatchObject({
      nodes: [expect.objectContaining({ url, opsPerSecond: 0 }), {}, {}, {}],
    });
  });

  test("--once fails when no node answers", async () => {
    expect((await top("--once", "--nodes", "http://127.0.0.1:2")).code).toBe(1);
  });

  test("shows one picture after the other, without signs for terminals, until Ctrl-C, which is no failure", async () => {
    let scrapeCount = 0;
    let interrupt = (): void => undefined;
    here.metrics.gauge({ name: "test_scrapes", help: "h" }, () => {
      scrapeCount += 1;
      if (scrapeCount === 4) interrupt();
      return scrapeCount;
    });
    const onStart = (given: () => void): void => {
      interrupt = given;
    };
    const onPause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));
    const { code, out } = await gyre(["top", "--interval", "200ms", "--nodes", url], { onStart, onPause });
    expect(code).toBe(0);
    expect(out.match(/ops\/s at/g)?.length).toBe(3);
    expect(out).not.toContain("\u001b");
  });

  test.each(["100ms", "2h", "soon", "0"])("--interval %s is refused in words", async (interval) => {
    const { code, err } = await gyre(["top", "--interval", interval]);
    expect([code, err]).toEqual([2, expect.stringContaining(`--interval=${interval}: is no time from 200ms to 60m`)]);
  });
});
