/** The command line of the load test, understood or refused in words. Pure. */
import { parseArgs } from "node:util";
import type { FaultCommand } from "./cluster/fault-schedule.ts";
import type { PlannedFault, Workload } from "./plan.ts";
import { WORKLOADS, workloadNamed } from "./workloads.ts";

/** What was asked for is not possible; the message says why. */
export class UsageError extends Error {}

/** There is no cluster where one was said to be. */
export class UnreachableError extends Error {}

/** A run as it was asked for. */
export interface RunOptions {
  readonly workload: Workload;
  /** addresses of a cluster elsewhere; undefined: one of its own */
  readonly targets: readonly string[] | undefined;
  readonly rate: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly seed: number;
  readonly timeoutMs: number;
  readonly nodeCount: number;
  readonly faults: readonly PlannedFault[];
  readonly faultCommand: FaultCommand | undefined;
  /** where the report goes */
  readonly outDirectory: string;
}

/** What the load test is asked to do. */
export type Order =
  | { readonly kind: "help" }
  | { readonly kind: "list" }
  | { readonly kind: "compare"; readonly files: readonly [string, string]; readonly outDirectory: string }
  | { readonly kind: "run"; readonly options: RunOptions }
  | { readonly kind: "suite"; readonly runs: readonly RunOptions[]; readonly outDirectory: string };

/** Reports and data of runs go below this. */
export const OUT_DIRECTORY: string = ".gyre/loadtest";
/** YCSB's workloads that a key-value store without key order can run. */
const SUITE = ["ycsb-a", "ycsb-b", "ycsb-c", "ycsb-d", "ycsb-f"];
const SUITE_SECONDS = 45;
const SUITE_KILL = { node: 2, at: 10, back: 25 };
const SMOKE_WARM_UP = 1;
const WARM_UP = 5;
const TIMEOUT_MS = 2_000;
const MAX_SECONDS = 86_400;
const MAX_RATE = 20_000;

const FLAGS = {
  target: { type: "string", multiple: true },
  rate: { type: "string" },
  seconds: { type: "string" },
  "warm-up": { type: "string" },
  records: { type: "string" },
  "value-bytes": { type: "string" },
  nodes: { type: "string" },
  "kill-node": { type: "string" },
  at: { type: "string" },
  "back-at": { type: "string" },
  "fault-command": { type: "string" },
  seed: { type: "string" },
  timeout: { type: "string" },
  out: { type: "string" },
  help: { type: "boolean" },
} as const;

type FlagName = Exclude<keyof typeof FLAGS, "target" | "help">;

type Flags = Readonly<Partial<Record<FlagName, string>>> & { readonly target?: readonly string[] };

/** The text of `--help`. */
export const HELP: string = `Loads a cluster of gyre with Artillery, keeps its own account of every write, and says what was lost and how long it took.

  npm run loadtest -- smoke                       a short run against a cluster of its own
  npm run loadtest -- WORKLOAD [options]          ycsb-a, hot-key, churn …
  npm run loadtest -- suite [--out DIR]           YCSB A–D and F, a node killed in each; writes README.md there
  npm run loadtest -- compare A.json B.json       two summaries side by side
  npm run loadtest -- list                        all workloads

  --target URL        a node of a running cluster; repeat it, or put commas between. Without it: a cluster of its own.
                      Its token, where it asks for one, comes from the environment: GYRE_TOKEN
  --rate N            operations a second
  --seconds S         measured time; --warm-up S before it (default ${WARM_UP})
  --records N         keys that are loaded before; --value-bytes B of each
  --nodes N           of its own cluster
  --kill-node K       kills node K of its own cluster --at S seconds (default a third), starts it again --back-at S
                      (default two thirds), or never: --back-at never
  --fault-command C   a command that is run --at S: for a cluster elsewhere, as in 'kubectl delete pod gyre-1'
  --timeout MS        of a request (default ${TIMEOUT_MS}); --seed N of the keys (default 1)
  --out DIR           where the report goes (default ${OUT_DIRECTORY}/<run>)

Exit code 0: every limit of loadtest/thresholds.ts was kept. 1: one was not. 64: the command line. 69: no cluster there.
`;

function numberOf(flags: Flags, name: FlagName, fallback: number, bounds: readonly [number, number]): number {
  const text = flags[name];
  if (text === undefined) return fallback;
  const number = Number(text);
  const [least, most] = bounds;
  if (text === "" || !(number >= least && number <= most)) {
    throw new UsageError(`--${name}=${text}: a number from ${least} to ${most}`);
  }
  return number;
}

function targetsOf(flags: Flags): readonly string[] | undefined {
  const texts = flags.target?.flatMap((text) => text.split(",")).map((text) => text.trim());
  return texts?.map((text) => {
    const url = URL.parse(text);
    if (url === null || !/^https?:$/.test(url.protocol)) {
      throw new UsageError(`--target=${text}: an address such as http://127.0.0.1:4401`);
    }
    return url.origin;
  });
}

