/** `gyre repair` against the real API over repairs that are told what to say. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ApiNode, apiNode, node } from "../../support/api-node.ts";
import { type CliRun, gyre } from "../../support/cli-run.ts";

let here: ApiNode;
let url: string;
beforeEach(async () => {
  here = apiNode();
  url = `http://${await here.api.listen("127.0.0.1:0")}`;
});
afterEach(() => here.api.close());

const run = (...argv: readonly string[]): Promise<CliRun> => gyre(["repair", ...argv, "--nodes", url], {});

describe("gyre repair --wait hints", () => {
  test("waits as long as it is told, and says that all is delivered", async () => {
    const { code, out, err } = await run("--wait", "hints", "--timeout", "3");
    expect({ code, out, err }).toEqual({ code: 0, out: "all hints are delivered (12 ms)\n", err: "" });
    expect(here.repair.waits).toEqual([3_000]);
  });

  test("says which nodes could not be asked", async () => {
    here.repair.hints = { ...here.repair.hints, unreachable: [node("n4")] };
    const ignoring = await run("--wait", "hints", "--ignore-unreachable");
    expect(ignoring).toMatchObject({ code: 0, err: expect.stringContaining("n4") });
    here.repair.hints = { ...here.repair.hints, isDone: false };
    expect(await run("--wait", "hints")).toMatchObject({ code: 1, err: expect.stringContaining("n4") });
    expect(here.repair.isIgnoring).toEqual([true, false]);
  });

  test("fails with what is left, and asks no second time", async () => {
    const left = [{ at: node("n2"), target: node("n4"), count: 7 }];
    here.repair.hints = { isDone: false, left, unreachable: [], durationMs: 1_000 };
    const { code, err } = await run("--wait", "hints", "--timeout", "1");
    expect(code).toBe(1);
    expect(err).toContain("7 hints are known not to be delivered, for n4");
    expect(here.repair.waits).toEqual([1_000]);
  });

  test("prints the answer as JSON for scripts", async () => {
    const { out } = await run("--wait", "hints", "--json");
    expect(JSON.parse(out)).toMatchObject({ waitedFor: "hints", unreachable: [] });
  });

  test("does not guess what to wait for", async () => {
    expect(await run()).toMatchObject({ code: 2 });
    expect(await run("--wait", "all")).toMatchObject({ code: 2 });
    expect(await run("--all", "--ignore-unreachable")).toMatchObject({ code: 2 });
  });
});

describe("gyre repair of replicas", () => {
  test.each([
    [["--all"], undefined],
    [["--partition", "5"], 5],
    [["--bucket", "carts"], undefined],
  ])("with %j compares and says what was repaired", async (argv, partition) => {
    const { code, out, err } = await run(...argv, "--timeout", "3");
    const words = "replicas hold the same: 6 comparisons, 2 keys repaired (34 ms)\n";
    expect({ code, out, err }).toEqual({ code: 0, out: words, err: "" });
    expect(here.repair.comparisons).toEqual([{ partition, timeoutMs: 3_000 }]);
  });

  test("fails with what is left", async () => {
    here.repair.compared = { ...here.repair.compared, isDone: false, left: 4, waitingFor: { n3: 4 } };
    const { code, err } = await run("--all", "--timeout", "1");
    expect(code).toBe(1);
    expect(err).toContain("4 of 6 comparisons are left; they wait for n3");
  });

  test("does one thing at a time", async () => {
    expect(await run("--all", "--partition", "5")).toMatchObject({ code: 2 });
  });
});

describe("gyre repair --scrub", () => {
  test("lets every node that is named re-read its store, and says what each has found", async () => {
    const { code, out } = await gyre(["repair", "--scrub", "--timeout", "3", "--nodes", `${url},${url}`], {});
    const words = "n1: 4096 bytes read, 3 rotten places, 2 records to be repaired (56 ms)\n";
    expect([code, out]).toEqual([0, words + words]);
    expect(here.repair.scrubs).toEqual([3_000, 3_000]);
    expect(JSON.parse((await run("--scrub", "--json")).out)).toMatchObject({ scrubbed: "n1", rotCount: 3 });
  });

  test("fails when a node is not through in time", async () => {
    here.repair.scrubbed = { ...here.repair.scrubbed, isDone: false };
    expect(await run("--scrub", "--timeout", "1")).toMatchObject({
      code: 1,
      err: expect.stringContaining("it goes on"),
    });
  });
});
