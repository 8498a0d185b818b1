/** The open loop without Artillery: slices called as it calls them, against a server that stands still for a while. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { Histogram } from "../../../loadtest/driver/histogram.ts";
import { OpenLoop } from "../../../loadtest/driver/open-loop.ts";
import { Values } from "../../../loadtest/driver/values.ts";
import { type RunPlan, type RunResult, runFiles, SLICE_MS, sliceCount } from "../../../loadtest/plan.ts";

const STALL_MS = 400;
const directory = mkdtempSync(join(tmpdir(), "gyre-open-loop-"));
const files = runFiles(directory);
const ends: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  rmSync(directory, { recursive: true, force: true });
});

/** Answers every read at once, but for `STALL_MS` from the hundredth request on, in which it answers nothing. */
async function stallingNode(): Promise<string> {
  const body = `{"value":${new Values(200).bodyOf("l1")},"context":"c"}`;
  let requestCount = 0;
  let stalledUntilMs = 0;
  const server = createServer((_, response) => {
    requestCount += 1;
    if (requestCount === 100) stalledUntilMs = performance.now() + STALL_MS;
    const waitMs = stalledUntilMs - performance.now();
    const answer = (): unknown => response.writeHead(200, { "content-type": "application/json" }).end(body);
    if (waitMs > 0) setTimeout(answer, waitMs);
    else answer();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ends.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
}

test("everyone who came while a server stood still is seen to have waited, in a plan that no answer pushes back", async () => {
  const plan: RunPlan = {
    runId: "r",
    bucket: "b",
    targets: [await stallingNode()],
    mix: { read: 1 },
    draw: "uniform",
    recordCount: 10,
    valueBytes: 200,
    rate: 200,
    warmUpSeconds: 0.2,
    seconds: 1.2,
    seed: 1,
    timeoutMs: 5_000,
  };
  writeFileSync(files.plan, JSON.stringify(plan));
  const loop = new OpenLoop(files, undefined);
  ends.push(() => loop.close());
  const emitted: string[] = [];
  const slices: Promise<void>[] = [];
  for (let i = 0; i < sliceCount(plan); i += 1) {
    slices.push(loop.slice({ emit: (_, name) => emitted.push(name) }));
    await new Promise((resolve) => setTimeout(resolve, SLICE_MS / 2));
  }
  await Promise.all(slices);
  const result = JSON.parse(readFileSync(files.result, "utf8")) as RunResult;
  const planned = Histogram.from(result.operations["read"]?.planned ?? []);
  expect(planned.count).toBe(240);
  expect(result.counts.failedCount).toBe(0);
  expect(result.generator.sentCount).toBe(240);
  expect(emitted).toHaveLength(280);
  // Planned every 5 ms: 80 came during the stall, and half of those waited for more than half of it.
  expect(planned.quantileMs(1)).toBeGreaterThan(STALL_MS * 0.9);
  expect(planned.quantileMs(1 - 30 / 240)).toBeGreaterThan(STALL_MS / 2);
  expect(result.series.map(({ second }) => second)).toEqual([-1, 0, 1]);
});
