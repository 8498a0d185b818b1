/**
 * Cuts a stream of bytes into frames, pure. A frame that lies within one chunk is a view into it; one that spans chunks
 * is gathered in a buffer of its own. Must never allocate for a length that it has not checked.
 */
import { HEADER_BYTES, maxFrameBytes } from "./frame-layout.ts";

/** One frame, valid only during the call that hands it over: the reader uses the object again. */
export interface Frame {
  readonly requestId: number;
  readonly kind: number;
  readonly flags: number;
  readonly budgetMs: number;
  readonly ringHashHigh: number;
  readonly ringHashLow: number;
  readonly partition: number;
  /** the chunk that the frame lies in; it belongs to the receiver, so views of it may be kept */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly bodyStart: number;
  readonly bodyEnd: number;
}

/** Why a stream makes no sense any more; nothing after it is read. */
export type FrameFault = "frame_too_short" | "frame_too_long" | "unknown_kind";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const NOTHING = new Uint8Array(0);

/** The state of one direction of one link. */
export class FrameReader {
  readonly #accepts: (kind: number) => boolean;
  readonly #onFrame: (frame: Frame) => void;
  readonly #frame: Mutable<Frame> = emptyFrame();
  /** the start of a frame whose end has not come yet; `#gathered` of its bytes are filled */
  #partial: Uint8Array = NOTHING;
  #gathered = 0;
  #isStopped = false;

  /** `accepts` tells which kinds may come in this direction; `onFrame` gets each frame in order. */
  constructor(accepts: (kind: number) => boolean, onFrame: (frame: Frame) => void) {
    this.#accepts = accepts;
    this.#onFrame = onFrame;
  }

  /** Takes the next bytes; answers a fault when the stream is broken. After a fault or `stop` nothing is read. */
  push(chunk: Uint8Array): FrameFault | undefined {
    let offset = 0;
    while (this.#partial.length > 0 && offset < chunk.length && !this.#isStopped) {
      const taken = this.#gather(chunk, offset);
      if (typeof taken === "string") return this.#fault(taken);
      offset += taken;
    }
    if (offset === chunk.length || this.#isStopped) return undefined;
    return this.#readChunk(chunk, offset);
  }

  /** Hands over no further frame, not even of the chunk that is being read. */
  stop(): void {
    this.#isStopped = true;
    this.#partial = NOTHING;
  }

  #readChunk(chunk: Uint8Array, from: number): FrameFault | undefined {
    const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let offset = from;
    while (chunk.length - offset >= HEADER_BYTES) {
      const lengthBytes = this.#checkedLength(view, offset);
      if (typeof lengthBytes === "string") return this.#fault(lengthBytes);
      if (chunk.length - offset < lengthBytes) {
        this.#startPartial(chunk, offset, lengthBytes);
        return undefined;
      }
      this.#emit(chunk, view, offset);
      if (this.#isStopped) return undefined;
      offset += lengthBytes;
    }
    if (offset < chunk.length) this.#startPartial(chunk, offset, HEADER_BYTES);
    return undefined;
  }

  #startPartial(chunk: Uint8Array, offset: number, sizeBytes: number): void {
    this.#partial = Buffer.allocUnsafeSlow(sizeBytes);
    this.#partial.set(offset === 0 ? chunk : chunk.subarray(offset));
    this.#gathered = chunk.length - offset;
  }

  /** Fills the partial frame from the chunk; first up to its header, which tells how much more there is. */
  #gather(chunk: Uint8Array, offset: number): number | FrameFault {
    const takenBytes = Math.min(this.#partial.length - this.#gathered, chunk.length - offset);
    this.#partial.set(chunk.subarray(offset, offset + takenBytes), this.#gathered);
    this.#gathered += takenBytes;
    if (this.#gathered < this.#partial.length) return takenBytes;
    const whole = this.#partial;
    const view = new DataView(whole.buffer, whole.byteOffset, whole.byteLength);
    const lengthBytes = this.#checkedLength(view, 0);
    if (typeof lengthBytes === "string") return lengthBytes;
    if (lengthBytes > whole.length) {
      this.#partial = Buffer.allocUnsafeSlow(lengthBytes);
      this.#partial.set(whole);
      return takenBytes;
    }
    this.#partial = NOTHING;
    this.#gathered = 0;
    this.#emit(whole, view, 0);
    return takenBytes;
  }

  #checkedLength(view: DataView, offset: number): number | FrameFault {
    const lengthBytes = view.getUint32(offset);
    const kind = view.getUint8(offset + 8);
    const maximumBytes = this.#accepts(kind) ? maxFrameBytes(kind) : 0;
    if (maximumBytes === 0) return "unknown_kind";
    if (lengthBytes < HEADER_BYTES) return "frame_too_short";
    return lengthBytes > maximumBytes ? "frame_too_long" : lengthBytes;
  }

  #emit(bytes: Uint8Array, view: DataView, offset: number): void {
    const frame = this.#frame;
    frame.requestId = view.getUint32(offset + 4);
    frame.kind = view.getUint8(offset + 8);
    frame.flags = view.getUint8(offset + 9);
    frame.budgetMs = view.getUint16(offset + 10);
    frame.ringHashHigh = view.getUint32(offset + 12);
    frame.ringHashLow = view.getUint32(offset + 16);
    frame.partition = view.getUint16(offset + 20);
    frame.bytes = bytes;
    frame.view = view;
    frame.bodyStart = offset + HEADER_BYTES;
    frame.bodyEnd = offset + view.getUint32(offset);
    this.#onFrame(frame);
  }

  #fault(fault: FrameFault): FrameFault {
    this.stop();
    return fault;
  }
}

function emptyFrame(): Mutable<Frame> {
  return {
    requestId: 0,
    kind: 0,
    flags: 0,
    budgetMs: 0,
    ringHashHigh: 0,
    ringHashLow: 0,
    partition: 0,
    bytes: NOTHING,
    view: new DataView(NOTHING.buffer),
    bodyStart: 0,
    bodyEnd: 0,
  };
}
