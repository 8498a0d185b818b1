import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ClusterSummary, parseCluster } from "../../../services/cli/cluster-summary.ts";
import { bytesText, columns } from "../../../services/cli/columns.ts";
import { type Line, lineAt, linesOf } from "../../../services/cli/load/lines.ts";
import { keyOf } from "../../../services/cli/load/record-key.ts";
import { durationText, tickText } from "../../../services/cli/load/ticker.ts";
import { type Ticket, Watermark } from "../../../services/cli/load/watermark.ts";
import { localNodes, parseLocalCluster } from "../../../services/cli/local-layout.ts";
import { shortLine } from "../../../services/cli/local-log.ts";
import { localNotes } from "../../../services/cli/local-notes.ts";
import { ringSummary } from "../../../services/cli/ring-summary.ts";
import { readServerCommand } from "../../../services/cli/server-command.ts";
import { caughtIo } from "../../support/cli-run.ts";

const PLAN = { nodeCount: 3, firstCount: 3, dataDir: "d", firstHttpPort: 4401, firstPeerPort: 4501, env: {} };

describe("the layout of a local cluster", () => {
  test("gives each node ports, a directory and a host of its own, and all the same seeds", () => {
    const nodes = localNodes(PLAN);
    expect(nodes.map((node) => node.clientUrl)).toEqual([4401, 4402, 4403].map((port) => `http://127.0.0.1:${port}`));
    expect(new Set(nodes.map((node) => node.env["GYRE_HOST"])).size).toBe(3);
    expect(new Set(nodes.map((node) => node.env["GYRE_SEEDS"]))).toEqual(
      new Set(["127.0.0.1:4501,127.0.0.1:4502,127.0.0.1:4503"]),
    );
  });

  test.each([
    [1, 1],
    [2, 2],
    [3, 3],
    [5, 5],
    [20, 20],
    [5, 3],
    [3, 1],
    [2, 3],
  ])("of %d nodes, %d at first, is a configuration that every node takes", (nodeCount, firstCount) => {
    for (const node of localNodes({ ...PLAN, nodeCount, firstCount })) {
      const { io, err } = caughtIo({ env: node.env });
      const command = readServerCommand([], io);
      expect(err).toEqual([]);
      expect(command).toMatchObject({
        kind: "start",
        config: { n: Math.min(3, firstCount), bootstrapExpect: firstCount, join: "auto" },
      });
    }
  });

  test("of more nodes than made it has only the first ones as seeds, and the newcomers join by themselves", () => {
    const nodes = localNodes({ ...PLAN, nodeCount: 5 });
    expect(new Set(nodes.map(({ env }) => env["GYRE_SEEDS"]))).toEqual(
      new Set(["127.0.0.1:4501,127.0.0.1:4502,127.0.0.1:4503"]),
    );
    expect(new Set(nodes.map(({ env }) => env["GYRE_JOIN"]))).toEqual(new Set(["auto"]));
  });

  test("is found again in its file, and nothing else is taken for one", () => {
    const kept = { nodeCount: 3, firstCount: 2, mostCount: 5, clientUrls: ["http://127.0.0.1:4401"], pid: 7 };
    expect(parseLocalCluster(JSON.stringify(kept))).toEqual(kept);
    const older = { nodeCount: 3, clientUrls: kept.clientUrls, pid: 7 };
    expect(parseLocalCluster(JSON.stringify(older))).toEqual({ ...older, firstCount: 3, mostCount: 3 });
    for (const other of ["", "null", "[]", '{"nodeCount":3}', '{"nodeCount":"3","clientUrls":["x"]}', "{"]) {
      expect(parseLocalCluster(other)).toBeUndefined();
    }
  });
});

