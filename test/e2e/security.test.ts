/** Three real nodes with TLS everywhere and tokens: what comes in, what does not, and what changes while they serve. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type NewToken, TOKEN_RANDOM_BYTES, tokenOf } from "../../services/security/token.ts";
import { type CertificateWish, TestCa } from "../support/certificates.ts";
import { PATIENCE_MS, RealCluster, until } from "./cluster.ts";
import { gyre, type Told } from "./gyre.ts";

const MAIN = join(import.meta.dirname, "../../services/main.ts");
const HOUR_MS = 3_600_000;
const SECRET = "a canary that must be in no log";
const clientCa = new TestCa("clients' CA");
const nextCa = new TestCa("clients' next CA");
const peerCa = new TestCa("nodes' CA");
const strangeCa = new TestCa("somebody's CA");
const directory = mkdtempSync(join(tmpdir(), "gyre-security-"));
const token = (seed: number): NewToken =>
  tokenOf(Uint8Array.from({ length: TOKEN_RANDOM_BYTES }, (_, at) => (at * 13 + seed) & 0xff));
const [shop, ops, later] = [token(1), token(2), token(3)];

/** As operators should: another file, moved over the old one. */
function write(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
  return path;
}

function pair(ca: TestCa, name: string, wish: Partial<CertificateWish> = {}): readonly [cert: string, key: string] {
  const { cert, key } = ca.issue({ name, hosts: ["127.0.0.1"], ...wish });
  return [write(`${name}.pem`, cert), write(`${name}.key`, key)];
}

function peerEnv(ca: TestCa, name: string, wish: Partial<CertificateWish> = {}): Readonly<Record<string, string>> {
  const [cert, key] = pair(ca, name, wish);
  return { GYRE_PEER_TLS_CERT: cert, GYRE_PEER_TLS_KEY: key, GYRE_PEER_TLS_CA: write("peer-ca.pem", peerCa.cert) };
}

function tokensFile(shops: readonly NewToken[]): string {
  const entry = ({ id, sha256 }: NewToken): unknown => ({ id, sha256 });
  const grants = [{ rights: ["read", "write", "list"], buckets: ["carts*"] }];
  return JSON.stringify({
    principals: [
      { name: "shop", grants, tokens: shops.map(entry) },
      { name: "ops", grants: [{ rights: ["operate"] }], tokens: [entry(ops)] },
    ],
  });
}

let cluster: RealCluster;
const urls = (): readonly string[] => [0, 1, 2].map((node) => cluster.url(node));
const caFile = write("ca.pem", clientCa.cert);
const run = (words: readonly string[], who: NewToken | undefined, nodes: readonly string[] = urls()): Promise<Told> => {
  const shown = who === undefined ? [] : ["--token-file", write("token", who.text)];
  return gyre([...words, "--ca", caFile, ...shown], nodes);
};
const get = (who: NewToken, node = 0): Promise<number> =>
  fetch(`${cluster.url(node)}/v1/kv/carts/a`, { headers: { authorization: `Bearer ${who.text}` } }).then(
    async (answer) => {
      await answer.arrayBuffer();
      return answer.status;
    },
    () => 0,
  );

