import fc from "fast-check";
import { expect, test } from "vitest";
import { MAX_FRAME_BYTES } from "../../../services/base/limits.ts";
import { parseTraceId } from "../../../services/base/trace.ts";
import {
  HEADER_BYTES,
  KIND_DIGEST,
  KIND_HELLO,
  KIND_REFUSED,
  KIND_STORE,
  TRACE_BIT,
} from "../../../services/peers/frame-layout.ts";
import { type Frame, type FrameFault, FrameReader } from "../../../services/peers/frame-reader.ts";
import { FrameWriter } from "../../../services/peers/frame-writer.ts";
import type { KeyOnWire, RefusalReason } from "../../../services/peers/messages.ts";
import { decodeReply, encodeReply, replySize, type WireReply } from "../../../services/peers/reply-codec.ts";
import {
  decodeRequest,
  encodeRequest,
  requestSize,
  untraced,
  type WireRequest,
} from "../../../services/peers/request-codec.ts";
import { nodeIdOf } from "../../support/sim-peers.ts";

const u64 = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
const bytesUpTo = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength });
const slot = fc.integer({ min: -1, max: 6 });
const key: fc.Arbitrary<KeyOnWire> = fc.record({
  partition: fc.integer({ min: 0, max: 4_095 }),
  hash: u64,
  key: bytesUpTo(1_088),
});
const object = fc.oneof(
  { weight: 5, arbitrary: bytesUpTo(300) },
  { weight: 1, arbitrary: fc.constant(new Uint8Array(17_000).fill(9)) },
);
const standIn = fc
  .record({ slot: fc.integer({ min: 0, max: 6 }), more: fc.integer({ min: 1, max: 7 }) })
  .map(({ slot: at, more }) => ({ slot: at, n: Math.min(at + more, 7) }));
/** With and without the member that only some frames carry. */
function maybe<T extends object, M extends object>(record: fc.Arbitrary<T>, more: fc.Arbitrary<M>): fc.Arbitrary<T> {
  return fc.oneof(
    record,
    fc.tuple(record, more).map(([one, other]) => ({ ...one, ...other })),
  );
}
const trace = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => parseTraceId(bytes.toHex()))
  .filter((id) => id !== undefined);
const inPlace = fc.oneof(fc.record({ standIn }), fc.record({ trace }), fc.record({ standIn, trace }));
const anyRequest: fc.Arbitrary<WireRequest> = fc.oneof(
  maybe(fc.record({ kind: fc.constantFrom("digest", "fetch"), key }), inPlace),
  maybe(fc.record({ kind: fc.constant("store"), key, baseDigest: u64, digest: u64, object }), inPlace),
  fc.record({ kind: fc.constant("ping") }),
  fc.record({ kind: fc.constant("ask"), topic: fc.stringMatching(/^[a-z.]{1,64}$/), body: object }),
);
const REASONS: readonly RefusalReason[] = [
  "not_owner",
  "overloaded",
  "disk_full",
  "expired",
  "shutting_down",
  "not_ready",
  "corrupt_record",
  "too_many_siblings",
  "unknown_topic",
  "bad_request",
  "collected",
  "uncertain",
];
const detail = fc.string({ unit: "grapheme", maxLength: 100 });
const byStandIn = fc.constant({ isStandIn: true } as const);
const anyReply: fc.Arbitrary<WireReply> = fc.oneof(
  maybe(fc.record({ kind: fc.constant("digest"), slot, digest: u64, isSuspect: fc.boolean() }), byStandIn),
  maybe(
    fc.record({
      kind: fc.constant("object"),
      slot,
      object: fc.option(object, { nil: undefined }),
      isSuspect: fc.boolean(),
    }),
    byStandIn,
  ),
  maybe(fc.record({ kind: fc.constant("stored"), slot, digest: u64, isDurable: fc.boolean() }), byStandIn),
  fc.record({
    kind: fc.constant("stored"),
    slot,
    digest: u64,
    isDurable: fc.boolean(),
    keptAbove: fc.maxSafeNat(),
  }),
  fc.record({ kind: fc.constant("pong") }),
  fc.record({ kind: fc.constant("answer"), body: object }),
  fc.record({ kind: fc.constant("refused"), reason: fc.constantFrom(...REASONS), detail }),
  fc.record({ kind: fc.constant("refused"), reason: fc.constant("moved"), detail, to: fc.constant(nodeIdOf("n-1.x")) }),
  fc.record({ kind: fc.constant("refused"), reason: fc.constant("moved"), detail }),
  fc.record({ kind: fc.constant("failed"), detail }),
);

interface Read<T> {
  readonly id: number;
  readonly budgetMs: number;
  readonly ring: readonly [number, number];
  readonly message: T | undefined;
}

