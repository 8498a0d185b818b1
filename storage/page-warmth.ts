/**
 * Which pages of a segment are believed to be in the operating system's cache: one bit for 4 KiB. A belief, not a
 * fact: pages that were written or read are warm until a slow read proves the belief wrong.
 * Must never be trusted for anything but the choice between a synchronous read and the thread pool.
 */
const PAGE_BITS = 12;

/** The belief about one segment. Memory: 32 KiB for 1 GiB. */
export class PageWarmth {
  #bits: Uint8Array;

  constructor(sizeBytes: number) {
    this.#bits = new Uint8Array(((sizeBytes >>> PAGE_BITS) >>> 3) + 1);
  }

  /** Whether every page under `[offset, offset + length)` is believed warm. Cost: one test for 4 KiB. */
  isWarm(offset: number, length: number): boolean {
    const last = Math.floor((offset + length - 1) / 4096);
    for (let page = Math.floor(offset / 4096); page <= last; page += 1) {
      if (((this.#bits[page >>> 3] ?? 0) & (1 << (page & 7))) === 0) return false;
    }
    return true;
  }

  /** The pages under `[offset, offset + length)` were just read or written. */
  warm(offset: number, length: number): void {
    const last = Math.floor((offset + length - 1) / 4096);
    for (let page = Math.floor(offset / 4096); page <= last; page += 1) {
      const at = page >>> 3;
      if (at < this.#bits.length) this.#bits[at] = (this.#bits[at] ?? 0) | (1 << (page & 7));
    }
  }

  /** Nothing is believed warm any more. */
  clear(): void {
    this.#bits.fill(0);
  }
}
