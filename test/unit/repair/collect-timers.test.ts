/** The rests of collecting: by the share of background work, and by what a step took. */
import { describe, expect, test } from "vitest";
import { CollectFloors } from "../../../services/repair/collect-floors-core.ts";
import { CollectSweep } from "../../../services/repair/collect-sweep.ts";
import { CollectTimers } from "../../../services/repair/collect-timers.ts";
import { SimRandom } from "../../sim/sim-random.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { EventLog } from "../../support/replica-fixture.ts";

const LONGEST_MS = 200;

class Room {
  readonly clock: FakeClock = new FakeClock();
  share = 1;
  readonly timers: CollectTimers = new CollectTimers({
    clock: this.clock,
    random: new SimRandom("collect-timers"),
    log: new EventLog(),
    share: () => this.share,
  });

  constructor() {
    this.timers.start();
  }

  /** How long a rest takes, or other work; whole milliseconds. */
  async lengthOf(rest: Promise<unknown>): Promise<number> {
    let isOver = false;
    void rest.then(() => {
      isOver = true;
    });
    const beganMs = this.clock.monotonicMs();
    await this.clock.advance(0);
    while (!isOver) await this.clock.advance(1);
    return this.clock.monotonicMs() - beganMs;
  }
}

describe("a step of collecting", () => {
  test.each([
    { share: 1, tookMs: 10, restMs: 1 },
    { share: 0.5, tookMs: 10, restMs: 10 },
    { share: 1 / 8, tookMs: 10, restMs: 70 },
    { share: 1 / 64, tookMs: 10, restMs: LONGEST_MS },
    { share: 0, tookMs: 10, restMs: LONGEST_MS },
    { share: 0.5, tookMs: 40, restMs: 40 },
    { share: 1, tookMs: 0, restMs: 1 },
    { share: 1 / 64, tookMs: 0, restMs: 63 },
  ])("that took $tookMs ms is followed by $restMs ms of rest at a share of $share", async (row) => {
    const room = new Room();
    room.share = row.share;
    const rest = room.timers.steps();
    await room.clock.advance(row.tookMs);
    expect(await room.lengthOf(rest())).toBe(row.restMs);
  });

  test("rests by the share of now, and by its own time alone", async () => {
    const room = new Room();
    const rest = room.timers.steps();
    await room.clock.advance(100);
    expect(await room.lengthOf(rest())).toBe(1);
    room.share = 1 / 4;
    await room.clock.advance(20);
    expect(await room.lengthOf(rest())).toBe(60);
    // the rest before was no work
    await room.clock.advance(2);
    expect(await room.lengthOf(rest())).toBe(6);
  });

  test("rests no longer when collecting stops, and says that it is over", async () => {
    const room = new Room();
    room.share = 1 / 64;
    const rest = room.timers.steps();
    const resting = rest();
    room.timers.stop();
    expect(await resting).toBe(false);
    expect(await rest()).toBe(false);
    expect(room.clock.plannedCount).toBe(0);
  });
});

describe("a look through a partition", () => {
  test.each([
    { share: 1, lastsMs: 33 },
    { share: 1 / 4, lastsMs: 120 },
  ])("of three pages that take 10 ms each lasts $lastsMs ms at a share of $share", async ({ share, lastsMs }) => {
    const room = new Room();
    room.share = share;
    const sweep = new CollectSweep({
      store: {
        scanCollectable: async (_, from) => {
          await new Promise<void>((resolve) => void room.clock.setTimer(10, resolve));
          return { entries: [], nextHash: from < 2n ? from + 1n : undefined };
        },
        get: () => undefined,
        reap: async () => 0,
        isSuspect: () => false,
      },
      floors: new CollectFloors(64),
      slotOf: () => 0,
      isMoving: () => false,
      isTold: () => true,
      steps: () => room.timers.steps(),
    });
    expect(await room.lengthOf(sweep.census(0, { floor: 1, expiryMs: 1 }))).toBe(lastsMs);
  });
});