function readAll<T>(
  chunks: readonly Uint8Array[],
  decode: (frame: Frame) => T | undefined,
): { readonly read: readonly Read<T>[]; readonly fault: FrameFault | undefined } {
  const read: Read<T>[] = [];
  const reader = new FrameReader(
    () => true,
    (frame) => {
      const { requestId: id, budgetMs, ringHashHigh, ringHashLow } = frame;
      read.push({ id, budgetMs, ring: [ringHashHigh, ringHashLow], message: decode(frame) });
    },
  );
  let fault: FrameFault | undefined;
  for (const chunk of chunks) fault ??= reader.push(chunk);
  return { read, fault };
}

function encoded<T>(messages: readonly T[], encode: (writer: FrameWriter, message: T) => void): Uint8Array {
  const writer = new FrameWriter();
  messages.forEach((message, index) => {
    writer.requestId = 0xffff_0000 + index;
    writer.budgetMs = index * 37;
    writer.ringHashHigh = 0xfedc_ba98;
    writer.ringHashLow = index;
    encode(writer, message);
  });
  return new Uint8Array(Buffer.concat(writer.take()));
}

/** What should come out: as put in, byte arrays as plain ones. */
function expected<T>(messages: readonly T[]): readonly Read<T>[] {
  return messages.map((message, index) => ({
    id: 0xffff_0000 + index,
    budgetMs: Math.min(index * 37, 0xffff),
    ring: [0xfedc_ba98, index],
    message,
  }));
}

/** As text, which compares a hundred times faster than arrays element by element. */
function plain(value: unknown): string {
  return JSON.stringify(value, (_name, part: unknown) => {
    if (typeof part === "bigint") return `${part}n`;
    return part instanceof Uint8Array ? `bytes:${Buffer.from(part).toString("latin1")}` : part;
  });
}

function cutAt(whole: Uint8Array, cuts: readonly number[]): readonly Uint8Array[] {
  const edges = [0, ...cuts.map((cut) => cut % (whole.length + 1)).sort((a, b) => a - b), whole.length];
  return edges.slice(1).map((edge, index) => whole.slice(edges[index], edge));
}

test("requests survive the wire in any pieces (10,000 random requests)", () => {
  fc.assert(
    fc.property(
      fc.array(anyRequest, { minLength: 5, maxLength: 8 }),
      fc.array(fc.nat(), { maxLength: 8 }),
      (requests, cuts) => {
        const whole = encoded(requests, encodeRequest);
        expect(whole.length).toBe(requests.reduce((sum, request) => sum + requestSize(request), 0));
        const { read, fault } = readAll(cutAt(whole, cuts), decodeRequest);
        expect(fault).toBeUndefined();
        expect(plain(read)).toBe(plain(expected(requests)));
      },
    ),
    { numRuns: 2_000 },
  );
});

test("replies survive the wire in any pieces (10,000 random replies)", () => {
  fc.assert(
    fc.property(
      fc.array(anyReply, { minLength: 5, maxLength: 8 }),
      fc.array(fc.nat(), { maxLength: 8 }),
      (replies, cuts) => {
        const whole = encoded(replies, encodeReply);
        expect(whole.length).toBeLessThanOrEqual(replies.reduce((sum, reply) => sum + replySize(reply), 0));
        const { read, fault } = readAll(cutAt(whole, cuts), decodeReply);
        expect(fault).toBeUndefined();
        expect(plain(read)).toBe(plain(expected(replies)));
      },
    ),
    { numRuns: 2_000 },
  );
});

test("a stream cut at every single byte, and one that comes byte by byte, reads the same", () => {
  const name = new TextEncoder().encode("bucket\0key");
  const requests: readonly WireRequest[] = [
    { kind: "digest", key: { partition: 1, hash: 2n, key: name } },
    { kind: "ping" },
    { kind: "store", key: { partition: 3, hash: 4n, key: name }, baseDigest: 5n, digest: 6n, object: name },
    { kind: "ask", topic: "t", body: new Uint8Array(0) },
  ];
  const whole = encoded(requests, encodeRequest);
  const want = expected(requests);
  for (let cut = 0; cut <= whole.length; cut += 1) {
    expect(readAll([whole.slice(0, cut), whole.slice(cut)], decodeRequest).read).toEqual(want);
  }
  expect(
    readAll(
      [...whole].map((byte) => Uint8Array.of(byte)),
      decodeRequest,
    ).read,
  ).toEqual(want);
});

test("a frame within one chunk is read without copying its bytes", () => {
  const request: WireRequest = {
    kind: "store",
    key: { partition: 1, hash: 2n, key: Uint8Array.of(1) },
    baseDigest: 0n,
    digest: 0n,
    object: new Uint8Array(100).fill(7),
  };
  const whole = encoded([request], encodeRequest);
  const { read } = readAll([whole], decodeRequest);
  const got = read[0]?.message;
  expect(got?.kind === "store" && got.object.buffer === whole.buffer).toBe(true);
});

