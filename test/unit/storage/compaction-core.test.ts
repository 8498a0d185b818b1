/** Which segments compaction picks. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compactionInputsOf, garbageRatioOf, type SegmentFill } from "../../../storage/compaction-core.ts";

const rule = { segmentBytes: 10_064, garbageRatio: 0.25, garbageBytes: 0, maxInputs: 4 };
const full = (id: number, liveBytes: number): SegmentFill => ({ id, sizeBytes: 10_064, liveBytes });

describe("the inputs of a compaction", () => {
  const cases: readonly (readonly [string, readonly SegmentFill[], readonly number[]])[] = [
    ["none, when nothing is dead", [full(1, 10_000), full(2, 10_000)], []],
    ["none, when little is dead", [full(1, 9_000), full(2, 9_000)], []],
    ["first those without a live byte, whatever the rest", [full(1, 10_000), full(2, 0), full(3, 10_000)], [2]],
    ["the most rotten first", [full(1, 7_000), full(2, 3_000), full(3, 5_000)], [2, 3]],
    ["as many as fill one segment", [full(1, 4_000), full(2, 4_000), full(3, 4_000)], [1, 2]],
    ["not one that is nearly whole", [full(1, 1_000), full(2, 9_500)], [1]],
    [
      "four small ones that are alike, though all of them live",
      [1, 2, 3, 4].map((id) => ({ id, sizeBytes: 164, liveBytes: 100 })),
      [1, 2, 3, 4],
    ],
    [
      "no small ones that one outweighs: its bytes would be copied again and again",
      [
        ...[1, 2, 3].map((id) => ({ id, sizeBytes: 164, liveBytes: 100 })),
        { id: 4, sizeBytes: 1_064, liveBytes: 1_000 },
      ],
      [],
    ],
  ];
  test.each(cases)("are %s", (_title, fills, expected) => {
    expect(compactionInputsOf(fills, rule)).toEqual(expected);
  });

  test("are none while fewer dead bytes than the tolerated ones are there, whatever their share", () => {
    const fills = [full(1, 1_000), full(2, 1_000)];
    expect(compactionInputsOf(fills, { ...rule, garbageBytes: 18_001 })).toEqual([]);
    expect(compactionInputsOf(fills, { ...rule, garbageBytes: 18_000 })).toEqual([1, 2]);
  });

  test("end: compacting what is picked, over and over, comes to rest below the bound", () => {
    const fill = fc.record({ dead: fc.nat({ max: 100 }), live: fc.nat({ max: 100 }) });
    fc.assert(
      fc.property(fc.array(fill, { maxLength: 30 }), fc.double({ min: 0.01, max: 1, noNaN: true }), (fills, ratio) => {
        let nextId = 1;
        const make = (live: number, dead: number): SegmentFill => ({
          id: nextId++,
          sizeBytes: 64 + live + dead,
          liveBytes: live,
        });
        let segments = fills.map(({ live, dead }) => make(live * 100, dead * 100));
        const bound = { ...rule, garbageRatio: ratio };
        for (let round = 0; ; round += 1) {
          const inputs = compactionInputsOf(segments, bound);
          if (inputs.length === 0) break;
          expect(round).toBeLessThan(200);
          const picked = segments.filter((segment) => inputs.includes(segment.id));
          let live = picked.reduce((sum, segment) => sum + segment.liveBytes, 0);
          segments = segments.filter((segment) => !inputs.includes(segment.id));
          for (; live > 0; live -= Math.min(live, 10_000)) segments.push(make(Math.min(live, 10_000), 0));
        }
        expect(segments.length === 0 || garbageRatioOf(segments) < ratio).toBe(true);
      }),
    );
  });
});
