/**
 * SettingReader: takes values out of gathered texts one by one, and notes what was taken, from where, and what was wrong.
 * Pure. Must never show a secret.
 */
import { KNOBS, type Knob, variableOf } from "./knobs.ts";
import { MIN_SECRET_CHARS } from "./security-knobs.ts";
import { type Origin, type RawSetting, type Surroundings, shown } from "./setting-sources.ts";

/** One line of `--print-config`. */
export interface EffectiveSetting {
  readonly variable: string;
  /** as text; secrets are never shown */
  readonly value: string;
  readonly origin: Origin;
}

/** The cluster secret, and the one before it while secrets are changed. */
export interface Secrets {
  readonly secret: string | undefined;
  readonly previousSecret: string | undefined;
}

/** Takes values out of the gathered texts, and notes what was taken and what was wrong. */
export class SettingReader {
  readonly problems: string[];
  readonly effective: EffectiveSetting[] = [];
  readonly #settings: ReadonlyMap<string, RawSetting>;

  constructor(settings: ReadonlyMap<string, RawSetting>, problems: readonly string[]) {
    this.#settings = settings;
    this.problems = [...problems];
  }

  /** Whether a value was given, right or wrong. */
  has(knob: Knob<unknown>): boolean {
    return this.#settings.has(knob.name);
  }

  /** The value that was given, undefined when none was or when it was wrong. */
  given<T>(knob: Knob<T>): T | undefined {
    const raw = this.#settings.get(knob.name);
    if (raw === undefined) return undefined;
    const parsed = knob.parse(raw.text);
    if (parsed.kind === "problem") {
      this.problems.push(`${raw.written}: ${parsed.problem}`);
      return undefined;
    }
    this.effective.push({ variable: variableOf(knob), value: shown(knob, raw.text), origin: raw.origin });
    return parsed.value;
  }

  /** The value that was given, else the default, which is noted too. */
  take<T>(knob: Knob<T>, fallback: T): T {
    const value = this.given(knob);
    if (value !== undefined) return value;
    const text = fallback === undefined ? "–" : Array.isArray(fallback) ? fallback.join(",") || "–" : String(fallback);
    this.effective.push({ variable: variableOf(knob), value: text, origin: "default" });
    return fallback;
  }
}

/** A secret from its own knob or from a file, whichever is given. */
function takeSecret(
  reader: SettingReader,
  knobs: { readonly text: Knob<string>; readonly file: Knob<string> },
  readText: Surroundings["readText"],
): string | undefined {
  const [variable, fileVariable] = [variableOf(knobs.text), variableOf(knobs.file)];
  const secret = reader.given(knobs.text);
  const path = reader.given(knobs.file);
  if (secret !== undefined && path !== undefined) {
    reader.problems.push(`${variable} and ${fileVariable}: give one of them`);
  }
  if (path === undefined) return checkedSecret(reader, variable, secret);
  const file = readText(path);
  if (file.kind === "text") return checkedSecret(reader, `${fileVariable}=${path}`, file.text.trim());
  reader.problems.push(`${fileVariable}=${path}: cannot be read: ${file.reason}`);
  return undefined;
}

/** The cluster secret and the one before it; notes what is wrong with them. */
export function takeSecrets(reader: SettingReader, readText: Surroundings["readText"]): Secrets {
  const secret = takeSecret(reader, { text: KNOBS.secret, file: KNOBS.secretFile }, readText);
  const previous = { text: KNOBS.secretPrevious, file: KNOBS.secretPreviousFile };
  const isGiven = reader.has(KNOBS.secret) || reader.has(KNOBS.secretFile);
  const previousSecret = takeSecret(reader, previous, readText);
  if (previousSecret !== undefined && !isGiven) {
    reader.problems.push("GYRE_SECRET_PREVIOUS: is of use only beside GYRE_SECRET or GYRE_SECRET_FILE");
  } else if (previousSecret !== undefined && previousSecret === secret) {
    reader.problems.push("GYRE_SECRET_PREVIOUS: is the same as GYRE_SECRET: give the other one, or none");
  }
  return { secret, previousSecret };
}

function checkedSecret(reader: SettingReader, where: string, secret: string | undefined): string | undefined {
  if (secret !== undefined && secret.length < MIN_SECRET_CHARS) {
    reader.problems.push(
      `${where}: has ${secret.length} characters, a cluster secret has at least ${MIN_SECRET_CHARS}`,
    );
  }
  return secret;
}
