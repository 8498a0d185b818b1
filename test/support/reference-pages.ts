/**
 * The parts of the reference pages that are made from the source: docs/CLI.md from the tables of commands, docs/CONFIGURATION.md
 * from the knobs, docs/ERRORS.md from the table of codes. Each part stands between two marks; what people wrote around them stays.
 * `npm run reference` writes them.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { retryText } from "../../services/api/docs-words.ts";
import { ALL_CODES, PROBLEM_RULES, statusesOf } from "../../services/api/openapi-problems.ts";
import { CODES } from "../../services/api/problem.ts";
import { configTable } from "../../services/base/config-table.ts";
import type { ErrorCode } from "../../services/base/errors.ts";
import { COMMANDS } from "../../services/cli/cli.ts";
import { type Command, type Flag, NODE_FLAGS } from "../../services/cli/command.ts";

const ROOT = join(import.meta.dirname, "../..");

/** A page, and its made parts by name, in the order in which they stand. */
export interface ReferencePage {
  /** from the root */
  readonly path: string;
  readonly parts: ReadonlyMap<string, string>;
}

/** The pages with made parts. */
export function referencePages(): readonly ReferencePage[] {
  return [
    { path: "docs/CLI.md", parts: new Map([["node flags", flagTable(NODE_FLAGS)], ...COMMANDS.map(commandPart)]) },
    { path: "docs/CONFIGURATION.md", parts: new Map([["settings", configTable()]]) },
    { path: "docs/ERRORS.md", parts: new Map(ALL_CODES.map((code) => [`error ${code}`, errorText(code)])) },
  ];
}

/** The names of the made parts in a page's text, in order. */
export function partsIn(text: string): readonly string[] {
  return [...text.matchAll(/^<!-- made: (.+) -->$/gm)].map((match) => match[1] ?? "");
}

/** The page with its parts as they should be; a name that is not among them is left as it is. */
export function filled(text: string, parts: ReadonlyMap<string, string>): string {
  return text.replace(/^<!-- made: (.+) -->\n[\s\S]*?^<!-- end -->$/gm, (whole, name: string) => {
    const part = parts.get(name);
    return part === undefined ? whole : `<!-- made: ${name} -->\n${part}\n<!-- end -->`;
  });
}

/** The committed text of a page. */
export function pageText({ path }: ReferencePage): string {
  return readFileSync(join(ROOT, path), "utf8");
}

function commandPart(command: Command): [string, string] {
  const own = Object.entries(command.flags).filter(([name, flag]) => NODE_FLAGS[name] !== flag);
  const isForNodes = own.length < Object.keys(command.flags).length;
  const common = isForNodes ? "[Flags for nodes](#flags-for-nodes), and `--help`." : "And `--help`.";
  const parts = [
    `### gyre ${command.name}`,
    command.summary,
    `\`\`\`\ngyre ${command.name} ${command.usage}`.trimEnd().concat("\n```"),
    own.length === 0 ? "" : flagTable(Object.fromEntries(own)),
    common,
  ];
  return [`command ${command.name}`, parts.filter((part) => part !== "").join("\n\n")];
}

function flagTable(flags: Readonly<Record<string, Flag>>): string {
  const rows = Object.entries(flags).map(([name, { type, value = "…", meaning }]) => {
    const label = type === "string" ? `--${name} ${value}` : `--${name}`;
    return `| \`${label}\` | ${meaning.replaceAll("|", "\\|")} |`;
  });
  return ["| flag | meaning |", "|---|---|", ...rows].join("\n");
}

function errorText(code: ErrorCode): string {
  const { title, meaning } = CODES[code];
  const { outcomes, isRetryable, always = {}, sometimes = {} } = PROBLEM_RULES[code];
  const facts = [...Object.keys(always), ...Object.keys(sometimes)].map((name) => `\`${name}\``);
  const carried = facts.length === 0 ? "" : ` Facts: ${facts.join(", ")}.`;
  const words = outcomes.map((outcome) => `\`${outcome}\``).join(" or ");
  return `### ${code}\n\n${title}, ${statusesOf(code).join(" or ")}. ${meaning}\n\nOutcome ${words}. ${retryText(isRetryable)}${carried}`;
}

if (import.meta.main) {
  for (const page of referencePages()) writeFileSync(join(ROOT, page.path), filled(pageText(page), page.parts));
  process.stdout.write("the made parts of docs/CLI.md, CONFIGURATION.md and ERRORS.md are written\n");
}
