import { expect, test } from "vitest";
import { SimRandom } from "../../sim/sim-random.ts";

const draws = (random: SimRandom, count = 16): readonly number[] => Array.from({ length: count }, () => random.u32());

test("a seed draws the same for ever: these numbers never change", () => {
  expect(draws(new SimRandom("gyre"), 4)).toMatchInlineSnapshot(`
    [
      844374314,
      3254076262,
      150577845,
      3755546566,
    ]
  `);
});

test("another seed draws otherwise", () => {
  expect(draws(new SimRandom("a"))).not.toEqual(draws(new SimRandom("b")));
});

test("a fork draws the same whatever its parent has drawn before", () => {
  const [fresh, used] = [new SimRandom("seed"), new SimRandom("seed")];
  draws(used);
  used.fork("other");
  expect(draws(used.fork("child"))).toEqual(draws(fresh.fork("child")));
});

test("the second fork of a label is another stream, and the same in every run", () => {
  const [one, two] = [new SimRandom("seed"), new SimRandom("seed")];
  const [first, second] = [draws(one.fork("boot")), draws(one.fork("boot"))];
  expect(second).not.toEqual(first);
  expect([draws(two.fork("boot")), draws(two.fork("boot"))]).toEqual([first, second]);
});

test("floats fill [0, 1) evenly, and bytes and bounded integers stay in their range", () => {
  const random = new SimRandom("spread");
  const counts = new Uint32Array(10);
  for (let i = 0; i < 20_000; i += 1) {
    const float = random.float();
    expect(float >= 0 && float < 1).toBe(true);
    counts[Math.floor(float * 10)] = (counts[Math.floor(float * 10)] ?? 0) + 1;
  }
  for (const count of counts) expect(Math.abs(count - 2_000)).toBeLessThan(250);
  expect(random.bytes(100)).toHaveLength(100);
  for (let i = 0; i < 1_000; i += 1) expect(random.below(7)).toBeLessThan(7);
});
