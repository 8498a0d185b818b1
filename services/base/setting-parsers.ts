/** From the text of a setting to its value, or to what is wrong with it in words. Pure. */
import { type NodeId, parseNodeId } from "./ids.ts";
import { MAX_NODE_WEIGHT } from "./limits.ts";

/** A value, or the reason why the text is none: words that follow `NAME=text: `. */
export type Parsed<T> =
  | { readonly kind: "value"; readonly value: T }
  | { readonly kind: "problem"; readonly problem: string };

/** Whole numbers from `min` to `max`. */
export interface NumberRange {
  readonly min: number;
  readonly max: number;
}

const HOST = /^(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252}))$/;
const LABEL = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/;
const MAX_PORT = 65_535;

function value<T>(parsed: T): Parsed<T> {
  return { kind: "value", value: parsed };
}

function problem<T>(words: string): Parsed<T> {
  return { kind: "problem", problem: words };
}

/** Any text that is not empty. */
export function parseText(text: string): Parsed<string> {
  return text === "" ? problem("is empty") : value(text);
}

/** A node's stable name. */
export function parseNodeName(text: string): Parsed<NodeId> {
  const id = parseNodeId(text);
  return id === undefined
    ? problem("is not a node id: 1–63 letters, digits, '.', '_' or '-', a letter or digit first")
    : value(id);
}

/** A placement label: zone, host, cluster name. */
export function parseLabel(text: string): Parsed<string> {
  return LABEL.test(text)
    ? value(text)
    : problem("is not a label: 1–63 letters, digits, '.', '_', '-' or '/', a letter or digit first");
}

/** A parser of whole numbers in the range. */
export function wholeNumberIn(range: NumberRange): (text: string) => Parsed<number> {
  return (text) => {
    const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    return number >= range.min && number <= range.max
      ? value(number)
      : problem(`is not a whole number from ${range.min} to ${range.max}`);
  };
}

const BYTE_UNITS: Readonly<Record<string, number>> = {
  "": 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
};
const DURATION_UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Bytes, with or without a unit: at least 1 MiB. */
export function parseByteSize(text: string): Parsed<number> {
  const [, digits = "", unit = ""] = /^(\d{1,15})(KiB|MiB|GiB|TiB|)$/.exec(text) ?? [];
  const bytes = digits === "" ? Number.NaN : Number(digits) * (BYTE_UNITS[unit] ?? Number.NaN);
  return bytes >= 1024 ** 2 && bytes <= Number.MAX_SAFE_INTEGER
    ? value(bytes)
    : problem("is not a size of at least 1 MiB: write for example 512MiB or 1GiB");
}

/** The same, or `off` for 0. */
export function parseByteSizeOrOff(text: string): Parsed<number> {
  return text === "off" ? value(0) : parseByteSize(text);
}

/** A time with its unit, in milliseconds: 1 second to 365 days. */
export function parseDuration(text: string): Parsed<number> {
  const [, digits = "", unit = ""] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const ms = digits === "" ? Number.NaN : Number(digits) * (DURATION_UNITS[unit] ?? Number.NaN);
  return ms >= 1_000 && ms <= 365 * 86_400_000
    ? value(ms)
    : problem("is not a time from 1s to 365d: write for example 90s, 30m or 3h");
}

/** A parser of powers of two in the range. */
export function powerOfTwoIn(range: NumberRange): (text: string) => Parsed<number> {
  const parse = wholeNumberIn(range);
  return (text) => {
    const parsed = parse(text);
    const isPower = parsed.kind === "value" && Number.isInteger(Math.log2(parsed.value));
    return isPower ? parsed : problem(`is not a power of two from ${range.min} to ${range.max}`);
  };
}

/** A weight: more than 0, at most `MAX_NODE_WEIGHT`. */
export function parseWeight(text: string): Parsed<number> {
  const number = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  return number > 0 && number <= MAX_NODE_WEIGHT
    ? value(number)
    : problem(`is not a number above 0 and up to ${MAX_NODE_WEIGHT}`);
}

/** A parser of one word out of a list. */
export function oneOf<T extends string>(words: readonly T[]): (text: string) => Parsed<T> {
  return (text) => {
    const found = words.find((word) => word === text);
    return found === undefined ? problem(`is none of ${words.join(", ")}`) : value(found);
  };
}

/** `true` or `false`. */
export function parseBoolean(text: string): Parsed<boolean> {
  return text === "true" || text === "false" ? value(text === "true") : problem("is neither true nor false");
}

/** A parser of `host:port`, `[v6]:port`, or a host alone, which gets the default port. */
export function addressWith(defaultPort: number): (text: string) => Parsed<string> {
  return (text) => {
    const match = /^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(text);
    const host = match?.[1] ?? "";
    const port = Number(match?.[2] ?? defaultPort);
    if (!HOST.test(host) || port > MAX_PORT) {
      return problem(
        `is not an address: write host:port, for example 127.0.0.1:${defaultPort} or [::1]:${defaultPort}`,
      );
    }
    return value(`${host}:${port}`);
  };
}

/** A parser of addresses with commas between them. */
export function addressesWith(defaultPort: number): (text: string) => Parsed<readonly string[]> {
  const parse = addressWith(defaultPort);
  return (text) => {
    const addresses: string[] = [];
    for (const part of text.split(",").map((piece) => piece.trim())) {
      const parsed = parse(part);
      if (parsed.kind === "problem") return problem(`has "${part}", which ${parsed.problem}`);
      addresses.push(parsed.value);
    }
    return value(addresses);
  };
}

/** The host of an address that a parser here has passed, without brackets. */
export function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(":")).replace(/^\[|\]$/g, "");
}

/** The port of an address that a parser here has passed. */
export function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(":") + 1));
}

/** True for addresses that only this machine reaches. */
export function isLoopback(address: string): boolean {
  const host = hostOf(address).toLowerCase();
  return host === "localhost" || host === "::1" || /^127(?:\.\d{1,3}){3}$/.test(host);
}

/** True for addresses that stand for all of a machine's, to which nobody can dial. */
export function isWildcard(address: string): boolean {
  return ["0.0.0.0", "::", ""].includes(hostOf(address));
}
