/**
 * Spans as OTLP/HTTP carries them in JSON: an ExportTraceServiceRequest, ids in hex, times as texts of nanoseconds. Pure. Must never
 * say what the public specification does not. Source: opentelemetry-proto, `trace/v1/trace.proto`; OTLP specification, "JSON Protobuf Encoding".
 */
import { VERSION } from "../base/version.ts";
import type { AttributeValue, Span } from "./spans-core.ts";

/** Facts by name: of the node that sends, or of a span. */
export type Attributes = Readonly<Record<string, AttributeValue>>;

const KINDS: Readonly<Record<Span["kind"], number>> = { internal: 1, server: 2, client: 3 };
const STATUS_ERROR = 2;

/** The body of one message. */
export function otlpText(resource: Attributes, spans: readonly Span[]): string {
  const scope = { name: "gyre", version: VERSION };
  const scopeSpans = [{ scope, spans: spans.map(plainSpan) }];
  return JSON.stringify({ resourceSpans: [{ resource: { attributes: plainAttributes(resource) }, scopeSpans }] });
}

function plainSpan(span: Span): Readonly<Record<string, unknown>> {
  return {
    traceId: span.traceId,
    spanId: span.spanId,
    parentSpanId: span.parentId,
    name: span.name,
    kind: KINDS[span.kind],
    startTimeUnixNano: nanosText(span.startMicros),
    endTimeUnixNano: nanosText(span.endMicros),
    attributes: plainAttributes(span.attributes),
    ...(span.isError ? { status: { code: STATUS_ERROR } } : {}),
  };
}

/** Nanoseconds since 1970 are beyond what a number holds exactly. */
function nanosText(micros: number): string {
  return `${micros}000`;
}

function plainAttributes(attributes: Attributes): readonly unknown[] {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: plainValue(value) }));
}

function plainValue(value: AttributeValue): Readonly<Record<string, unknown>> {
  if (typeof value === "string") return { stringValue: value };
  return typeof value === "boolean" ? { boolValue: value } : { intValue: String(value) };
}
