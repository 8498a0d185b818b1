/**
 * Frames on a byte link: gathers what a turn sends into one write, cuts what comes into frames, counts bytes that wait.
 * Must never decide what a frame means: that is its sink's, which changes once, when the handshake is over.
 */
import { MAX_LINK_QUEUE_BYTES } from "../base/limits.ts";
import type { ByteLink, Clock } from "../base/ports.ts";
import { type Frame, FrameReader } from "./frame-reader.ts";
import { FrameWriter } from "./frame-writer.ts";
import type { LinkStats } from "./link-stats.ts";
import type { QueueAccount } from "./queue-account.ts";
import type { TurnGatherer } from "./turn-gatherer.ts";

/** Who listens to the frames of a link. */
export interface FrameSink {
  /** the kinds that may come now; any other closes the link */
  accepts(kind: number): boolean;
  onFrame(frame: Frame): void;
  /** encode what waits into the link's writer: the turn is over */
  onFlush(): void;
  /** called once */
  onClose(reason: string): void;
}

/** What all links of a process share. */
export interface LinkContext {
  readonly clock: Clock;
  readonly gatherer: TurnGatherer;
  readonly stats: LinkStats;
}

/** One link with frames on it. */
export class FramedLink {
  readonly writer: FrameWriter = new FrameWriter();
  readonly remote: string;
  /** when bytes last came, monotonic milliseconds */
  heardMs: number;
  /** bytes that wait in the sink to be encoded; the sink's own to keep */
  waitingBytes = 0;
  readonly #context: LinkContext;
  readonly #link: ByteLink;
  readonly #reader: FrameReader;
  #account: QueueAccount;
  #accountedBytes = 0;
  #sink: FrameSink;
  #isDirty = false;
  #closeReason: string | undefined;

  constructor(
    link: ByteLink,
    context: LinkContext,
    start: { readonly sink: FrameSink; readonly account: QueueAccount },
  ) {
    this.#link = link;
    this.#context = context;
    this.#sink = start.sink;
    this.#account = start.account;
    this.remote = link.remote;
    this.heardMs = context.clock.monotonicMs();
    this.#reader = new FrameReader(
      (kind) => this.#sink.accepts(kind),
      (frame) => {
        context.stats.framesReceived += 1;
        this.#sink.onFrame(frame);
      },
    );
    link.listen({ onBytes: (bytes) => this.#onBytes(bytes), onClose: (reason) => this.#onClosed(reason) });
  }

  get isClosed(): boolean {
    return this.#closeReason !== undefined;
  }

  /** Bytes that have not left: waiting in the sink, or accepted by the byte link. */
  get queuedBytes(): number {
    return this.waitingBytes + this.#link.queuedBytes;
  }

  /** Bytes that the byte link has accepted and not sent. */
  get unsentBytes(): number {
    return this.#link.queuedBytes;
  }

  /** True when a frame of this size may be queued: the link is under its bound, and peer and process have room. */
  hasRoom(sizeBytes: number): boolean {
    if (this.queuedBytes >= MAX_LINK_QUEUE_BYTES) return false;
    if (this.#account.hasRoom(sizeBytes)) return true;
    this.settleAccount();
    return this.#account.hasRoom(sizeBytes);
  }

  /** From now on frames go to this sink, and bytes count for this account: the handshake has told whose they are. */
  handOver(sink: FrameSink, account: QueueAccount): void {
    this.#account.add(-this.#accountedBytes);
    this.#accountedBytes = 0;
    this.#sink = sink;
    this.#account = account;
    this.settleAccount();
  }

  /** Calls the sink's `onFlush` at the end of this turn. */
  flushLater(): void {
    if (this.#isDirty) return;
    this.#isDirty = true;
    this.#context.gatherer.add(this);
  }

  /** Sends what has been gathered; called by the gatherer. */
  flush(): void {
    this.#isDirty = false;
    if (this.isClosed) return;
    this.#sink.onFlush();
    for (const bytes of this.writer.take()) {
      this.#context.stats.bytesSent += bytes.length;
      this.#link.write(bytes);
    }
    this.settleAccount();
  }

  /** Brings the account up to date with what really waits. */
  settleAccount(): void {
    const queuedBytes = this.isClosed ? 0 : this.queuedBytes;
    if (queuedBytes === this.#accountedBytes) return;
    this.#account.add(queuedBytes - this.#accountedBytes);
    this.#accountedBytes = queuedBytes;
  }

  /** Ends the link; the sink hears of it before this returns. */
  close(reason: string): void {
    if (this.isClosed) return;
    this.#link.close(reason);
    this.#onClosed(reason);
  }

  #onBytes(bytes: Uint8Array): void {
    if (this.isClosed) return;
    this.heardMs = this.#context.clock.monotonicMs();
    this.#context.stats.bytesReceived += bytes.length;
    const fault = this.#reader.push(bytes);
    if (fault !== undefined) this.close(fault);
  }

  #onClosed(reason: string): void {
    if (this.isClosed) return;
    this.#closeReason = reason;
    this.#reader.stop();
    this.settleAccount();
    this.#sink.onClose(reason);
  }
}
