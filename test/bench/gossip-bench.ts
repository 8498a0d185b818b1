/**
 * What gossip does, in virtual time: how soon a crash and an update are known, how often the living are slandered, what it costs,
 * how soon a split heals. Printed beside published and earlier figures. Usage: node test/bench/gossip-bench.ts [fast|steady] [n …]
 * Model: 0.6–1.4 ms round trips, datagrams with UDP/IP headers and envelope counted; slow processes are Lifeguard's: datagrams stuck
 * both ways for 4–32 s, then 1 s free, again and again, for 120 s (30 s with more than 64 members). Source: gossip-ring notes §A.7; Lifeguard (Dadgar et al. 2018) §V.
 */
import { PROFILES, type SwimParameters } from "../../gossip/core/parameters.ts";
import { type SimMember, SwimSim } from "../sim/swim-sim.ts";

const SIZES = [3, 5, 8, 16, 64, 256, 1000];
/** seeds of a cell, by the size of the cluster: together some six minutes */
const SEEDS: Readonly<Record<number, number>> = { 3: 400, 5: 400, 8: 400, 16: 400, 64: 60, 256: 3, 1000: 1 };
/** of updates, which are short */
const UPDATE_SEEDS: Readonly<Record<number, number>> = { 3: 300, 5: 300, 8: 300, 16: 300, 64: 300, 256: 10, 1000: 2 };
const SLOW_SHARES = [0, 0.05, 0.25];
const SLOW_RUN_MS = 120_000;

type Cells = Record<string, string | number>;

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

function seconds(values: readonly number[]): string {
  return values.length === 0
    ? "–"
    : `${(quantile(values, 0.5) / 1_000).toFixed(2)} / ${(quantile(values, 0.99) / 1_000).toFixed(2)}`;
}

function lastOf(sim: SwimSim): SimMember {
  const member = sim.members.at(-1);
  if (member === undefined) throw new Error("no members");
  return member;
}

function sum(sim: SwimSim, of: (member: SimMember) => number): number {
  return sim.members.reduce((total, member) => total + of(member), 0);
}

/** Bytes a second and node at rest, and how long until a crash is known to the first and to all. */
function detection(n: number, seeds: number, parameters: SwimParameters): Cells {
  const [first, all, idle, busy]: number[][] = [[], [], [], []];
  for (let seed = 0; seed < seeds; seed += 1) {
    const sim = new SwimSim({ n, seed: `crash ${n} ${seed}`, parameters });
    sim.run(5_000 + 500 * sim.random.float());
    const startBytes = sum(sim, ({ sentBytes, linkBytes }) => sentBytes + linkBytes);
    const quietMs = n > 64 ? 5_000 : 30_000;
    sim.run(quietMs);
    const crashBytes = sum(sim, ({ sentBytes, linkBytes }) => sentBytes + linkBytes);
    idle?.push(((crashBytes - startBytes) / n / quietMs) * 1_000);
    const crashedMs = sim.nowMs;
    const known: number[] = [];
    sim.onEvent = (_observer, event, nowMs) => {
      if (event.kind === "dead") known.push(nowMs - crashedMs);
    };
    sim.crash(lastOf(sim));
    sim.run(60_000, () => known.length >= n - 1, 5);
    first?.push(known[0] ?? Number.NaN);
    all?.push(known.at(-1) ?? Number.NaN);
    const bytes = sum(sim, ({ sentBytes, linkBytes }) => sentBytes + linkBytes) - crashBytes;
    busy?.push((bytes / (n - 1) / (sim.nowMs - crashedMs)) * 1_000);
  }
  return {
    "first dead p50/p99 s": seconds(first ?? []),
    "all know p50/p99 s": seconds(all ?? []),
    "idle B/s/node": Math.round(quantile(idle ?? [], 0.5)),
    "in failure": Math.round(quantile(busy ?? [], 0.5)),
  };
}

/** How long until a farewell is known to all, and how many were not told within 10 s. */
function update(
  n: number,
  seeds: number,
  at: { readonly parameters: SwimParameters; readonly lossRate: number },
): string {
  const times: number[] = [];
  let missed = 0;
  for (let seed = 0; seed < seeds; seed += 1) {
    const { parameters, lossRate } = at;
    const sim = new SwimSim({ n, seed: `update ${n} ${seed}`, parameters, lossRate });
    sim.run(4_000 + 200 * sim.random.float());
    const startMs = sim.nowMs;
    let known = 0;
    sim.onEvent = (_observer, event) => {
      if (event.kind === "left") known += 1;
    };
    sim.act(lastOf(sim), (core, nowMs) => core.leave(nowMs));
    if (sim.run(10_000, () => known >= n - 1, 5)) times.push(sim.nowMs - startMs);
    else missed += 1;
  }
  return `${seconds(times)}${missed > 0 ? ` (${missed} missed)` : ""}`;
}

/** Views "that healthy member is dead", by anyone, while some are slow. */
function slander(
  n: number,
  runs: number,
  at: { readonly parameters: SwimParameters; readonly slowCount: number },
): string {
  let views = 0;
  for (let seed = 0; seed < runs; seed += 1) {
    const sim = new SwimSim({ n, seed: `slow ${n} ${at.slowCount} ${seed}`, parameters: at.parameters });
    sim.run(3_000);
    const slow = new Set(sim.members.slice(0, at.slowCount).map(({ nodeId }) => nodeId));
    sim.onEvent = (_observer, event) => {
      if (event.kind === "dead" && !slow.has(event.member.facts.nodeId)) views += 1;
    };
    const suffer = (member: SimMember): void => {
      const lastsMs = 4_000 + 28_000 * sim.random.float();
      sim.starve(member, lastsMs);
      sim.after(lastsMs + 1_000, () => suffer(member));
    };
    for (const member of sim.members.slice(0, at.slowCount))
      sim.after(1_000 * sim.random.float(), () => suffer(member));
    sim.run(n > 64 ? SLOW_RUN_MS / 4 : SLOW_RUN_MS);
  }
  return (views / runs).toFixed(1);
}

