/**
 * `npm run accept:overload`: three nodes as processes, loaded far beyond what they can do by clients that do not wait (open
 * loop, 3 × the measured capacity, reads and writes in equal parts, 1 KB). Shows what became of it: goodput against the peak,
 * latency of what was accepted, memory, acknowledged writes that are gone, and how soon all is as before. Ends with exit code 1
 * when a promise was broken. Generator and servers share the machine's cores: see docs/OVERLOAD.md for what that does.
 * Options: `--seconds N` of overload (default 20; for a verdict: 120), `--factor F` (default 3), `--pause 1`: one node is
 * stopped (SIGSTOP) for the middle third, `--hot 0.9`: so many of the requests are reads of one key, `--connections N`: to each
 * node during the overload (default 100), `--depth N`: requests that each may have outstanding (default 8; 1: no pipelining).
 * `--fresh 1`: each request over a connection of its own, of which `--connections N` may be outstanding to each node. There are as many
 * connections then as the kernel has room for, and what no node has read yet waits in it: that is told, as clients felt it, and not
 * judged; judged is how long the nodes took for all that they began, and how much of that was in vain.
 * `--apart 1`: all nodes on the first processor, the generator on the others (by `taskset`), so that neither takes the other's time.
 * What finds no connection with room is unsent, and no goodput.
 */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { stolenMs } from "../support/host-time.ts";
import { acceptedMs, coldWithin, failuresOf, quantileMs } from "./answer-times.ts";
import { begunBetween, begunBy, begunCount, withinMs } from "./begun.ts";
import { fillBulk } from "./bulk-keys.ts";
import { pause, RealCluster } from "./cluster.ts";
import type { TargetResult } from "./generator.ts";
import { GeneratorProcess } from "./generator-process.ts";
import { tryAsk } from "./http.ts";
import type { Loaded } from "./overload-generator.ts";
import { pinTo, processorMs } from "./processor-time.ts";

const { values: flags } = parseArgs({
  options: {
    seconds: { type: "string", default: "20" },
    factor: { type: "string", default: "3" },
    pause: { type: "string", default: "0" },
    writes: { type: "string", default: "0.5" },
    hot: { type: "string", default: "0" },
    keys: { type: "string", default: "2000" },
    connections: { type: "string", default: "100" },
    depth: { type: "string", default: "8" },
    fresh: { type: "string", default: "0" },
    apart: { type: "string", default: "0" },
    verify: { type: "string", default: "20000" },
  },
});
const OVERLOAD_MS = Number(flags.seconds) * 1_000;
const DEADLINE_MS = 2_000;
const WARM_UP_MS = 40_000;
const SETTLE_MS = 500;
const NODES = [0, 1, 2];
const startedAt = performance.now();

