/** How much background work may take, by what clients feel. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  BACKGROUND_SHARE_AT_START,
  BACKGROUND_SHARE_FLOOR,
  FOREGROUND_TARGET_MAX_MS,
  FOREGROUND_TARGET_UNKNOWN_MS,
  GOVERNOR_LOOK_MS,
  GOVERNOR_START_MS,
} from "../../../services/base/load-limits.ts";
import { GovernorCore, type GovernorReading } from "../../../services/calm/governor-core.ts";

const QUIET = { readP99Ms: 4, writeP99Ms: 8, loopDelayMs: 1, utilisation: 0.5, isDiskSlow: false };
/** looks */
const TWO_MINUTES = 120_000 / GOVERNOR_LOOK_MS;
type Felt = Partial<Omit<GovernorReading, "nowMs">>;

/** A governor that has looked so often at a quiet node. */
function governed(lookCount = 1): { look(felt: Felt, times?: number): void; readonly core: GovernorCore } {
  const core = new GovernorCore();
  let nowMs = 0;
  const look = (felt: Felt, times = 1): void => {
    for (let n = 0; n < times; n += 1) {
      nowMs += GOVERNOR_LOOK_MS;
      core.look({ nowMs, ...QUIET, ...felt });
    }
  };
  look({}, lookCount);
  return { look, core };
}

describe("the share of background work", () => {
  it("is all of it on a quiet node", () => {
    expect(governed(10).core.share).toBe(1);
  });

  it.each<[string, Felt]>([
    ["reads take half as long again as on a quiet node", { readP99Ms: 7.8 }],
    ["writes do", { writeP99Ms: 12.1 }],
    ["the event loop is late", { loopDelayMs: 51 }],
    ["the event loop has no rest", { utilisation: 0.96 }],
    ["writes wait for the disk, though no client of this node feels it", { isDiskSlow: true }],
  ])("is halved at each look while %s", (_, felt) => {
    const { look, core } = governed();
    look(felt, 2);
    expect(core.share).toBe(0.25);
  });

  it("comes back in small steps: sixteen looks for all of it", () => {
    const { look, core } = governed();
    look({ loopDelayMs: 500 }, 20);
    expect(core.share).toBe(BACKGROUND_SHARE_FLOOR);
    look({}, 1);
    expect(core.share).toBeCloseTo(BACKGROUND_SHARE_FLOOR + 1 / 16);
    look({}, 15);
    expect(core.share).toBe(1);
  });

  it("is a part after a start, which grows while clients bear it and falls at once when they do not", () => {
    const { look, core } = governed(0);
    core.begin(0);
    expect(core.share).toBe(BACKGROUND_SHARE_AT_START);
    look({}, 4);
    expect(core.share).toBeCloseTo(BACKGROUND_SHARE_AT_START + 1 / 4);
    look({ loopDelayMs: 500 });
    expect(core.share).toBeCloseTo((BACKGROUND_SHARE_AT_START + 1 / 4) / 2);
    look({}, 14);
    expect(core.share).toBe(1);
  });

  it("stays least of all for a while after a start that clients feel, and no longer", () => {
    const { look, core } = governed(0);
    core.begin(0);
    const lastLook = GOVERNOR_START_MS / GOVERNOR_LOOK_MS;
    look({ loopDelayMs: 500 }, lastLook - 1);
    expect(core.share).toBe(BACKGROUND_SHARE_AT_START);
    look({ loopDelayMs: 500 });
    expect(core.share).toBe(BACKGROUND_SHARE_FLOOR);
    look({ loopDelayMs: 45 });
    expect(core.share).toBe(BACKGROUND_SHARE_FLOOR);
  });

  it("asks clients of a node that has just started for little, and for what is usual there after two minutes", () => {
    const { look, core } = governed(0);
    look({ writeP99Ms: 30 }, TWO_MINUTES);
    expect([core.targetsMs.write, core.share]).toEqual([FOREGROUND_TARGET_UNKNOWN_MS, BACKGROUND_SHARE_FLOOR]);
    look({ writeP99Ms: 30 }, 20);
    expect([core.targetsMs.write, core.share]).toEqual([45, 1]);
  });

  it("asks for little until two minutes of reads, or of writes, are known, however long ago the node started", () => {
    const { look, core } = governed(0);
    const none = { readP99Ms: undefined, writeP99Ms: undefined };
    look(none, 5 * TWO_MINUTES);
    look({ ...none, readP99Ms: 30 }, TWO_MINUTES);
    expect(core.targetsMs.read).toBe(FOREGROUND_TARGET_UNKNOWN_MS);
    look({ readP99Ms: 30, writeP99Ms: 30 });
    expect(core.targetsMs).toEqual({ read: 45, write: FOREGROUND_TARGET_UNKNOWN_MS });
  });

  it("is not measured by one lucky look: what is typical of a quiet while counts", () => {
    const { look, core } = governed(0);
    look({ readP99Ms: 20, writeP99Ms: 20 }, TWO_MINUTES + 1);
    look({ readP99Ms: 3, writeP99Ms: 20 });
    look({ readP99Ms: 22, writeP99Ms: 20 }, 10);
    expect(core.share).toBe(1);
    look({ readP99Ms: 31, writeP99Ms: 20 });
    expect(core.share).toBe(0.5);
  });

  it("stays as it is while clients feel it a little", () => {
    const { look, core } = governed();
    look({ readP99Ms: 20 });
    look({ writeP99Ms: 11 }, 5);
    expect(core.share).toBe(0.5);
  });

  it("is never nothing, whatever is felt", () => {
    const felt = fc.record({
      readP99Ms: fc.option(fc.double({ min: 0, max: 1e6, noNaN: true }), { nil: undefined }),
      writeP99Ms: fc.option(fc.double({ min: 0, max: 1e6, noNaN: true }), { nil: undefined }),
      loopDelayMs: fc.double({ min: 0, max: 1e6, noNaN: true }),
      utilisation: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(felt, { maxLength: 200 }), (all) => {
        const { look, core } = governed();
        for (const one of all) {
          look(one);
          expect(core.share).toBeGreaterThanOrEqual(BACKGROUND_SHARE_FLOOR);
          expect(core.share).toBeLessThanOrEqual(1);
        }
      }),
    );
  });

  it("does not take the latency of a disturbed node for a quiet one's within half an hour", () => {
    const { look, core } = governed();
    look({ writeP99Ms: 30 }, 2 * 60 * 25);
    expect(core.targetsMs.write).toBe(12);
    expect(core.share).toBe(BACKGROUND_SHARE_FLOOR);
  });

  it("yields beyond a p99 that no client should bear, however slow a quiet node is", () => {
    const { look, core } = governed(0);
    look({ writeP99Ms: FOREGROUND_TARGET_MAX_MS + 1 });
    expect(core.share).toBe(0.5);
  });

  it("is all of it where no client asks for anything", () => {
    const { look, core } = governed(0);
    look({ readP99Ms: undefined, writeP99Ms: undefined }, 100);
    expect([core.share, core.pressure]).toEqual([1, QUIET.loopDelayMs / 50]);
  });
});
