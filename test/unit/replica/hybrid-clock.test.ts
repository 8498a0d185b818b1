/** Counters: above all that was, never above the lease, following others within the skew. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { COUNTER_LEASE_AHEAD, COUNTER_LEASE_BLOCK, MAX_CLOCK_SKEW_MICROS } from "../../../services/base/limits.ts";
import { HybridClock } from "../../../services/replica/hybrid-clock.ts";
import { EventLog, HandClock } from "../../support/replica-fixture.ts";

class Leases {
  identity = { actor: 1, pastActors: [] as readonly number[], leasedThrough: 0 };
  readonly granted: number[] = [];
  failure: Error | undefined;

  async leaseCounters(through: number): Promise<void> {
    await Promise.resolve();
    if (this.failure !== undefined) throw this.failure;
    this.granted.push(through);
    this.identity = { ...this.identity, leasedThrough: Math.max(through, this.identity.leasedThrough) };
  }
}

function started(leasedThrough = 0): {
  readonly hybrid: HybridClock;
  readonly wall: HandClock;
  readonly leases: Leases;
  readonly log: EventLog;
} {
  const wall = new HandClock();
  const leases = new Leases();
  leases.identity = { ...leases.identity, leasedThrough };
  const log = new EventLog();
  return { hybrid: new HybridClock({ clock: wall, leases, log }), wall, leases, log };
}

describe("a hybrid clock", () => {
  test("gives nothing before a lease is durable", async () => {
    const { hybrid, wall } = started();
    expect(hybrid.mint(0)).toBe(0);
    await hybrid.renewLease(0);
    expect(hybrid.mint(0)).toBe(wall.micros);
  });

  test("goes on by one while the wall clock stands or goes back, and with it otherwise", async () => {
    const { hybrid, wall } = started();
    const start = wall.micros;
    await hybrid.renewLease(0);
    expect([hybrid.mint(0), hybrid.mint(0)]).toEqual([start, start + 1]);
    wall.micros -= 5_000;
    expect(hybrid.mint(0)).toBe(start + 2);
    wall.micros = start + 10;
    expect(hybrid.mint(0)).toBe(start + 10);
  });

  test("starts above everything that was leased before, and never from that lease", async () => {
    const ahead = new HandClock().micros + COUNTER_LEASE_BLOCK;
    const { hybrid } = started(ahead);
    expect(hybrid.mint(0)).toBe(0);
    await hybrid.renewLease(0);
    expect(hybrid.mint(0)).toBe(ahead + 1);
  });

  test("restarted again and again, does not run away from the wall clock by a block each time", async () => {
    let leasedThrough = 0;
    for (let restart = 0; restart < 20; restart += 1) {
      const { hybrid, leases } = started(leasedThrough);
      await hybrid.renewLease(0);
      expect(hybrid.mint(0)).toBeGreaterThan(leasedThrough);
      leasedThrough = leases.identity.leasedThrough;
    }
    expect(leasedThrough).toBeLessThanOrEqual(
      new HandClock().micros + COUNTER_LEASE_BLOCK + 20 * (COUNTER_LEASE_AHEAD + 1),
    );
  });

  test("asks for the next lease behind the writes when most of one is used", async () => {
    const { hybrid, wall, leases } = started();
    await hybrid.renewLease(0);
    wall.micros += COUNTER_LEASE_BLOCK * 0.79;
    hybrid.mint(0);
    expect(leases.granted).toHaveLength(1);
    wall.micros += COUNTER_LEASE_BLOCK * 0.02;
    expect(hybrid.mint(0)).toBe(wall.micros);
    await hybrid.renewLease(0);
    expect(leases.granted).toEqual([expect.any(Number), wall.micros + COUNTER_LEASE_BLOCK]);
    wall.micros += COUNTER_LEASE_BLOCK * 0.5;
    expect(hybrid.mint(0)).toBe(wall.micros);
  });

  test("is back at the wall clock within seconds of a restart, so that its dates beat nobody's later write", async () => {
    const before = started();
    await before.hybrid.renewLease(0);
    const { hybrid, wall } = started(before.leases.identity.leasedThrough);
    await hybrid.renewLease(0);
    expect(hybrid.mint(0)).toBeLessThanOrEqual(wall.micros + 5_000_001);
    wall.micros += 5_100_000;
    expect(hybrid.mint(0)).toBe(wall.micros);
  });

  test("never keeps a write waiting while there is one every second, and leases nothing while there is none", async () => {
    const { hybrid, wall, leases } = started();
    await hybrid.renewLease(0);
    for (let second = 0; second < 60; second += 1) {
      expect(hybrid.mint(0)).toBe(wall.micros);
      await new Promise((resolve) => setImmediate(resolve));
      wall.micros += 900_000;
    }
    expect(leases.granted.length).toBeLessThanOrEqual(15);
    wall.micros += 60 * COUNTER_LEASE_BLOCK;
    const { length } = leases.granted;
    await new Promise((resolve) => setImmediate(resolve));
    expect(leases.granted).toHaveLength(length);
  });

  test("whose lease cannot be renewed goes on to its end, then gives nothing and says why", async () => {
    const { hybrid, wall, leases, log } = started();
    await hybrid.renewLease(0);
    leases.failure = new Error("the disk is full");
    wall.micros += COUNTER_LEASE_BLOCK * 0.9;
    expect(hybrid.mint(0)).toBe(wall.micros);
    await Promise.resolve();
    await Promise.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    expect(log.events).toEqual(["replica.lease-not-renewed"]);
    wall.micros += COUNTER_LEASE_BLOCK;
    expect(hybrid.mint(0)).toBe(0);
    await expect(hybrid.renewLease(0)).rejects.toThrow("the disk is full");
    leases.failure = undefined;
    await hybrid.renewLease(0);
    expect(hybrid.mint(0)).toBe(wall.micros);
  });

  test("shares one renewal among all who wait", async () => {
    const { hybrid, leases } = started();
    await Promise.all([hybrid.renewLease(0), hybrid.renewLease(0), hybrid.renewLease(0)]);
    expect(leases.granted).toHaveLength(1);
  });

  test("follows counters of others within the allowed skew, and ignores those beyond", async () => {
    const { hybrid, wall } = started();
    await hybrid.renewLease(0);
    hybrid.observe(wall.micros + 1_000);
    expect(hybrid.mint(0)).toBe(wall.micros + 1_001);
    hybrid.observe(wall.micros + MAX_CLOCK_SKEW_MICROS + 1);
    expect(hybrid.mint(0)).toBe(wall.micros + 1_002);
    expect(hybrid.ignoredCount).toBe(1);
  });

  test("mints above a floor however far ahead it is, once the lease reaches there", async () => {
    const { hybrid, wall } = started();
    const floor = wall.micros + 1_000 * MAX_CLOCK_SKEW_MICROS;
    await hybrid.renewLease(0);
    expect(hybrid.mint(floor)).toBe(0);
    await hybrid.renewLease(floor);
    expect(hybrid.mint(floor)).toBe(floor + 1);
  });

  test("never repeats itself, never falls, never exceeds its durable lease, whatever the wall clock does", async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("mint" as const), by: fc.integer({ min: -1e8, max: 1e8 }) }),
      fc.record({ kind: fc.constant("observe" as const), by: fc.integer({ min: -1e8, max: 1e8 }) }),
      fc.record({ kind: fc.constant("restart" as const), by: fc.constant(0) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        let now = started();
        let greatest = 0;
        for (const { kind, by } of steps) {
          if (kind === "restart") now = started(now.leases.identity.leasedThrough);
          if (kind === "observe") now.hybrid.observe(now.wall.micros + by);
          if (kind !== "mint") continue;
          now.wall.micros = Math.max(1, now.wall.micros + by);
          let counter = now.hybrid.mint(0);
          if (counter === 0) {
            await now.hybrid.renewLease(0);
            counter = now.hybrid.mint(0);
          }
          expect(counter).toBeGreaterThan(greatest);
          expect(counter).toBeLessThanOrEqual(now.leases.identity.leasedThrough);
          greatest = counter;
        }
      }),
    );
  });
});
