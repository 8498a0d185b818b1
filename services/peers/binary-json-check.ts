/**
 * Walks a MessagePack value without building it: the library would believe an array's header and allocate for elements
 * that never come. Must never allocate by what the bytes claim. Source: the MessagePack specification.
 */

/** Why `bytes` are not exactly one well-formed value of at most `maxDepth` levels; undefined when they are. O(bytes). */
export function checkBinaryJson(bytes: Uint8Array, maxDepth: number): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const remaining = new Float64Array(maxDepth + 1);
  let depth = 0;
  let offset = 0;
  remaining[0] = 1;
  while (depth >= 0) {
    if (remaining[depth] === 0) {
      depth -= 1;
      continue;
    }
    remaining[depth] = (remaining[depth] ?? 0) - 1;
    if (offset >= bytes.length) return "truncated";
    const step = stepOf(view, offset);
    if (step === undefined) return "malformed";
    offset += step.sizeBytes;
    if (offset > bytes.length || step.childCount > bytes.length - offset) return "truncated";
    if (step.childCount === 0) continue;
    depth += 1;
    if (depth > maxDepth) return "too_deep";
    remaining[depth] = step.childCount;
  }
  return offset === bytes.length ? undefined : "trailing_bytes";
}

interface Step {
  /** the head, and the content of what holds no other values */
  readonly sizeBytes: number;
  readonly childCount: number;
}

function stepOf(view: DataView, offset: number): Step | undefined {
  const head = view.getUint8(offset);
  if (head <= 0x7f || head >= 0xe0) return leaf(1);
  if (head <= 0x8f) return { sizeBytes: 1, childCount: 2 * (head & 0x0f) };
  if (head <= 0x9f) return { sizeBytes: 1, childCount: head & 0x0f };
  if (head <= 0xbf) return leaf(1 + (head & 0x1f));
  const fixed = FIXED_SIZES[head];
  if (fixed !== undefined) return leaf(fixed);
  const width = LENGTH_WIDTHS[head];
  if (width === undefined) return undefined;
  if (offset + 1 + width > view.byteLength) return leaf(1 + width);
  const length = readLength(view, offset + 1, width);
  if (head === 0xdc || head === 0xdd) return { sizeBytes: 1 + width, childCount: length };
  if (head === 0xde || head === 0xdf) return { sizeBytes: 1 + width, childCount: 2 * length };
  return leaf(1 + width + length);
}

function leaf(sizeBytes: number): Step {
  return { sizeBytes, childCount: 0 };
}

function readLength(view: DataView, offset: number, width: number): number {
  if (width === 1) return view.getUint8(offset);
  return width === 2 ? view.getUint16(offset) : view.getUint32(offset);
}

/** nil, booleans, numbers: head and content. Extension types (0xc7–0xc9, 0xd4–0xd8) are not ours, so malformed. */
const FIXED_SIZES: Readonly<Record<number, number>> = {
  0xc0: 1,
  0xc2: 1,
  0xc3: 1,
  0xca: 5,
  0xcb: 9,
  0xcc: 2,
  0xcd: 3,
  0xce: 5,
  0xcf: 9,
  0xd0: 2,
  0xd1: 3,
  0xd2: 5,
  0xd3: 9,
};

/** Binary, string, array, map: bytes of the length that follows the head. */
const LENGTH_WIDTHS: Readonly<Record<number, number>> = {
  0xc4: 1,
  0xc5: 2,
  0xc6: 4,
  0xd9: 1,
  0xda: 2,
  0xdb: 4,
  0xdc: 2,
  0xdd: 4,
  0xde: 2,
  0xdf: 4,
};
