/** Whom hints are delivered to and when; how much receivers let in; what is given up. The pure parts. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  HINT_INTAKE_BYTES_PER_SECOND,
  HINT_JITTER_MS,
  HINT_OFFER_KEYS,
  HINT_RETRY_MAX_MS,
  HINT_TAKE_BYTES,
  MAX_HINT_DELIVERIES,
  MIN_HINT_INTAKE_BYTES_PER_SECOND,
} from "../../../services/base/hint-limits.ts";
import { DeliverySchedule } from "../../../services/handoff/delivery-core.ts";
import { givenUpOf, type KeptPartition } from "../../../services/handoff/giving-up-core.ts";
import { IntakeCredits } from "../../../services/handoff/intake-credit-core.ts";
import { nodeIdOf } from "../../support/sim-peers.ts";

const [A, B] = [nodeIdOf("a"), nodeIdOf("b")];
const always = (): boolean => true;

describe("the schedule of deliveries", () => {
  test("meets a target that comes back at a time of its own, within the jitter", () => {
    const schedule = new DeliverySchedule();
    schedule.review(new Set([A]), 0, () => 0);
    expect(schedule.start(1_000_000, () => false)).toEqual([]);
    schedule.cameUp(A, 1_000_000, 0.5);
    expect(schedule.start(1_000_000 + HINT_JITTER_MS / 2 - 1, always)).toEqual([]);
    expect(schedule.start(1_000_000 + HINT_JITTER_MS / 2, always)).toEqual([A]);
  });

  test("delivers to one target once at a time, and to few at once", () => {
    const schedule = new DeliverySchedule();
    const many = Array.from({ length: 9 }, (_, n) => nodeIdOf(`m${n}`));
    schedule.review(new Set(many), 0, () => 0);
    const first = schedule.start(0, always);
    expect(first).toHaveLength(MAX_HINT_DELIVERIES);
    expect(schedule.start(0, always)).toEqual([]);
    schedule.ended(first[0] ?? A, "done", { nowMs: 0, chance: 0 });
    const next = schedule.start(0, always);
    expect(next).toHaveLength(1);
    expect(first).not.toContain(next[0]);
  });

  test("tries later and later while it fails, never later than the bound, and soon again once the target is back", () => {
    const schedule = new DeliverySchedule();
    schedule.review(new Set([A]), 0, () => 0);
    const waits: number[] = [];
    let nowMs = 0;
    for (let failure = 0; failure < 12; failure += 1) {
      const sinceMs = nowMs;
      while (schedule.start(nowMs, always).length === 0) nowMs += 100;
      waits.push(nowMs - sinceMs);
      schedule.ended(A, "failed", { nowMs, chance: 0.5 });
    }
    expect(waits.slice(1, 5)).toEqual([1_000, 2_000, 4_000, 8_000]);
    expect(Math.max(...waits)).toBe(HINT_RETRY_MAX_MS);
    schedule.cameUp(A, nowMs, 0);
    expect(schedule.start(nowMs, always)).toEqual([A]);
  });

  test("does again at once what somebody waited for while it ran", () => {
    const schedule = new DeliverySchedule();
    schedule.review(new Set([A, B]), 0, () => 0);
    expect(schedule.start(0, (node) => node === A)).toEqual([A]);
    schedule.hurry(5);
    schedule.ended(A, "failed", { nowMs: 10, chance: 1 });
    expect(schedule.start(10, always)).toEqual([B, A]);
  });

  test("forgets whom nothing is kept for", () => {
    const schedule = new DeliverySchedule();
    schedule.review(new Set([A, B]), 0, () => 0);
    schedule.review(new Set([B]), 0, () => 0);
    expect(schedule.start(0, always)).toEqual([B]);
  });
});

describe("credits", () => {
  test("keep all senders together to the receiver's rate, whatever they bring, and leave none without", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.constantFrom(0.02, 0.25, 1),
        fc.integer({ min: 60, max: 4_000 }),
        (senderCount, share, objectBytes) => {
          const credits = new IntakeCredits(0);
          const readyMs = Array.from({ length: senderCount }, () => 0);
          const takenBytes = Array.from({ length: senderCount }, () => 0);
          const allowed = readyMs.map((_, n) => credits.grant(`s${n}`, 0, share));
          for (let nowMs = 0; nowMs < 20_000; nowMs += 5) {
            for (const [sender, ready] of readyMs.entries()) {
              if (nowMs < ready) continue;
              const credit = allowed[sender] ?? { keys: 0, bytes: 0, pauseMs: 0 };
              const keys = Math.max(1, Math.min(credit.keys, Math.floor(credit.bytes / objectBytes)));
              credits.spent(`s${sender}`, { offered: 0, keys, bytes: keys * objectBytes });
              takenBytes[sender] = (takenBytes[sender] ?? 0) + keys * objectBytes;
              const next = credits.grant(`s${sender}`, nowMs, share);
              allowed[sender] = next;
              readyMs[sender] = nowMs + next.pauseMs;
            }
          }
          const total = takenBytes.reduce((sum, bytes) => sum + bytes, 0);
          expect(total).toBeLessThan(HINT_INTAKE_BYTES_PER_SECOND * share * 20 * 1.15 + 2 * HINT_TAKE_BYTES);
          expect(Math.min(...takenBytes)).toBeGreaterThan(0);
        },
      ),
      { numRuns: 40 },
    );
  });

  test("are never more than one message carries, and never nothing for ever", () => {
    const credits = new IntakeCredits(0);
    credits.spent("s", { offered: 0, keys: 1, bytes: 1e12 });
    const { keys, bytes, pauseMs } = credits.grant("s", 0, 0);
    expect({ keys: keys >= 1 && keys <= HINT_OFFER_KEYS, bytes: bytes > 0 && bytes <= HINT_TAKE_BYTES }).toEqual({
      keys: true,
      bytes: true,
    });
    expect(pauseMs).toBeLessThanOrEqual(5_000);
  });

  test("never lets what large objects left unpaid at the least rate hold up small ones later", () => {
    const credits = new IntakeCredits(0);
    for (let n = 0; n < 100; n += 1) {
      credits.spent("s", { offered: 0, keys: 1, bytes: HINT_TAKE_BYTES });
      expect(credits.grant("s", 0, 0).pauseMs).toBeLessThanOrEqual(5_000);
    }
    const { pauseMs } = credits.grant("s", 0, 1);
    expect(pauseMs).toBe(Math.ceil((5 * MIN_HINT_INTAKE_BYTES_PER_SECOND * 1_000) / HINT_INTAKE_BYTES_PER_SECOND));
  });
});

describe("what is given up", () => {
  const kept = (kind: "object" | "marker", partition: number, ageMs: number, count = 10): KeptPartition => ({
    kind,
    partition,
    count,
    oldestMs: 1_000_000 - ageMs,
  });
  const facts = { nowMs: 1_000_000, windowMs: 1_000, excessBytes: 0, averageBytes: 100, isLeaving: false };

  test("is what is older than the window, of both kinds", () => {
    const all = [kept("object", 1, 999), kept("object", 2, 1_001), kept("marker", 3, 2_000), kept("marker", 4, 0)];
    expect(givenUpOf({ ...facts, kept: all })).toEqual({ objects: [2], markers: [3] });
  });

  test("is as much as there is too much of: markers first, then objects, the oldest first", () => {
    const all = [kept("object", 1, 30), kept("object", 2, 40), kept("marker", 3, 10), kept("marker", 4, 20)];
    expect(givenUpOf({ ...facts, kept: all, excessBytes: 1 })).toEqual({ objects: [], markers: [4] });
    expect(givenUpOf({ ...facts, kept: all, excessBytes: 1_000 })).toEqual({ objects: [], markers: [4, 3] });
    expect(givenUpOf({ ...facts, kept: all, excessBytes: 2_000 })).toEqual({ objects: [2], markers: [4, 3] });
    expect(givenUpOf({ ...facts, kept: all, excessBytes: 1e9 })).toEqual({ objects: [2, 1], markers: [4, 3] });
  });

  test("is everything of a node that leaves", () => {
    const all = [kept("object", 1, 0), kept("marker", 3, 0)];
    expect(givenUpOf({ ...facts, kept: all, isLeaving: true })).toEqual({ objects: [1], markers: [3] });
  });
});
