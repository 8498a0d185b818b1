/**
 * Bytes of gossip, written and read field by field, big-endian. A reader that runs over its end answers zeros from then
 * on and says so at the end: so decoders stay straight lines. Must never throw on foreign bytes, never read beyond them.
 */

const WORD = 0x1_0000_0000;
const MAX_VARINT_BYTES = 5;

/** Writes into a buffer of fixed size; what does not fit is not written, and `isFull` says so. */
export class ByteWriter {
  readonly #into: Buffer;
  #at = 0;
  #isFull = false;

  constructor(capacityBytes: number) {
    // nobody sees more of it than was written
    this.#into = Buffer.allocUnsafe(capacityBytes);
  }

  /** Something did not fit. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** Bytes written so far. */
  get sizeBytes(): number {
    return this.#at;
  }

  /** Begins again. */
  reset(): void {
    this.#at = 0;
    this.#isFull = false;
  }

  u8(value: number): void {
    if (this.#has(1)) this.#at = this.#into.writeUInt8(value, this.#at);
  }

  u16(value: number): void {
    if (this.#has(2)) this.#at = this.#into.writeUInt16BE(value, this.#at);
  }

  u32(value: number): void {
    if (this.#has(4)) this.#at = this.#into.writeUInt32BE(value, this.#at);
  }

  u64(value: bigint): void {
    if (this.#has(8)) this.#at = this.#into.writeBigUInt64BE(value, this.#at);
  }

  /** LEB128 of an integer 0 … 2^32 − 1, in its one shortest form. */
  varint(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.u8((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.u8(rest);
  }

  /** A length (u8) and that many bytes of ASCII. */
  text(value: string): void {
    if (!this.#has(1 + value.length)) return;
    this.u8(value.length);
    this.#at += this.#into.write(value, this.#at, "latin1");
  }

  bytes(value: Uint8Array): void {
    if (!this.#has(value.length)) return;
    this.#into.set(value, this.#at);
    this.#at += value.length;
  }

  /** What was written, in memory that is the writer's: valid until `reset`. */
  written(): Uint8Array {
    return this.#into.subarray(0, this.#at);
  }

  #has(sizeBytes: number): boolean {
    if (this.#isFull || this.#at + sizeBytes > this.#into.length) this.#isFull = true;
    return !this.#isFull;
  }
}

/** Reads what a `ByteWriter` wrote, or anything else. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #at: number;
  readonly #end: number;
  #isOver = false;

  /** Reads `bytes[from, to)`. */
  constructor(bytes: Uint8Array, from = 0, to: number = bytes.length) {
    this.#bytes = bytes;
    this.#at = from;
    this.#end = Math.min(to, bytes.length);
  }

  /** Where the next byte is read. */
  get at(): number {
    return this.#at;
  }

  /** Bytes not read yet. */
  get leftBytes(): number {
    return this.#end - this.#at;
  }

  /** More was asked for than there was, or a number was not in its one form. */
  get isBroken(): boolean {
    return this.#isOver;
  }

  /** All was read, and all of it was there. */
  get isDone(): boolean {
    return !this.#isOver && this.#at === this.#end;
  }

  u8(): number {
    if (!this.#has(1)) return 0;
    const value = this.#bytes[this.#at] ?? 0;
    this.#at += 1;
    return value;
  }

  u16(): number {
    return this.#has(2) ? this.u8() * 0x100 + this.u8() : 0;
  }

  u32(): number {
    return this.#has(4) ? this.u16() * 0x1_0000 + this.u16() : 0;
  }

  u64(): bigint {
    return this.#has(8) ? (BigInt(this.u32()) << 32n) | BigInt(this.u32()) : 0n;
  }

  /** An integer 0 … 2^32 − 1; a longer form than its shortest is broken. */
  varint(): number {
    let value = 0;
    for (let index = 0; index < MAX_VARINT_BYTES; index += 1) {
      const byte = this.u8();
      value += (byte & 0x7f) * 2 ** (7 * index);
      if (byte < 0x80) {
        if ((byte === 0 && index > 0) || value >= WORD) this.#isOver = true;
        return this.#isOver ? 0 : value;
      }
    }
    this.#isOver = true;
    return 0;
  }

  /** Text with its length before it, of Latin-1: the caller looks whether it is what it should be. */
  text(): string {
    const sizeBytes = this.u8();
    const bytes = this.bytes(sizeBytes);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
  }

  /** A view of the next bytes. */
  bytes(sizeBytes: number): Uint8Array {
    if (!this.#has(sizeBytes)) return new Uint8Array(0);
    const view = this.#bytes.subarray(this.#at, this.#at + sizeBytes);
    this.#at += sizeBytes;
    return view;
  }

  #has(sizeBytes: number): boolean {
    if (this.#isOver || this.#at + sizeBytes > this.#end) this.#isOver = true;
    return !this.#isOver;
  }
}
