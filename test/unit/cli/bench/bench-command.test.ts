/** `gyre bench` against the real API over a coordinator that keeps keys in memory. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ApiNode, apiNode } from "../../../support/api-node.ts";
import { gyre } from "../../../support/cli-run.ts";

let here: ApiNode;
let url: string;
beforeAll(async () => {
  here = apiNode();
  url = `http://${await here.api.listen("127.0.0.1:0")}`;
});
afterAll(() => here.api.close());

function at(told: Readonly<Record<string, unknown>>, ...path: readonly string[]): unknown {
  return path.reduce<unknown>((part, name) => (part as Record<string, unknown>)[name], told);
}

describe("gyre bench", () => {
  test("tells what was served and how it was measured, and leaves nothing behind", async () => {
    const argv = [
      "--seconds",
      "1",
      "--rate",
      "40",
      "--keys",
      "5",
      "--connections",
      "2",
      "--value-size",
      "1KiB",
      "--json",
    ];
    const { code, out, err } = await gyre(["bench", ...argv, "--nodes", `${url},${url}`]);
    expect([code, err]).toEqual([0, ""]);
    const told: Record<string, unknown> = JSON.parse(out);
    expect(told).toMatchObject({ mode: "open loop", rate: 40, connections: 2, valueBytes: 1024, failed: 0 });
    expect(told).toMatchObject({ keys: 5, keysMade: 5, keysRemoved: 5 });
    // what a busy machine keeps from being sent is counted, too
    expect(Number(at(told, "all", "count")) + Number(told["unsent"])).toBe(40);
    expect(told["bucket"]).toMatch(/^gyre-bench-[0-9a-f]{8}$/);
    const { puts, deletes } = here.coordinator;
    expect(deletes.length).toBe(5);
    // its own keys alone, and with an end, should it be killed
    const keys = [...puts, ...deletes].map(({ name }) => Buffer.from(name.key).toString());
    expect(keys.every((key) => /^gyre-bench\/[0-9a-f]{8}\/[0-4]$/.test(key))).toBe(true);
    expect(puts.every(({ ttlSeconds }) => ttlSeconds === 601)).toBe(true);
  });

  test("ends at once on Ctrl-C, with what it has, its keys removed, and exit code 130", async () => {
    const before = here.coordinator.deletes.length;
    const onStart = (interrupt: () => void): void => {
      setTimeout(interrupt, 100);
    };
    const { code, out } = await gyre(["bench", "--seconds", "60", "--keys", "3", "--nodes", url], { onStart });
    expect(code).toBe(130);
    expect(out).toContain("closed loop: a connection sends when it has its answer");
    expect(out).toMatch(/^failed {5}none$/m);
    expect(here.coordinator.deletes.length).toBe(before + 3);
  });

  test("fails when nothing is served, and says why", async () => {
    const { code, out, err } = await gyre(["bench", "--seconds", "60", "--nodes", "http://127.0.0.1:2"]);
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain("gyre: nothing was served: http://127.0.0.1:2 cannot be reached: ECONNREFUSED");
  });

  test.each([
    [["--write-share", "2"], "--write-share=2: is no number from 0"],
    [["--value-size", "9GiB"], "--value-size=9GiB: is no size"],
    [["--value-size", "0"], "--value-size=0: is no size"],
    [["--rate", "0"], "--rate=0: is not a whole number of at least 1"],
    [["--seconds", "601"], "--seconds=601: at most 600"],
    [["--connections", "5000"], "--connections=5000: at most 1024"],
    [["--bucket", "B!"], "--bucket=B!: is no name of a bucket"],
  ])("%j is refused in words", async (argv, words) => {
    const { code, err } = await gyre(["bench", ...argv]);
    expect([code, err]).toEqual([2, expect.stringContaining(words)]);
  });
});
