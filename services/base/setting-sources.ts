/**
 * Where settings come from: flags over environment over file. Collects their texts and every complaint about names; what
 * the texts mean is not its matter. Pure: all three sources are handed in as text.
 */
import { ALL_KNOBS, KNOBS, type Knob, variableOf } from "./knobs.ts";
import { suggestion } from "./spelling.ts";

/** Where a setting was given. */
export type Origin = "flag" | "env" | "file" | "default";

/** A setting as given, not yet understood. */
export interface RawSetting {
  readonly text: string;
  readonly origin: Origin;
  /** how the user wrote it, for complaints: `--http=…`, `GYRE_HTTP=…` */
  readonly written: string;
}

/** A file that was asked for: its text, or why there is none. */
export type FileText =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "unreadable"; readonly reason: string };

/** What a node was started with. */
export interface Surroundings {
  /** without the program and the command */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly readText: (path: string) => FileText;
  readonly hostname: string;
}

/** The settings by knob name, and what is wrong with their names. */
export interface GatheredSettings {
  readonly settings: ReadonlyMap<string, RawSetting>;
  readonly problems: readonly string[];
}

const BY_NAME: ReadonlyMap<string, Knob<unknown>> = new Map(ALL_KNOBS.map((knob) => [knob.name, knob]));
const BY_VARIABLE: ReadonlyMap<string, Knob<unknown>> = new Map(ALL_KNOBS.map((knob) => [variableOf(knob), knob]));
/** Read by the client commands, of no meaning to a node. */
const CLIENT_VARIABLES: readonly string[] = ["GYRE_NODES", "GYRE_TOKEN", "GYRE_TOKEN_FILE", "GYRE_CA"];
/**
 * Kubernetes gives every pod variables for every Service of its namespace, so a Service called "gyre" or "gyre-client"
 * brings GYRE_PORT=tcp://… and its like: never a user's.
 */
const SERVICE_LINK =
  /^GYRE(?:_[A-Z0-9]+)*?_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)$/;

interface Sink {
  readonly settings: Map<string, RawSetting>;
  readonly problems: string[];
}

/** Shows a value in a complaint, unless it is secret. */
export function shown(knob: Knob<unknown>, text: string): string {
  return knob.isSecret === true ? "(secret)" : text;
}

/** Takes one flag; true when the next word was its value. */
function takeFlag(sink: Sink, flag: string, next: string | undefined): boolean {
  const equals = flag.indexOf("=");
  const isInline = equals !== -1;
  const name = flag.slice(2, isInline ? equals : undefined);
  const knob = BY_NAME.get(name);
  const following = isInline || next === undefined || next.startsWith("--") ? undefined : next;
  if (knob === undefined) {
    const names = [...BY_NAME.keys()].map((known) => `--${known}`);
    sink.problems.push(`--${name}: there is no such flag${suggestion(`--${name}`, names)}`);
    return following !== undefined;
  }
  const isAlone = knob.isSwitch === true && following !== "true" && following !== "false";
  const text = isInline ? flag.slice(equals + 1) : isAlone ? "true" : (following ?? "");
  if (text === "") sink.problems.push(`--${name}: needs a value`);
  if (sink.settings.has(name)) sink.problems.push(`--${name}: is given twice`);
  if (text !== "") sink.settings.set(name, { text, origin: "flag", written: `--${name}=${shown(knob, text)}` });
  return following !== undefined && !isAlone;
}

function takeFlags(sink: Sink, argv: readonly string[]): void {
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? "";
    if (!word.startsWith("--")) sink.problems.push(`${word}: settings are given as --name value`);
    else if (takeFlag(sink, word, argv[at + 1])) at += 1;
  }
}

function takeEnvironment(sink: Sink, env: Surroundings["env"]): void {
  for (const [name, text] of Object.entries(env).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const isOurs = name.startsWith("GYRE_") && !CLIENT_VARIABLES.includes(name) && !SERVICE_LINK.test(name);
    if (!isOurs || text === undefined || text === "") continue;
    const knob = BY_VARIABLE.get(name);
    if (knob === undefined) {
      sink.problems.push(`${name}: there is no such variable${suggestion(name, [...BY_VARIABLE.keys()])}`);
    } else if (!sink.settings.has(knob.name)) {
      sink.settings.set(knob.name, { text, origin: "env", written: `${name}=${shown(knob, text)}` });
    }
  }
}

function textOf(value: unknown): string | undefined {
  if (typeof value === "string" && value !== "") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  const isList = Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === "string");
  return isList ? value.join(",") : undefined;
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    const isObject = typeof parsed === "object" && parsed !== null && !Array.isArray(parsed);
    return isObject ? (parsed as Record<string, unknown>) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function takeFile(sink: Sink, readText: Surroundings["readText"]): void {
  const path = sink.settings.get(KNOBS.config.name)?.text;
  if (path === undefined) return;
  const file = readText(path);
  if (file.kind === "unreadable") {
    sink.problems.push(`GYRE_CONFIG=${path}: cannot be read: ${file.reason}`);
    return;
  }
  const entries = parseObject(file.text);
  if (entries === undefined) sink.problems.push(`GYRE_CONFIG=${path}: is not a JSON object`);
  for (const [key, value] of Object.entries(entries ?? {})) takeFileEntry(sink, { key, value, path });
}

function takeFileEntry(
  sink: Sink,
  entry: { readonly key: string; readonly value: unknown; readonly path: string },
): void {
  const knob = BY_NAME.get(entry.key);
  const text = textOf(entry.value);
  if (knob === undefined || knob.name === KNOBS.config.name) {
    const names = [...BY_NAME.keys()].filter((name) => name !== KNOBS.config.name);
    sink.problems.push(`"${entry.key}" in ${entry.path}: there is no such setting${suggestion(entry.key, names)}`);
  } else if (text === undefined) {
    sink.problems.push(`"${entry.key}" in ${entry.path}: is neither text nor a number, true, false or a list of texts`);
  } else if (!sink.settings.has(knob.name)) {
    const written = `"${entry.key}": ${shown(knob, JSON.stringify(entry.value))} in ${entry.path}`;
    sink.settings.set(knob.name, { text, origin: "file", written });
  }
}

/** Gathers the settings from all sources; a name that does not exist is a problem, with the one that was likely meant. */
export function gatherSettings(surroundings: Surroundings): GatheredSettings {
  const sink: Sink = { settings: new Map(), problems: [] };
  takeFlags(sink, surroundings.argv);
  takeEnvironment(sink, surroundings.env);
  takeFile(sink, surroundings.readText);
  return sink;
}
