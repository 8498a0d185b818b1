/**
 * The window on a collector of traces: posts what it is given to the one address that the configuration names. Must never go where an
 * answer sends it (no redirects), use what an answer says, nor reject.
 */
import type { CollectorWord, TraceCollector } from "../base/ports.ts";
import type { OtlpTarget } from "../base/trace-config.ts";
import { MAX_COLLECTOR_ANSWER_BYTES } from "../base/trace-limits.ts";
import { httpClient } from "./undici-network.ts";

const MAX_HEADER_BYTES = 16_384;
/** Statuses after which the same message may be taken later: OTLP specification, "Failures". */
const LATER: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/** The collector at `target`; nothing is dialled before the first message. */
export function createOtlpCollector(target: OtlpTarget): TraceCollector {
  const { origin, pathname, search } = new URL(target.url);
  const client = httpClient(origin, MAX_HEADER_BYTES);
  const headers = { ...target.headers, "content-type": "application/json" };
  const send = async (body: string, timeoutMs: number): Promise<CollectorWord> => {
    try {
      const answer = await client.request({
        path: pathname + search,
        method: "POST",
        headers,
        body,
        signal: AbortSignal.timeout(Math.max(1, Math.ceil(timeoutMs))),
      });
      await answer.body.dump({ limit: MAX_COLLECTOR_ANSWER_BYTES });
      return wordOf(answer.statusCode);
    } catch (error) {
      return { kind: "later", reason: error instanceof Error ? error.message : "unknown" };
    }
  };
  // What is under way ends with an error, which its caller has ceased to wait for.
  return { send, close: () => void client.destroy().catch(() => undefined) };
}

function wordOf(status: number): CollectorWord {
  if (status >= 200 && status < 300) return { kind: "taken" };
  return LATER.has(status) ? { kind: "later", reason: `status ${status}` } : { kind: "refused", status };
}
