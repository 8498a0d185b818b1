/** Whether the disk keeps up, and what is done to find out. */
import { describe, expect, it } from "vitest";
import { CANARY_IDLE_MS, DISK_BAD_LOOKS, DISK_GOOD_LOOKS, DISK_LOOK_MS } from "../../../services/base/load-limits.ts";
import { DiskPulse } from "../../../services/calm/disk-pulse.ts";
import { DiskPulseCore, type DiskState } from "../../../services/calm/disk-pulse-core.ts";
import { FakeClock } from "../../support/fake-clock.ts";

describe("the pulse of a disk", () => {
  /** So many seconds with a write of `tookMs` in each, looked at. */
  function seconds(core: DiskPulseCore, count: number, tookMs: number, from = 0, loopDelayMs = 0): DiskState {
    let state = core.state;
    for (let n = 1; n <= count; n += 1) {
      const nowMs = from + n * DISK_LOOK_MS;
      core.began(nowMs - tookMs);
      core.becameDurable(nowMs - tookMs, nowMs);
      state = core.look(nowMs, loopDelayMs);
    }
    return state;
  }

  it("is well while writes become durable in time", () => {
    const core = new DiskPulseCore();
    expect(seconds(core, 100, 250)).toBe("well");
    expect(core.medianMs).toBeGreaterThan(240);
  });

  it("is slow at once, and degraded within five seconds, when each write takes half a second", () => {
    const core = new DiskPulseCore();
    expect(seconds(core, 1, 500)).toBe("slow");
    expect(seconds(core, DISK_BAD_LOOKS - 1, 500, 1_000)).toBe("degraded");
    expect(DISK_BAD_LOOKS * DISK_LOOK_MS).toBeLessThanOrEqual(5_000);
  });

  it("is degraded when nothing becomes durable any more, though nothing has ended", () => {
    const core = new DiskPulseCore();
    core.began(100);
    const states = [1, 2, 3, 4, 5].map((n) => core.look(n * DISK_LOOK_MS, 0));
    expect(states).toEqual(["well", "slow", "slow", "slow", "degraded"]);
    expect(core.stallMs).toBe(4_900);
  });

  it("is degraded though new writes keep coming, when none of them ends", () => {
    const core = new DiskPulseCore();
    const states = [1, 2, 3, 4, 5].map((n) => {
      for (let i = 9; i >= 0; i -= 1) core.began(n * DISK_LOOK_MS - i * 100);
      return core.look(n * DISK_LOOK_MS, 0);
    });
    expect(states.at(-1)).toBe("degraded");
  });

  it("is not slow because many wait, as long as some become durable", () => {
    const core = new DiskPulseCore();
    for (let n = 0; n < 50; n += 1) core.began(0);
    const states = [1_000, 2_000, 3_000, 4_000].map((nowMs) => {
      for (let n = 9; n >= 0; n -= 1) {
        core.began(nowMs - n * 100 - 90);
        core.becameDurable(nowMs - n * 100 - 90, nowMs - n * 100);
      }
      return core.look(nowMs, 0);
    });
    expect(states).toEqual(["well", "well", "well", "well"]);
  });

  it("comes back after five good seconds in a row, from slow after one", () => {
    const core = new DiskPulseCore();
    seconds(core, 10, 500);
    expect(seconds(core, DISK_GOOD_LOOKS - 1, 5, 10_000)).toBe("degraded");
    seconds(core, 1, 500, 20_000);
    expect(seconds(core, DISK_GOOD_LOOKS - 1, 5, 30_000)).toBe("degraded");
    expect(seconds(core, 1, 5, 40_000)).toBe("well");
    expect([seconds(core, 1, 500, 50_000), seconds(core, 1, 5, 51_000)]).toEqual(["slow", "well"]);
  });

  it("neither gets worse nor better while nobody writes, or while the loop itself is late", () => {
    const core = new DiskPulseCore();
    expect(seconds(core, 10, 500, 0, 300)).toBe("well");
    seconds(core, 10, 500, 20_000);
    for (let n = 0; n < 100; n += 1) expect(core.look(40_000 + n * 1_000, 0)).toBe("degraded");
  });
});

