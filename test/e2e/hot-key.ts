/**
 * `npm run accept:hot-key`: what the others feel when everybody reads one key: three nodes under a quiet open-loop load of many
 * keys; beside it, in turns, nothing, as many reads of many keys, and as many reads of one. The turns make ratios stand where
 * the machine is used by others too. Ends with exit code 1 when the others' p99 suffers more than a fifth more from reads of
 * one key than from as many of many, at any share of the measured peak, or when more of them are refused. Turns are short and
 * many: within minutes the same code gave 1.72 over three of 5 s, and 0.86 over eight of 2.5 s. Options: `--seconds N` of each
 * turn (default 2.5), `--rounds N` (default 8).
 */
import { parseArgs } from "node:util";
import { coldMs, quantileMs } from "./answer-times.ts";
import { fillBulk } from "./bulk-keys.ts";
import { RealCluster } from "./cluster.ts";
import { GeneratorProcess } from "./generator-process.ts";
import { tryAsk } from "./http.ts";

const { values: flags } = parseArgs({
  options: { seconds: { type: "string", default: "2.5" }, rounds: { type: "string", default: "8" } },
});
const NODES = [0, 1, 2];
const TURN_MS = Number(flags.seconds) * 1_000;
const KEYS = 2_000;
const DEADLINE_MS = 2_000;
const QUIET_SHARE = 0.2;
/** reads beside them, as shares of the peak; with the last the nodes are asked for more than they can do */
const HOT_SHARES = [0.3, 0.6, 3];
const BEARABLE = 1.2;
/** of the others, refused beside reads of one key and not beside as many of many: at most this share of them more */
const BEARABLE_REFUSED = 0.01;
const startedAt = performance.now();

