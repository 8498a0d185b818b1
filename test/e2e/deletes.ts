/**
 * `npm run accept:deletes`: five nodes, one of which is away while keys are deleted, for longer than hints are kept, with
 * compaction and the collection of tombstones running; it comes back. Nothing deleted may ever be read again, tombstones go
 * once everybody has them and not before. `--keys 10000 --kept 500`. Ends with exit code 1 when a promise was broken.
 */
import { parseArgs } from "node:util";
import { pause, RealCluster, until } from "./cluster.ts";
import { DeletedKeys, type Sweep } from "./deleted-keys.ts";
import { metric } from "./elastic-story.ts";
import { ask } from "./http.ts";

const { values: flags } = parseArgs({
  options: { keys: { type: "string", default: "10000" }, kept: { type: "string", default: "500" } },
});
const NODES = [0, 1, 2, 3, 4];
const AWAY = 4;
const OTHERS = [0, 1, 2, 3];
/** so large that what is deleted leaves whole segments behind, which compaction takes away */
/** Of all that is written, more than half is what three segments a node cannot hold: the one being written, and two with what stays. */
const PAD_BYTES = 36_000;
const SEGMENT_BYTES = 32 * 1_024 ** 2;
const REPLICAS = 3;
const TOMBSTONE_AGE_S = 20;
const HINTS_WINDOW_S = 10;
/** a member that is away is seen, and several rounds would have been due */
const WATCHED_MS = 15_000;
const READY_WITHIN_MS = 120_000;
const HEALED_WITHIN_MS = 240_000;
const TOLD_EVERY_MS = 10_000;
const COLLECTED_WITHIN_MS = 180_000;
const startedAt = performance.now();
const broken: string[] = [];

