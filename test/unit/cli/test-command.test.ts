/** `gyre test` against the real API over a coordinator that keeps keys in memory. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { type ApiNode, apiNode } from "../../support/api-node.ts";
import { type CliRun, gyre } from "../../support/cli-run.ts";

const apis: ApiNode[] = [];
let url: string;
let stranger: string;

async function serve(): Promise<string> {
  const api = apiNode();
  apis.push(api);
  return `http://${await api.api.listen("127.0.0.1:0")}`;
}

beforeEach(async () => {
  url = await serve();
  stranger = await serve();
});
afterEach(() => Promise.all(apis.splice(0).map(({ api }) => api.close())));

const run = (nodes: readonly string[], ...argv: readonly string[]): Promise<CliRun> =>
  gyre(["test", ...argv, "--nodes", nodes.join(",")], {});

test("takes a key through its whole life once through each node, and says so", async () => {
  const { code, out, err } = await run([url, url]);
  expect({ code, err }).toEqual({ code: 0, err: "" });
  // two writes and a delete, and after each of them a read through each of the two
  expect(out).toMatch(
    /^ok {4}http:\S+ {2}9 requests, \d+ ms\nok {4}http:\S+ {2}9 requests, \d+ ms\n2 of 2 nodes pass\n$/,
  );
});

test("fails, and says through which node, when one does not read what another has written", async () => {
  const { code, out } = await run([url, stranger]);
  expect(code).toBe(1);
  expect(out).toContain(`FAIL  ${url}  ${stranger}: read nothing where "first" was expected`);
  expect(out).toContain("0 of 2 nodes pass");
});

test("fails when a node cannot be reached, and still tries the others", async () => {
  const { code, out } = await run(["http://127.0.0.1:2", url]);
  expect(code).toBe(1);
  expect(out).toContain('FAIL  http://127.0.0.1:2  http://127.0.0.1:2: the write of "first" failed: unreachable');
  expect(out.split("\n").filter((line) => line.startsWith("FAIL"))).toHaveLength(2);
});

test("prints one document for scripts", async () => {
  const { code, out } = await run([url], "--json", "--bucket", "smoke");
  expect([code, JSON.parse(out)]).toEqual([
    0,
    { passed: 1, failed: 0, cycles: [{ node: url, isOk: true, requestCount: 6, durationMs: expect.any(Number) }] },
  ]);
});
