/**
 * `npm run sim -- --seeds 1000 --from 1`: lives many simulated lives; a broken promise prints its seed, what broke, and the
 * end of the transcript, and makes the exit code 1. `--ring`: lives in which the membership changes, too; `--sloppy`: of five
 * machines whose requests take stand-ins. `--verbose` prints a line for each life, `--lines` sets how much of a transcript.
 */
import { parseArgs } from "node:util";
import { simulate } from "./simulate.ts";

const { values: options } = parseArgs({
  options: {
    from: { type: "string", default: "1" },
    ring: { type: "boolean", default: false },
    sloppy: { type: "boolean", default: false },
    lines: { type: "string", default: "80" },
    seeds: { type: "string", default: "100" },
    verbose: { type: "boolean", default: false },
  },
});
const from = Number(options.from);
const count = Number(options.seeds);
const startedMs = performance.now();
let brokenCount = 0;
let eventCount = 0;
let virtualMs = 0;
for (let seed = from; seed < from + count; seed += 1) {
  const report = await simulate(String(seed), {}, options.ring ? "ring" : options.sloppy ? "sloppy" : "fixed");
  eventCount += report.eventCount;
  virtualMs += report.virtualMs;
  if (options.verbose) {
    process.stdout.write(
      `${seed} ${JSON.stringify(report.counts)} trace ${report.traceHash} ${report.deeds.join(", ")}\n`,
    );
  }
  if (report.violations.length === 0) continue;
  brokenCount += 1;
  process.stdout.write(
    `seed ${seed}: ${report.violations.length} broken promises\n${report.transcript.slice(-Number(options.lines)).join("\n")}\n`,
  );
  for (const { rule, key, detail } of report.violations.slice(0, 12))
    process.stdout.write(`  ${rule} ${key}: ${detail}\n`);
}
const seconds = (performance.now() - startedMs) / 1_000;
process.stdout.write(
  `${count} lives from seed ${from}, ${brokenCount} with broken promises; ${eventCount} events, ` +
    `${(virtualMs / 1_000).toFixed(0)} virtual seconds in ${seconds.toFixed(0)} s\n`,
);
process.exitCode = brokenCount === 0 ? 0 : 1;