function tell(text: string): void {
  process.stdout.write(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s  ${text}\n`);
}

function residentMib(pid: number | undefined): number {
  if (pid === undefined) return 0;
  const line = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(line?.[1] ?? 0) / 1_024;
}

interface Phase {
  /** while the load lasts: what is answered after it would be served by nodes that nobody asks any more */
  readonly goodPerSecond: number;
  /** of all that was not refused: what was late or lost counts as the deadline at least */
  readonly p99Ms: number;
  readonly p50Ms: number;
  readonly serverCpuMs: number;
  readonly stolenMs: number;
  readonly goodCount: number;
  readonly loaded: Loaded;
}

interface Story {
  readonly cluster: RealCluster;
  readonly generator: GeneratorProcess;
  readonly ports: readonly number[];
}

async function phase(
  { cluster, generator, ports }: Story,
  plan: {
    readonly durationMs: number;
    readonly rate: number | undefined;
    readonly connectionsPerTarget: number;
    readonly depth?: number;
  },
  onBegin?: () => void,
): Promise<Phase> {
  const stolenBefore = stolenMs();
  const cpuBefore = NODES.map((node) => processorMs(cluster.pid(node)));
  const loaded = await generator.order(
    {
      kind: "load",
      ports,
      deadlineMs: DEADLINE_MS,
      keyCount: Number(flags.keys),
      writeShare: Number(flags.writes),
      hotShare: Number(flags.hot),
      isFresh: flags.fresh === "1",
      ...plan,
    },
    onBegin,
  );
  const serverCpuMs = NODES.reduce((sum, node) => sum + processorMs(cluster.pid(node)) - (cpuBefore[node] ?? 0), 0);
  const goodCount = loaded.targets.reduce((sum, { goodMs, hotMs }) => sum + goodMs.length + hotMs.length, 0);
  const goodAfterCount = loaded.targets.reduce((sum, target) => sum + target.goodAfterCount, 0);
  const took = acceptedMs(loaded.targets, DEADLINE_MS);
  return {
    goodPerSecond: ((goodCount - goodAfterCount) * 1_000) / plan.durationMs,
    goodCount,
    p50Ms: quantileMs(took, 0.5),
    p99Ms: quantileMs(took, 0.99),
    serverCpuMs,
    stolenMs: stolenMs() - stolenBefore,
    loaded,
  };
}

function phaseText(seen: Phase): string {
  const { goodPerSecond, goodCount, p50Ms, p99Ms, serverCpuMs, stolenMs: stolen, loaded } = seen;
  const perGood = ((serverCpuMs * 1_000) / Math.max(1, goodCount)).toFixed(0);
  const sum = (pick: (target: TargetResult) => number): number =>
    loaded.targets.reduce((total, target) => total + pick(target), 0);
  const statuses = new Map<string, number>();
  for (const target of loaded.targets) {
    for (const [status, times] of Object.entries(target.refusedByStatus)) {
      statuses.set(status, (statuses.get(status) ?? 0) + times);
    }
  }
  const others = [...statuses].map(([status, times]) => `${status}: ${times}`).join(", ");
  const refusedMs = loaded.targets.flatMap((target) => target.refusedMs);
  const sinceMs = loaded.targets.flatMap((target) => target.sinceConnectedMs);
  const late = loaded.sentLateMs;
  const lateText = late === undefined ? "" : `sent p50 ${late.p50} ms, p99 ${late.p99} ms after they were due; `;
  return (
    `goodput ${goodPerSecond.toFixed(0)}/s, p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms; ` +
    `servers' CPU per good one ${perGood} µs; sent ${sum((one) => one.sentCount)}, other answers {${others}}` +
    (refusedMs.length === 0
      ? ""
      : ` (p50 ${quantileMs(refusedMs, 0.5).toFixed(1)} ms, p99 ${quantileMs(refusedMs, 0.99).toFixed(1)} ms)`) +
    `, late ${sum((one) => one.late.length)}, lost ${sum((one) => one.lost.length)}, unsent ${sum((one) => one.unsentCount)}; ` +
    (sinceMs.length === 0
      ? ""
      : `not taken in ${sum((one) => one.unconnectedCount)}, since taken in p50 ${quantileMs(sinceMs, 0.5).toFixed(1)} ms, p99 ${quantileMs(sinceMs, 0.99).toFixed(1)} ms; `) +
    `${lateText}generator's CPU ${(loaded.cpuMicros / 1_000).toFixed(0)} ms, servers' ${serverCpuMs} ms, stolen ${stolen} ms`
  );
}

/** Stops one node for the middle third of the overload. */
async function pauseOne(cluster: RealCluster): Promise<void> {
  await pause(OVERLOAD_MS / 3);
  cluster.signal(2, "SIGSTOP");
  await pause(OVERLOAD_MS / 3);
  cluster.signal(2, "SIGCONT");
}

/** p99 of the other nodes by thirds of the overload: before, while, after the pause. */
function othersText({ loaded }: Phase): { readonly text: string; readonly ratio: number } {
  const thirds = [0, 1, 2].map((third) => {
    const span = { fromMs: (third * OVERLOAD_MS) / 3 + 200, untilMs: ((third + 1) * OVERLOAD_MS) / 3 };
    const of = coldWithin(loaded.targets.slice(0, 2), DEADLINE_MS, span);
    return { p99Ms: quantileMs(of, 0.99), perSecond: (of.length * 3_000) / OVERLOAD_MS };
  });
  const texts = thirds.map((one) => `${one.p99Ms.toFixed(1)} ms at ${one.perSecond.toFixed(0)}/s`);
  return { text: texts.join(" → "), ratio: (thirds[1]?.p99Ms ?? Number.NaN) / Math.max(1, thirds[0]?.p99Ms ?? 1) };
}

/** Resident memory of all nodes over the overload: flat when the last quarter of it is as the second one. */
function memoryOf(samples: readonly (readonly number[])[]): { readonly text: string; readonly growth: number } {
  const mean = (from: number, to: number): number => {
    const part = samples.slice(Math.floor(samples.length * from), Math.ceil(samples.length * to)).flat();
    return part.reduce((sum, value) => sum + value, 0) / Math.max(1, part.length);
  };
  const mib = (values: readonly number[] = []): string => values.map((value) => value.toFixed(0)).join(" / ");
  const most = NODES.map((node) => Math.max(...samples.map((sample) => sample[node] ?? 0)));
  const growth = mean(0.75, 1) / mean(0.25, 0.5);
  const text = `resident MiB: before ${mib(samples[0])}, most ${mib(most)}, after ${mib(samples.at(-1))}`;
  return { text: `${text}; the last quarter over the second ${growth.toFixed(2)}`, growth };
}

