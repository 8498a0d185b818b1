/** Messages of gossip at random, for laws about their bytes. */
import fc from "fast-check";
import type { Fitness, Life, MemberFacts, Message, StateHashes } from "../../gossip/core/messages.ts";

const u32 = fc.nat({ max: 0xffff_ffff });

export const anyNodeId: fc.Arbitrary<string> = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/);

export const anyAddress: fc.Arbitrary<string> = fc
  .tuple(
    fc.oneof(
      fc.ipV4(),
      fc.ipV6().map((ip) => `[${ip}]`),
      fc.constant("n1"),
    ),
    fc.nat({ max: 65_535 }),
  )
  .map(([host, port]) => `${host}:${port}`);

export const anyLife: fc.Arbitrary<Life> = fc.record({ generation: u32, incarnation: u32 });

export const anyFacts: fc.Arbitrary<MemberFacts> = fc.record({
  nodeId: anyNodeId,
  address: anyAddress,
  zone: fc.stringMatching(/^[A-Za-z0-9/-]{0,16}$/),
});

const anyHashes: fc.Arbitrary<StateHashes> = fc.record({
  members: u32,
  records: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
});

const anyFitness: fc.Arbitrary<Fitness> = fc.record({
  health: fc.nat({ max: 7 }),
  loopLag: fc.nat({ max: 255 }),
  isDiskWritable: fc.boolean(),
  isDegraded: fc.boolean(),
});

/** Any message that a member may say. */
export const anyMessage: fc.Arbitrary<Message> = fc.oneof(
  fc.record({
    kind: fc.constant("ping" as const),
    seq: u32,
    target: fc.oneof({ weight: 9, arbitrary: anyNodeId }, { weight: 1, arbitrary: fc.constant("") }),
    hashes: anyHashes,
  }),
  fc.record({ kind: fc.constant("ack" as const), seq: u32, hashes: anyHashes, fitness: anyFitness }),
  fc.record({
    kind: fc.constant("ping-req" as const),
    seq: u32,
    target: anyNodeId,
    targetAddress: anyAddress,
    timeoutMs: fc.nat({ max: 65_535 }),
  }),
  fc.record({ kind: fc.constant("nack" as const), seq: u32 }),
  fc.record({ kind: fc.constant("alive" as const), life: anyLife, facts: anyFacts }),
  fc.record({
    kind: fc.constantFrom("suspect" as const, "dead" as const),
    nodeId: anyNodeId,
    life: anyLife,
    from: anyNodeId,
  }),
  fc.record({ kind: fc.constant("left" as const), nodeId: anyNodeId, life: anyLife }),
  fc.record({ kind: fc.constant("pull" as const), what: fc.constantFrom("members" as const, "records" as const) }),
  fc.record({
    kind: fc.constant("user" as const),
    topic: fc.nat({ max: 255 }),
    bytes: fc.uint8Array({ maxLength: 512 }),
  }),
);
