import { expect, test } from "vitest";
import { type CollectWord, isBelieved, wordOver } from "../../../services/repair/collect-word-core.ts";

const RULES = 5n;
const of = (floor: number, rules = RULES): CollectWord => ({ floor, rules });

test.each<[string, CollectWord | undefined, CollectWord | undefined, CollectWord | undefined]>([
  ["nothing has changed", of(7), of(7), of(7)],
  ["a proof has come in between", of(7), of(9), of(7)],
  ["the marks were forgotten, and noted anew", of(7), of(3), of(3)],
  ["it was behind, and caught up", undefined, of(9), undefined],
  ["it fell behind", of(9), undefined, undefined],
  ["other settings hold", of(7), of(7, 6n), undefined],
])("what may be said of records that were read while %s", (_what, before, after, told) => {
  expect(wordOver(before, after)).toEqual(told);
});

test.each<[string, CollectWord | undefined, boolean]>([
  ["nothing is said", undefined, false],
  ["it took part", of(7), true],
  ["it took part in a later one, too", of(8), true],
  ["it took part in an earlier one", of(6), false],
  ["it went by other settings", of(7, 6n), false],
])("what comes is believed or not where %s", (_what, word, isSo) => {
  expect(isBelieved(word, 7, RULES)).toBe(isSo);
  // nothing was collected: there is nothing to come back
  expect(isBelieved(word, 0, RULES)).toBe(true);
});
