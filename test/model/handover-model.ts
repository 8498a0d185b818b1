/**
 * The model check of the hand-over: random lives of a small cluster around the real cores.
 *
 * `node test/model/handover-model.ts --runs 10000` prints runs, transfers, mints, writes, reads and violations, and makes
 * the exit code 1 when there is one; `--planted ANY_MEMBERS` lives them with a bug (`planted-bugs.ts`). Properties: a
 * strict-quorum read sees every write acknowledged before it began; a slot is held by one living member at most at every
 * instant, and never vanishes but with a removed one; the last copy of an acknowledged write is not dropped; when the
 * trouble ends, every slot comes to whom it belongs and no old copy is left.
 */
import { parseArgs } from "node:util";
import { type Counts, type Life, N, noCounts, QUORUM, rowOf, type Seams } from "./handover-life.ts";
import { changeMembership, isMember, remove, retireOne, runningLife } from "./handover-operators.ts";
import { OP_STEPS } from "./handover-timeline.ts";
import { World } from "./handover-world.ts";
import * as planted from "./planted-bugs.ts";

const STEPS = 2_500;
const CALM_STEPS = 6_000;

/** What came of one run. */
export interface RunReport {
  readonly seed: number;
  readonly violations: readonly string[];
  readonly counts: Counts;
  /** slots that had not come to their place when time was up; undefined when none may be expected to */
  readonly unsettled: string | undefined;
  readonly steps: number;
}

/** A seal of 22 steps is often lifted before the release. */
const SEALS_MS = [22, 40, 60];
/** Of the steps, so many are exchanges of records: in some lives they are rare. */
const GOSSIP_RATES = [0.15, 0.02, 0.15, 0.05, 0.15, 0.01, 0.15, 0.15, 0.02];
/** Some newcomers are seldom heard of for a while: of their exchanges so many come about. */
const SHY_RATE = 0.03;
/** In one life of so many, more is removed than it can bear. */
const BEYOND_EVERY = 7;
/** In some lives nodes come and go all the time. */
const CHANGE_RATES = [0.2, 0.2, 0.8, 0.2];
const TIMES = { idleMs: 150, retryMinMs: 10, retryMaxMs: 80 };

/** What is done otherwise than it should be, if anything. */
export interface Plan {
  readonly seams?: Seams;
  /** a minting merges so many other slots; 2 is N − W + 1 */
  readonly sourceCount?: number;
  /** seals are lifted after so many steps: the shorter, the more attempts fail late */
  readonly sealMs?: number;
  /** a minting waits neither for operations to end, nor do coordinators discount removed members */
  readonly isHasty?: boolean;
  /** nobody comes, goes for good or is removed: the first members give slots to each other, back and forth */
  readonly isBackAndForth?: boolean;
  /** of the chances to change the membership, so many are taken; default: few, in one life out of four most */
  readonly changeRate?: number;
  /** of the steps, so many are exchanges of records; default: 0.15 in most lives, fewer in some */
  readonly gossipRate?: number;
  /** no splits, pauses, rare exchanges and shy newcomers: more comes to its end, and some bugs show there */
  readonly isGentle?: boolean;
  /** more is removed than the cluster can bear, in each life; default: in one of seven */
  readonly isBeyondBearing?: boolean;
}

/** One life of a cluster, by its seed. */
export function runHandover(seed: number, plan: Plan = {}): RunReport {
  const {
    seams = {},
    sourceCount = 2,
    isHasty = false,
    isBackAndForth = false,
    changeRate,
    isGentle = false,
    gossipRate = (isGentle ? undefined : GOSSIP_RATES[seed % GOSSIP_RATES.length]) ?? 0.15,
    isBeyondBearing = seed % BEYOND_EVERY === 0 && !isBackAndForth && !isGentle,
    sealMs = SEALS_MS[seed % SEALS_MS.length],
  } = plan;
  const isDiscounting = seed % 2 === 0 && !isHasty;
  const world = new World({
    seed,
    partitions: seed % 5 === 0 ? 3 : 1,
    seams,
    times: { ...TIMES, sealMs: sealMs ?? 40, mintQuietMs: isDiscounting || isHasty ? 0 : OP_STEPS + 20 },
    sourceCount,
    isDiscounting,
    lossRate: 0.05,
    gossipRate,
    isGentle,
    isBeyondBearing,
    changeRate: changeRate ?? CHANGE_RATES[seed % CHANGE_RATES.length] ?? 0.2,
    isBackAndForth,
  });
  try {
    const steps = live(world);
    return { seed, violations: world.violations, counts: world.counts, unsettled: disorder(world), steps };
  } catch (error) {
    return { seed, violations: [`threw ${String(error)}`], counts: world.counts, unsettled: undefined, steps: 0 };
  }
}