beforeAll(async () => {
  setDefaultCACertificates([...getCACertificates("default"), clientCa.cert, nextCa.cert]);
  const [cert, key] = pair(clientCa, "client");
  const env = {
    GYRE_TLS_CERT: cert,
    GYRE_TLS_KEY: key,
    GYRE_TOKENS_FILE: write("tokens.json", tokensFile([shop])),
    GYRE_SECRET: SECRET,
    GYRE_PARTITIONS: "64",
  };
  cluster = await RealCluster.start(3, env, (node) => peerEnv(peerCa, `peer-${node}`));
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

describe("a cluster with TLS everywhere and tokens", () => {
  test("serves gyre put and get through its nodes to whoever has a token with the right", async () => {
    expect(await run(["put", "carts", "a", '{"x":1}'], shop)).toMatchObject({ code: 0 });
    for (const url of urls())
      expect(await run(["get", "carts", "a"], shop, [url])).toMatchObject({ code: 0, out: '{"x":1}' });
    expect(await run(["status"], ops)).toMatchObject({ code: 0, out: expect.stringContaining("healthy") });
  });

  test("tells whoever has none, or not the right, or does not know the CA, what is wrong", async () => {
    const missing = await run(["get", "carts", "a"], undefined);
    expect(missing).toMatchObject({
      code: 1,
      err: expect.stringContaining("unauthenticated: this node wants a token"),
    });
    const wrong = await run(["get", "carts", "a"], later);
    expect(wrong.err).toContain("this token is not valid here");
    const other = await run(["put", "orders", "a", "1"], shop);
    expect(other).toMatchObject({
      code: 1,
      err: expect.stringContaining("shop has no write right on bucket orders"),
    });
    const nosy = await run(["status"], shop);
    expect(nosy).toMatchObject({
      code: 1,
      out: expect.stringContaining("shop has no metrics right on the cluster"),
    });
    const stranger = await gyre(["get", "carts", "a"], urls().slice(0, 1));
    expect(stranger).toMatchObject({
      code: 1,
      err: expect.stringContaining("not of a CA that is trusted here: give the cluster's with --ca"),
    });
    expect(stranger.err).toContain("nothing was changed");
  });

  test("has links between its nodes that nothing but TLS with the nodes' CA gets into", async () => {
    const [refused = 3] = await cluster.grow(1, peerEnv(strangeCa, "stranger"));
    expect(await cluster.untilEnded(refused)).toBe(78);
    expect(cluster.log(refused)).toContain("is not signed by a certificate in GYRE_PEER_TLS_CA=");
    // one that trusts its own CA as well gets as far as the other nodes
    const own = {
      ...peerEnv(strangeCa, "stranger"),
      GYRE_PEER_TLS_CA: write("both.pem", strangeCa.cert + peerCa.cert),
    };
    const [added = 4] = await cluster.grow(1, own);
    const lines = (node: number, event: string): readonly unknown[] =>
      cluster.logged(node).filter((line) => line["event"] === event);
    await until("the dial fails", () => lines(added, "peers.dial-failed").length > 0);
    await until("somebody says why", () => [0, 1, 2].some((node) => lines(node, "peers.tls-refused").length > 0));
    const told = [0, 1, 2].flatMap((node) => lines(node, "peers.tls-refused"));
    expect(told[0]).toMatchObject({
      level: "warn",
      reason: expect.stringContaining("not of the CA that is trusted here"),
      certificate: expect.stringContaining("CN=stranger"),
      advice: expect.stringContaining("GYRE_PEER_TLS_CA here"),
    });
    expect(lines(added, "peers.link-up")).toEqual([]);
    await cluster.kill(added);
  });

  test("takes another token on SIGHUP, drops the old one, and keeps what it has when the file is broken", async () => {
    const statuses = (): Promise<readonly number[]> => Promise.all([get(shop), get(later)]);
    expect(await statuses()).toEqual([200, 401]);
    write("tokens.json", tokensFile([shop, later]));
    cluster.signal(0, "SIGHUP");
    await until("both hold", async () => String(await statuses()) === "200,200");
    write("tokens.json", "{");
    cluster.signal(0, "SIGHUP");
    await until("it says so", () => cluster.log(0).includes("security.reload-rejected"));
    expect(await statuses()).toEqual([200, 200]);
    write("tokens.json", tokensFile([later]));
    await until("the file is looked at by itself", async () => String(await statuses()) === "401,200");
    write("tokens.json", tokensFile([shop]));
    for (const node of [0, 1, 2]) cluster.signal(node, "SIGHUP");
    await until("as at first", async () => String(await statuses()) === "200,401");
  });

  test("takes other certificates while it serves: no request fails, no link ends", async () => {
    const linkEnds = (): number =>
      [0, 1, 2].flatMap((node) => cluster.logged(node)).filter(({ event }) => event === "peers.link-down").length;
    const before = linkEnds();
    let isOver = false;
    const failed: number[] = [];
    const load = [0, 1, 2].map(async (node) => {
      while (!isOver) {
        const status = await get(shop, node);
        if (status !== 200) failed.push(status);
      }
    });
    pair(nextCa, "client");
    for (const node of [0, 1, 2]) peerEnv(peerCa, `peer-${node}`);
    for (const node of [0, 1, 2]) cluster.signal(node, "SIGHUP");
    const reloaded = (what: string) => () =>
      [0, 1, 2].every((node) =>
        cluster.logged(node).some((line) => line["event"] === "security.reloaded" && line["what"] === what),
      );
    await until("new ones at all nodes", () => reloaded("tls")() && reloaded("peer-tls")());
    const seen = await run(["get", "carts", "a"], shop, urls().slice(0, 1));
    expect(seen.err, "whoever knows the old CA alone").toContain("not of a CA that is trusted");
    isOver = true;
    await Promise.all(load);
    expect(failed).toEqual([]);
    expect(linkEnds()).toBe(before);
  });

  test("shows when its certificates end, and leaves a trail of refusals without a secret in it", async () => {
    const answer = await fetch(`${cluster.url(0)}/metrics`, { headers: { authorization: `Bearer ${ops.text}` } });
    expect(await answer.text()).toMatch(/gyre_tls_certificate_expires_seconds\{listener="peer"\} 8\d{4}/);
    const logs = [0, 1, 2].map((node) => cluster.log(node)).join("");
    expect(logs).toContain('"event":"audit","principal":"shop"');
    for (const secret of [SECRET, ...[shop, ops, later].map(({ text }) => text.slice(18)), "PRIVATE KEY"]) {
      expect(logs).not.toContain(secret);
    }
  });
});

describe("a node does not start, exit code 78 and in words,", () => {
  test.each([
    [
      "with an expired certificate",
      () => ({ wish: { validMs: [-2 * HOUR_MS, -HOUR_MS] as const } }),
      "GYRE_TLS_CERT=",
      "has expired on",
    ],
    [
      "with another's key",
      () => ({ key: pair(clientCa, "other")[1] }),
      "GYRE_TLS_KEY=",
      "is not the key of GYRE_TLS_CERT=",
    ],
    ["with a tokens file that is not one", () => ({ tokens: "{}" }), "GYRE_TOKENS_FILE=", "principals: is a list"],
    [
      "with a file that is not there",
      () => ({ key: join(directory, "gone") }),
      "GYRE_TLS_KEY=",
      "there is no such file",
    ],
  ])("%s", (_what, change, ...words) => {
    const given: { wish?: Partial<CertificateWish>; key?: string; tokens?: string } = change();
    const [cert, key] = pair(clientCa, "start", given.wish);
    const env = {
      ...process.env,
      GYRE_DATA_DIR: join(directory, "never"),
      GYRE_TLS_CERT: cert,
      GYRE_TLS_KEY: given.key ?? key,
      GYRE_TOKENS_FILE: write("start.json", given.tokens ?? tokensFile([shop])),
    };
    const { status, stderr } = spawnSync(process.execPath, [MAIN, "server"], {
      env,
      encoding: "utf8",
      timeout: PATIENCE_MS,
    });
    expect(status).toBe(78);
    expect(stderr).toContain("gyre: the configuration has a problem");
    for (const one of words) expect(stderr).toContain(one);
  });
});
