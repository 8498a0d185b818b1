/**
 * Bits that flip on the disk of one real node of three: every read stays right, the scrub finds all of it, the others' copies
 * repair it, none of it spreads, and no process is started again.
 */
import { closeSync, fstatSync, openSync, readdirSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { RealCluster, until } from "./cluster.ts";
import { gyre } from "./gyre.ts";
import { ask, putJson } from "./http.ts";

const KEYS = 1_500;
const FLIPS = 200;
const ROTTEN = 2;

/** A machine that is busy with other things may keep an fsync or a read waiting for longer than the usual deadline. */
const at = (cluster: RealCluster, node: number, n: number, query = ""): string =>
  `${cluster.url(node)}/v1/kv/rot/key-${n}?timeout=10000${query}`;

function valueOf(n: number): object {
  return { n, padding: `${n} `.repeat(300) };
}

async function inParallel(count: number, run: (n: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let n = next++; n < count; n = next++) await run(n);
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}

/** Flips bits at random places of the sealed segments and index files in a directory; answers how many. */
function flipBits(directory: string): number {
  const files = readdirSync(directory);
  const sealed = files
    .filter((name) => files.includes(name.replace(/log$/, "idx")))
    .map((name) => join(directory, name));
  let state = 20_261_121;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (let flip = 0; flip < FLIPS; flip += 1) {
    const fd = openSync(sealed[random(sealed.length)] ?? "", "r+");
    const byte = Buffer.alloc(1);
    const place = random(fstatSync(fd).size);
    readSync(fd, byte, 0, 1, place);
    byte[0] = (byte[0] ?? 0) ^ (1 << random(8));
    writeSync(fd, byte, 0, 1, place);
    closeSync(fd);
  }
  return FLIPS;
}

async function metric(cluster: RealCluster, node: number, name: string): Promise<number> {
  const { text } = await ask(`${cluster.url(node)}/metrics`);
  return Number(new RegExp(`^${name} (.*)$`, "m").exec(text)?.[1] ?? Number.NaN);
}

async function scrubbed(cluster: RealCluster, node: number): Promise<Readonly<Record<string, unknown>>> {
  const told = await gyre(["repair", "--scrub", "--timeout", "120", "--json"], [cluster.url(node)]);
  expect([told.code, told.err]).toEqual([0, ""]);
  return JSON.parse(told.out) as Readonly<Record<string, unknown>>;
}

test("scenario 9: bitrot-minority: 200 bits that flip in sealed segments of one node are all found and repaired, and no read is ever wrong", async () => {
  await using cluster = await RealCluster.start(3);
  await inParallel(KEYS, async (n) => {
    const answer = await putJson(at(cluster, n % 3, n), valueOf(n));
    expect(answer.status, answer.text).toBe(200);
  });
  // what was written lies in sealed segments from here on
  expect(await cluster.stop(ROTTEN)).toBe(0);
  cluster.spawn(ROTTEN);
  await cluster.untilReady([ROTTEN]);
  const pid = cluster.pid(ROTTEN);
  flipBits(join(cluster.dataDirectory(ROTTEN), "segments"));

  const readAll = (query: string): Promise<void> =>
    inParallel(KEYS, async (n) => {
      const answer = await ask(at(cluster, ROTTEN, n, query));
      expect([n, answer.status, answer.body["value"]], answer.text.slice(0, 500)).toEqual([n, 200, valueOf(n)]);
    });
  await readAll("&r=2");
  const found = await scrubbed(cluster, ROTTEN);
  expect(Number(found["rotCount"])).toBeGreaterThan(FLIPS / 3);
  expect(await metric(cluster, ROTTEN, "gyre_storage_scrub_rot_total")).toBeGreaterThan(FLIPS / 3);
  await readAll("&r=2");

  // by itself: suspect partitions are compared first
  const isWhole = async (): Promise<boolean> =>
    (await metric(cluster, ROTTEN, "gyre_storage_suspect_partitions")) === 0;
  await until("no partition is suspect any more", isWhole, 180_000);
  await until("nothing rotten is left", async () => (await scrubbed(cluster, ROTTEN))["rotCount"] === 0, 60_000);
  await readAll("&r=1");
  await readAll("&r=3");
  for (const node of [0, 1]) expect(await metric(cluster, node, "gyre_storage_corrupt_reads_total")).toBe(0);
  expect([cluster.pid(ROTTEN), cluster.running]).toEqual([pid, [0, 1, 2]]);
}, 300_000);
