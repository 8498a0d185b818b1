/**
 * `npm run accept:disk`: three nodes on one tmpfs of limited size, filled up twice: by themselves until they refuse puts (the
 * levels of docs/DISK.md), and by another program that takes the rest while they write, down to ENOSPC. Shows what was
 * answered, what was read while nothing was free, after `kill -9` of all and a start on the full disk, and when puts go on.
 * Ends with exit code 1 when a promise was broken; of what a busy machine answers with 503 two in a hundred are
 * borne, which must not be there when they are read. The tmpfs is in a mount namespace of its own (`unshare`, without root
 * where the kernel lets anyone have one) and is gone with it. Option: `--mib N` (default 1800).
 */
import { spawnSync } from "node:child_process";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { pause, RealCluster, until } from "./cluster.ts";
import { type Answer, type Ask, putJson, tryAsk } from "./http.ts";

const { values: flags } = parseArgs({ options: { mib: { type: "string", default: "1800" }, on: { type: "string" } } });
const MIB = 1024 * 1024;
const NODES = [0, 1, 2];
/** what another program has from the beginning, and gives back with the rest */
const NEIGHBOUR_MIB = Number(flags.mib) / 4;
const VALUE_BYTES = 400_000;
const MAX_PUTS = 5_000;
/** puts that are refused in a row before the disks count as full */
const ENOUGH_REFUSED = 30;
/** puts in a row that a busy machine refuses: more of them say nothing more */
const ENOUGH_BUSY = 300;
/** for how long a read is tried again that a busy machine had no time for, and the share of all requests that may be such */
const PATIENCE_MS = 5_000;
const MAX_BUSY_SHARE = 0.02;
/** free, between the levels at which puts are refused, and deletes too: 10 and 5 % */
const PUTS_REFUSED_SHARE = 0.075;
const startedAt = performance.now();

