/** The knobs of tracing: rows of the one table in `knobs.ts`. Pure. Must never take a credential from where it would be shown. */
import { type Parsed, parseText } from "./setting-parsers.ts";

/** A knob here: the shape of `Knob` in `knobs.ts`. */
interface Row {
  readonly name: string;
  readonly defaultText: string;
  readonly meaning: string;
  readonly parse: (text: string) => Parsed<string>;
}

/** The knobs of tracing by what they set. */
export interface TraceKnobs {
  readonly otlpUrl: Row;
  readonly otlpHeadersFile: Row;
}

/** Where OTLP/HTTP is taken when an address has no path of its own. */
const DEFAULT_PATH = "/v1/traces";
/** The knobs of tracing, in the order of the table. */
export const TRACE_KNOBS: TraceKnobs = {
  otlpUrl: {
    name: "otlp-url",
    defaultText: "–",
    meaning:
      "a collector of traces (OTLP over HTTP, JSON), for example `http://127.0.0.1:4318/v1/traces`: sampled requests are told there; without it none are",
    parse: parseCollectorUrl,
  },
  otlpHeadersFile: {
    name: "otlp-headers-file",
    defaultText: "–",
    meaning: "a file of headers that it wants to see, `name: value` on each line; read at the start",
    parse: parseText,
  },
};

/** An address of a collector: http or https, without a name and password. Without a path it gets OTLP's own. */
export function parseCollectorUrl(text: string): Parsed<string> {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:")) {
    return { kind: "problem", problem: "is not an address like http://127.0.0.1:4318/v1/traces" };
  }
  if (url.username !== "" || url.password !== "" || url.hash !== "") {
    return {
      kind: "problem",
      problem: "has a user, password or fragment: credentials belong into GYRE_OTLP_HEADERS_FILE",
    };
  }
  if (url.pathname === "/") url.pathname = DEFAULT_PATH;
  return { kind: "value", value: url.href };
}