/** How long until all agree again after a minute in halves. */
function heal(n: number, seeds: number, parameters: SwimParameters): string {
  const times: number[] = [];
  for (let seed = 0; seed < seeds; seed += 1) {
    const sim = new SwimSim({ n, seed: `heal ${n} ${seed}`, parameters });
    sim.run(3_000 + 97 * seed);
    sim.split(({ index }) => index % 2);
    sim.run(60_000);
    sim.heal();
    const startMs = sim.nowMs;
    sim.run(60_000, () => sim.isWhole(), 50);
    times.push(sim.nowMs - startMs);
  }
  return `${seconds(times)} (max ${(Math.max(...times) / 1_000).toFixed(1)})`;
}

/** The longest pause, of those tried, after which nobody was declared dead in any run. */
function pause(n: number, runs: number, parameters: SwimParameters): string {
  let tolerated = 0;
  for (const lastsMs of [2_000, 3_000, 4_000, 5_000, 6_000, 8_000]) {
    let dead = 0;
    for (let seed = 0; seed < runs; seed += 1) {
      const sim = new SwimSim({ n, seed: `pause ${n} ${seed}`, parameters });
      sim.run(3_000 + 61 * seed);
      sim.onEvent = (_observer, event) => {
        if (event.kind === "dead") dead += 1;
      };
      sim.pause(lastOf(sim), lastsMs);
      sim.run(lastsMs + 2_000);
    }
    if (dead > 0) break;
    tolerated = lastsMs;
  }
  return `${tolerated / 1_000} s`;
}

function rowOf(n: number, parameters: SwimParameters): Cells {
  const seeds = SEEDS[n] ?? 3;
  const updates = UPDATE_SEEDS[n] ?? 3;
  const slowRuns = n <= 16 ? 120 : n <= 64 ? 6 : 1;
  const slander3 = SLOW_SHARES.map((share) => {
    const slowCount = share === 0 ? 0 : Math.max(1, Math.round(share * n));
    return n >= 1000 && share > 0.1 ? "–" : `${slowCount}: ${slander(n, slowRuns, { parameters, slowCount })}`;
  });
  const few = n <= 64 ? slander124(n, slowRuns, parameters) : "–";
  return {
    n,
    ...detection(n, seeds, parameters),
    "leave known p50/p99 s": update(n, updates, { parameters, lossRate: 0 }),
    "with 30 % loss": n > 256 ? "–" : update(n, updates, { parameters, lossRate: 0.3 }),
    "false dead, slow 0/5/25 %": slander3.join(" · "),
    "mean of 1, 2, 4 slow": few,
    "heal p50/p99 s": n > 256 ? "–" : heal(n, n > 64 ? 1 : Math.min(20, seeds), parameters),
    "pause forgiven": n > 64 ? "–" : pause(n, 8, parameters),
  };
}

function slander124(n: number, runs: number, parameters: SwimParameters): string {
  const counts = [1, 2, 4].filter((slowCount) => slowCount < n);
  const total = counts.reduce((so, slowCount) => so + Number(slander(n, runs, { parameters, slowCount })), 0);
  return (total / counts.length).toFixed(1);
}

function printRows(rows: readonly Cells[]): void {
  const names = Object.keys(rows[0] ?? {});
  console.log(`| ${names.join(" | ")} |`);
  console.log(`|${names.map(() => "---").join("|")}|`);
  for (const row of rows) console.log(`| ${names.map((name) => row[name]).join(" | ")} |`);
}

const PUBLISHED = `
To compare. memberlist's rules with LAN timers in an earlier simulator of the same model (first dead, all know, false dead as the mean of
1, 2, 4 slow of 120 s, pause): n=3 5.7/7.7, 5.7/7.7, 9.3, 5 s · n=5 5.8/8.8, 5.8/8.9, 4.2, 5 s · n=8 5.7/7.9, 5.8/8.1, 7.6, 4 s ·
n=16 6.5/10.1, 6.7/10.3, 4.7, 5 s · n=64 8.9/10.5, 9.2/10.8, 1.8, 6 s; idle 215–331 B/s/node. Plain SWIM: 24 / 69 / 159 / 527 / 2625
false dead at n=3/5/8/16/64. One update to all: 0.20 s (n=3), 0.58 (8), 0.62 (16), 0.86 (64) p99; at 30 % loss a third of the runs missed
someone. Published by others: SWIM finds a crash in 1.58 periods (expected); Lifeguard has 50–100 times fewer false positives than SWIM,
memberlist detects 20 % faster with 20 times fewer. serf heals a split in 30 s.
`;

const [profile, ...sizes] = process.argv.slice(2);
const name = profile === "steady" || profile === "wan" ? profile : "fast";
const wanted = sizes.length > 0 ? sizes.map(Number) : SIZES;
const startedMs = performance.now();
const rows: Cells[] = [];
for (const n of wanted) {
  const rowMs = performance.now();
  rows.push(rowOf(n, PROFILES[name]));
  console.error(`n=${n}: ${((performance.now() - rowMs) / 1_000).toFixed(1)} s`);
}
console.log(`profile ${name}, ${((performance.now() - startedMs) / 1_000).toFixed(0)} s of work\n`);
printRows(rows);
console.log(PUBLISHED);