function tell(text: string): void {
  process.stdout.write(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s  ${text}\n`);
}

/** Runs this file again in a namespace that has the tmpfs; its exit code. */
function runOnTmpfs(): number {
  const on = mkdtempSync(join(tmpdir(), "gyre-tmpfs-"));
  const mount = 'mount -t tmpfs -o size="$1"m tmpfs "$2" && exec "$3" "$4" --mib "$1" --on "$2"';
  const root = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  const inside = ["sh", "-c", mount, "sh", flags.mib, on, process.execPath, import.meta.filename];
  try {
    const { status, error } = spawnSync("unshare", [...root, "--mount", ...inside], { stdio: "inherit" });
    if (error !== undefined) tell(`unshare (util-linux) does not run here: ${error.message}`);
    return status ?? 1;
  } finally {
    rmSync(on, { recursive: true, force: true });
  }
}

/** Another program on the same disk. */
class Neighbour {
  readonly #file: string;

  constructor(directory: string) {
    this.#file = join(directory, "neighbour");
  }

  /** Takes so much, or all that is free; answers how many MiB. */
  take(mib: number = Number.POSITIVE_INFINITY): number {
    const file = openSync(this.#file, "a");
    let taken = 0;
    for (let pieceBytes = MIB; pieceBytes >= 4_096 && taken < mib * MIB; ) {
      try {
        taken += writeSync(file, Buffer.alloc(pieceBytes));
      } catch {
        pieceBytes /= 4;
      }
    }
    closeSync(file);
    return taken / MIB;
  }

  /** Gives so much back. */
  giveBack(mib: number): void {
    truncateSync(this.#file, statSync(this.#file).size - mib * MIB);
  }

  leave(): void {
    rmSync(this.#file, { force: true });
  }
}

interface Put {
  readonly key: string;
  readonly answer: Answer | undefined;
}

/** Requests, and those among them that found the machine too busy. */
const asked = { count: 0, busyCount: 0 };

/** Nothing was done, for nobody had the time: an honest refusal of a machine that is busy, and not what a full disk answers. */
function isBusy(answer: Answer | undefined): boolean {
  return answer?.status === 503 && answer.body["outcome"] === "not_applied";
}

async function counted(url: string, what: Ask = {}): Promise<Answer | undefined> {
  const answer = await tryAsk(url, what);
  asked.count += 1;
  if (isBusy(answer)) asked.busyCount += 1;
  return answer;
}

/** Reads until somebody has the time. */
async function patientRead(url: string): Promise<Answer | undefined> {
  const endsAt = performance.now() + PATIENCE_MS;
  for (;;) {
    const answer = await counted(url);
    if (!isBusy(answer) || performance.now() > endsAt) return answer;
    await pause(250);
  }
}

const urlOf = (cluster: RealCluster, node: number, key: string): string => `${cluster.url(node)}/v1/kv/full/${key}`;

/** Writes through all nodes in turn until so many in a row were refused. */
async function putUntilRefused(cluster: RealCluster, prefix: string): Promise<readonly Put[]> {
  const puts: Put[] = [];
  const padding = "x".repeat(VALUE_BYTES);
  for (let [refused, busy] = [0, 0]; refused < ENOUGH_REFUSED && busy < ENOUGH_BUSY && puts.length < MAX_PUTS; ) {
    const key = `${prefix}-${puts.length}`;
    const url = urlOf(cluster, puts.length % NODES.length, key);
    const answer = await counted(url, { method: "PUT", body: JSON.stringify({ key, padding }) });
    if (answer?.status === 200) [refused, busy] = [0, 0];
    else if (isBusy(answer)) busy += 1;
    else refused += 1;
    puts.push({ key, answer });
    // A disk is not looked at more often than that, and a test that fills it in a second sees only the last level.
    await pause(answer?.status === 200 ? 30 : 100);
  }
  return puts;
}

/** Keys of those that were applied and are not there, and of those that were refused and are; what is unknown may be either. */
async function wrongOf(cluster: RealCluster, puts: readonly Put[]): Promise<readonly string[]> {
  const wrong: string[] = [];
  for (const [i, { key, answer }] of puts.entries()) {
    if (isUnknown(answer)) continue;
    const isApplied = answer?.status === 200;
    const read = await patientRead(`${urlOf(cluster, i % NODES.length, key)}?r=${isApplied ? 2 : 3}`);
    const value = read?.body["value"] as { readonly key?: unknown } | undefined;
    const isRight = isApplied ? read?.status === 200 && value?.key === key : read?.status === 404;
    if (!isRight) wrong.push(`${key}: ${answer?.status ?? "no answer"}, then ${read?.status ?? "no answer"}`);
  }
  return wrong;
}

/** One owner had taken it before the others' disks were full. */
function isUnknown(answer: Answer | undefined): boolean {
  return answer?.status === 503 && answer.body["outcome"] === "unknown";
}

/**
 * What was neither applied nor refused for the full disk, in words; of what is unknown only so many that no client could plan with
 * them. What a busy machine refused was not applied either, as is seen when it is read, and is counted among all requests.
 */
function dishonest(puts: readonly Put[]): readonly string[] {
  const unknown = puts.filter(({ answer }) => isUnknown(answer));
  const isRare = unknown.length <= ENOUGH_REFUSED / 2;
  return puts
    .filter(({ answer }) => answer?.status !== 200 && !isBusy(answer) && !(isRare && isUnknown(answer)))
    .map(({ answer }) => `${answer?.status} ${String(answer?.body["code"])} ${String(answer?.body["outcome"])}`)
    .filter((said) => said !== "507 disk_full not_applied");
}

/** Whether a full disk was met, and said so. */
function isFull(puts: readonly Put[]): boolean {
  return puts.some(({ answer }) => answer?.status === 507);
}

function freeMib(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  return (bavail * bsize) / MIB;
}

/** One story; what is wrong about it, in words. */
async function story(directory: string, reserve: string | undefined): Promise<readonly string[]> {
  const problems: string[] = [];
  const check = (isKept: boolean, what: string, facts: unknown): void => {
    if (!isKept) problems.push(`${what}: ${JSON.stringify(facts)}`);
  };
  await using cluster = await RealCluster.start(3, {
    GYRE_LOG_LEVEL: "warn",
    ...(reserve === undefined ? {} : { GYRE_DISK_RESERVE: reserve }),
  });
  const neighbour = new Neighbour(directory);
  tell(`GYRE_DISK_RESERVE=${reserve ?? "as it comes"}: ${freeMib(directory).toFixed(0)} MiB free`);
  neighbour.take(NEIGHBOUR_MIB);
  const deleted = await putJson(urlOf(cluster, 0, "deleted"), { i: 1 });
  check(deleted.status === 200, "the first put", deleted.text);
  const first = await putUntilRefused(cluster, "first");
  const applied = first.filter(({ answer }) => answer?.status === 200);
  tell(
    `${applied.length} puts applied, ${first.length - applied.length} refused; free ${freeMib(directory).toFixed(1)}`,
  );
  check(applied.length > 20 && first.length < MAX_PUTS, "the disk was filled", first.length);
  check(isFull(first) && dishonest(first).length === 0, "refused as 507 disk_full not_applied", dishonest(first));
  const refusedBetween: Put[] = [];
  if (reserve === undefined) {
    // The segments of three nodes on one disk may take what is free past the level at which puts alone are refused.
    const lackingMib = Math.ceil(Number(flags.mib) * PUTS_REFUSED_SHARE - freeMib(directory));
    if (lackingMib > 0) neighbour.giveBack(lackingMib);
    // The level is looked at every two seconds: what was given back is seen by then, and nothing else is waited for.
    const patienceMs = lackingMib > 0 ? 20_000 : PATIENCE_MS;
    const notYet: (Answer | undefined)[] = [];
    const isDeleted = async (): Promise<boolean> => {
      const answer = await counted(urlOf(cluster, 1, "deleted"), { method: "DELETE" });
      if (answer?.status !== 200) notYet.push(answer);
      return answer?.status === 200;
    };
    const deletedMs = await until("a delete goes on where puts are refused", isDeleted, patienceMs);
    check(lackingMib > 0 || notYet.every(isBusy), "deletes have not stopped", notYet.length);
    let put: Answer | undefined;
    do {
      const key = `not-now-${refusedBetween.length}`;
      put = await counted(urlOf(cluster, refusedBetween.length % NODES.length, key), {
        method: "PUT",
        body: '{"i":2}',
      });
      refusedBetween.push({ key, answer: put });
    } while (isBusy(put) && refusedBetween.length < ENOUGH_REFUSED);
    tell(
      `${freeMib(directory).toFixed(1)} MiB free: deletes go on after ${deletedMs.toFixed(0)} ms, a put is answered ${put?.status}`,
    );
    check(
      put?.status === 507 && dishonest(refusedBetween).length === 0,
      "puts are refused where deletes go on",
      put?.text,
    );
  }

  tell(`another program takes the rest: ${neighbour.take().toFixed(1)} MiB`);
  const second = await putUntilRefused(cluster, "second");
  check(isFull(second) && dishonest(second).length === 0, "refused so when nothing is free", dishonest(second));
  const puts = [...first, ...refusedBetween, ...second];
  const whileFull = await wrongOf(cluster, puts);
  tell(`read while nothing is free: ${puts.length} keys, ${whileFull.length} wrong`);
  check(whileFull.length === 0, "reads go on", whileFull);
  check(cluster.running.length === NODES.length, "every process is alive", cluster.running);

  // Without a ballast a start finds nothing to write with, and says so: there it comes after the neighbour.
  if (reserve === "off") neighbour.leave();
  for (const node of NODES) await cluster.kill(node);
  for (const node of NODES) cluster.spawn(node);
  await cluster.untilReady();
  const afterKill = await wrongOf(cluster, puts);
  const when = reserve === "off" ? "when there is some space" : "on the full disk";
  tell(`read after kill -9 of all and a start ${when}: ${afterKill.length} wrong`);
  check(afterKill.length === 0, "nothing is lost by kill -9", afterKill);

  neighbour.leave();
  const goesOn = async (): Promise<boolean> => {
    const answers = await Promise.all(
      NODES.map((node) => tryAsk(urlOf(cluster, node, `after-${node}`), { method: "PUT", body: "1" })),
    );
    return answers.every((answer) => answer?.status === 200);
  };
  const resumedMs = await until("puts go on", goesOn, 120_000);
  tell(`puts go on ${(resumedMs / 1_000).toFixed(1)} s after there was space`);
  const atLast = await wrongOf(cluster, puts);
  tell(`read at last: ${puts.length} keys, ${atLast.length} wrong`);
  check(atLast.length === 0, "nothing is lost, nothing refused is there", atLast);
  const gone = await patientRead(`${urlOf(cluster, 2, "deleted")}?r=3`);
  const goneStatus = reserve === undefined ? 404 : 200;
  check(gone?.status === goneStatus, "what was deleted on the full disk stays deleted", gone?.status);
  return problems;
}

async function main(directory: string): Promise<number> {
  const problems: string[] = [];
  for (const reserve of [undefined, "off"]) problems.push(...(await story(directory, reserve)));
  tell(`${asked.busyCount} of ${asked.count} requests found the machine too busy`);
  if (asked.busyCount > asked.count * MAX_BUSY_SHARE) problems.push("too many requests found the machine too busy");
  for (const problem of problems) tell(`BROKEN: ${problem.slice(0, 600)}`);
  if (problems.length === 0) tell("kept: refused honestly, read on, lost nothing, went on");
  return problems.length === 0 ? 0 : 1;
}

if (flags.on === undefined) process.exitCode = runOnTmpfs();
else {
  const temporary = join(flags.on, "tmp");
  mkdirSync(temporary);
  process.env["TMPDIR"] = temporary;
  process.exitCode = await main(flags.on);
}