/** What the nodes began and nobody had an answer of: it failed, or was for somebody who had given up, or gave up then. */
function inVain({ loaded }: Phase, begunTimes: number): { readonly share: number; readonly text: string } {
  const answered = loaded.targets.flatMap((one) => one.sinceConnectedMs);
  const count = begunTimes - answered.length;
  if (count < 0) throw new Error("the nodes answered more than they say that they began");
  const since = [...answered, ...Array.from({ length: count }, () => DEADLINE_MS)];
  const [p50, p99] = [quantileMs(since, 0.5).toFixed(1), quantileMs(since, 0.99).toFixed(1)];
  const share = count / begunTimes;
  const text = `of the load's ${(share * 100).toFixed(1)} % in vain; from when their clients' kernels had a connection for them p50 ${p50} ms, p99 ${p99} ms, what was in vain as the deadline`;
  return { share, text };
}

interface Recovered {
  /** from the end of the load */
  readonly tookMs: number;
  /** requests of the recovery itself that were answered */
  readonly servedCount: number;
}

/** Until every node has answered 20 requests in a row within `boundMs`. */
async function recovery({ cluster }: Story, boundMs: number): Promise<Recovered> {
  const sinceMs = performance.now();
  let servedCount = 0;
  await Promise.all(
    NODES.map(async (node) => {
      for (let row = 0; row < 20 && performance.now() - sinceMs < 60_000; ) {
        const askedAt = performance.now();
        const answer = await tryAsk(`${cluster.url(node)}/v1/kv/bulk/key-${row}`);
        if (answer?.status === 200) servedCount += 1;
        row = answer?.status === 200 && performance.now() - askedAt < boundMs ? row + 1 : 0;
        await pause(10);
      }
    }),
  );
  return { tookMs: performance.now() - sinceMs, servedCount };
}

/** What goes on beside the overload, each from its begin on. */
async function meanwhile(story: Story, boundMs: number): Promise<Recovered> {
  const [recovered] = await Promise.all([
    pause(OVERLOAD_MS).then(() => recovery(story, boundMs)),
    pause(OVERLOAD_MS / 4).then(async () => tell(`meanwhile: ${await loadText(story)}`)),
    flags.pause === "1" ? pauseOne(story.cluster) : undefined,
  ]);
  return recovered;
}

async function peakOf(story: Story): Promise<Phase & { readonly connections: number }> {
  let peak: (Phase & { readonly connections: number }) | undefined;
  for (const connectionsPerTarget of [24, 48, 96]) {
    const one = await phase(story, { durationMs: 5_000, rate: undefined, connectionsPerTarget });
    tell(`closed loop, ${3 * connectionsPerTarget} connections: ${phaseText(one)}`);
    if (peak === undefined || one.goodPerSecond > peak.goodPerSecond) {
      peak = { ...one, connections: connectionsPerTarget };
    }
  }
  if (peak === undefined) throw new Error("no peak");
  return peak;
}

async function loadText({ cluster }: Story): Promise<string> {
  const texts = await Promise.all(
    NODES.map(async (node) => {
      const answer = await tryAsk(`${cluster.url(node)}/v1/cluster`);
      const { details } = (answer?.body ?? {}) as { readonly details?: { readonly load?: unknown } };
      return JSON.stringify(details?.load);
    }),
  );
  return texts.join("\n          ");
}

