/**
 * What a command is, and its command line: flags by a table, `--help` made from it, and a complaint with a suggestion for
 * whatever is not in it.
 */
import { parseArgs } from "node:util";
import { suggestion } from "../base/spelling.ts";
import { type CliIo, EXIT } from "./io.ts";

/** One flag of a command. */
export interface Flag {
  readonly type: "string" | "boolean";
  /** one line for `--help` */
  readonly meaning: string;
  /** what stands for the value in `--help` */
  readonly value?: string;
}

/** The words of a command line, understood. */
export interface CommandLine {
  readonly words: readonly string[];
  text(flag: string): string | undefined;
  isSet(flag: string): boolean;
  /** a whole number of at least `min`; a usage error when it is none */
  number(flag: string, fallback: number, min?: number): number;
}

/** A command of `gyre`. */
export interface Command {
  readonly name: string;
  /** what follows the name */
  readonly usage: string;
  readonly summary: string;
  /** the least and most words beside flags */
  readonly wordCount: readonly [number, number];
  readonly flags: Readonly<Record<string, Flag>>;
  readonly run: (line: CommandLine, io: CliIo) => Promise<number>;
}

/** The command was not understood: exit code 2, words for the user. */
export class UsageError extends Error {
  readonly code = "usage";
}

const HELP: Flag = { type: "boolean", meaning: "this text" };

/** Flags that every command which talks to nodes has. */
export const NODE_FLAGS: Readonly<Record<string, Flag>> = {
  nodes: { type: "string", value: "URL,URL", meaning: "client addresses; else GYRE_NODES, else the local cluster" },
  "token-file": { type: "string", value: "PATH", meaning: "a file with the API token; else GYRE_TOKEN_FILE" },
  token: { type: "string", value: "TOKEN", meaning: "the token itself, which others here may see; else GYRE_TOKEN" },
  ca: { type: "string", value: "PATH", meaning: "the CA (PEM) of the nodes' https:// certificates; else GYRE_CA" },
  json: { type: "boolean", meaning: "print JSON, for scripts" },
};

/** The text of `gyre COMMAND --help`. */
export function helpOf(command: Command): string {
  const flags = Object.entries({ ...command.flags, help: HELP }).map(
    ([name, flag]) => [`  --${name}${flag.type === "string" ? ` ${flag.value ?? "…"}` : ""}`, flag.meaning] as const,
  );
  const width = Math.max(...flags.map(([label]) => label.length)) + 2;
  const rows = flags.map(([label, meaning]) => `${label.padEnd(width)}${meaning}`);
  return `${command.summary}\n\nUsage: gyre ${command.name} ${command.usage}\n\n${rows.join("\n")}\n`;
}

/** Understands the words behind a command's name; throws `UsageError`. */
export function parseLine(command: Command, argv: readonly string[]): CommandLine {
  const flags: Readonly<Record<string, Flag>> = { ...command.flags, help: HELP };
  const options = Object.fromEntries(Object.entries(flags).map(([name, flag]) => [name, { type: flag.type }]));
  const { values, positionals, tokens } = parseArgs({
    args: [...argv],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const names = Object.keys(flags).map((name) => `--${name}`);
  for (const token of tokens) {
    if (token.kind !== "option") continue;
    const flag = flags[token.name];
    if (flag === undefined)
      throw new UsageError(`${token.rawName}: there is no such flag${suggestion(token.rawName, names)}`);
    const isValueWrong = flag.type === "string" ? (token.value ?? "") === "" : token.value !== undefined;
    if (isValueWrong)
      throw new UsageError(`--${token.name} ${flag.type === "string" ? "needs a value" : "takes no value"}`);
  }
  const [least, most] = command.wordCount;
  const isHelp = values["help"] === true;
  if (!isHelp && (positionals.length < least || positionals.length > most)) {
    throw new UsageError(`usage: gyre ${command.name} ${command.usage}`);
  }
  return lineOf(values, positionals);
}

function lineOf(values: Readonly<Record<string, unknown>>, words: readonly string[]): CommandLine {
  const text = (flag: string): string | undefined => {
    const value = values[flag];
    return typeof value === "string" ? value : undefined;
  };
  return {
    words,
    text,
    isSet: (flag) => values[flag] === true,
    number: (flag, fallback, min = 0) => {
      const given = text(flag);
      const value = given === undefined ? fallback : /^\d{1,9}$/.test(given) ? Number(given) : Number.NaN;
      if (!(value >= min)) throw new UsageError(`--${flag}=${given ?? ""}: is not a whole number of at least ${min}`);
      return value;
    },
  };
}

/** Runs one of the commands: help, complaints and exit codes are the same for all. */
export async function runCommand(command: Command, argv: readonly string[], io: CliIo): Promise<number> {
  try {
    const line = parseLine(command, argv);
    if (line.isSet("help")) {
      io.out(helpOf(command));
      return EXIT.ok;
    }
    return await command.run(line, io);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    io.err(`gyre ${command.name}: ${error.message}\n`);
    return EXIT.usage;
  }
}