describe("the pulse when writes are refused", () => {
  type Told = readonly ["began" | "refused", number] | readonly ["durable", number, number];

  function tell(core: DiskPulseCore, told: readonly Told[]): DiskPulseCore {
    for (const [what, beganMs, nowMs = beganMs] of told) {
      if (what === "began") core.began(beganMs);
      else if (what === "durable") core.becameDurable(beganMs, nowMs);
      else core.wasRefused(beganMs);
    }
    return core;
  }

  /** What is known four seconds after the start; silent: nothing under way, and nothing durable in the last two. */
  const cases: readonly (readonly [what: string, told: readonly Told[], stallMs: number, isSilent: boolean])[] = [
    ["no write", [], 0, true],
    ["one waits", [["began", 1_000]], 3_000, false],
    [
      "one was refused, and nobody else waits",
      [
        ["began", 3_990],
        ["refused", 3_990],
      ],
      0,
      true,
    ],
    [
      "one was refused, an older one waits",
      [
        ["began", 1_000],
        ["began", 3_990],
        ["refused", 3_990],
      ],
      3_000,
      false,
    ],
    [
      "the oldest was refused, another waits",
      [
        ["began", 1_000],
        ["began", 3_500],
        ["refused", 1_000],
      ],
      500,
      false,
    ],
    [
      "one of two of one moment was refused",
      [
        ["began", 1_000],
        ["began", 1_000],
        ["refused", 1_000],
      ],
      3_000,
      false,
    ],
    [
      "one of two of one millisecond was",
      [
        ["began", 1_000.2],
        ["began", 1_000.7],
        ["refused", 1_000.2],
      ],
      3_000,
      false,
    ],
    [
      "one became durable, another waits",
      [
        ["began", 1_000],
        ["began", 1_500],
        ["durable", 1_000, 3_800],
      ],
      200,
      false,
    ],
    [
      "one became durable, the rest was refused",
      [
        ["began", 1_000],
        ["began", 3_000],
        ["durable", 1_000, 1_100],
        ["refused", 3_000],
      ],
      0,
      true,
    ],
    [
      "one became durable of late, nobody waits",
      [
        ["began", 3_000],
        ["durable", 3_000, 3_100],
      ],
      0,
      false,
    ],
    [
      "one waits that began after the last one was refused",
      [
        ["began", 1_000],
        ["refused", 1_000],
        ["began", 3_400],
      ],
      600,
      false,
    ],
    [
      "the store failed: all were refused",
      [
        ["began", 1_000],
        ["began", 2_000],
        ["refused", 1_000],
        ["refused", 2_000],
      ],
      0,
      true,
    ],
  ];

  it.each(cases)("%s", (_, told, stallMs, isSilent) => {
    const core = tell(new DiskPulseCore(), told);
    core.look(4_000, 0);
    expect([core.stallMs, core.isSilentSince(2_000)]).toEqual([stallMs, isSilent]);
  });

  it("takes the median of what became durable", () => {
    const core = new DiskPulseCore();
    for (let n = 0; n < 100; n += 1)
      tell(core, [
        ["began", 900],
        ["refused", 900],
      ]);
    tell(core, [
      ["began", 100],
      ["durable", 100, 600],
    ]);
    expect(core.look(1_000, 0)).toBe("slow");
    expect(core.medianMs).toBeGreaterThan(490);
  });

  it("is neither good nor bad in a second in which all were refused", () => {
    const core = new DiskPulseCore();
    const looks: DiskState[] = [];
    const second = (nowMs: number, told: readonly Told[]): void => void looks.push(tell(core, told).look(nowMs, 0));
    second(1_000, [
      ["began", 400],
      ["durable", 400, 900],
    ]);
    for (let n = 2; n < 9; n += 1)
      second(n * 1_000, [
        ["began", n * 1_000 - 5],
        ["refused", n * 1_000 - 5],
      ]);
    expect(looks).toEqual(looks.map(() => "slow"));
    second(9_000, [
      ["began", 8_900],
      ["durable", 8_900, 8_910],
    ]);
    expect(looks.at(-1)).toBe("well");
  });
});

describe("the canary", () => {
  function rig(): { readonly clock: FakeClock; readonly pulse: DiskPulse; readonly told: DiskState[]; takeMs: number } {
    const clock = new FakeClock();
    const told: DiskState[] = [];
    const quiet = (): void => undefined;
    const made = {
      clock,
      told,
      takeMs: 2,
      pulse: new DiskPulse({
        clock,
        log: { info: quiet, warn: quiet },
        writeCanary: () => new Promise<void>((resolve) => void clock.setTimer(made.takeMs, resolve)),
        loopDelayMs: () => 0,
        onState: (state) => void told.push(state),
      }),
    };
    return made;
  }

  it("writes every five seconds when nobody else does, and never when somebody does", async () => {
    const { clock, pulse } = rig();
    pulse.start();
    await clock.advance(60_500);
    expect(pulse.canaryCount).toBe(60_000 / CANARY_IDLE_MS);
    for (let n = 0; n < 60; n += 1) {
      pulse.ended(pulse.began(), true);
      await clock.advance(1_000);
    }
    expect(pulse.canaryCount).toBe(60_000 / CANARY_IDLE_MS);
    pulse.stop();
  });

  it("finds a disk that hangs while nobody writes, and its coming back, by itself", async () => {
    const made = rig();
    const { clock, pulse, told } = made;
    pulse.start();
    made.takeMs = 60_000;
    await clock.advance(12_000);
    expect([told, pulse.state]).toEqual([["slow", "degraded"], "degraded"]);
    expect(pulse.words).toMatch(/^degraded: a write takes \d+ ms; nothing has become durable for \d+ ms$/);
    made.takeMs = 2;
    await clock.advance(70_000);
    expect([told.at(-1), pulse.words]).toEqual(["well", "writes become durable in time"]);
    pulse.stop();
    const count = pulse.canaryCount;
    await clock.advance(60_000);
    expect(pulse.canaryCount).toBe(count);
  });

  it("is not alarmed by an error: a full disk is not a slow one", async () => {
    const clock = new FakeClock();
    const quiet = (): void => undefined;
    const pulse = new DiskPulse({
      clock,
      log: { info: quiet, warn: quiet },
      writeCanary: () => Promise.reject(new Error("full")),
      loopDelayMs: () => 0,
      onState: () => expect.unreachable("the state has not changed"),
    });
    pulse.start();
    await clock.advance(60_000);
    expect([pulse.state, pulse.canaryCount]).toEqual(["well", 12]);
    pulse.stop();
  });
});
