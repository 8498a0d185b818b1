/** Whose turn it is to take in a page of others, and who is not waited for. */
import { describe, expect, test } from "vitest";
import { TRANSFER_PACE_MS, TRANSFER_PAGE_BYTES } from "../../../services/base/limits.ts";
import { MIN_PULLED_BYTES_PER_SECOND } from "../../../services/base/load-limits.ts";
import { PullPace } from "../../../services/repair/pull-pace.ts";
import { FakeClock } from "../../support/fake-clock.ts";

/** pages that may come at once after a rest: the first ones that are paid for, and one that is owed */
const AT_ONCE = 5;
const PAGE_MS = (TRANSFER_PAGE_BYTES / MIN_PULLED_BYTES_PER_SECOND) * 1_000;

async function rig() {
  const clock = new FakeClock();
  const state = { isStopped: false };
  const pace = new PullPace({
    clock,
    share: () => 0,
    pause: (ms) => new Promise<void>((resolve) => void clock.setTimer(ms, resolve)),
    isStopped: () => state.isStopped,
  });
  await clock.advance(TRANSFER_PACE_MS);
  const ended: string[] = [];
  const ask = (name: string, isOurs: () => boolean = () => true): void =>
    void pace.pay(isOurs).then((reason) => ended.push(reason === undefined ? name : `${name}: ${reason}`));
  return { clock, pace, ended, ask, state };
}

describe("pages that are taken in", () => {
  test("are asked for by those who wait in their order, and by nobody at once meanwhile", async () => {
    const { clock, pace, ended, ask } = await rig();
    for (let n = 0; n < AT_ONCE; n += 1) expect(pace.payAtOnce()).toBe(true);
    expect(pace.payAtOnce()).toBe(false);
    for (const name of ["a", "b", "c", "d"]) ask(name);
    await clock.advance(PAGE_MS - 1);
    expect(ended).toEqual([]);
    for (const names of ["a", "ab", "abc", "abcd"]) {
      await clock.advance(PAGE_MS);
      expect(pace.payAtOnce()).toBe(false);
      expect(ended.join("")).toBe(names);
    }
  });

  test("go to who has waited longest, though others would wake sooner, or what was paid for did not come", async () => {
    const { clock, pace, ended, ask } = await rig();
    while (pace.payAtOnce());
    // 1.5 s are owed, and who waits looks once a second
    pace.came(1.5 * MIN_PULLED_BYTES_PER_SECOND, 1);
    ask("a");
    await clock.advance(700);
    ask("b");
    await clock.advance(802);
    expect(ended).toEqual(["a"]);
    pace.cameNot();
    pace.cameNot();
    expect(pace.payAtOnce()).toBe(false);
    await clock.advance(1_000);
    expect(ended).toEqual(["a", "b"]);
  });

  test("are not waited for by who may not go on, and those behind go on at once", async () => {
    const { clock, pace, ended, ask, state } = await rig();
    while (pace.payAtOnce());
    let isOurs = true;
    ask("a", () => isOurs);
    ask("b");
    isOurs = false;
    await clock.advance(PAGE_MS + 2);
    expect(ended).toEqual(["a: refused: busy", "b"]);
    ask("c");
    state.isStopped = true;
    expect(pace.payAtOnce()).toBe(false);
    await clock.advance(1_000);
    expect(ended.at(-1)).toBe("c: this node stops");
  });

  test("cost nothing that do not come, and what they hold when they do", async () => {
    const { clock, pace, ended, ask } = await rig();
    for (let n = 0; n < 10 * AT_ONCE; n += 1) {
      expect(pace.payAtOnce()).toBe(true);
      pace.cameNot();
    }
    // ten small ones for the price of one
    for (let n = 0; n < 40; n += 1) {
      expect(pace.payAtOnce()).toBe(true);
      pace.came(TRANSFER_PAGE_BYTES / 10, 1);
    }
    while (pace.payAtOnce());
    pace.came(3 * TRANSFER_PAGE_BYTES, 1);
    ask("a");
    await clock.advance(2 * PAGE_MS);
    expect(ended).toEqual([]);
    await clock.advance(1.5 * PAGE_MS);
    expect(ended).toEqual(["a"]);
  });
});
