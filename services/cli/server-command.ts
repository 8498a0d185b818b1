/** The command line of `gyre server`: its configuration, or words and an exit code. The node itself is started elsewhere. */
import { readFileSync } from "node:fs";
import { type Config, readConfig } from "../base/config.ts";
import { configHelp } from "../base/config-table.ts";
import type { FileText } from "../base/setting-sources.ts";
import { columns } from "./columns.ts";
import { type CliIo, EXIT } from "./io.ts";

/** Start a node with this, or end with that. */
export type ServerCommand =
  | { readonly kind: "start"; readonly config: Config; readonly warnings: readonly string[] }
  | { readonly kind: "exit"; readonly code: number };

const HELP = `Runs one node. Settings: flags over environment (GYRE_…) over a file (GYRE_CONFIG) over defaults.

Usage: gyre server [--name value …]

  --print-config  show every setting and where it came from, and end
  --help          this text
`;

function readText(path: string): FileText {
  try {
    return { kind: "text", text: readFileSync(path, "utf8") };
  } catch (error) {
    if (error instanceof Error && "code" in error) return { kind: "unreadable", reason: error.message };
    throw error;
  }
}

/** Says all that is wrong with a configuration, or with the files that it names. */
export function tellProblems(problems: readonly string[], io: CliIo): void {
  const count = problems.length;
  io.err(`gyre: the configuration has ${count === 1 ? "a problem" : `${count} problems`}:\n`);
  for (const problem of problems) io.err(`  - ${problem}\n`);
}

/** Reads the configuration; prints it, help, or all of its problems (exit code 78) when that is what is due. */
export function readServerCommand(argv: readonly string[], io: CliIo): ServerCommand {
  if (argv.includes("--help")) {
    io.out(`${HELP}\n${configHelp()}\n`);
    return { kind: "exit", code: EXIT.ok };
  }
  const settings = argv.filter((word) => word !== "--print-config");
  const result = readConfig({ argv: settings, env: io.env, readText, hostname: io.hostname });
  if (result.kind === "problems") {
    tellProblems(result.problems, io);
    return { kind: "exit", code: EXIT.badConfig };
  }
  if (settings.length === argv.length) return { kind: "start", config: result.config, warnings: result.warnings };
  const rows = result.settings.map((line) => [line.variable, line.value, line.origin]);
  io.out(`${columns([["variable", "value", "from"], ...rows])}\n`);
  for (const warning of result.warnings) io.err(`warning: ${warning}\n`);
  return { kind: "exit", code: EXIT.ok };
}
