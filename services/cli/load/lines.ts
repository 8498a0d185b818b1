/** The lines of a file as bytes, from any offset, in bounded memory. Must never change a byte of a line. */
import { open } from "node:fs/promises";

/** One line, without its line feed. */
export interface Line {
  /** undefined: longer than the bound, and left out */
  readonly bytes: Uint8Array | undefined;
  /** where it begins in the file */
  readonly startOffset: number;
  /** where the next one begins */
  readonly endOffset: number;
}

const CHUNK_BYTES = 256 * 1024;
const LINE_FEED = 10;

/** Puts a line together from the chunks that it lies in, and forgets those of a line that is too long. */
class LineBuilder {
  readonly #maxBytes: number;
  #parts: Uint8Array[] = [];
  #sizeBytes = 0;
  #startOffset: number;

  constructor(startOffset: number, maxBytes: number) {
    this.#startOffset = startOffset;
    this.#maxBytes = maxBytes;
  }

  get isEmpty(): boolean {
    return this.#sizeBytes === 0;
  }

  /** `part` must stay as it is. */
  add(part: Uint8Array): void {
    this.#sizeBytes += part.length;
    if (this.#sizeBytes <= this.#maxBytes) this.#parts.push(part);
    else this.#parts = [];
  }

  /** The line that ends here; `feedBytes` is 1 with a line feed, 0 at the end of the file. */
  finish(feedBytes: number): Line {
    const startOffset = this.#startOffset;
    const endOffset = startOffset + this.#sizeBytes + feedBytes;
    const bytes = this.#sizeBytes > this.#maxBytes ? undefined : Buffer.concat(this.#parts);
    this.#parts = [];
    this.#sizeBytes = 0;
    this.#startOffset = endOffset;
    return { bytes, startOffset, endOffset };
  }
}

/** Reads the lines of `path` from `startOffset` (where a line begins), each up to `maxBytes`. */
export async function* linesOf(
  path: string,
  from: { readonly startOffset: number; readonly maxBytes: number },
): AsyncGenerator<Line, void> {
  const file = await open(path, "r");
  try {
    const builder = new LineBuilder(from.startOffset, from.maxBytes);
    for (let position = from.startOffset; ; ) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, position);
      if (bytesRead === 0) break;
      position += bytesRead;
      const chunk = buffer.subarray(0, bytesRead);
      let begin = 0;
      for (let feed = chunk.indexOf(LINE_FEED); feed !== -1; feed = chunk.indexOf(LINE_FEED, begin)) {
        builder.add(chunk.subarray(begin, feed));
        begin = feed + 1;
        yield builder.finish(1);
      }
      if (begin < bytesRead) builder.add(chunk.subarray(begin));
    }
    if (!builder.isEmpty) yield builder.finish(0);
  } finally {
    await file.close();
  }
}

/** The bytes of one line that was read before. */
export async function lineAt(
  path: string,
  line: { readonly startOffset: number; readonly sizeBytes: number },
): Promise<Uint8Array> {
  const file = await open(path, "r");
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(line.sizeBytes), 0, line.sizeBytes, line.startOffset);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
