/** The bounds of what is told to a collector of traces, by name and unit. */
import assert from "node:assert/strict";

/** Spans that wait to be sent; more are dropped and counted. About a kilobyte each. */
export const MAX_QUEUED_SPANS: number = 4_096;
/** Spans in one message: encoding them holds the event loop for half a millisecond or so. */
export const MAX_SPANS_PER_BATCH: number = 128;
/** Replicas' parts that are told of one request, to a collector or in a header: n of them, as many that stood in, twice over. */
export const MAX_TRACED_CALLS: number = 28;
/** What has waited so long is sent, however little it is. */
export const SPANS_EVERY_MS: number = 1_000;
/** How long the collector may take for one message. */
export const COLLECTOR_TIMEOUT_MS: number = 5_000;
/** The pauses before a message is sent again: doubled from the first to the last. */
export const COLLECTOR_RETRY_MIN_MS: number = 1_000;
export const COLLECTOR_RETRY_MAX_MS: number = 30_000;
/** How long a stop waits for the rest to be sent. */
export const SPANS_FLUSH_MS: number = 2_000;
/** Bytes of the collector's answer that are read past; nothing in it is used. */
export const MAX_COLLECTOR_ANSWER_BYTES: number = 65_536;

assert.ok(
  MAX_TRACED_CALLS < MAX_SPANS_PER_BATCH && MAX_SPANS_PER_BATCH < MAX_QUEUED_SPANS,
  "requests, messages and the queue nest",
);
assert.ok(COLLECTOR_RETRY_MIN_MS < COLLECTOR_RETRY_MAX_MS, "pauses grow");
