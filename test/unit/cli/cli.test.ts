import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { gyre } from "../../support/cli-run.ts";
import { FakeNodes } from "../../support/fake-nodes.ts";

let nodes: FakeNodes;
beforeAll(async () => {
  nodes = await FakeNodes.start(2);
});
afterAll(() => nodes[Symbol.asyncDispose]());

const at = (): readonly string[] => ["--nodes", nodes.urls.join(",")];

describe("gyre", () => {
  test("without a command says what there is, and fails", async () => {
    const { code, err } = await gyre([]);
    expect(code).toBe(2);
    for (const name of [
      "server",
      "get",
      "put",
      "delete",
      "status",
      "ring",
      "join",
      "leave",
      "replace",
      "remove",
      "abort",
      "load",
      "local",
    ])
      expect(err).toContain(`  ${name} `);
  });

  test.each(["get", "put", "delete", "status", "ring", "join", "leave", "replace", "remove", "abort", "load", "local"])(
    "%s --help says how it is used",
    async (name) => {
      const { code, out } = await gyre([name, "--help"]);
      expect(code).toBe(0);
      expect(out).toContain(`Usage: gyre ${name}`);
      expect(out).toContain("--help");
    },
  );

  test.each([
    { argv: ["gte", "b", "k"], says: 'there is no command "gte"; did you mean get?' },
    { argv: ["get", "b", "k", "--jsno"], says: "--jsno: there is no such flag; did you mean --json?" },
    { argv: ["get", "b"], says: "usage: gyre get BUCKET KEY" },
    { argv: ["get", "b", "k", "--r"], says: "--r needs a value" },
    { argv: ["get", "b", "k", "--json=yes"], says: "--json takes no value" },
    { argv: ["get", "b", "k", "--nodes", "ftp://x"], says: '"ftp://x" is not the address of a node' },
    { argv: ["put", "b", "k"], says: "give the value, - for stdin, or --file PATH" },
    { argv: ["local", "--nodes", "many"], says: "--nodes=many: is not a whole number of at least 1" },
    { argv: ["local", "--nodes", "99"], says: "--nodes=99: at most 20" },
    { argv: ["load", "gone.ndjson", "--bucket", "b", "--key", "k"], says: "gone.ndjson: is not a file" },
    { argv: ["load", "package.json", "--bucket", "B!", "--key", "k"], says: "--bucket NAME is needed" },
  ])("$argv is refused: $says", async ({ argv, says }) => {
    const { code, err, out } = await gyre(argv);
    expect(err).toContain(says);
    expect(code).toBe(2);
    expect(out).toBe("");
  });
});

describe("gyre put, get and delete", () => {
  test("write, read and remove a value byte by byte", async () => {
    expect(await gyre(["put", "b", "k/1 ü", '{"a": 1}', ...at()])).toMatchObject({ code: 0, out: "" });
    expect(await gyre(["get", "b", "k/1 ü", ...at()])).toEqual({ code: 0, out: '{"a": 1}', err: "" });
    expect((await gyre(["delete", "b", "k/1 ü", ...at()])).code).toBe(0);
    expect(await gyre(["get", "b", "k/1 ü", ...at()])).toMatchObject({ code: 4, out: "", err: "gyre: deleted\n" });
    expect(await gyre(["get", "b", "never", ...at()])).toMatchObject({ code: 4, err: "gyre: not found\n" });
  });

  test("take the value from stdin, and find its type", async () => {
    await gyre(["put", "b", "in", "-", ...at()], { input: "plain words" });
    expect(nodes.store.get("b/in")?.type).toBe("text/plain; charset=utf-8");
    const { out } = await gyre(["get", "b", "in", "--json", ...at()]);
    expect(JSON.parse(out)).toMatchObject({ base64: Buffer.from("plain words").toString("base64") });
  });

  test("take the nodes from GYRE_NODES", async () => {
    const env = { GYRE_NODES: nodes.urls[0] ?? "" };
    expect((await gyre(["put", "b", "env", "1"], { env })).code).toBe(0);
  });

  test("say who stood in for owners, and keep others out with --strict", async () => {
    nodes.fallbacks = ["n4"];
    const put = await gyre(["put", "b", "k", "1", ...at()]);
    expect(put.err).toContain("1 of its copies are kept by other nodes, for owners out of reach");
    expect(await gyre(["get", "b", "k", ...at()])).toEqual({
      code: 0,
      out: "1",
      err: "gyre: n4 answered in the place of owners out of reach\n",
    });
    expect(nodes.queries.some((query) => query.includes("sloppy"))).toBe(false);
    for (const words of [
      ["get", "b", "k"],
      ["put", "b", "k", "1"],
      ["delete", "b", "k"],
    ]) {
      await gyre([...words, "--strict", ...at()]);
      expect(nodes.queries.at(-1)).toContain("sloppy=false");
    }
  });

  test("show concurrent versions with their context, exit code 3", async () => {
    nodes.store.set("b/two", {
      values: [Buffer.from("1"), Buffer.from("2")],
      context: "both",
      type: "application/json",
    });
    const { code, out } = await gyre(["get", "b", "two", "--json", ...at()]);
    expect(code).toBe(3);
    expect(JSON.parse(out)).toEqual({ siblings: [{ value: 1 }, { value: 2 }], context: "both" });
  });

  test("repeat a write that was not applied, and never one of unknown outcome", async () => {
    nodes.mishapOf = (turn) => (turn % 2 === 1 ? "not_applied" : "none");
    expect((await gyre(["put", "b", "again", "1", ...at()])).code).toBe(0);
    nodes.mishapOf = () => "unknown_after";
    nodes.log.length = 0;
    const unknown = await gyre(["put", "b", "once", "1", ...at()]);
    nodes.mishapOf = () => "none";
    expect(unknown).toMatchObject({ code: 1 });
    expect(unknown.err).toContain("it is unknown whether it took effect");
    expect(nodes.log).toEqual(["PUT b/once"]);
  });

  test("go to the next node when one cannot be reached, and say so when none can", async () => {
    const gone = await FakeNodes.start(1);
    const dead = gone.urls[0] ?? "";
    await gone.end(0);
    expect((await gyre(["put", "b", "k", "1", "--nodes", `${dead},${nodes.urls[0]}`])).code).toBe(0);
    const none = await gyre(["put", "b", "k", "1", "--nodes", dead]);
    expect(none).toMatchObject({ code: 1 });
    expect(none.err).toContain("cannot be reached: ECONNREFUSED (nothing was changed; attempts: 6)");
  });
});
