/**
 * Gathers encoded frames into few buffers. Must never touch bytes that it has given away: it goes on behind them in the
 * same chunk, or in a new one.
 */
import { HEADER_BYTES, MAX_BUDGET_MS } from "./frame-layout.ts";

const CHUNK_BYTES = 64 * 1_024;
/** From this size on an array is sent as a buffer of its own; below it is copied behind its header. Measured. */
const APPEND_FROM_BYTES = 16 * 1_024;

/** One growing run of frames. The head's fields hold for the frames started after they were set. */
export class FrameWriter {
  requestId = 0;
  /** 0 … 65535; 0 = no time is left (and in replies) */
  budgetMs = 0;
  ringHashHigh = 0;
  ringHashLow = 0;
  /** the chunk being written; changes with every `start` and `append` */
  bytes: Uint8Array = new Uint8Array(0);
  view: DataView = new DataView(this.bytes.buffer);
  #runStart = 0;
  #end = 0;
  #finished: Uint8Array[] = [];

  /** Begins a frame: `fixedBytes` (header and all) are reserved, `tailBytes` are appended later. Answers the body's offset. */
  start(kind: number, fixedBytes: number, tailBytes: number): number {
    if (this.#end + fixedBytes > this.bytes.length) this.#newChunk(fixedBytes);
    const at = this.#end;
    this.#end += fixedBytes;
    const { view } = this;
    view.setUint32(at, fixedBytes + tailBytes);
    view.setUint32(at + 4, this.requestId);
    view.setUint16(at + 8, kind << 8);
    view.setUint16(at + 10, Math.min(Math.max(0, this.budgetMs), MAX_BUDGET_MS));
    view.setUint32(at + 12, this.ringHashHigh);
    view.setUint32(at + 16, this.ringHashLow);
    view.setUint16(at + 20, 0);
    return at + HEADER_BYTES;
  }

  /** Puts the tail behind what was started last: copied when small, referenced (so never to be changed) when not. */
  append(tail: Uint8Array): void {
    if (tail.length < APPEND_FROM_BYTES && this.#end + tail.length <= this.bytes.length) {
      this.bytes.set(tail, this.#end);
      this.#end += tail.length;
      return;
    }
    this.#finishRun();
    this.#finished.push(tail);
  }

  /** All buffers gathered, in order; the writer starts anew. */
  take(): readonly Uint8Array[] {
    this.#finishRun();
    const taken = this.#finished;
    this.#finished = [];
    return taken;
  }

  #finishRun(): void {
    if (this.#end === this.#runStart) return;
    this.#finished.push(this.bytes.subarray(this.#runStart, this.#end));
    this.#runStart = this.#end;
  }

  #newChunk(minimumBytes: number): void {
    this.#finishRun();
    this.bytes = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, minimumBytes));
    this.view = new DataView(this.bytes.buffer);
    this.#runStart = 0;
    this.#end = 0;
  }
}