/** Trouble, then calm; answers how many steps of calm it took until all was in order. */
function live(world: World): number {
  while (world.now < STEPS && world.violations.length === 0) {
    world.tick();
    turn(world);
  }
  world.isCalm = true;
  world.cuts.clear();
  // Who was removed and has not heard of it is switched off by its operator.
  for (const index of world.removedByAnyone.keys()) if (world.life(index).isUp) world.crash(world.life(index));
  // And says it again: the node that was told may itself have been removed before it told anyone.
  const told = world.lives.find((life) => isMember(life) && !world.removedByAnyone.has(life.index));
  for (const index of world.removedByAnyone.keys()) told?.removed.add(index);
  let steps = 0;
  while (steps < CALM_STEPS && world.violations.length === 0 && (steps % 50 !== 0 || disorder(world) !== undefined)) {
    world.tick();
    calmTurn(world);
    steps += 1;
  }
  return steps;
}

function turn(world: World): void {
  const chance = world.float();
  if (chance < 0.2) world.operate("write");
  else if (chance < 0.4) world.operate("read");
  else if (chance < 0.4 + world.settings.gossipRate) gossip(world);
  else if (chance < 0.55) return;
  else if (chance < 0.85) reviewOne(world);
  else if (chance < 0.88) changeMembership(world);
  else if (chance < 0.886) crashOrRestart(world);
  else if (chance < 0.9) restartOne(world);
  else if (chance < 0.901) retireOne(world);
  else if (chance < 0.9012) suspectOne(world);
  else if (chance < 0.902) hold(world, chance < 0.9018);
  else if (chance < 0.903 || (chance < 0.93 && (world.settings.isBeyondBearing || isGiving(world)))) remove(world);
}

function calmTurn(world: World): void {
  const chance = world.float();
  if (chance < 0.05) world.operate("write");
  else if (chance < 0.1) world.operate("read");
  else if (chance < 0.4) gossip(world);
  else if (chance < 0.8) reviewOne(world);
  else if (chance < 0.85) crashOrRestart(world);
  else if (chance < 0.87) compareOne(world);
}

function gossip(world: World): void {
  const one = runningLife(world);
  const other = runningLife(world);
  if (one === undefined || other === undefined || one === other) return;
  const isShy = world.shy.has(one.index) || world.shy.has(other.index);
  if (!isShy || world.isCalm || world.float() < SHY_RATE) world.exchange(one, other);
}

function reviewOne(world: World): void {
  const life = runningLife(world);
  if (life !== undefined) world.review(life);
}

/** A disk finds that it may lack something, of all partitions. In times of trouble it is not trusted again. */
function suspectOne(world: World): void {
  const life = runningLife(world);
  if (life !== undefined) for (const partition of life.ledger.slots.keys()) life.suspect.add(partition);
}

/** Anti-entropy has compared a suspect copy with all others that are held: it is whole. */
function compareOne(world: World): void {
  const life = runningLife(world);
  for (const partition of life?.suspect ?? []) {
    const isHeld = (one: Life): boolean => one.ledger.slots[partition] !== -1 && !world.removedByAnyone.has(one.index);
    const holders = world.lives.filter((one) => isMember(one) && isHeld(one));
    if (life === undefined || !holders.includes(life) || holders.some(({ isUp }) => !isUp)) continue;
    const own = world.registers(life, partition);
    for (const one of holders) {
      for (const [at, value] of world.registers(one, partition).entries()) own[at] = Math.max(own[at] ?? 0, value);
    }
    life.suspect.delete(partition);
  }
}

/** Splits the network, or pauses a node. */
function hold(world: World, isSplit: boolean): void {
  if (world.settings.isGentle) return;
  if (isSplit) return world.split();
  const life = runningLife(world);
  if (life !== undefined) world.pause(life);
}

