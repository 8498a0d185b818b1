/**
 * The model check of tombstone collection: random lives of a small cluster around the real cores.
 *
 * `node test/model/collect-model.ts --runs 10000` prints what happened and what broke, and makes the exit code 1 when
 * something did. Properties: what an applied write replaced is never there again once all is healed, nor read once its
 * tombstone was collected; what was applied and nobody replaced is at every holder; in the end no tombstone is left; and
 * everything that was ever sent may come again after that.
 */
import { parseArgs } from "node:util";
import type { CollectCounts, CollectPlan } from "./collect-life.ts";
import { CollectWorld } from "./collect-world.ts";

const STEPS = 1_600;

/** What came of one life. */
export interface CollectReport {
  readonly seed: number;
  readonly violations: readonly string[];
  /** tombstones that were never collected, or holders that never agreed */
  readonly unsettled: string | undefined;
  readonly counts: CollectCounts;
}

/** One life, by its seed. */
export function runCollect(seed: number, plan: CollectPlan = {}): CollectReport {
  const world = new CollectWorld(seed, plan);
  for (let step = 0; step < STEPS; step += 1) world.step();
  world.settle();
  world.judge("healed");
  world.collectAll();
  world.judge("collected");
  let unsettled = world.tombstoneCount() > 0 ? `${world.tombstoneCount()} tombstones are left` : undefined;
  world.repeatEverything();
  world.settle();
  world.judge("after everything came again");
  const contents = new Set(world.holders().map((at) => world.contentOf(at)));
  if (contents.size > 1) unsettled ??= "holders never agree";
  return { seed, violations: world.violations, unsettled, counts: world.counts };
}

/** Many lives, added up. */
export interface CollectSummary {
  readonly violations: readonly string[];
  readonly unsettled: readonly string[];
  readonly counts: Readonly<Record<string, number>>;
}

/** Lives of the seeds from `first` on. */
export function checkCollect(first: number, runs: number, plan: CollectPlan = {}): CollectSummary {
  const violations: string[] = [];
  const unsettled: string[] = [];
  const counts: Record<string, number> = {};
  for (let seed = first; seed < first + runs; seed += 1) {
    const report = runCollect(seed, plan);
    for (const violation of report.violations) violations.push(`seed ${seed}: ${violation}`);
    if (report.unsettled !== undefined) unsettled.push(`seed ${seed}: ${report.unsettled}`);
    for (const [name, count] of Object.entries(report.counts)) counts[name] = (counts[name] ?? 0) + count;
  }
  return { violations, unsettled, counts };
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { runs: { type: "string" }, first: { type: "string" }, bug: { type: "string" } },
  });
  const plan = values.bug === undefined ? {} : { [values.bug]: true };
  const summary = checkCollect(Number(values.first ?? "1"), Number(values.runs ?? "1000"), plan);
  process.stdout.write(`${JSON.stringify(summary.counts)}\n`);
  for (const line of [...summary.violations, ...summary.unsettled].slice(0, 20)) process.stdout.write(`${line}\n`);
  const brokenCount = summary.violations.length + summary.unsettled.length;
  process.stdout.write(`${summary.violations.length} violations, ${summary.unsettled.length} unsettled\n`);
  process.exitCode = brokenCount === 0 ? 0 : 1;
}
