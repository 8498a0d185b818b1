/** `gyre COMMAND …`: finds the command and runs it. `server` is not here: the process entry starts nodes itself. */
import { suggestion } from "../base/spelling.ts";
import { VERSION } from "../base/version.ts";
import { BENCH_COMMAND } from "./bench/bench-command.ts";
import { CLUSTER_COMMANDS } from "./cluster-commands.ts";
import { columns } from "./columns.ts";
import { type Command, runCommand } from "./command.ts";
import { EXPORT_COMMAND } from "./export-command.ts";
import { type CliIo, EXIT } from "./io.ts";
import { KV_COMMANDS } from "./kv-commands.ts";
import { LOAD_COMMAND } from "./load-command.ts";
import { LOCAL_COMMAND } from "./local-cluster.ts";
import { MANIFESTS_COMMAND } from "./manifests/manifests-command.ts";
import { MEMBERSHIP_COMMANDS } from "./membership-commands.ts";
import { REPAIR_COMMAND } from "./repair-command.ts";
import { SCALE_COMMAND } from "./scale/scale-command.ts";
import { TEST_COMMAND } from "./test-command.ts";
import { TOKEN_COMMAND } from "./token-command.ts";
import { TOP_COMMAND } from "./top/top-command.ts";

/** Every command but `server`, in the order of `gyre --help`. */
export const COMMANDS: readonly Command[] = [
  ...KV_COMMANDS,
  ...CLUSTER_COMMANDS,
  ...MEMBERSHIP_COMMANDS,
  REPAIR_COMMAND,
  TEST_COMMAND,
  TOP_COMMAND,
  BENCH_COMMAND,
  SCALE_COMMAND,
  MANIFESTS_COMMAND,
  LOAD_COMMAND,
  EXPORT_COMMAND,
  LOCAL_COMMAND,
  TOKEN_COMMAND,
];

function help(): string {
  const rows = COMMANDS.map((command) => [`${command.name} ${command.usage}`.trim(), command.summary]);
  const all = [["server", "Runs one node; what a container runs."], ...rows];
  return `gyre: a leaderless key-value store\n\nUsage: gyre COMMAND …\n\n${columns(all, "  ")}\n\nEach has --help; gyre --version names this build.\n`;
}

/** Runs a client command; resolves with the exit code. Never throws for what users, nodes or networks can do. */
export async function runCli(argv: readonly string[], io: CliIo): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    const out = name === undefined ? io.err : io.out;
    out(help());
    return name === undefined ? EXIT.usage : EXIT.ok;
  }
  if (name === "--version" || name === "version") {
    io.out(`gyre ${VERSION} (Node.js ${process.version})\n`);
    return EXIT.ok;
  }
  const command = COMMANDS.find((one) => one.name === name);
  if (command !== undefined) return runCommand(command, rest, io);
  const names = ["server", ...COMMANDS.map((one) => one.name)];
  io.err(`gyre: there is no command "${name}"${suggestion(name, names)}; gyre --help lists them\n`);
  return EXIT.usage;
}
