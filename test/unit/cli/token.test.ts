/** `gyre token`, and what commands show to nodes. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GyreClient } from "../../../services/client/client.ts";
import { sha256Of } from "../../../services/security/token.ts";
import { gyre } from "../../support/cli-run.ts";

const directory = mkdtempSync(join(tmpdir(), "gyre-token-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

describe("gyre token new", () => {
  test("prints a token once, and an entry that holds its hash alone and that a node takes", async () => {
    const { code, out } = await gyre([
      "token",
      "new",
      "shop",
      "--rights",
      "read,operate",
      "--buckets",
      "carts*",
      "--days",
      "30",
      "--json",
    ]);
    expect(code).toBe(0);
    const made = JSON.parse(out);
    const [principal] = made.file.principals;
    expect(principal.name).toBe("shop");
    expect(principal.grants).toEqual([{ rights: ["read"], buckets: ["carts*"] }, { rights: ["operate"] }]);
    expect(principal.tokens[0].sha256).toBe(sha256Of(made.token));
    expect(JSON.stringify(made.file)).not.toContain(made.token.slice(18));
    const path = file("tokens.json", JSON.stringify(made.file));
    expect(await gyre(["token", "check", path])).toMatchObject({ code: 0, out: expect.stringContaining("shop") });
  });

  test("never makes the same twice", async () => {
    const [one, two] = await Promise.all([
      gyre(["token", "new", "a", "--json"]),
      gyre(["token", "new", "a", "--json"]),
    ]);
    expect(JSON.parse(one.out).token).not.toBe(JSON.parse(two.out).token);
  });

  test.each([
    [["token", "new", "shop", "--rights", "all"], '"all" is none of read'],
    [["token", "new", "shop", "--buckets", "a*b"], '"a*b" is no bucket name'],
    [["token", "new", "two words"], "principals[0].name"],
    [["token", "new", "shop", "--days", "0"], "--days=0"],
    [["token", "make", "shop"], "usage: gyre token new NAME"],
  ])("says what is wrong with %j", async (argv, words) => {
    expect(await gyre(argv)).toMatchObject({ code: 2, out: "", err: expect.stringContaining(words) });
  });

  test("check says why a node would not take a file", async () => {
    const bad = await gyre(["token", "check", file("bad.json", '{"principals":[{"name":"a"}]}')]);
    expect(bad).toMatchObject({ code: 78, err: expect.stringContaining("principals[0].tokens: is a list") });
    expect((await gyre(["token", "check", join(directory, "gone")])).code).toBe(1);
  });
});

describe("what commands show to nodes", () => {
  const shown: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    shown.push(request.headers.authorization);
    response.setHeader("content-type", "application/json").end('"value"');
  });
  let url = "";
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    url = typeof address === "object" && address !== null ? `http://127.0.0.1:${address.port}` : "";
  });
  afterAll(() => server.close());

  test.each([
    ["--token", ["--token", "t1"], {}, "Bearer t1"],
    ["--token-file, without the end of its line", ["--token-file", file("t2", "t2\n")], {}, "Bearer t2"],
    ["GYRE_TOKEN", [], { GYRE_TOKEN: "t3" }, "Bearer t3"],
    ["GYRE_TOKEN_FILE before GYRE_TOKEN", [], { GYRE_TOKEN: "t3", GYRE_TOKEN_FILE: file("t4", "t4") }, "Bearer t4"],
    ["a flag before the environment", ["--token", "t1"], { GYRE_TOKEN_FILE: join(directory, "gone") }, "Bearer t1"],
    ["nothing, when there is nothing", [], { GYRE_TOKEN: "" }, undefined],
  ])("is %s", async (_what, flags, env, header) => {
    shown.length = 0;
    expect(await gyre(["get", "b", "k", "--nodes", url, ...flags], { env })).toMatchObject({ code: 0, out: '"value"' });
    expect(shown).toEqual([header]);
  });

  test.each([
    [["--token", "a", "--token-file", "b"], "give one of them"],
    [["--token", "two words"], "--token: holds no token"],
    [["--token-file", "/nowhere/at/all"], "--token-file=/nowhere/at/all: cannot be read"],
    [["--ca", file("no.pem", "hello")], "holds no certificate in PEM"],
  ])("is refused in words, and not quoted: %j", async (flags, words) => {
    const told = await gyre(["get", "b", "k", "--nodes", url, ...flags]);
    expect(told).toMatchObject({ code: 2, err: expect.stringContaining(words) });
    expect(told.err).not.toContain("two words");
  });

  test("the client in TypeScript shows its token with every request", async () => {
    shown.length = 0;
    await new GyreClient({ nodes: [url], token: "t9" }).get("b", "k", { context: "c" });
    expect(shown).toEqual(["Bearer t9"]);
  });
});