describe("what is told of a local cluster of another size than before", () => {
  const told = (members: Readonly<Record<string, string>>, replicas = 3): ClusterSummary | undefined => {
    const list = Object.entries(members).map(([node, status]) => ({ node, status }));
    return parseCluster(Buffer.from(JSON.stringify({ partitions: 64, replicas, members: list })));
  };

  test("is nothing when it has the nodes that it had, or says nothing", () => {
    expect(localNotes(PLAN, told({ n1: "normal", n2: "normal", n3: "normal" }))).toEqual([]);
    expect(localNotes(PLAN, undefined)).toEqual([]);
  });

  test("are the nodes that joined, and where their data can be watched", () => {
    const members = { n1: "normal", n2: "normal", n3: "normal", n4: "joining", n5: "joining" };
    expect(localNotes({ ...PLAN, nodeCount: 5 }, told(members))).toEqual([
      "n4, n5 joined just now: gyre status --watch shows the data move",
    ]);
  });

  test("are the members that were not started, and the command that takes one out", () => {
    const members = { n1: "normal", n2: "normal", n3: "normal", n4: "normal", n5: "normal" };
    const lines = localNotes(PLAN, told(members));
    expect(lines.join("\n")).toContain("n4, n5 of the ring are not running");
    expect(lines.join("\n")).toContain("start with --nodes 5, then gyre leave n4");
    const left = { ...members, n4: "left", n5: "removed" };
    expect(localNotes(PLAN, told(left))).toEqual([]);
    expect(localNotes({ ...PLAN, nodeCount: 4 }, told(left))).toEqual([
      "n4 left the ring earlier: running, but without data",
    ]);
  });

  test("is that N stays what it was when the cluster was made", () => {
    const members = { n1: "normal", n2: "joining", n3: "normal" };
    expect(localNotes({ ...PLAN, firstCount: 1 }, told(members, 1)).at(-1)).toBe(
      "keys have 1 replicas, as when the cluster was made: --fresh makes one with 3",
    );
  });
});

describe("gyre server", () => {
  test("--print-config shows every setting with its origin, and no secret", () => {
    const { io, out } = caughtIo({ env: { GYRE_ZONE: "z1", GYRE_SECRET: "0123456789abcdef" } });
    expect(readServerCommand(["--print-config", "--weight", "2"], io)).toEqual({ kind: "exit", code: 0 });
    expect(out.join("")).toMatch(/^GYRE_ZONE +z1 +env$/m);
    expect(out.join("")).toMatch(/^GYRE_WEIGHT +2 +flag$/m);
    expect(out.join("")).toMatch(/^GYRE_SECRET +\(secret\) +env$/m);
  });

  test("tells all problems and ends with code 78", () => {
    const { io, err } = caughtIo({ env: { GYRE_N: "9", GYRE_CONFIG: "gone.json" } });
    expect(readServerCommand(["--port", "1"], io)).toEqual({ kind: "exit", code: 78 });
    expect(err.join("")).toContain("the configuration has 3 problems:");
    expect(err.join("")).toContain("GYRE_CONFIG=gone.json: cannot be read: ENOENT");
  });

  test("--help names every flag", () => {
    const { io, out } = caughtIo();
    expect(readServerCommand(["--help"], io)).toEqual({ kind: "exit", code: 0 });
    for (const flag of ["--data-dir", "--insecure", "--print-config"]) expect(out.join("")).toContain(flag);
  });
});

describe("words for people", () => {
  test("a log line is its level, event and facts; what is no JSON stays and counts as an error", () => {
    const line = '{"level":40,"time":1,"node":"n1","event":"disk.slow","durationMs":12.345678,"segment":7}';
    expect(shortLine(line)).toEqual({
      level: 40,
      event: "disk.slow",
      text: "warn disk.slow durationMs=12.35 segment=7",
    });
    expect(shortLine("Error: boom")).toEqual({ level: 50, event: "", text: "Error: boom" });
    expect(shortLine('{"broken')).toMatchObject({ level: 50 });
  });

  test("columns are as wide as their widest cell", () => {
    expect(
      columns([
        ["a", "bb"],
        ["ccc", "d"],
      ]),
    ).toBe("a    bb\nccc  d");
  });

  test("a ring is a few lines; what is none is nothing", () => {
    const member = { node: "n1", zone: "z", host: "h", liveness: "alive", address: "a", slotsHeld: 64 };
    const bytes = Buffer.from(JSON.stringify({ ringHash: "ff", partitions: 64, replicas: 1, members: [member] }));
    const parsed = parseCluster(bytes);
    expect(parsed && ringSummary(parsed)).toBe(
      "ring ff: 64 partitions, 1 replicas of each\n  n1  alive  zone z  host h  64 slots  100.0 %",
    );
    expect(parseCluster(Buffer.from("null"))).toBeUndefined();
    expect(parseCluster(Buffer.from("{"))).toBeUndefined();
  });

  test("sizes have a unit that fits", () => {
    expect([0, 999, 1_000, 1_550, 12_345, 3e6, 4.56e10, 7e15].map(bytesText)).toEqual([
      "0 B",
      "999 B",
      "1.0 kB",
      "1.6 kB",
      "12 kB",
      "3.0 MB",
      "46 GB",
      "7000 TB",
    ]);
  });

  test("progress tells the rate and the time that is left", () => {
    const first = { label: "loaded", records: 0, doneBytes: 0, totalBytes: 1000, more: "" };
    const now = { ...first, records: 50, doneBytes: 250, more: ", 3 retries" };
    expect(tickText(first, now, 10_000)).toBe("loaded 50 records, 25 %, 5/s, 30 s left, 3 retries");
    expect([59, 61, 3_700].map(durationText)).toEqual(["59 s", "1 min 1 s", "1 h 1 min"]);
  });
});