function crashOrRestart(world: World): void {
  const started = world.lives.filter((one) => one.status !== "none" && !world.retired.has(one.index));
  const life = started[world.below(started.length)];
  if (life === undefined) return;
  if (!life.isUp && !(world.isCalm && world.removedByAnyone.has(life.index))) world.restart(life);
  else if (life.isUp && !world.isCalm) world.crash(life);
  // One away at a time, mostly.
  const away = world.lives.filter((one) => isAway(world, one));
  if (away.length > 1) for (const one of away) if (world.float() < 0.5) world.restart(one);
}

function isAway(world: World, { index, isUp, status }: Life): boolean {
  return !isUp && status !== "none" && !world.removedByAnyone.has(index) && !world.retired.has(index);
}

function restartOne(world: World): void {
  const away = world.lives.filter((one) => isAway(world, one));
  const life = away[world.below(away.length)];
  if (life !== undefined) world.restart(life);
}

function isGiving(world: World): boolean {
  return world.lives.some((one) => one.cores.some(({ donor }) => donor.attempt?.stage === "sealed"));
}

/** What is not yet as it should be when nothing changes any more; undefined when all is. */
function disorder(world: World): string | undefined {
  const present = world.lives.filter((life) => isMember(life) && !world.removedByAnyone.has(life.index));
  const judge = present[0];
  if (judge === undefined) return "nobody is left";
  const rows = world.lives.map((life) => (life.status === "none" ? undefined : rowOf(life)));
  const truth = { table: { rows, removed: new Set(world.removedByAnyone.keys()) } };
  for (const partition of judge.ledger.slots.keys()) {
    const target = world.target(truth, partition);
    const holders = world.lives.filter(
      (life) => life.durable.ledger.slots[partition] !== -1 && !world.removedByAnyone.has(life.index),
    );
    // Fewer sources than a minting needs: an operator's to decide, not the protocol's.
    if (holders.length < QUORUM) continue;
    const isPlaced = holders.length === N && holders.every((life) => target.includes(life.index));
    if (!isPlaced)
      return `partition ${partition}: held by ${holders.map((life) => life.index).join()}, not ${target.join()}`;
    for (const life of present) {
      const released = life.durable.ledger.released.get(partition);
      const isKept = life.durable.ledger.retained.has(partition);
      if (isKept && released !== undefined && !world.removedByAnyone.has(Number(released.to))) {
        return `partition ${partition}: node ${life.index} keeps its old copy`;
      }
    }
  }
  return undefined;
}

/** Many runs, added up. */
export interface ModelSummary {
  readonly runs: number;
  readonly counts: Counts;
  readonly violations: readonly { readonly seed: number; readonly what: string }[];
  readonly unsettled: readonly { readonly seed: number; readonly what: string }[];
}

/** Runs seeds `from` … `from + runs − 1`. */
export function checkHandover(from: number, runs: number, plan: Plan = {}): ModelSummary {
  const counts = noCounts();
  const violations: { seed: number; what: string }[] = [];
  const unsettled: { seed: number; what: string }[] = [];
  for (let seed = from; seed < from + runs; seed += 1) {
    const report = runHandover(seed, plan);
    for (const name of Object.keys(counts) as (keyof Counts)[]) counts[name] += report.counts[name];
    const [what] = report.violations;
    if (what !== undefined) violations.push({ seed, what });
    else if (report.unsettled !== undefined) unsettled.push({ seed, what: report.unsettled });
  }
  return { runs, counts, violations, unsettled };
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      runs: { type: "string", default: "300" },
      from: { type: "string", default: "1" },
      planted: { type: "string" },
    },
  });
  const startedMs = performance.now();
  const seams = Object.entries(planted).find(([name]) => name === values.planted)?.[1];
  const summary = checkHandover(Number(values.from), Number(values.runs), seams === undefined ? {} : { seams });
  const seconds = ((performance.now() - startedMs) / 1_000).toFixed(0);
  console.log(`${summary.runs} runs in ${seconds} s: ${JSON.stringify(summary.counts)}`);
  console.log(`${summary.violations.length} runs with a violation, ${summary.unsettled.length} that did not settle`);
  for (const { seed, what } of [...summary.violations, ...summary.unsettled].slice(0, 20)) console.log(seed, what);
  process.exitCode = summary.violations.length + summary.unsettled.length === 0 ? 0 : 1;
}
