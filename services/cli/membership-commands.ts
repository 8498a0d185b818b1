/**
 * `gyre join`, `leave`, `replace`, `remove`, `set`, `abort`: each shows the plan, asks, commits exactly that plan, and tells how far
 * it is until it is done. Must never change the ring without a plan that was shown or accepted beforehand.
 */
import { type ClientFailure, GyreClient } from "../client/client.ts";
import { type Command, type CommandLine, type Flag, NODE_FLAGS, UsageError } from "./command.ts";
import { fetchOf } from "./credentials.ts";
import { type CliIo, EXIT } from "./io.ts";
import { watchChanges } from "./membership-watch.ts";
import { nodesOf } from "./nodes.ts";
import { type Change, changeText, parsePlan, planText } from "./plan-table.ts";

/** A commit waits for other members' disks. */
const CHANGE_TIMEOUT_MS = 30_000;

/** Flags of every command that changes who belongs. */
export const CHANGE_FLAGS: Readonly<Record<string, Flag>> = {
  ...NODE_FLAGS,
  yes: { type: "boolean", meaning: "commit the plan without asking" },
  "dry-run": { type: "boolean", meaning: "show the plan and change nothing" },
  "no-wait": { type: "boolean", meaning: "do not wait until the slots have moved" },
};
const FORCE: Flag = { type: "boolean", meaning: "although rules that protect data stand against it" };

function clientFor(line: CommandLine, io: CliIo): GyreClient {
  return new GyreClient({ nodes: nodesOf(line, io), timeoutMs: CHANGE_TIMEOUT_MS, fetch: fetchOf(line, io) });
}

function tellFailure(line: CommandLine, io: CliIo, failure: ClientFailure): number {
  if (line.isSet("json")) io.out(`${JSON.stringify(failure.problem ?? failure)}\n`);
  const refusals = failure.problem?.["refusals"];
  const reasons = Array.isArray(refusals) ? refusals.map(String) : [failure.detail];
  const outcome = failure.outcome === "unknown" ? "some of it may have been done: gyre status" : "nothing was changed";
  for (const reason of reasons) io.err(`gyre: ${failure.code}: ${reason}\n`);
  io.err(`${outcome}\n`);
  return EXIT.failed;
}

/** Whether it may be done: by flag, or by somebody who says so. Takes `yes` of `CHANGE_FLAGS`. */
export async function isAgreed(line: CommandLine, io: CliIo, question = "commit this plan?"): Promise<boolean> {
  if (line.isSet("yes")) return true;
  if (!io.isInputTerminal) throw new UsageError("nobody is here to ask: give --yes to commit the plan, or --dry-run");
  io.err(`${question} [y/N] `);
  return /^y(?:es)?$/i.test((await io.readLine()).trim());
}

/** Plans, shows, asks, commits, waits; resolves with the exit code. Takes the flags of `CHANGE_FLAGS`. */
export async function runChange(line: CommandLine, io: CliIo, changes: readonly Change[]): Promise<number> {
  const ended = await tryChange(line, io, { changes, ask: () => isAgreed(line, io) });
  return ended === "plan_changed" ? EXIT.failed : ended;
}

/** The same; says when the cluster changed between plan and commit: then nothing was done, and another try may do. */
export async function tryChange(
  line: CommandLine,
  io: CliIo,
  { changes, ask }: { readonly changes: readonly Change[]; readonly ask: () => Promise<boolean> },
): Promise<number | "plan_changed"> {
  const client = clientFor(line, io);
  const isJson = line.isSet("json");
  // Committing sends the changes again, so that nothing has to stay pending at the node that planned.
  const planned = await client.post(
    "/v1/cluster/plan",
    line.isSet("dry-run") ? { changes, dryRun: true } : { changes },
  );
  if (planned.kind === "failed") return tellFailure(line, io, planned);
  const plan = parsePlan(planned.answer);
  if (plan === undefined) {
    io.err(`gyre: ${planned.node} answered something that is no plan\n`);
    return EXIT.failed;
  }
  if (isJson && (line.isSet("dry-run") || plan.refusals.length > 0)) io.out(`${JSON.stringify(planned.answer)}\n`);
  if (!isJson) io.out(`${planText(plan, changes)}\n`);
  if (plan.refusals.length > 0) {
    io.err(`gyre: ${changes.map(changeText).join(", ")}: refused; nothing was changed\n`);
    return EXIT.failed;
  }
  if (line.isSet("dry-run")) return EXIT.ok;
  if (!(await ask())) {
    io.err("nothing was changed\n");
    return EXIT.failed;
  }
  const done = await client.post("/v1/cluster/commit", { planHash: plan.planHash, changes });
  if (done.kind === "failed") {
    const code = tellFailure(line, io, done);
    return done.code === "plan_changed" ? "plan_changed" : code;
  }
  if (isJson) io.out(`${JSON.stringify(done.answer)}\n`);
  io.err(`committed through ${done.node}\n`);
  if (line.isSet("no-wait")) return EXIT.ok;
  return watchChanges(io, client.nodes, { list: changes, copies: plan.movedCopies, fetch: fetchOf(line, io) });
}

