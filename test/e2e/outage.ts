/**
 * `npm run accept:outage`: four nodes under steady load, one of which is killed and comes back after a while: what clients feel
 * while it gets what it missed, by hints and, for what there was no room for among them, by anti-entropy; how long that takes;
 * whether all owners hold the same then, and whether anything acknowledged is gone. Ends with exit code 1 when a promise of
 * this test was broken. Options: `--seconds N` of outage (default 40), `--share S` of the measured capacity (default 0.7),
 * `--room 12MiB` for hints on each node. Generator and servers share the machine's cores: the ratios are the result. Compared are
 * the stretches in which other machines of the same host took next to nothing of those cores, of quiet times as of those of repair:
 * each says how much was taken. All of them together are told as well, and who was failed or refused is counted in all of them.
 */
import { parseArgs } from "node:util";
import { stolenMs } from "../support/host-time.ts";
import { acceptedMs, failuresOf, quantileMs } from "./answer-times.ts";
import { fillBulk } from "./bulk-keys.ts";
import { pause, RealCluster, until } from "./cluster.ts";
import type { TargetResult } from "./generator.ts";
import { GeneratorProcess } from "./generator-process.ts";
import { ask, tryAsk } from "./http.ts";
import { processorMs } from "./processor-time.ts";

const { values: flags } = parseArgs({
  options: {
    seconds: { type: "string", default: "40" },
    share: { type: "string", default: "0.7" },
    room: { type: "string", default: "12MiB" },
    keys: { type: "string", default: "2000" },
  },
});
const AWAY = 3;
const ALL = [0, 1, 2, AWAY];
const OTHERS = [0, 1, 2];
const DEADLINE_MS = 2_000;
/** about as long as what is compared with it: p99 of five quiet seconds was 20 to 141 ms within one run */
const QUIET_MS = 60_000;
const SETTLE_MS = 10_000;
const STRETCH_MS = 5_000;
const START_STRETCH_MS = 500;
/** Cores, all counted together, that others may take of a stretch that is compared: where they took 0.4, p99 of everybody was 20 times that of quiet. */
const MAX_STOLEN_CORES = 0.1;
/** 0 … 1 of the stretches of repair that must be such; else nothing can be said of it. */
const MIN_UNDISTURBED = 0.5;
/** Such stretches that a quiet time must have, which goes on for that, at most so many times as long as it would. */
const MIN_QUIET_STRETCHES = 6;
const MAX_QUIET_TIMES = 4;
/** What is compared lasts so long at least: p99 of a few seconds is chance. */
const MIN_TIME_MS = 25_000;
const SLOW_START_MS = 32_000;
const HEAL_MS = 300_000;
const PATIENCE_MS = 420_000;
/** 0 … 1 of the requests to the node that came back, while it gets what it missed */
const MAX_FAILURES = 0.01;
const PARTITIONS = 256;
const N = 3;
const FLAGGED = "gyre_hints_flagged_partitions";
const startedAt = performance.now();

