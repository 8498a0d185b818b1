/** The defaults of the curl that is on this machine, against a listening server. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ApiNode, apiNode } from "../../support/api-node.ts";

const run = promisify(execFile);
let here: ApiNode;
let base: string;
let folder: string;

beforeAll(async () => {
  await run("curl", ["--version"]).catch(() => {
    throw new Error("these tests need curl on the PATH: install it (apt-get install curl)");
  });
  here = apiNode();
  base = `http://${await here.api.listen("127.0.0.1:0")}/v1/kv/demo`;
  folder = await mkdtemp(join(tmpdir(), "gyre-curl-"));
});
afterAll(async () => {
  await here.api.close();
  await rm(folder, { recursive: true, force: true });
});

async function curl(...args: readonly string[]): Promise<{ readonly status: number; readonly body: string }> {
  const { stdout } = await run("curl", ["-sS", "--max-time", "10", "-w", "\n%{http_code}", ...args]);
  const end = stdout.lastIndexOf("\n");
  return { status: Number(stdout.slice(end + 1)), body: stdout.slice(0, end) };
}

describe("curl", () => {
  it("-X PUT -d JSON is taken as JSON though curl says form", async () => {
    expect((await curl("-X", "PUT", `${base}/d`, "-d", '{"a":1}')).status).toBe(200);
    expect(JSON.parse((await curl(`${base}/d`)).body)).toMatchObject({
      value: { a: 1 },
      contentType: "application/json",
    });
  });

  it("-X PUT -d of no JSON is 415 with what to send", async () => {
    const reply = await curl("-X", "PUT", `${base}/d2`, "-d", "hello");
    expect(reply.status).toBe(415);
    expect(JSON.parse(reply.body).detail).toContain("text/plain");
  });

  it("-T FILE stores the bytes, and -o gets them back bit by bit", async () => {
    const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, index) => (index * 7) % 256));
    await writeFile(join(folder, "in"), bytes);
    expect((await curl("-T", join(folder, "in"), `${base}/file`)).status).toBe(200);
    expect((await curl(`${base}/file?raw=true`, "-o", join(folder, "out"))).status).toBe(200);
    expect((await readFile(join(folder, "out"))).equals(bytes)).toBe(true);
    expect(JSON.parse((await curl(`${base}/file`)).body)).toMatchObject({
      contentType: "application/octet-stream",
      base64: bytes.toString("base64"),
    });
  });

  it("-T of exactly 1 MiB is taken (curl asks 100-continue first), one byte more is 413", async () => {
    await writeFile(join(folder, "mib"), Buffer.alloc(1_048_576, 1));
    await writeFile(join(folder, "over"), Buffer.alloc(1_048_577, 1));
    expect((await curl("-T", join(folder, "mib"), `${base}/mib`)).status).toBe(200);
    const over = await curl("-T", join(folder, "over"), `${base}/over`);
    expect([over.status, JSON.parse(over.body).code]).toEqual([413, "value_too_large"]);
  });

  it("-T - streams a body of unknown length", async () => {
    await writeFile(join(folder, "pipe"), "piped");
    const { stdout } = await run("sh", ["-c", `curl -sS -T - '${base}/pipe' < '${join(folder, "pipe")}'`]);
    expect(JSON.parse(stdout).outcome).toBe("applied");
    expect((await curl(`${base}/pipe?raw=true`)).body).toBe("piped");
  });

  it("--data-binary @FILE with a type keeps the type, and Accept naming it answers raw", async () => {
    await writeFile(join(folder, "text"), "line 1\nline 2\n");
    const type = "content-type: text/plain; charset=utf-8";
    expect(
      (await curl("-X", "PUT", "--data-binary", `@${join(folder, "text")}`, "-H", type, `${base}/text`)).status,
    ).toBe(200);
    expect((await curl("-H", "accept: text/plain", `${base}/text`)).body).toBe("line 1\nline 2\n");
  });

  it("-F is 415, -X PUT without a body is 400, and neither hangs", async () => {
    expect((await curl("-X", "PUT", "-F", "a=b", `${base}/form`)).status).toBe(415);
    expect((await curl("-X", "PUT", `${base}/none`)).status).toBe(400);
  });

  it("-f fails on errors, -I shows the headers", async () => {
    await expect(run("curl", ["-sf", `${base}/missing`])).rejects.toMatchObject({ code: 22 });
    const { stdout } = await run("curl", ["-sSI", `${base}/d`]);
    expect(stdout).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(stdout.toLowerCase()).toContain("gyre-context: ");
  });

  it("sends UTF-8 in a path as it is typed", async () => {
    expect((await curl("-X", "PUT", `${base}/ключ`, "-d", "1")).status).toBe(200);
    expect(JSON.parse((await curl(`${base}/${encodeURIComponent("ключ")}`)).body)).toMatchObject({
      key: "ключ",
      value: 1,
    });
  });

  it("runs the three lines that GET / shows", async () => {
    const page = (await curl(base.replace("/v1/kv/demo", "/"))).body;
    const lines = page.split("\n").filter((line) => line.startsWith("curl "));
    expect(lines).toHaveLength(3);
    for (const line of lines) {
      const { stdout } = await run("sh", ["-c", line.replace("curl ", "curl -sS -w '%{http_code}' ")]);
      expect(stdout.endsWith("200")).toBe(true);
    }
  });
});