function killOf(flags: Flags, seconds: number, nodeCount: number): readonly PlannedFault[] {
  if (flags["kill-node"] === undefined) return [];
  const node = numberOf(flags, "kill-node", 1, [1, nodeCount]);
  const at = numberOf(flags, "at", seconds / 3, [0, seconds]);
  const isNever = flags["back-at"] === "never";
  const back = isNever ? seconds : numberOf(flags, "back-at", Math.max(at, (seconds * 2) / 3), [at, seconds]);
  return [{ kind: "kill", node, from: at / seconds, to: back / seconds }];
}

function runOptions(workload: Workload, flags: Flags): RunOptions {
  const targets = targetsOf(flags);
  const isOwn = targets === undefined;
  const seconds = numberOf(flags, "seconds", workload.seconds, [1, MAX_SECONDS]);
  const nodeCount = numberOf(flags, "nodes", workload.nodeCount, [1, 9]);
  if (!isOwn && (flags["kill-node"] !== undefined || flags.nodes !== undefined)) {
    throw new UsageError(
      "--kill-node and --nodes are for a cluster of its own; with --target, break something with --fault-command",
    );
  }
  if (isOwn && flags["fault-command"] !== undefined) {
    throw new UsageError("--fault-command is for a cluster elsewhere (--target); here there is --kill-node");
  }
  if (!isOwn && workload.faults.length > 0 && flags["fault-command"] === undefined) {
    throw new UsageError(
      `${workload.name} breaks nodes of its own cluster; with --target, say how with --fault-command, or take another workload`,
    );
  }
  const command = flags["fault-command"];
  return {
    workload: {
      ...workload,
      recordCount: Math.floor(numberOf(flags, "records", workload.recordCount, [1, 10_000_000])),
      valueBytes: Math.floor(numberOf(flags, "value-bytes", workload.valueBytes, [160, 1_000_000])),
    },
    targets,
    rate: numberOf(flags, "rate", workload.rate, [0.1, MAX_RATE]),
    seconds,
    warmUpSeconds: numberOf(flags, "warm-up", workload.name === "smoke" ? SMOKE_WARM_UP : WARM_UP, [0, MAX_SECONDS]),
    seed: numberOf(flags, "seed", 1, [0, 2 ** 31]),
    timeoutMs: numberOf(flags, "timeout", TIMEOUT_MS, [10, 120_000]),
    nodeCount,
    faults: isOwn ? [...workload.faults, ...killOf(flags, seconds, nodeCount)] : [],
    faultCommand:
      command === undefined ? undefined : { command, atSeconds: numberOf(flags, "at", seconds / 3, [0, seconds]) },
    outDirectory: flags.out ?? "",
  };
}

function suiteOf(flags: Flags): Order {
  const seconds = String(numberOf(flags, "seconds", SUITE_SECONDS, [30, MAX_SECONDS]));
  const { node, at, back } = SUITE_KILL;
  const asked = { ...flags, seconds, "kill-node": String(node), at: String(at), "back-at": String(back) };
  if (flags.target !== undefined) throw new UsageError("suite kills nodes, so it runs on a cluster of its own");
  const runs = WORKLOADS.filter(({ name }) => SUITE.includes(name)).map((one) =>
    runOptions(one, { ...asked, out: "" }),
  );
  return { kind: "suite", runs, outDirectory: flags.out ?? `${OUT_DIRECTORY}/suite` };
}

/** What the words of a command line ask for. Throws `UsageError`. */
export function parseOrder(words: readonly string[]): Order {
  const parsed = parse(words);
  const [name, ...rest] = parsed.positionals;
  const { help, ...flags } = parsed.values;
  if (help === true || name === undefined || name === "help") return { kind: "help" };
  if (name === "compare") {
    const [first, second, ...more] = rest;
    if (first === undefined || second === undefined || more.length > 0) {
      throw new UsageError("compare: two summaries, as in compare before/summary.json after/summary.json");
    }
    return { kind: "compare", files: [first, second], outDirectory: flags.out ?? OUT_DIRECTORY };
  }
  if (rest.length > 0) throw new UsageError(`one thing at a time: ${rest.join(" ")} is too much`);
  if (name === "list") return { kind: "list" };
  if (name === "suite") return suiteOf(flags);
  const workload = workloadNamed(name);
  if (workload !== undefined) return { kind: "run", options: runOptions(workload, flags) };
  const names = WORKLOADS.map((one) => one.name).join(", ");
  const why = name === "ycsb-e" ? "YCSB E scans in key order; gyre lists keys in the order of their hashes. " : "";
  throw new UsageError(`${why}There is no workload ${name}. There are: ${names}`);
}

function parse(
  words: readonly string[],
): ReturnType<typeof parseArgs<{ options: typeof FLAGS; allowPositionals: true }>> {
  try {
    return parseArgs({ args: [...words], options: FLAGS, allowPositionals: true });
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(error.message);
    throw error;
  }
}
