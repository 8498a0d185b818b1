/**
 * `npm run bench`: three gyre nodes and the floor, in one run, loaded by the same closed-loop client; a table of operations
 * per second, processor time per operation and latencies; the ratio to the floor is the result. `-- --peers etcd` adds etcd.
 * Options: `--seconds N` per measurement (default 4), `--rounds N` (default 3), `--warmup N` seconds for each workload and system
 * (default 10), `--connections N` in all (default 48).
 */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type LoadResult, runClosedLoop } from "./closed-loop.ts";
import { cpuMicros } from "./processes.ts";
import { type Measurement, median, renderTable, summaryOf } from "./report.ts";
import { freshDirectory, type SystemUnderTest, startEtcd, startFloor, startGyre } from "./systems.ts";

const VALUE_BYTES = 1_024;
const KEY_COUNT = 10_000;

const { values: options } = parseArgs({
  options: {
    peers: { type: "string", default: "" },
    seconds: { type: "string", default: "4" },
    rounds: { type: "string", default: "3" },
    warmup: { type: "string", default: "10" },
    connections: { type: "string", default: "48" },
  },
});
const durationMs = Number(options.seconds) * 1_000;
const roundCount = Number(options.rounds);
const warmUpMs = Number(options.warmup) * 1_000;
const connectionCount = Number(options.connections);

const frame = '{"data":""}'.length;
const values = Array.from({ length: 256 }, () =>
  JSON.stringify({
    data: randomBytes(VALUE_BYTES)
      .toString("base64")
      .slice(0, VALUE_BYTES - frame),
  }),
);
const keyOf = (index: number): string => `k${String(index % KEY_COUNT).padStart(8, "0")}`;

type Workload = "PUT" | "GET" | "50/50";

function requestMaker(system: SystemUnderTest, workload: Workload): (target: number) => Buffer {
  let count = 0;
  return (target) => {
    count += 1;
    const key = keyOf(Math.floor(Math.random() * KEY_COUNT));
    const isPut = workload === "PUT" || (workload === "50/50" && count % 2 === 0);
    return isPut ? system.put(key, values[count % values.length] ?? "", target) : system.get(key, target);
  };
}

async function measure(
  system: SystemUnderTest,
  workload: Workload,
  plan: {
    readonly label: string;
    readonly onlyTargets?: readonly number[];
    readonly connections?: number;
    /** default: as the options say */
    readonly durationMs?: number;
  },
): Promise<Measurement> {
  const picked = plan.onlyTargets ?? system.targets.map((_, i) => i);
  const makeRequest = requestMaker(system, workload);
  const before = cpuMicros(system.servers());
  const result: LoadResult = await runClosedLoop({
    connectionsPerTarget: Math.max(1, Math.floor((plan.connections ?? connectionCount) / picked.length)),
    targets: picked.flatMap((i) => system.targets[i] ?? []),
    durationMs: plan.durationMs ?? durationMs,
    nextRequest: (i) => makeRequest(picked[i] ?? 0),
  });
  const usedMicros = cpuMicros(system.servers()) - before;
  return summaryOf({ system: system.name, workload: plan.label, result, cpuMicros: usedMicros });
}

async function preload(system: SystemUnderTest): Promise<void> {
  let next = 0;
  const endless = (target: number): Buffer => {
    next += 1;
    return system.put(keyOf(next), values[next % values.length] ?? "", target);
  };
  while (next < KEY_COUNT) {
    const result = await runClosedLoop({
      connectionsPerTarget: 16,
      targets: system.targets,
      durationMs: 1_000,
      nextRequest: endless,
    });
    if (result.operationCount === 0) throw new Error(`${system.name} took no writes; see its log`);
  }
}

const directory = freshDirectory(resolve(".gyre/bench"));
const systems: SystemUnderTest[] = [];
const stopAll = async (): Promise<void> => {
  await Promise.all(systems.map((system) => system.stop()));
};
process.once("SIGINT", () => void stopAll().then(() => process.exit(130)));

try {
  const floor = await startFloor({ dir: directory, port: 4700, valueBytes: VALUE_BYTES });
  systems.push(floor);
  const gyre = await startGyre({ dir: directory, port: 4710 });
  systems.push(gyre);
  if (options.peers.split(",").includes("etcd")) systems.push(await startEtcd({ dir: directory, port: 4730 }));
  for (const system of systems) await preload(system);

  const rows: Measurement[] = [];
  const workloads: readonly Workload[] = ["PUT", "GET", "50/50"];
  for (const workload of workloads) {
    const bySystem = new Map<string, Measurement[]>();
    // Compiling hot code costs as much as running it in the first seconds: measured is what a server that has run costs.
    for (const system of systems) await measure(system, workload, { label: "warm-up", durationMs: warmUpMs });
    for (let round = 0; round < roundCount; round += 1) {
      for (const system of systems) {
        const one = await measure(system, workload, { label: workload });
        bySystem.set(system.name, [...(bySystem.get(system.name) ?? []), one]);
      }
    }
    for (const measurements of bySystem.values()) rows.push(median(measurements));
  }

  for (const workload of ["PUT", "GET"] as const) {
    const light = await measure(gyre, workload, { label: `${workload}, 6 connections`, connections: 6 });
    rows.push(light);
  }
  await gyre.killOne?.();
  for (const workload of ["PUT", "GET"] as const) {
    rows.push(await measure(gyre, workload, { label: `${workload}, node down`, onlyTargets: [0, 1] }));
  }
  await gyre.revive?.();
  rows.push(await measure(gyre, "GET", { label: "GET, while repairing" }));

  process.stdout.write(`${renderTable(rows)}\n`);
  const resultsFile = join(directory, "results.json");
  writeFileSync(resultsFile, `${JSON.stringify({ valueBytes: VALUE_BYTES, keyCount: KEY_COUNT, rows }, null, 2)}\n`);
  process.stdout.write(`\nratios are to the floor of the same run and workload; written to ${resultsFile}\n`);
} finally {
  await stopAll();
}