function tell(text: string): void {
  process.stdout.write(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s  ${text}\n`);
}

interface Turn {
  /** of all that was not refused: what was late or lost counts as the deadline at least */
  readonly othersMs: readonly number[];
  readonly hotMs: readonly number[];
  readonly refusedOthers: number;
  readonly refusedHot: number;
}

interface Load {
  readonly rate: number | undefined;
  readonly hotShare: number;
  /** what would be reads of one key goes to many, and is counted as if it went to one */
  readonly isSpread: boolean;
  readonly connectionsPerTarget: number;
}

async function turn(generator: GeneratorProcess, ports: readonly number[], load: Load): Promise<Turn> {
  const order = {
    kind: "load",
    ports,
    durationMs: TURN_MS,
    keyCount: KEYS,
    writeShare: 0.5,
    deadlineMs: DEADLINE_MS,
  } as const;
  const { targets } = await generator.order({ ...order, ...load });
  const refused = targets.flatMap(({ refusedByStatus }) => Object.values(refusedByStatus)).reduce((a, b) => a + b, 0);
  const refusedHot = targets.reduce((sum, { refusedHotCount }) => sum + refusedHotCount, 0);
  return {
    othersMs: coldMs(targets, DEADLINE_MS),
    hotMs: targets.flatMap(({ hotMs }) => hotMs),
    refusedHot,
    refusedOthers: refused - refusedHot,
  };
}

function joined(turns: readonly Turn[]): Turn {
  return {
    othersMs: turns.flatMap(({ othersMs }) => othersMs),
    hotMs: turns.flatMap(({ hotMs }) => hotMs),
    refusedOthers: turns.reduce((sum, { refusedOthers }) => sum + refusedOthers, 0),
    refusedHot: turns.reduce((sum, { refusedHot }) => sum + refusedHot, 0),
  };
}

/** The share of the others that was refused: in their times they do not count, and nobody would feel better for that. */
function refusedShare({ othersMs, refusedOthers }: Turn): number {
  return refusedOthers / Math.max(1, othersMs.length + refusedOthers);
}

function told({ othersMs, hotMs, refusedHot, refusedOthers }: Turn): string {
  const p = (values: readonly number[]): string =>
    `p50 ${quantileMs(values, 0.5).toFixed(1)} p99 ${quantileMs(values, 0.99).toFixed(1)} ms`;
  const hot = hotMs.length + refusedHot === 0 ? "" : `; hot: ${hotMs.length}, ${p(hotMs)}, refused ${refusedHot}`;
  return `others: ${othersMs.length}, ${p(othersMs)}, refused ${refusedOthers}${hot}`;
}

async function sharedReads(cluster: RealCluster): Promise<number> {
  const texts = await Promise.all(NODES.map((node) => tryAsk(`${cluster.url(node)}/metrics`)));
  return texts.reduce((sum, one) => sum + Number(/^gyre_reads_shared_total (\d+)/m.exec(one?.text ?? "")?.[1] ?? 0), 0);
}

async function main(): Promise<boolean> {
  await using cluster = await RealCluster.start(3, { GYRE_PARTITIONS: "128", GYRE_LOG_LEVEL: "warn" });
  using generator = new GeneratorProcess();
  const ports = NODES.map((node) => Number(new URL(cluster.url(node)).port));
  await fillBulk(cluster, KEYS);
  const closed = { rate: undefined, hotShare: 0, isSpread: false, connectionsPerTarget: 24 };
  // until the slow start of all nodes is over
  for (let warm = 0; warm < 32_000; warm += TURN_MS) await turn(generator, ports, closed);
  const { othersMs: tookMs } = await turn(generator, ports, closed);
  const peak = (tookMs.filter((ms) => ms < DEADLINE_MS).length * 1_000) / TURN_MS;
  const base = peak * QUIET_SHARE;
  tell(`peak ${peak.toFixed(0)}/s; many keys at ${base.toFixed(0)}/s all the time`);
  let isBearable = true;
  for (const share of HOT_SHARES) {
    const [quiet, spread, hot]: [Turn[], Turn[], Turn[]] = [[], [], []];
    const rate = base + share * peak;
    const [connectionsPerTarget, hotShare] = [100, (share * peak) / rate];
    const sharedBefore = await sharedReads(cluster);
    for (let round = 0; round < Number(flags.rounds); round += 1) {
      quiet.push(await turn(generator, ports, { rate: base, hotShare: 0, isSpread: false, connectionsPerTarget }));
      // now the one first, now the other: whoever follows meets what is left of the one before
      for (const isSpread of round % 2 === 0 ? [true, false] : [false, true]) {
        const felt = await turn(generator, ports, { rate, hotShare, isSpread, connectionsPerTarget });
        (isSpread ? spread : hot).push(felt);
      }
    }
    const [alone, besideMany, besideOne] = [joined(quiet), joined(spread), joined(hot)];
    const p99 = ({ othersMs }: Turn): number => quantileMs(othersMs, 0.99);
    const ratio = p99(besideOne) / p99(besideMany);
    tell(`${share} × the peak beside them. Alone: ${told(alone)}`);
    tell(`beside reads of many keys: ${told(besideMany)}`);
    tell(`beside reads of one: ${told(besideOne)}; shared ${(await sharedReads(cluster)) - sharedBefore}`);
    const overAlone = `${(p99(besideMany) / p99(alone)).toFixed(2)} and ${(p99(besideOne) / p99(alone)).toFixed(2)}`;
    tell(`p99 of the others over alone: ${overAlone}; beside one key over beside many: ${ratio.toFixed(2)}`);
    const [refusedMany, refusedOne] = [refusedShare(besideMany), refusedShare(besideOne)];
    tell(`refused of the others: ${refusedOne.toFixed(4)} beside one key, ${refusedMany.toFixed(4)} beside many`);
    isBearable &&= ratio <= BEARABLE && refusedOne <= refusedMany * BEARABLE + BEARABLE_REFUSED;
  }
  return isBearable;
}

process.exitCode = (await main()) ? 0 : 1;