describe("the lines of a file", () => {
  async function readLines(bytes: Uint8Array, startOffset = 0, maxBytes = 1 << 20): Promise<readonly Line[]> {
    const folder = mkdtempSync(join(tmpdir(), "gyre-lines-"));
    const path = join(folder, "f");
    writeFileSync(path, bytes);
    const lines: Line[] = [];
    for await (const line of linesOf(path, { startOffset, maxBytes })) {
      lines.push(line);
      if (line.bytes === undefined) continue;
      const again = await lineAt(path, { startOffset: line.startOffset, sizeBytes: line.bytes.length });
      expect(Buffer.compare(again, line.bytes)).toBe(0);
    }
    rmSync(folder, { recursive: true });
    return lines;
  }

  test("are what split would give, from any line's beginning on, byte by byte", async () => {
    const text = fc.array(fc.constantFrom("", "a", "ü€", "\r", "x".repeat(70), "y".repeat(300_000)), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(text, fc.boolean(), async (parts, hasEnd) => {
        const whole = Buffer.from(parts.join("\n") + (hasEnd ? "\n" : ""));
        const lines = await readLines(whole);
        const expected = whole.length === 0 ? [] : whole.toString().split("\n");
        if (expected.at(-1) === "") expected.pop();
        expect(lines.map((line) => Buffer.from(line.bytes ?? []).toString())).toEqual(expected);
        expect(lines.at(-1)?.endOffset ?? 0).toBe(whole.length);
        const middle = lines[Math.floor(lines.length / 2)];
        const rest = await readLines(whole, middle?.startOffset ?? 0);
        expect(rest).toEqual(lines.slice(Math.floor(lines.length / 2)));
      }),
      { numRuns: 30 },
    );
  });

  test("that are too long are left out, and the next one is found", async () => {
    const lines = await readLines(Buffer.from(`a\n${"b".repeat(700_000)}\nc`), 0, 1000);
    expect(lines.map((line) => line.bytes?.length)).toEqual([1, undefined, 1]);
  });
});

describe("the key of a record", () => {
  const rule = { fields: ["name", "version"], separator: "/" };
  test.each([
    { text: '{"name":"a","version":1}', want: { kind: "key", key: "a/1" } },
    { text: '{"name":"ü","version":""}', want: { kind: "key", key: "ü/" } },
    { text: '{"version":1}', want: { kind: "problem", problem: 'has no text or number "name" for its key' } },
    { text: "7", want: { kind: "problem", problem: "is not a JSON object" } },
    { text: '{"name":', want: { kind: "problem", problem: "is not a JSON object" } },
  ])("of $text is $want", ({ text, want }) => {
    expect(keyOf(Buffer.from(text), rule)).toEqual(want);
  });

  test("is never one that the prototype gives, one too long, or one that no URL can carry", () => {
    const of = (text: string, fields: readonly string[]): string =>
      keyOf(Buffer.from(text), { fields, separator: "/" }).kind;
    expect(of("{}", ["constructor"])).toBe("problem");
    expect(of(`{"a":"${"x".repeat(1025)}"}`, ["a"])).toBe("problem");
    expect(of('{"a":".."}', ["a"])).toBe("problem");
    expect(of('{"a":""}', ["a"])).toBe("problem");
  });

  test("is not read from bytes that are not UTF-8", () => {
    expect(keyOf(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), rule)).toMatchObject({ kind: "problem" });
  });
});

test("a watermark stands before the oldest line that is not done, in whatever order they finish", () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 50 }), { maxLength: 60 }), (picks) => {
      const mark = new Watermark(0, 0);
      const open: Ticket[] = [];
      const done = new Set<number>();
      let begun = 0;
      for (const pick of picks) {
        if (pick % 2 === 0) {
          begun += 1;
          open.push(mark.begin(begun * 10));
        } else {
          const [ticket] = open.splice(pick % Math.max(1, open.length), 1);
          if (ticket !== undefined) {
            mark.finish(ticket);
            done.add(ticket.endOffset / 10);
          }
        }
        let prefix = 0;
        while (done.has(prefix + 1)) prefix += 1;
        expect([mark.offset, mark.doneLines, mark.spread]).toEqual([prefix * 10, prefix, begun - prefix]);
      }
    }),
  );
});
