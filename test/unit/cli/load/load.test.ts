import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type CliGiven, type CliRun, gyre } from "../../../support/cli-run.ts";
import { FakeNodes } from "../../../support/fake-nodes.ts";

let nodes: FakeNodes;
let folder: string;
beforeEach(async () => {
  nodes = await FakeNodes.start(3);
  folder = mkdtempSync(join(tmpdir(), "gyre-load-"));
});
afterEach(async () => {
  await nodes[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const record = (index: number, version = "1.0"): string => `{"name":"p${index}","version": "${version}", "n":${index}}`;

function input(lines: readonly string[], end = "\n"): string {
  const path = join(folder, "in.ndjson");
  writeFileSync(path, lines.join("\n") + end);
  return path;
}

function load(path: string, more: readonly string[] = [], given: CliGiven = {}): Promise<CliRun> {
  const nodeFlags = ["--nodes", nodes.urls.join(",")];
  return gyre(["load", path, "--bucket", "pkg", "--key", "name,version", ...nodeFlags, ...more], given);
}

function stored(key: string): readonly string[] {
  return (nodes.store.get(`pkg/${encodeURIComponent(key)}`)?.values ?? []).map(String);
}

describe("gyre load", () => {
  test("stores every line byte by byte under the key of its fields", async () => {
    const lines = Array.from({ length: 500 }, (_, index) => record(index));
    const run = await load(input(["", ...lines], ""), ["--verify"]);
    expect(run).toMatchObject({ code: 0 });
    expect(nodes.store.size).toBe(500);
    expect(stored("p7/1.0")).toEqual([record(7)]);
    expect(run.out).toContain("500 records read back through 3 nodes (1500 reads): all byte-identical");
    expect(new Set(lines.map((_, index) => index % 3)).size).toBe(3);
  });

  test("carries every record through refusals, broken connections and unknown outcomes", async () => {
    const kinds = ["not_applied", "broken_before", "broken_after", "unknown_after"] as const;
    nodes.mishapOf = (turn) => (turn % 5 === 0 ? kinds[(turn / 5) % kinds.length] : undefined) ?? "none";
    const lines = Array.from({ length: 100 }, (_, index) => record(index));
    const run = await load(input(lines), ["--verify", "--json"]);
    const { counts, verified } = JSON.parse(run.out) as {
      counts: Record<string, number>;
      verified: { records: number; mismatches: unknown[] };
    };
    expect(run.code).toBe(0);
    expect(counts).toMatchObject({ applied: 100, rejected: 0 });
    expect(counts["notApplied"]).toBeGreaterThan(0);
    expect(counts["unknown"]).toBeGreaterThan(0);
    expect(verified).toMatchObject({ records: 100, mismatches: [] });
  });

  test("replaces both when a write of unknown outcome comes through beside its repetition", async () => {
    let isFirst = true;
    nodes.mishapOf = (_turn, key) => {
      const isStruck = isFirst && key.includes("p5");
      if (isStruck) isFirst = false;
      return isStruck ? "late_sibling" : "none";
    };
    const lines = Array.from({ length: 20 }, (_, index) => record(index));
    const slow = load(input(lines), ["--concurrency", "1"]);
    expect((await slow).code).toBe(0);
    expect(stored("p5/1.0")).toEqual([record(5)]);
  });

  test("goes on with the other nodes when one is gone", async () => {
    await nodes.end(1);
    const lines = Array.from({ length: 60 }, (_, index) => record(index));
    const run = await load(input(lines), ["--json"]);
    expect(run.code).toBe(0);
    expect((JSON.parse(run.out) as { counts: { unreachable: number } }).counts.unreachable).toBeGreaterThan(0);
    expect(nodes.store.size).toBe(60);
  });

  test("goes on where it was interrupted, and does nothing when all is done", async () => {
    const path = input(Array.from({ length: 400 }, (_, index) => record(index)));
    let interrupt = (): void => undefined;
    nodes.mishapOf = (turn) => {
      if (turn === 150) interrupt();
      return "none";
    };
    const first = await load(path, ["--concurrency", "8"], { onStart: (run) => (interrupt = run) });
    expect(first.code).toBe(130);
    const writtenFirst = nodes.log.length;
    expect(writtenFirst).toBeLessThan(400);
    const second = await load(path);
    expect(second.code).toBe(0);
    expect(second.err).toMatch(/going on after line 1[45]\d/);
    expect(nodes.log.length, "no more than what was under way is written twice").toBeLessThanOrEqual(400 + 8);
    expect(nodes.store.size).toBe(400);
    nodes.log.length = 0;
    expect((await load(path)).code).toBe(0);
    expect(nodes.log).toEqual([]);
  });

  test("refuses the progress of another input, unless it is told to begin anew", async () => {
    await load(input([record(1)]));
    const changed = input([record(1), record(2)]);
    const refused = await load(changed);
    expect(refused.code).toBe(2);
    expect(refused.err).toContain(
      "is the progress of another load: the input has changed since; --restart begins anew",
    );
    expect((await load(changed, ["--restart"])).code).toBe(0);
    expect(nodes.store.size).toBe(2);
  });

  test("keeps its progress where it is told to", async () => {
    const state = join(folder, "elsewhere");
    const path = input([record(1)]);
    await load(path, ["--state", state]);
    expect(existsSync(`${path}.progress`)).toBe(false);
    expect(JSON.parse(readFileSync(state, "utf8"))).toMatchObject({ doneLines: 1, unsettled: [] });
  });

  test("rejects what has no key, names the lines, loads the rest, and fails", async () => {
    const bad = [
      "not json",
      "[]",
      '{"name":"x"}',
      '{"name":{},"version":1}',
      `{"name":"${"x".repeat(2000)}","version":1}`,
    ];
    const run = await load(input([record(1), ...bad, record(2)]));
    expect(run.code).toBe(1);
    expect(nodes.store.size).toBe(2);
    expect(run.err).toContain('line 4 was rejected: has no text or number "version" for its key');
    expect(run.out).toContain("rejected 5");
  });

  test("gives a key on several lines the value of the last, whatever the concurrency", async () => {
    const lines = Array.from({ length: 90 }, (_, index) => `{"name":"p${index % 3}","version":"1","n":${index}}`);
    const run = await load(input(lines), ["--verify", "--concurrency", "50"]);
    expect(run).toMatchObject({ code: 0 });
    expect(stored("p2/1")).toEqual(['{"name":"p2","version":"1","n":89}']);
  });

  test("does not put back an earlier line of a key whose write was once unknown", async () => {
    let isFirst = true;
    nodes.mishapOf = (_turn, key) => {
      const isStruck = isFirst && key.includes("p5");
      if (isStruck) isFirst = false;
      return isStruck ? "unknown_after" : "none";
    };
    const older = `{"name":"p5","version":"1.0","n":"older"}`;
    const path = input([older, ...Array.from({ length: 20 }, (_, index) => record(index))]);
    expect((await load(path)).code).toBe(0);
    expect(stored("p5/1.0")).toEqual([record(5)]);
  });

  test("looks again at what it may have sent before it was interrupted or killed", async () => {
    const path = input(Array.from({ length: 20 }, (_, index) => record(index)));
    const progress = `${path}.progress`;
    let interrupt = (): void => undefined;
    nodes.mishapOf = (_turn, key) => {
      if (!key.includes("p5")) return "none";
      interrupt();
      return "broken_before";
    };
    const first = await load(path, ["--concurrency", "1"], { onStart: (run) => (interrupt = run) });
    expect(first.code).toBe(130);
    const kept = JSON.parse(readFileSync(progress, "utf8")) as { doneOffset: number; unsettled: object[] };
    expect(kept.unsettled).toMatchObject([{ startOffset: kept.doneOffset }]);
    for (const asKilled of [false, true]) {
      // a killed one knows only how far it may have come
      const begunOffset = readFileSync(path).length;
      writeFileSync(progress, JSON.stringify(asKilled ? { ...kept, begunOffset, unsettled: [] } : kept));
      nodes.mishapOf = (_turn, key) => {
        const there = nodes.store.get("pkg/p5%2F1.0");
        const late = { values: [Buffer.from(record(5)), Buffer.from(record(5))], context: "late", type: "" };
        if (key.includes("p19") && there !== undefined) nodes.store.set("pkg/p5%2F1.0", late);
        return "none";
      };
      expect((await load(path, ["--concurrency", "1"])).code).toBe(0);
      expect(stored("p5/1.0")).toEqual([record(5)]);
      expect(JSON.parse(readFileSync(progress, "utf8"))).toMatchObject({ doneLines: 20, unsettled: [] });
    }
  });

  test("finds and names a record that does not read back", async () => {
    const path = input([record(1), record(2)]);
    await load(path);
    nodes.store.set("pkg/p2%2F1.0", { values: [Buffer.from("{}")], context: "x", type: "application/json" });
    const run = await load(path, ["--verify"]);
    expect(run.code).toBe(1);
    expect(run.out).toContain("3 differ");
    expect(run.out).toContain(`p2/1.0 at ${nodes.urls[0]}: 2 bytes came back that differ from the 37 of the record`);
  });

  test("stops, without claiming the line, when a record cannot be stored in time", async () => {
    nodes.mishapOf = (_turn, key) => (key.includes("p3%2F") ? "not_applied" : "none");
    const path = input(Array.from({ length: 10 }, (_, index) => record(index)));
    const stuck = await load(path, ["--patience", "1", "--concurrency", "2"]);
    expect(stuck.code).toBe(1);
    expect(stuck.err).toContain("line 4 could not be stored in time");
    nodes.mishapOf = () => "none";
    const after = await load(path);
    expect(after).toMatchObject({ code: 0 });
    expect(after.err).toContain("going on after line 3");
    expect(nodes.store.size).toBe(10);
  });
});
