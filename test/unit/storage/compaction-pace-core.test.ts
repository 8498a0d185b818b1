/** How long compaction rests: by the share of background work, and less the more bytes are dead. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compactionRestMs, type PaceReading } from "../../../storage/compaction-pace-core.ts";

const share = fc.double({ min: 0, max: 1, noNaN: true });
const reading: fc.Arbitrary<PaceReading> = fc.record({
  workedMs: fc.double({ min: 0, max: 10_000, noNaN: true }),
  share,
  deadRatio: share,
  bound: fc.double({ min: 0.01, max: 1, noNaN: true }),
  scarcity: share,
});
/** found by chance: 0 over 0 */
const NOTHING = { workedMs: 0, share: 4e-323, deadRatio: 4e-224, bound: 0.01, scarcity: 0 };

describe("compaction", () => {
  it.each([
    // share, dead and ms, of a store that has just come to its bound: half of the time at full pace, and its share of that
    [1, 0.25, 10],
    [0.5, 0.25, 30],
    [1 / 64, 0.25, 1_000],
    [0, 0.25, 1_000],
    // the more is dead the less it yields, to whomever
    [1, 0.375, 10 / 3],
    [0, 0.3, 40],
    [0, 0.45, 2.5],
    [0, 0.5, 0],
    [0, 1, 0],
  ])("rests, with a share of %f and %f dead of 0.25, after 10 ms for %f", (has, deadRatio, restMs) => {
    expect(compactionRestMs({ workedMs: 10, share: has, deadRatio, bound: 0.25, scarcity: 0 })).toBeCloseTo(restMs, 6);
  });

  it.each([
    [0.1, 90],
    [0.5, 10],
    [1, 0],
  ])("rests the less the scarcer space is, whatever its share: at %f of the way for %i", (scarcity, restMs) => {
    expect(compactionRestMs({ workedMs: 10, share: 0, deadRatio: 0.25, bound: 0.25, scarcity })).toBeCloseTo(restMs, 6);
  });

  it("never rests for more than a second, nor longer the more is dead, the larger its share or the scarcer space is", () => {
    fc.assert(
      fc.property(reading, share, (one, more) => {
        const restMs = compactionRestMs(one);
        expect(restMs).toBeGreaterThanOrEqual(0);
        expect(restMs).toBeLessThanOrEqual(1_000);
        for (const name of ["deadRatio", "share", "scarcity"] as const) {
          const hurried = { ...one, [name]: Math.max(one[name], more) };
          // near a rest of nothing what is rounded is all that there is
          expect(compactionRestMs(hurried)).toBeLessThanOrEqual(restMs * (1 + 1e-9) + one.workedMs * 1e-12);
        }
      }),
      {
        examples: [
          [NOTHING, 0],
          [{ ...NOTHING, workedMs: 1, scarcity: 1 - 2 ** -53 }, 1 - 5 * 2 ** -53],
        ],
      },
    );
  });

  it("never rests where all is dead, whatever bound there is", () => {
    fc.assert(fc.property(reading, (one) => compactionRestMs({ ...one, deadRatio: 1 }) === 0));
  });
});
