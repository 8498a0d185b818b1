/**
 * Takes traced requests and tells a collector of them, some at a time. Must never hold a request up, throw at one, or keep more than
 * its bound: what does not fit is dropped and counted. A collector that is away is tried again, ever more seldom.
 */
import type { Clock, CollectorWord, Log, Random, Timer, TraceCollector } from "../base/ports.ts";
import type { TracedRequest, TraceSink } from "../base/trace.ts";
import {
  COLLECTOR_RETRY_MAX_MS,
  COLLECTOR_RETRY_MIN_MS,
  COLLECTOR_TIMEOUT_MS,
  MAX_QUEUED_SPANS,
  MAX_SPANS_PER_BATCH,
  SPANS_EVERY_MS,
  SPANS_FLUSH_MS,
} from "../base/trace-limits.ts";
import { type Attributes, otlpText } from "./otlp-core.ts";
import { type Span, type SpanMarks, spansOf } from "./spans-core.ts";

/** What an exporter works with. */
export interface SpanExporterParts {
  readonly collector: TraceCollector;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** who sends: told with every message */
  readonly resource: Attributes;
}

/** Why spans were dropped: too many waited, the collector refused them for good, or the node stopped first. */
export type DropReason = "queue_full" | "refused" | "stopped";

/** The way of traces out of a node. */
export class SpanExporter implements TraceSink {
  /** spans since the start */
  sentCount = 0;
  readonly dropped: Record<DropReason, number> = { queue_full: 0, refused: 0, stopped: 0 };
  readonly #parts: SpanExporterParts;
  readonly #queue: Span[] = [];
  #timer: Timer | undefined;
  #sending: Promise<void> | undefined;
  #retryMs = 0;
  #isStopping = false;

  constructor(parts: SpanExporterParts) {
    this.#parts = parts;
  }

  /** Spans that wait. */
  get queuedCount(): number {
    return this.#queue.length;
  }

  ended(request: TracedRequest): void {
    const spans = spansOf(request, this.#marks());
    if (this.#isStopping) return this.#drop("stopped", spans.length);
    // All of a request or nothing: a request without its replicas would tell a wrong story.
    if (this.#queue.length + spans.length > MAX_QUEUED_SPANS) return this.#drop("queue_full", spans.length);
    this.#queue.push(...spans);
    if (this.#sending !== undefined || this.#retryMs > 0) return;
    if (this.#queue.length >= MAX_SPANS_PER_BATCH) this.#sendSoon(0);
    else if (this.#timer === undefined) this.#sendSoon(SPANS_EVERY_MS);
  }

  /** Takes no more, sends what waits for `SPANS_FLUSH_MS` at most, and drops the rest. Never rejects. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#timer?.cancel();
    const { clock, collector, log } = this.#parts;
    const untilMs = clock.monotonicMs() + SPANS_FLUSH_MS;
    let end: Timer | undefined;
    const timeIsUp = new Promise<void>((resume) => {
      end = clock.setTimer(SPANS_FLUSH_MS, resume);
    });
    await Promise.race([this.#flush(untilMs), timeIsUp]);
    end?.cancel();
    collector.close();
    const spanCount = this.#queue.splice(0).length;
    this.#drop("stopped", spanCount);
    if (spanCount > 0) log.warn({ event: "tracing.spans-dropped", reason: "stopped", spanCount });
  }

  async #flush(untilMs: number): Promise<void> {
    const { clock } = this.#parts;
    await this.#sending;
    let isTaken = true;
    while (isTaken && this.#queue.length > 0 && clock.monotonicMs() < untilMs) {
      await this.#send(untilMs - clock.monotonicMs());
      isTaken = this.#retryMs === 0;
    }
  }

  #sendSoon(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#parts.clock.setTimer(delayMs, () => {
      this.#timer = undefined;
      this.#sending = this.#send(COLLECTOR_TIMEOUT_MS).then(() => {
        this.#sending = undefined;
        if (this.#isStopping || this.#queue.length === 0) return;
        if (this.#retryMs > 0) this.#sendSoon(this.#retryMs);
        else this.#sendSoon(this.#queue.length >= MAX_SPANS_PER_BATCH ? 0 : SPANS_EVERY_MS);
      });
    });
  }

  /** Sends the oldest; they leave the queue when the collector has taken them, or never will. Never rejects. */
  async #send(timeoutMs: number): Promise<void> {
    const { collector, resource } = this.#parts;
    const batch = this.#queue.slice(0, MAX_SPANS_PER_BATCH);
    const word = await collector.send(otlpText(resource, batch), timeoutMs);
    if (word.kind !== "later") this.#queue.splice(0, batch.length);
    if (word.kind === "taken") this.sentCount += batch.length;
    if (word.kind === "refused") this.#drop("refused", batch.length);
    this.#noteWord(word);
  }

  /** The log hears of the first word of a kind, not of each. */
  #noteWord(word: CollectorWord): void {
    const { log } = this.#parts;
    const wasAway = this.#retryMs > 0;
    if (word.kind === "later") {
      this.#retryMs = Math.min(COLLECTOR_RETRY_MAX_MS, wasAway ? 2 * this.#retryMs : COLLECTOR_RETRY_MIN_MS);
      if (!wasAway) log.warn({ event: "tracing.collector-away", reason: word.reason });
      return;
    }
    this.#retryMs = 0;
    if (word.kind === "refused" && this.dropped.refused <= MAX_SPANS_PER_BATCH) {
      log.warn({ event: "tracing.collector-refused", status: word.status });
    } else if (wasAway) log.info({ event: "tracing.collector-back" });
  }

  #drop(reason: DropReason, spanCount: number): void {
    this.dropped[reason] += spanCount;
  }

  #marks(): SpanMarks {
    const { clock, random } = this.#parts;
    const nowMicros = clock.wallMicros();
    const nowMs = clock.monotonicMs();
    return {
      nextId: () => random.bytes(8).toHex(),
      microsAt: (monotonicMs) => Math.round(nowMicros + (monotonicMs - nowMs) * 1_000),
    };
  }
}
