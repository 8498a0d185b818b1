/** The nodes' JSON log lines, made short for a terminal. Pure. */

/** A log line, understood. */
export interface ShortLine {
  /** 10 trace … 50 error, 60 fatal */
  readonly level: number;
  readonly event: string;
  readonly text: string;
}

const HIDDEN: readonly string[] = ["level", "time", "pid", "hostname", "event", "msg", "node", "nodeId", "name"];
const MAX_VALUE_CHARS = 160;
const LEVEL_NAMES: Readonly<Record<number, string>> = { 40: "warn ", 50: "ERROR ", 60: "FATAL " };

function textOf(value: unknown): string {
  if (typeof value === "number" && !Number.isInteger(value)) return value.toPrecision(4);
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  return text.length > MAX_VALUE_CHARS ? `${text.slice(0, MAX_VALUE_CHARS)}…` : text;
}

function parseFacts(line: string): Readonly<Record<string, unknown>> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const parsed: unknown = JSON.parse(line);
    return typeof parsed === "object" && parsed !== null ? (parsed as Record<string, unknown>) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Shortens a line to its event and facts; whatever is no JSON stays as it is, and counts as an error. */
export function shortLine(line: string): ShortLine {
  const facts = parseFacts(line);
  if (facts === undefined) return { level: 50, event: "", text: line };
  const level = typeof facts["level"] === "number" ? facts["level"] : 30;
  const event = textOf(facts["event"] ?? facts["msg"] ?? "");
  const rest = Object.entries(facts)
    .filter(([name, value]) => !HIDDEN.includes(name) && value !== undefined)
    .map(([name, value]) => `${name}=${textOf(value)}`);
  return { level, event, text: [`${LEVEL_NAMES[level] ?? ""}${event}`, ...rest].join(" ") };
}
