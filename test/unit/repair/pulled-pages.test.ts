import { expect, test } from "vitest";
import type { ExchangeAnswer } from "../../../services/repair/exchange-messages.ts";
import { PulledPages } from "../../../services/repair/pulled-pages.ts";

const REFUSED: ExchangeAnswer = { kind: "refused", reason: "busy" };
const pageOf = (next: Uint8Array | undefined): ExchangeAnswer => {
  return { kind: "objects", objects: new Uint8Array(0), next, word: undefined };
};
const MORE = pageOf(new Uint8Array(1));
const LAST = pageOf(undefined);

/** One pull's pages, of answers that are given when they are let go; pays at once or never. */
function rig(isAtOnce: boolean) {
  const seen = { askCount: 0, cameNotCount: 0 };
  const waiting: ((answer: ExchangeAnswer | undefined) => void)[] = [];
  const pages = new PulledPages({
    pace: {
      pay: async () => undefined,
      payAtOnce: () => isAtOnce,
      cameNot: () => {
        seen.cameNotCount += 1;
      },
    },
    ask: async () => {
      seen.askCount += 1;
      return new Promise((resolve) => waiting.push(resolve));
    },
    isOurs: () => true,
  });
  /** answers what was asked first */
  const give = async (answer: ExchangeAnswer | undefined): Promise<void> => {
    // whoever asks has a turn to do so
    await new Promise<void>((resolve) => setImmediate(resolve));
    waiting.shift()?.(answer);
  };
  const next = async (answer: ExchangeAnswer | undefined): Promise<unknown> => {
    const asked = pages.next();
    await give(answer);
    return asked;
  };
  return { pages, seen, give, next };
}

test.each([
  [true, 2],
  [false, 1],
])("the next page is asked for while one is taken in where that needs no wait: %s", async (isAtOnce, askCount) => {
  const { pages, seen, next } = rig(isAtOnce);
  expect(await next(MORE)).toBe(MORE);
  expect([seen.askCount, pages.isOver]).toEqual([askCount, false]);
  expect(await next(LAST)).toBe(LAST);
  expect([seen.askCount, pages.isOver]).toEqual([2, true]);
  await pages.end();
  expect(seen).toEqual({ askCount: 2, cameNotCount: 0 });
});

test.each([
  ["refused", REFUSED],
  ["not answered", undefined],
])("a page that is %s is not paid for", async (_what, answer) => {
  const { pages, seen, next } = rig(true);
  expect(await next(answer)).toBe(answer);
  await pages.end();
  expect(seen).toEqual({ askCount: 1, cameNotCount: 1 });
});

test.each([
  ["came", LAST, 0],
  ["was refused", REFUSED, 1],
  ["was not answered", undefined, 1],
])(
  "one that was asked for ahead and %s is waited for at the end, and given back once",
  async (_what, answer, count) => {
    const { pages, seen, give, next } = rig(true);
    await next(MORE);
    let isOver = false;
    const ending = pages.end().then(() => {
      isOver = true;
    });
    await new Promise<void>((resolve) => setImmediate(resolve));
    expect(isOver).toBe(false);
    await give(answer);
    await ending;
    await pages.end();
    expect(seen).toEqual({ askCount: 2, cameNotCount: count });
  },
);