test("a large object leaves without being copied, a small one in the buffer of its header", () => {
  const large = new Uint8Array(100_000);
  const store = (value: Uint8Array): WireRequest => ({
    kind: "store",
    key: { partition: 1, hash: 2n, key: Uint8Array.of(1) },
    baseDigest: 0n,
    digest: 0n,
    object: value,
  });
  const writer = new FrameWriter();
  encodeRequest(writer, store(new Uint8Array(10)));
  encodeRequest(writer, store(large));
  encodeRequest(writer, store(new Uint8Array(10)));
  const buffers = writer.take();
  expect(buffers).toHaveLength(3);
  expect(buffers[1]).toBe(large);
});

test("bytes given away are never written to again", () => {
  const writer = new FrameWriter();
  const pings = (count: number): void => {
    for (let i = 0; i < count; i += 1) encodeRequest(writer, { kind: "ping" });
  };
  pings(5);
  const first = writer.take();
  const before = Buffer.concat(first).toString("hex");
  writer.requestId = 0xffff_ffff;
  pings(10_000);
  writer.take();
  expect(Buffer.concat(first).toString("hex")).toBe(before);
});

function header(lengthBytes: number, kind: number): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, lengthBytes);
  view.setUint8(8, kind);
  return bytes;
}

test.each([
  ["a frame shorter than its header", header(HEADER_BYTES - 1, KIND_DIGEST), "frame_too_short"],
  ["a frame of no length", header(0, KIND_STORE), "frame_too_short"],
  [
    "a digest longer than the longest key and a trace",
    header(HEADER_BYTES + 8 + 1_088 + 17, KIND_DIGEST),
    "frame_too_long",
  ],
  ["a store over the bound", header(MAX_FRAME_BYTES + 1, KIND_STORE), "frame_too_long"],
  ["a frame of 4 GiB", header(0xffff_ffff, KIND_STORE), "frame_too_long"],
  ["a hello over its bound", header(1_000_000, KIND_HELLO), "frame_too_long"],
  ["an unknown kind", header(HEADER_BYTES, 200), "unknown_kind"],
  ["kind 0", header(HEADER_BYTES, 0), "unknown_kind"],
])("%s is a fault, told by the header alone, whole or in pieces", (_what, bytes, fault) => {
  expect(readAll([bytes], decodeRequest).fault).toBe(fault);
  expect(readAll([bytes.slice(0, 3), bytes.slice(3)], decodeRequest).fault).toBe(fault);
});

test("a kind of the other direction is refused, and nothing is read after a fault", () => {
  const writer = new FrameWriter();
  encodeReply(writer, { kind: "pong" });
  encodeRequest(writer, { kind: "ping" });
  let frameCount = 0;
  const reader = new FrameReader(
    (kind) => kind < 64,
    () => {
      frameCount += 1;
    },
  );
  const whole = Buffer.concat(writer.take());
  expect(reader.push(whole)).toBe("unknown_kind");
  expect(reader.push(whole.subarray(HEADER_BYTES))).toBeUndefined();
  expect(frameCount).toBe(0);
});

test("random bytes, and frames with a random byte changed, never throw (20,000 streams)", () => {
  const decodeAny = (frame: Frame): unknown => decodeRequest(frame) ?? decodeReply(frame);
  let [frameCount, faultCount] = [0, 0];
  const tally = (whole: Uint8Array): void => {
    const { read, fault } = readAll([whole], decodeAny);
    frameCount += read.length;
    if (fault !== undefined) faultCount += 1;
  };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (garbage) => {
      tally(garbage);
    }),
    { numRuns: 10_000 },
  );
  fc.assert(
    fc.property(anyRequest, anyReply, fc.nat(), fc.nat({ max: 255 }), (request, reply, at, byte) => {
      const writer = new FrameWriter();
      encodeRequest(writer, request);
      encodeReply(writer, reply);
      const whole = new Uint8Array(Buffer.concat(writer.take()));
      whole[at % Math.min(whole.length, 400)] = byte;
      tally(whole);
    }),
    { numRuns: 10_000 },
  );
  expect(frameCount).toBeGreaterThan(5_000);
  expect(faultCount).toBeGreaterThan(500);
});

test.each([
  { name: "no length of the node", body: [10] },
  { name: "a node longer than the frame", body: [10, 5, 97] },
  { name: "a node that is no node id", body: [10, 2, 47, 47] },
])("a refusal with $name is malformed", ({ body }) => {
  const whole = encoded<WireReply>([{ kind: "failed", detail: "x".repeat(body.length) }], encodeReply);
  whole[8] = KIND_REFUSED;
  whole.set(body, HEADER_BYTES);
  expect(readAll([whole], decodeReply).read.map(({ message }) => message)).toEqual([undefined]);
});