function tell(text: string): void {
  process.stdout.write(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s  ${text}\n`);
}

interface Parts {
  readonly cluster: RealCluster;
  readonly generator: GeneratorProcess;
}

interface ClusterDetails {
  readonly hints: {
    readonly targets: readonly {
      readonly node: string;
      readonly count: number;
      readonly markerCount: number;
      readonly oldestAgeMs: number;
    }[];
  };
}

interface Stretch {
  readonly nodes: readonly number[];
  readonly durationMs: number;
  /** requests a second; undefined: as many as the nodes can do */
  readonly rate: number | undefined;
}

/** Loads these nodes; the results by node, and what it took of the processors. */
async function load(
  { cluster, generator }: Parts,
  { nodes, durationMs, rate }: Stretch,
): Promise<{ readonly results: readonly TargetResult[]; readonly cores: string; readonly stolenCores: number }> {
  const ports = nodes.map((node) => Number(new URL(cluster.url(node)).port));
  const shape = { keyCount: Number(flags.keys), writeShare: 0.5, hotShare: 0, deadlineMs: DEADLINE_MS };
  const order = { kind: "load", ports, connectionsPerTarget: 16, durationMs, rate, ...shape } as const;
  const before = ALL.map((node) => processorMs(cluster.pid(node)));
  const orderedMs = performance.now();
  // of the load itself: before and after it next to nothing is wanted, and nothing taken
  const stolen = Promise.withResolvers<number>();
  const onBegin = (): void => {
    const stolenBefore = stolenMs();
    setTimeout(() => stolen.resolve((stolenMs() - stolenBefore) / durationMs), durationMs);
  };
  const [{ targets, cpuMicros }, stolenCores] = await Promise.all([generator.order(order, onBegin), stolen.promise]);
  const tookMs = performance.now() - orderedMs;
  const used = ALL.map((node) => processorMs(cluster.pid(node)) - (before[node] ?? 0));
  const coreTexts = [...used, cpuMicros / 1_000].map((ms) => (Number.isNaN(ms) ? "-" : (ms / tookMs).toFixed(2)));
  const stolenText = Number.isNaN(stolenCores) ? "-" : stolenCores.toFixed(2);
  const cores = `cores of n1-n4 and the generator ${coreTexts.join(" ")}, stolen ${stolenText}`;
  return { results: targets, cores, stolenCores };
}

function told(results: readonly TargetResult[]): string {
  const good = results.reduce((sum, { goodMs }) => sum + goodMs.length, 0);
  const took = acceptedMs(results, DEADLINE_MS);
  const [p50, p99] = [quantileMs(took, 0.5), quantileMs(took, 0.99)];
  return `${good} answered, p50 ${p50.toFixed(1)} p99 ${p99.toFixed(1)} ms; ${failuresOf(results).text}`;
}

/** Everything of these nodes' metrics of this name, labels or none; undefined: one of them did not answer, or none said. */
async function sumOf(cluster: RealCluster, nodes: readonly number[], name: string): Promise<number | undefined> {
  const pattern = new RegExp(`^${name} (\\d+)`, "gm");
  const answers = await Promise.all(nodes.map((node) => tryAsk(`${cluster.url(node)}/metrics`)));
  if (answers.some((answer) => answer?.status !== 200)) return undefined;
  const values = answers.flatMap((answer) =>
    [...(answer?.text ?? "").matchAll(pattern)].map(([, value]) => Number(value)),
  );
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0);
}

async function keptHints(cluster: RealCluster, nodes: readonly number[]): Promise<number | undefined> {
  const names = ["gyre_hints_kept", "gyre_hints_markers"];
  const [kept, markers] = await Promise.all(names.map((name) => sumOf(cluster, nodes, name)));
  return kept === undefined || markers === undefined ? undefined : kept + markers;
}

/** What hints and anti-entropy did on these nodes, in words. */
async function repairText(cluster: RealCluster, nodes: readonly number[] = ALL): Promise<string> {
  const event = (kind: string): string => `gyre_hints_events_total\\{kind="${kind}"\\}`;
  const names = { "given up": "given_up", "markers given up": "markers_given_up", "failed runs": "failed_runs" };
  const events = Object.entries({ delivered: "delivered", ...names }).map(
    async ([words, kind]) => `${words} ${countText(await sumOf(cluster, nodes, event(kind)))}`,
  );
  const moved = ["gyre_anti_entropy_pulled_keys_total", "gyre_anti_entropy_pushed_keys_total"];
  const counts = await Promise.all(moved.map(async (name) => countText(await sumOf(cluster, nodes, name))));
  return `hints: ${(await Promise.all(events)).join(", ")}; anti-entropy: ${counts[0]} keys pulled, ${counts[1]} pushed`;
}

function countText(count: number | undefined): string {
  return count === undefined ? "unknown" : String(count);
}

/** Everything compared with everything: what that repaired, and whether nobody was left out. */
async function compared(cluster: RealCluster): Promise<{ readonly isWhole: boolean; readonly repairedKeys: unknown }> {
  const { status, body, text } = await ask(`${cluster.url(0)}/v1/repair?all=true&timeout=30000`, { method: "POST" });
  tell(`every holder with every other: ${status} ${text.slice(0, 200)}`);
  return {
    isWhole: status === 200 && body["comparisons"] === PARTITIONS * N * (N - 1),
    repairedKeys: body["repairedKeys"],
  };
}

/** What the stretches of a time gave, by node. */
interface Seen {
  readonly all: readonly TargetResult[];
  /** those alone of which others took next to nothing */
  readonly undisturbed: readonly TargetResult[];
  readonly count: number;
  readonly undisturbedCount: number;
}

/** p99 of all that was not refused; what was too late or lost counts as the deadline at least. */
interface Felt {
  readonly n4Ms: number;
  readonly othersMs: number;
}

/** Loads all nodes for a while with nothing else going on. */
async function quietTime(parts: Parts, rate: number, when: string): Promise<Seen> {
  const once = (): Promise<Seen> => loadDuring(parts, { rate, work: pause(QUIET_MS) });
  let seen = await once();
  for (let times = 1; times < MAX_QUIET_TIMES && seen.undisturbedCount < MIN_QUIET_STRETCHES; times += 1) {
    seen = together(seen, await once());
  }
  tellSeen(`quiet ${when}`, seen);
  return seen;
}

function feltOf(results: readonly TargetResult[]): Felt {
  const p99 = (nodes: readonly number[]): number => {
    const those = nodes.flatMap((node) => results[node] ?? []);
    return quantileMs(acceptedMs(those, DEADLINE_MS), 0.99);
  };
  return { n4Ms: p99([AWAY]), othersMs: p99(OTHERS) };
}

function feltText({ n4Ms, othersMs }: Felt): string {
  return `p99 of n4 ${n4Ms.toFixed(1)} ms, of the others ${othersMs.toFixed(1)} ms`;
}

function tellSeen(what: string, { all, undisturbed, count, undisturbedCount }: Seen): void {
  const calm = undisturbedCount === 0 ? "" : `: ${feltText(feltOf(undisturbed))}`;
  tell(`${what}: ${told(all)}; ${feltText(feltOf(all))}; undisturbed ${undisturbedCount} of ${count} stretches${calm}`);
}

interface During {
  readonly rate: number;
  readonly work: Promise<unknown>;
  readonly nodes?: readonly number[];
  readonly durationMs?: number;
}

/** Loads in stretches for as long as `work` goes on, and once at least. Rejects as `work` does, at once. */
async function loadDuring(parts: Parts, { rate, work, nodes = ALL, durationMs = STRETCH_MS }: During): Promise<Seen> {
  let isOver = false;
  const watched = work.finally(() => {
    isOver = true;
  });
  const stretches: { readonly results: readonly TargetResult[]; readonly stolenCores: number }[] = [];
  do {
    const loaded = load(parts, { nodes, durationMs, rate });
    await Promise.race([loaded, watched]);
    const { results, cores, stolenCores } = await loaded;
    stretches.push({ results, stolenCores });
    if (nodes === ALL) tell(`  ${durationMs / 1_000} s of it: ${feltText(feltOf(results))}; ${cores}`);
  } while (!isOver);
  await watched;
  // where nobody tells what was taken, nothing was
  const undisturbed = stretches.filter(({ stolenCores }) => !(stolenCores > MAX_STOLEN_CORES));
  const byNode = (of: typeof stretches): readonly TargetResult[] =>
    nodes.map((_, index) => joined(of.flatMap(({ results }) => results[index] ?? [])));
  return {
    all: byNode(stretches),
    undisturbed: byNode(undisturbed),
    count: stretches.length,
    undisturbedCount: undisturbed.length,
  };
}

function joined(results: readonly TargetResult[]): TargetResult {
  const refusedByStatus: Record<number, number> = {};
  for (const { refusedByStatus: one } of results) {
    for (const [status, times] of Object.entries(one)) {
      refusedByStatus[Number(status)] = (refusedByStatus[Number(status)] ?? 0) + times;
    }
  }
  const sum = (pick: (one: TargetResult) => number): number => results.reduce((total, one) => total + pick(one), 0);
  return {
    sentCount: sum(({ sentCount }) => sentCount),
    goodMs: results.flatMap(({ goodMs }) => goodMs),
    goodAtMs: [],
    hotMs: [],
    goodAfterCount: sum(({ goodAfterCount }) => goodAfterCount),
    refusedHotCount: 0,
    late: results.flatMap(({ late }) => late),
    refusedByStatus,
    refusedMs: results.flatMap(({ refusedMs }) => refusedMs),
    lost: results.flatMap(({ lost }) => lost),
    unsentCount: sum(({ unsentCount }) => unsentCount),
    unconnectedCount: sum(({ unconnectedCount }) => unconnectedCount),
    sinceConnectedMs: results.flatMap(({ sinceConnectedMs }) => sinceConnectedMs),
  };
}

function together(one: Seen, other: Seen): Seen {
  const both = (pick: (seen: Seen) => readonly TargetResult[]): readonly TargetResult[] =>
    pick(one).map((result, node) => joined([result, ...pick(other).slice(node, node + 1)]));
  return {
    all: both(({ all }) => all),
    undisturbed: both(({ undisturbed }) => undisturbed),
    count: one.count + other.count,
    undisturbedCount: one.undisturbedCount + other.undisturbedCount,
  };
}

/** Hints for n4 that were there when it came back: its oldest is older. `undefined`: somebody did not say. */
async function oldHints(cluster: RealCluster, sinceMs: number): Promise<number | undefined> {
  let count = 0;
  for (const node of OTHERS) {
    const details = (await tryAsk(`${cluster.url(node)}/v1/cluster`))?.body["details"] as ClusterDetails | undefined;
    if (details === undefined) return undefined;
    for (const target of details.hints.targets) {
      if (target.node !== `n${AWAY + 1}` || target.oldestAgeMs < performance.now() - sinceMs) continue;
      count += target.count + target.markerCount;
    }
  }
  return count;
}

interface Waited {
  readonly what: string;
  /** undefined: somebody did not say */
  readonly count: () => Promise<number | undefined>;
  readonly sinceMs: number;
}

/**
 * Until there is none of it any more; tells when. Under load new hints come up all the time, wherever a request takes too long: they are
 * not waited for. Gives up after a while: then there is some left, and it answers false.
 */
async function gone(cluster: RealCluster, { what, count, sinceMs }: Waited): Promise<boolean> {
  let left = await count();
  for (; left !== 0 && performance.now() - sinceMs < PATIENCE_MS; left = await count()) await pause(250);
  const words = left === 0 ? `no ${what}` : `still ${String(left)} ${what}`;
  tell(`${words} ${since(sinceMs)} after n4 was ready; ${await repairText(cluster)}`);
  return left === 0;
}

/** Seconds since `fromMs`, in words. */
function since(fromMs: number): string {
  return `${((performance.now() - fromMs) / 1_000).toFixed(1)} s`;
}

/**
 * Whether hardly anybody was failed who asked these nodes meanwhile: a node that sheds what it is asked would answer the rest as
 * fast as ever. What the generator could not send is what it felt, and compared where that is.
 */
function wereServed(nodes: readonly number[], back: Seen, quiet: readonly Seen[]): boolean {
  const of = (results: readonly TargetResult[]): readonly TargetResult[] =>
    nodes.flatMap((node) => results[node] ?? []);
  const { share, text } = failuresOf(of(back.all));
  const { unsentShare } = failuresOf(of(back.undisturbed));
  const quietShare = Math.min(...quiet.map(({ undisturbed }) => failuresOf(of(undisturbed)).unsentShare));
  const [percent, quietPercent] = [unsentShare, quietShare].map((one) => (one * 100).toFixed(2));
  const who = nodes.map((node) => `n${node + 1}`).join(", ");
  tell(
    `of the requests to ${who} meanwhile: ${text}; undisturbed: unsent ${percent} %, in the quieter time ${quietPercent} %`,
  );
  return share <= MAX_FAILURES && unsentShare <= quietShare + MAX_FAILURES;
}

/** Whether something can be said of all of these times; tells of which it cannot, and why. */
function wereUndisturbed(times: Readonly<Record<"before" | "replay" | "rest" | "after", Seen>>): boolean {
  const reasons = Object.entries(times).flatMap(([name, { undisturbed, undisturbedCount, count }]) => {
    const isOfRepair = name === "replay" || name === "rest";
    // what is left after the hints may be little: it is judged with them
    const isShort = name === "rest" && count * STRETCH_MS < MIN_TIME_MS;
    const least = isShort ? 0 : isOfRepair ? count * MIN_UNDISTURBED : MIN_QUIET_STRETCHES;
    if (undisturbedCount < least) {
      return `${name}: in ${count - undisturbedCount} of ${count} stretches the host took processors for others`;
    }
    const isMeasure = isOfRepair || feltOf(undisturbed).n4Ms < DEADLINE_MS;
    return isMeasure ? [] : `${name}: no measure of anything, with answers as late as the deadline`;
  });
  if (reasons.length > 0) tell(`no verdict on p99, run it again; ${reasons.join("; ")}`);
  return reasons.length === 0;
}

async function main(): Promise<boolean> {
  const env = { GYRE_PARTITIONS: String(PARTITIONS), GYRE_LOG_LEVEL: "warn", GYRE_HINTS_MAX_BYTES: flags.room };
  await using cluster = await RealCluster.start(ALL.length, env);
  using generator = new GeneratorProcess();
  const parts = { cluster, generator };
  await fillBulk(cluster, Number(flags.keys));
  // Until the slow start of all nodes is over, which is not what is measured here.
  await load(parts, { nodes: ALL, durationMs: SLOW_START_MS, rate: undefined });
  const peak = await load(parts, { nodes: ALL, durationMs: 6_000, rate: undefined });
  const capacity = peak.results.reduce((sum, { goodMs }) => sum + goodMs.length, 0) / 6;
  const rate = Math.floor(capacity * Number(flags.share));
  tell(`capacity ${Math.round(capacity)} requests a second, ${peak.cores}; load from here on ${rate}`);
  // A first stretch shows what the measuring of the capacity has left to do.
  await load(parts, { nodes: ALL, durationMs: SETTLE_MS, rate });
  const before = await quietTime(parts, rate, "before");

  await cluster.kill(AWAY);
  const outage = await load(parts, { nodes: OTHERS, durationMs: Number(flags.seconds) * 1_000, rate });
  const kept = await keptHints(cluster, OTHERS);
  tell(
    `n4 away: ${told(outage.results)}; ${outage.cores}; hints kept ${countText(kept)}; ${await repairText(cluster, OTHERS)}`,
  );

  cluster.spawn(AWAY);
  // Clients do not wait for it. What is kept for it comes to it from when the others find it, which is before it is ready.
  let readyMs = 0;
  const work = cluster.untilReady([AWAY]).then(() => {
    readyMs = performance.now();
  });
  const meanwhile = await loadDuring(parts, { rate, work, nodes: OTHERS, durationMs: START_STRETCH_MS });
  tell(`while n4 started: the others ${told(meanwhile.all)}`);
  tell(
    `n4 is ready; partitions flagged ${countText(await sumOf(cluster, ALL, FLAGGED))}; ${await repairText(cluster)}`,
  );
  let isHealed = true;
  const wait = async (what: string, count: () => Promise<number | undefined>): Promise<void> => {
    const isGone = await gone(cluster, { what, count, sinceMs: readyMs });
    isHealed &&= isGone;
  };
  const hints = wait("hints from the outage", () => oldHints(cluster, readyMs));
  const replay = await loadDuring(parts, { rate, work: Promise.all([hints, pause(MIN_TIME_MS)]) });
  tellSeen("while n4 was given hints", replay);
  const flagged = wait("partitions flagged", () => sumOf(cluster, ALL, FLAGGED));
  const rest = await loadDuring(parts, { rate, work: flagged });
  tellSeen("while anti-entropy repaired the rest", rest);
  const back = together(replay, rest);
  tellSeen("until n4 had all that it had missed", back);
  const after = await quietTime(parts, rate, "after");
  // the quieter of the two: what else went on in the other one is no excuse
  const quiet = [before, after].map((one) => feltOf(one.undisturbed));
  const ratios = [replay, back].map((part) => {
    const felt = feltOf(part.undisturbed);
    const ofN4 = felt.n4Ms / Math.min(...quiet.map(({ n4Ms }) => n4Ms));
    const ofOthers = felt.othersMs / Math.min(...quiet.map(({ othersMs }) => othersMs));
    const when = part === replay ? "while n4 was given hints" : "until n4 had all";
    tell(`p99 ${when}, over quiet: n4 ${ofN4.toFixed(2)}, the others ${ofOthers.toFixed(2)}`);
    return ofN4;
  });

  const isServed = [[AWAY], OTHERS].map((nodes) => wereServed(nodes, back, [before, after])).every(Boolean);

  const isClean = async (): Promise<boolean> =>
    (await keptHints(cluster, ALL)) === 0 && (await sumOf(cluster, ALL, FLAGGED)) === 0;
  const restMs = await until("hints and flags are gone", isClean, HEAL_MS);
  tell(
    `no hint and no flag is left ${(restMs / 1_000).toFixed(1)} s after the load ended; ${await repairText(cluster)}`,
  );
  const first = await compared(cluster);
  const second = await compared(cluster);
  const ports = ALL.map((node) => Number(new URL(cluster.url(node)).port));
  const seen = await generator.order({ kind: "verify", ports, sampleCount: 20_000 });
  tell(
    `acknowledged writes ${seen.acknowledgedCount}, read back ${seen.readCount}: lost ${seen.lostCount}, unread ${seen.unreadCount}`,
  );
  // Whatever was neither delivered nor flagged would be found by the first comparison of everything with everything.
  const isEqual = first.isWhole && second.isWhole && first.repairedKeys === 0 && second.repairedKeys === 0;
  tell(
    `Merkle roots equal on all owners: ${isEqual}; keys that were still to be repaired: ${String(first.repairedKeys)}`,
  );
  const isCalm = wereUndisturbed({ before, replay, rest, after }) && ratios.every((ratio) => ratio <= 2);
  // without hints nothing was replayed
  return (kept ?? 0) > 0 && isHealed && isEqual && isServed && isCalm && seen.lostCount + seen.unreadCount === 0;
}

process.exitCode = (await main()) ? 0 : 1;
