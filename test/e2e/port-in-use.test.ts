/** A second process on a client address that is taken: it says so, ends with 1, and leaves its own data in order. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const MAIN = join(import.meta.dirname, "../../services/main.ts");
const HOST = "127.0.0.1";

let directory: string;
let holder: Server;
let taken: string;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "gyre-port-"));
  holder = createServer().listen(0, HOST);
  await once(holder, "listening");
  const address = holder.address();
  taken = `${HOST}:${typeof address === "object" && address !== null ? address.port : 0}`;
});
afterEach(() => {
  holder.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Runs a lone node until it ends by itself; its log, line by line. */
async function runNode(): Promise<{
  readonly code: number | null;
  readonly lines: readonly Record<string, unknown>[];
}> {
  const child = spawn(process.execPath, [MAIN, "server"], {
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      ...process.env,
      GYRE_NODE_ID: "second",
      GYRE_DATA_DIR: join(directory, "data"),
      GYRE_HTTP: taken,
      GYRE_PEER: `${HOST}:0`,
      GYRE_ADVERTISE: `${HOST}:4599`,
    },
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  const [code]: readonly unknown[] = await once(child, "close");
  const lines = output
    .trim()
    .split("\n")
    .map((line): Record<string, unknown> => JSON.parse(line));
  return { code: typeof code === "number" ? code : null, lines };
}

describe("a node whose client address is taken", () => {
  test("ends with 1 and clear words, and its data directory is left clean", async () => {
    const first = await runNode();
    expect(first.code).toBe(1);
    const failed = first.lines.find((line) => line["event"] === "node.start-failed");
    expect(failed?.["reason"]).toContain(`${taken}: another process has this address`);
    expect(first.lines.map((line) => line["event"])).toContain("storage.closed");
    const second = await runNode();
    const opened = second.lines.find((line) => line["event"] === "storage.opened");
    expect(opened).toMatchObject({ mode: "clean", isNewActor: false });
  });
});