test("a refusal for a reason of a later version proves nothing, and ends no link", () => {
  const whole = encoded<WireReply>([{ kind: "failed", detail: "x" }], encodeReply);
  whole[8] = KIND_REFUSED;
  whole.set([200], HEADER_BYTES);
  const { read } = readAll([whole], decodeReply);
  expect(read[0]?.message).toEqual({ kind: "failed", detail: "refused, by reason 200" });
});

test("a refusal keeps the node that a slot went to, however long its words are", () => {
  const refused = { kind: "refused", reason: "moved", detail: "x".repeat(5_000), to: nodeIdOf("b") } as const;
  const { read } = readAll([encoded<WireReply>([refused], encodeReply)], decodeReply);
  expect(read[0]?.message).toEqual({ ...refused, detail: "x".repeat(1_022) });
});

test("words over the bound of a frame are cut, not refused", () => {
  const whole = encoded<WireReply>([{ kind: "failed", detail: "x".repeat(5_000) }], encodeReply);
  const { read } = readAll([whole], decodeReply);
  expect(read[0]?.message).toEqual({ kind: "failed", detail: "x".repeat(1_024) });
});

test("a request for a stand-in is an owner's request with one byte of flags more, and no other flags make sense", () => {
  const name = new TextEncoder().encode("bucket\0key");
  const owners: WireRequest = { kind: "fetch", key: { partition: 1, hash: 2n, key: name } };
  const plainBytes = encoded([owners], encodeRequest);
  for (let n = 1; n <= 7; n += 1) {
    for (let at = 0; at < n; at += 1) {
      const asked: WireRequest = { ...owners, standIn: { slot: at, n } };
      const whole = encoded([asked], encodeRequest);
      expect(readAll([whole], decodeRequest).read[0]?.message).toEqual(asked);
      expect([...whole].filter((byte, offset) => byte !== plainBytes[offset])).toEqual([whole[9]]);
    }
  }
  for (let flags = 0; flags < 256; flags += 1) {
    const whole = plainBytes.slice();
    whole[9] = flags;
    const { message } = readAll([whole], decodeRequest).read[0] ?? {};
    const [slotAsked, n] = [flags & 7, ((flags >> 3) & 7) + 1];
    // The key of this one is too short to be followed by a trace.
    if ((flags & TRACE_BIT) !== 0) expect(message).toBeUndefined();
    else if (flags < 0x80) expect(message).toEqual(owners);
    else if (slotAsked >= n || n > 7) expect(message).toBeUndefined();
    else expect(message).toEqual({ ...owners, standIn: { slot: slotAsked, n } });
  }
});

test("a trace follows the key, behind a flag that older nodes never set; without it the frame is the one that they know", () => {
  const name = new TextEncoder().encode("bucket\0key");
  const id = parseTraceId("4bf92f3577b34da6a3ce929d0e0e4736");
  if (id === undefined) throw new TypeError("no trace id");
  const place = { partition: 1, hash: 2n, key: name };
  const untracedOnes: readonly WireRequest[] = [
    { kind: "digest", key: place },
    { kind: "fetch", key: place, standIn: { slot: 1, n: 3 } },
    { kind: "store", key: place, baseDigest: 0n, digest: 1n, object: new Uint8Array(40).fill(7) },
  ];
  for (const request of untracedOnes) {
    if (request.kind === "ping" || request.kind === "ask") continue;
    const traced: WireRequest = { ...request, trace: id };
    const [bytes, more] = [encoded([request], encodeRequest), encoded([traced], encodeRequest)];
    const keyEnd = Buffer.from(bytes).indexOf("bucket") + name.length;
    expect(more.length).toBe(bytes.length + 16);
    expect(more.slice(keyEnd, keyEnd + 16).toHex()).toBe(id);
    expect([...more.slice(keyEnd + 16)]).toEqual([...bytes.slice(keyEnd)]);
    expect(more[9]).toBe((bytes[9] ?? 0) | TRACE_BIT);
    expect(untraced(traced)).toEqual(request);
    expect(untraced(request)).toBe(request);
    expect([...encoded([untraced(traced)], encodeRequest)]).toEqual([...bytes]);
  }
});

test("a trace of zeros is none, and costs no link", () => {
  const zeros = { partition: 1, hash: 2n, key: new Uint8Array(16) };
  const whole = encoded<WireRequest>([{ kind: "fetch", key: zeros }], encodeRequest);
  whole[9] = TRACE_BIT;
  const { message } = readAll([whole], decodeRequest).read[0] ?? {};
  expect(message).toEqual({ kind: "fetch", key: { ...zeros, key: new Uint8Array(0) } });
});
