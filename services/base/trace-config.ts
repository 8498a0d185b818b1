/**
 * The settings of tracing: where traces go, and what the collector there wants to see. Pure. Must never show a credential, nor take
 * one from where it would be shown: an address is printed, a file's text is not.
 */
import type { SettingReader } from "./setting-reader.ts";
import type { Surroundings } from "./setting-sources.ts";
import type { TraceKnobs } from "./trace-knobs.ts";

/** A collector of traces. */
export interface OtlpTarget {
  /** whole, with its path */
  readonly url: string;
  /** sent with every message; lower-case names. May hold credentials: never shown */
  readonly headers: Readonly<Record<string, string>>;
}

const HEADER_LINE = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+)[ \t]*:[ \t]*([\x20-\x7e]*[\x21-\x7e])[ \t]*$/;
/** What the message itself says. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  "content-type",
  "content-length",
  "host",
  "connection",
  "transfer-encoding",
]);

/** The collector that was named; notes what is wrong with it. */
export function takeTraces(
  reader: SettingReader,
  knobs: TraceKnobs,
  readText: Surroundings["readText"],
): OtlpTarget | undefined {
  const url = reader.take<string | undefined>(knobs.otlpUrl, undefined);
  const path = reader.take<string | undefined>(knobs.otlpHeadersFile, undefined);
  if (path === undefined) return url === undefined ? undefined : { url, headers: {} };
  if (!reader.has(knobs.otlpUrl)) reader.problems.push("GYRE_OTLP_HEADERS_FILE: is of use only with GYRE_OTLP_URL");
  const file = readText(path);
  if (file.kind === "unreadable") {
    reader.problems.push(`GYRE_OTLP_HEADERS_FILE=${path}: cannot be read: ${file.reason}`);
    return undefined;
  }
  const headers = headersIn(file.text, (line, words) =>
    reader.problems.push(`GYRE_OTLP_HEADERS_FILE=${path}: line ${line} ${words}`),
  );
  return url === undefined ? undefined : { url, headers };
}

/** What is allowed, and worth a line in the log. */
export function traceWarnings(target: OtlpTarget | undefined): readonly string[] {
  if (target === undefined || Object.keys(target.headers).length === 0) return [];
  const { protocol, hostname } = new URL(target.url);
  const isHere = hostname === "localhost" || hostname === "[::1]" || hostname.startsWith("127.");
  if (protocol === "https:" || isHere) return [];
  return [
    `GYRE_OTLP_URL=${target.url}: is not https, and what GYRE_OTLP_HEADERS_FILE holds goes there for all to read`,
  ];
}

/** Complaints name the line, never what it holds. */
function headersIn(text: string, complain: (line: number, words: string) => void): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "") continue;
    const [, name = "", value = ""] = HEADER_LINE.exec(line) ?? [];
    const lower = name.toLowerCase();
    if (name === "") complain(index + 1, "is no header: write `name: value`");
    else if (OWN_HEADERS.has(lower)) complain(index + 1, `sets ${lower}, which the message itself says`);
    else headers[lower] = value;
  }
  return headers;
}
