/**
 * Bits that flip on the disk of one real node of three: every read stays right, the scrub finds all of it, the others' copies
 * repair it, none of it spreads, and no process is started again.
 */
import { statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { RealCluster, until } from "./cluster.ts";
import { gyre } from "./gyre.ts";
import { ask } from "./http.ts";
import { answered } from "./patient-ask.ts";
import { type Flip, faultOf, flipBit, type Piece, piecesOf, sealedNames } from "./sealed-files.ts";

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

/** Flips bits at random places of the sealed segments and index files in a directory, each place once. */
function flipBits(directory: string): readonly Flip[] {
  const sealed = sealedNames(directory);
  let state = 20_261_121;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const flips = new Map<string, Flip>();
  while (flips.size < FLIPS) {
    const name = sealed[random(sealed.length)] ?? "";
    const flip = { name, offset: random(statSync(join(directory, name)).size) };
    const place = `${flip.name} ${flip.offset}`;
    if (flips.has(place)) continue;
    flips.set(place, flip);
    flipBit(directory, flip, random(8));
  }
  return [...flips.values()];
}

/** Where the scrub of a node said that it found rot. */
function foundBy(cluster: RealCluster, node: number): readonly Piece[] {
  const found = cluster.logged(node).filter((line) => line["event"] === "storage.rot-found");
  return found.map(({ segment, offset, sizeBytes }) => {
    return { segment: Number(segment), from: Number(offset), to: Number(offset) + Number(sizeBytes) };
  });
}

function pieceAt(pieces: readonly Piece[], offset: number): Piece | undefined {
  return pieces.find(({ from, to }) => from <= offset && offset < to);
}

function isWithin(piece: Piece, range: Piece): boolean {
  return piece.segment === range.segment && range.from <= piece.from && piece.to <= range.to;
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
    const what = { method: "PUT", body: JSON.stringify(valueOf(n)) } as const;
    const answer = await answered(at(cluster, n % 3, n), what);
    expect(answer.status, answer.text).toBe(200);
  });
  // what was written lies in sealed segments from here on
  expect(await cluster.stop(ROTTEN)).toBe(0);
  cluster.spawn(ROTTEN);
  await cluster.untilReady([ROTTEN]);
  const pid = cluster.pid(ROTTEN);
  const directory = join(cluster.dataOf(ROTTEN), "segments");
  const logs = sealedNames(directory).filter((name) => name.endsWith(".log"));
  const pieces = new Map(logs.map((name) => [name, piecesOf(directory, name)]));
  const flips = flipBits(directory);
  const hit = new Set(flips.flatMap(({ name, offset }) => pieceAt(pieces.get(name) ?? [], offset) ?? []));

  const readAll = (query: string, count: number = KEYS): Promise<void> =>
    inParallel(count, async (n) => {
      // a refusal of a machine that has no time is no wrong read
      const answer = await answered(at(cluster, ROTTEN, n, query));
      expect([n, answer.status, answer.body["value"]], answer.text.slice(0, 500)).toEqual([n, 200, valueOf(n)]);
    });
  // few, so that no segment is whole again before it is scrubbed
  await readAll("&r=2", 100);
  const told = await scrubbed(cluster, ROTTEN);
  const found = foundBy(cluster, ROTTEN);
  // every record that was hit, and nothing beside; neighbours that were both hit may be one find
  expect(hit.size).toBeGreaterThan(FLIPS / 4);
  for (const piece of hit) expect([piece, found.some((range) => isWithin(piece, range))]).toEqual([piece, true]);
  for (const range of found) expect([range, [...hit].some((piece) => isWithin(piece, range))]).toEqual([range, true]);
  const sizeOf = (ranges: Iterable<Piece>): number => [...ranges].reduce((sum, { from, to }) => sum + to - from, 0);
  expect(sizeOf(found)).toBe(sizeOf(hit));
  expect(told["rotCount"]).toBe(found.length);
  expect(await metric(cluster, ROTTEN, "gyre_storage_scrub_rot_total")).toBe(found.length);
  await readAll("&r=2");

  // by itself: suspect partitions are compared first
  const isWhole = async (): Promise<boolean> =>
    (await metric(cluster, ROTTEN, "gyre_storage_suspect_partitions")) === 0;
  await until("no partition is suspect any more", isWhole);
  await until("nothing rotten is left", async () => (await scrubbed(cluster, ROTTEN))["rotCount"] === 0);
  // and by the bytes themselves, read here
  const names = [...new Set([...flips.map(({ name }) => name), ...sealedNames(directory)])];
  expect(names.map((name) => faultOf(directory, name)).filter((fault) => fault !== "")).toEqual([]);
  await readAll("&r=1");
  await readAll("&r=3");
  for (const node of [0, 1]) expect(await metric(cluster, node, "gyre_storage_corrupt_reads_total")).toBe(0);
  expect([cluster.pid(ROTTEN), cluster.running]).toEqual([pid, [0, 1, 2]]);
});