function tell(text: string): void {
  process.stdout.write(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s  ${text}\n`);
}

function check(isSo: boolean, what: string): void {
  if (!isSo) broken.push(what);
  tell(`${isSo ? "ok    " : "BROKEN"} ${what}`);
}

async function sum(cluster: RealCluster, nodes: readonly number[], name: string): Promise<number> {
  const values = await Promise.all(nodes.map((node) => metric(cluster, node, name)));
  return values.reduce((all, value) => all + value, 0);
}

async function keptForOthers(cluster: RealCluster): Promise<number> {
  return (await sum(cluster, OTHERS, "gyre_hints_kept")) + (await sum(cluster, OTHERS, "gyre_hints_markers"));
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}

/** Reads everything through every node. */
async function readAll(keys: DeletedKeys, when: string): Promise<void> {
  for (const query of ["r=1", "r=all"]) {
    const seen: Sweep[] = [];
    for (const node of NODES) seen.push(await keys.sweep(node, query));
    const back = seen.flatMap((one) => one.back);
    const lost = seen.reduce((all, one) => all + one.lostCount, 0);
    const unread = seen.reduce((all, one) => all + one.unreadCount, 0);
    const named = back.length === 0 ? "" : ` (${back.slice(0, 5).join()})`;
    check(
      back.length + lost + unread === 0,
      `${when}, ${query} through all: ${back.length} came back${named}, ${lost} lost, ${unread} unread`,
    );
  }
}

/** Reads a part of the keys through the node that came back and another, again and again, until told to stop. */
function watch(keys: DeletedKeys): { stop(): Promise<{ readonly back: number; readonly rounds: number }> } {
  let isOver = false;
  let back = 0;
  let rounds = 0;
  const watching = (async () => {
    while (!isOver) {
      for (const node of [AWAY, rounds % AWAY]) back += (await keys.sweep(node, "", 0.1)).back.length;
      rounds += 1;
      await pause(200);
    }
  })();
  return {
    stop: async () => {
      isOver = true;
      await watching;
      return { back, rounds };
    },
  };
}

/** The owner is away: keys are deleted, hints given up, tombstones tried and kept, dead segments compacted. */
async function whileAway(cluster: RealCluster, keys: DeletedKeys): Promise<void> {
  const before = await sum(cluster, OTHERS, "gyre_storage_disk_bytes");
  await keys.remove(OTHERS);
  const held = await sum(cluster, OTHERS, "gyre_storage_tombstones");
  tell(`${flags.keys} keys deleted, half of them with a context; ${held} tombstones on four nodes`);
  await until("hints are given up", async () => (await keptForOthers(cluster)) === 0, 60_000);
  const flagged = await sum(cluster, OTHERS, "gyre_hints_flagged_partitions");
  tell(`no hint is kept any more: older than ${HINTS_WINDOW_S} s; ${flagged} partitions left to anti-entropy`);
  // a clean restart seals a segment: what is dead goes on the way back
  await cluster.stop(0);
  cluster.spawn(0);
  await cluster.untilReady([0], READY_WITHIN_MS);
  await pause(TOMBSTONE_AGE_S * 1_000);
  const waits = async (): Promise<boolean> => (await sum(cluster, OTHERS, "gyre_tombstones_waiting_partitions")) > 0;
  await until("collection is tried, and waits", waits, 60_000);
  await pause(WATCHED_MS);
  const answer = await ask(`${cluster.url(1)}/v1/cluster`);
  const { tombstones } = answer.body["details"] as { readonly tombstones: { readonly waiting: unknown } };
  const collected = await sum(cluster, OTHERS, "gyre_tombstones_collected_total");
  const after = await sum(cluster, OTHERS, "gyre_storage_disk_bytes");
  const heldStill = await sum(cluster, OTHERS, "gyre_storage_tombstones");
  check(
    collected === 0 && heldStill >= held,
    `while it is away nothing is collected: ${collected}; ${heldStill} tombstones; n2 says ${JSON.stringify(tombstones.waiting)}`,
  );
  check(
    after < before - SEGMENT_BYTES,
    `compaction has run: ${megabytes(before)} on disk before, ${megabytes(after)} after`,
  );
}

async function main(): Promise<void> {
  await using cluster = await RealCluster.start(NODES.length, {
    GYRE_PARTITIONS: "256",
    GYRE_HINTS_WINDOW: `${HINTS_WINDOW_S}s`,
    GYRE_TOMBSTONE_AGE: `${TOMBSTONE_AGE_S}s`,
  });
  const keys = new DeletedKeys(cluster, { goneCount: Number(flags.keys), keptCount: Number(flags.kept) });
  await keys.write(NODES, PAD_BYTES);
  const full = await sum(cluster, NODES, "gyre_storage_disk_bytes");
  tell(
    `five nodes, ${flags.keys} keys of ${PAD_BYTES / 1_000} KB written, and ${flags.kept} that stay: ${megabytes(full)}`,
  );
  await cluster.kill(AWAY);
  tell("n5 killed");
  await pause(3_000);
  await whileAway(cluster, keys);
  cluster.spawn(AWAY);
  await cluster.untilReady([AWAY], READY_WITHIN_MS);
  const readyAt = performance.now();
  tell(`n5 is back with ${await metric(cluster, AWAY, "gyre_storage_keys")} keys`);
  const watching = watch(keys);
  let toldMs = 0;
  const isHealed = async (): Promise<boolean> => {
    const tooMany = (await sum(cluster, NODES, "gyre_storage_keys")) - REPLICAS * Number(flags.kept);
    if (performance.now() - toldMs > TOLD_EVERY_MS) tell(`${tooMany} records of what was deleted`);
    if (performance.now() - toldMs > TOLD_EVERY_MS) toldMs = performance.now();
    await pause(200);
    return tooMany === 0;
  };
  await until("all owners have every deletion", isHealed, HEALED_WITHIN_MS);
  tell(`all owners have every deletion ${((performance.now() - readyAt) / 1_000).toFixed(1)} s after it was ready`);
  await readAll(keys, "healed");
  const isClean = async (): Promise<boolean> => (await sum(cluster, NODES, "gyre_storage_tombstones")) === 0;
  await until("all tombstones are collected", isClean, COLLECTED_WITHIN_MS);
  const seconds = ((performance.now() - readyAt) / 1_000).toFixed(1);
  const collected = await sum(cluster, NODES, "gyre_tombstones_collected_total");
  check(true, `no tombstone is left on any node ${seconds} s after it was ready; ${collected} collected`);
  const watched = await watching.stop();
  check(watched.back === 0, `reads at r=2 ever since: ${watched.back} came back, ${watched.rounds} rounds`);
  await readAll(keys, "collected");
  for (const node of NODES) await cluster.stop(node);
  for (const node of NODES) cluster.spawn(node);
  await cluster.untilReady(NODES, READY_WITHIN_MS);
  await readAll(keys, "after a restart of all");
  const left = await sum(cluster, NODES, "gyre_storage_tombstones");
  const marks = await sum(cluster, NODES, "gyre_storage_reaped");
  const disk = await sum(cluster, NODES, "gyre_storage_disk_bytes");
  const index = await sum(cluster, NODES, "gyre_storage_index_bytes");
  check(left === 0, `${left} tombstones, ${marks} marks of collected records, index ${megabytes(index)}`);
  check(disk < full / 2, `disk: ${megabytes(full)} when full, ${megabytes(disk)} now`);
}

await main();
tell(broken.length === 0 ? "zero resurrections; collected once everybody had them, not before" : broken.join("; "));
process.exitCode = broken.length === 0 ? 0 : 1;