async function runAbort(line: CommandLine, io: CliIo): Promise<number> {
  const [node] = line.words;
  const done = await clientFor(line, io).post("/v1/cluster/abort", node === undefined ? {} : { node });
  if (done.kind === "failed") return tellFailure(line, io, done);
  if (line.isSet("json")) io.out(`${JSON.stringify(done.answer)}\n`);
  const nodes: readonly Readonly<Record<string, unknown>>[] = Array.isArray(done.answer["nodes"])
    ? done.answer["nodes"]
    : [];
  for (const one of nodes) io.err(`${String(one["node"])} is ${String(one["status"])} now\n`);
  if (nodes.length === 0) io.err("there was nothing to take back\n");
  return EXIT.ok;
}

function wordOf(line: CommandLine): string {
  return line.words[0] ?? "";
}

/** What of a member's place in the ring is to be changed, one change a label. */
function labelChanges(line: CommandLine): readonly Change[] {
  const node = wordOf(line);
  const [weight, zone, host] = [line.text("weight"), line.text("zone"), line.text("host")];
  if (weight !== undefined && !/^\d+(?:\.\d+)?$/.test(weight))
    throw new UsageError("--weight is a number, such as 1.5");
  const changes: readonly Change[] = [
    ...(weight === undefined ? [] : [{ kind: "weight", node, weight: Number(weight) } as const]),
    ...(zone === undefined ? [] : [{ kind: "zone", node, zone } as const]),
    ...(host === undefined ? [] : [{ kind: "host", node, host } as const]),
  ];
  if (changes.length === 0) throw new UsageError("give at least one of --weight, --zone and --host");
  return changes;
}

/** The commands that change who belongs to the ring. */
export const MEMBERSHIP_COMMANDS: readonly Command[] = [
  {
    name: "join",
    usage: "NODE",
    summary: "Makes a running, empty node a member and moves its share of the data to it.",
    wordCount: [1, 1],
    flags: CHANGE_FLAGS,
    run: (line, io) => runChange(line, io, [{ kind: "join", node: wordOf(line) }]),
  },
  {
    name: "leave",
    usage: "NODE",
    summary: "Moves all data of a running member to the others; then it can be stopped for good.",
    wordCount: [1, 1],
    flags: CHANGE_FLAGS,
    run: (line, io) => runChange(line, io, [{ kind: "leave", node: wordOf(line) }]),
  },
  {
    name: "replace",
    usage: "OLD --with NEW",
    summary: "Puts a running, empty node into the place of a member that is lost for ever.",
    wordCount: [1, 1],
    flags: {
      ...CHANGE_FLAGS,
      with: { type: "string", value: "NEW", meaning: "the node that takes its place" },
      force: FORCE,
    },
    run: (line, io) => {
      const successor = line.text("with");
      if (successor === undefined) throw new UsageError("--with NEW is needed: the node that takes its place");
      const force = line.isSet("force");
      return runChange(line, io, [{ kind: "replace", node: wordOf(line), with: successor, force }]);
    },
  },
  {
    name: "remove",
    usage: "NODE",
    summary: "Gives up a member that is lost for ever: its slots are made anew from the other replicas.",
    wordCount: [1, 1],
    flags: { ...CHANGE_FLAGS, force: FORCE },
    run: (line, io) => runChange(line, io, [{ kind: "remove", node: wordOf(line), force: line.isSet("force") }]),
  },
  {
    name: "set",
    usage: "NODE [--weight W] [--zone Z] [--host H]",
    summary: "Changes where a member stands in the ring, and moves what then belongs elsewhere.",
    wordCount: [1, 1],
    flags: {
      ...CHANGE_FLAGS,
      weight: { type: "string", value: "W", meaning: "its share of the data, relative to the other members" },
      zone: { type: "string", value: "Z", meaning: "replicas spread over zones first" },
      host: { type: "string", value: "H", meaning: "and over hosts next" },
    },
    run: (line, io) => runChange(line, io, labelChanges(line)),
  },
  {
    name: "abort",
    usage: "[NODE]",
    summary: "Takes back a join or leave that is under way, of one node or of all.",
    wordCount: [0, 1],
    flags: NODE_FLAGS,
    run: runAbort,
  },
];