async function main(): Promise<boolean> {
  if (flags.fresh === "1" && flags.pause === "1") throw new Error("--fresh 1 and --pause 1: one at a time");
  await using cluster = await RealCluster.start(3, { GYRE_PARTITIONS: "128", GYRE_LOG_LEVEL: "warn" });
  using generator = new GeneratorProcess();
  const ports = NODES.map((node) => Number(new URL(cluster.url(node)).port));
  const story: Story = { cluster, generator, ports };
  if (flags.apart === "1") {
    for (const node of NODES) pinTo("0", cluster.pid(node));
    pinTo(`1-${Math.max(1, availableParallelism() - 1)}`, generator.pid);
  }
  await fillBulk(cluster, Number(flags.keys));
  // Until the slow start of all nodes is over and their code is compiled: a peak of cold nodes is easily kept.
  await phase(story, { durationMs: WARM_UP_MS, rate: undefined, connectionsPerTarget: 48 });
  const peak = await peakOf(story);
  const half = await phase(story, { durationMs: 5_000, rate: peak.goodPerSecond / 2, connectionsPerTarget: 100 });
  tell(`open loop at half the peak: ${phaseText(half)}`);

  const rate = peak.goodPerSecond * Number(flags.factor);
  const resident: number[][] = [NODES.map((node) => residentMib(cluster.pid(node)))];
  const watch = setInterval(() => void resident.push(NODES.map((node) => residentMib(cluster.pid(node)))), 500);
  const connectionsPerTarget = Number(flags.connections);
  const urls = NODES.map((node) => cluster.url(node));
  const begunBefore = await begunBy(urls);
  const plan = { durationMs: OVERLOAD_MS, rate, connectionsPerTarget, depth: Number(flags.depth) };
  const recoveryBoundMs = Math.min(DEADLINE_MS / 2, Math.max(100, 3 * half.p99Ms));
  const beside = Promise.withResolvers<Recovered>();
  const [over, recovered] = await Promise.all([
    phase(story, plan, () => beside.resolve(meanwhile(story, recoveryBoundMs))),
    beside.promise,
  ]);
  // what their kernels had kept of the load has been read then, too
  await pause(SETTLE_MS);
  const begun = begunBetween(begunBefore, await begunBy(urls));
  clearInterval(watch);
  tell(`open loop at ${flags.factor} × the peak (${rate.toFixed(0)}/s): ${phaseText(over)}`);
  tell(`of what was due: ${failuresOf(over.loaded.targets).text}`);
  const begunText = [...begun.byStatus].map(([status, count]) => `${status} ${count}`).join(", ");
  const ownP99Ms = withinMs(begun, 0.99);
  tell(
    `requests of keys that the nodes began, ${recovered.servedCount} of them to see when all was as before: ${begunText}; p99 from when they had read them ${ownP99Ms} ms at most`,
  );
  const vain = flags.fresh === "1" ? inVain(over, begunCount(begun) - recovered.servedCount) : undefined;
  if (vain !== undefined) tell(vain.text);
  const memory = memoryOf(resident);
  tell(memory.text);
  tell(
    `recovered ${recovered.tookMs.toFixed(0)} ms after the end of the load (so long until 20 requests in a row were answered)`,
  );
  const others = othersText(over);
  if (flags.pause === "1") {
    tell(
      `n1 and n2 before, while and after n3 was stopped: ${others.text}; p99 while over before ${others.ratio.toFixed(2)}`,
    );
  }
  const seen = await generator.order({ kind: "verify", ports, sampleCount: Number(flags.verify) });
  tell(
    `acknowledged writes ${seen.acknowledgedCount}, read back ${seen.readCount}: lost ${seen.lostCount}, unread ${seen.unreadCount}`,
  );

  // A machine that others use too is not as fast afterwards as before: the peak is what it was around the overload.
  const again = await phase(story, { durationMs: 5_000, rate: undefined, connectionsPerTarget: peak.connections });
  tell(`the peak again: ${phaseText(again)}`);
  const share = over.goodPerSecond / ((peak.goodPerSecond + again.goodPerSecond) / 2);
  const perCpu =
    (over.goodCount / over.serverCpuMs) * Math.min(...[peak, again].map((one) => one.serverCpuMs / one.goodCount));
  tell(
    `goodput ${(share * 100).toFixed(0)} % of the peak; per CPU second of the servers ${(perCpu * 100).toFixed(0)} %`,
  );
  const promises = {
    "goodput at least 80 % of the peak": share >= 0.8,
    ...(vain !== undefined
      ? {
          "p99 of what the nodes began, by their own clocks, within half the deadline": isSoon(ownP99Ms),
          "at most 5 % of what they began in vain: failed, or for clients that had gone or went meanwhile":
            vain.share <= 0.05,
        }
      : { "p99 of what was accepted within half the deadline": over.goodCount > 0 && isSoon(over.p99Ms) }),
    "memory flat": memory.growth <= 1.15,
    "nothing acknowledged lost": seen.lostCount === 0 && seen.unreadCount === 0,
    "recovered within 10 s": recovered.tookMs <= 10_000,
    "p99 of the others within 20 % while one is stopped": flags.pause !== "1" || others.ratio <= 1.2,
  };
  for (const [promise, isKept] of Object.entries(promises)) tell(`${isKept ? "kept" : "BROKEN"}: ${promise}`);
  return Object.values(promises).every(Boolean);
}

function isSoon(tookMs: number): boolean {
  return tookMs <= DEADLINE_MS / 2;
}

process.exitCode = (await main()) ? 0 : 1;
