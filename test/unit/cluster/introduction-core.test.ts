import { describe, expect, it } from "vitest";
import { isIntroduced } from "../../../services/cluster/introduction-core.ts";
import type { MemberStatus } from "../../../services/placement/member-record.ts";

/** `members`: a letter a key, lower case = joining, with "!" = leaving. */
function isKnown(ownKey: string, members: string, met: string): boolean {
  const statusOf = (word: string): MemberStatus =>
    word.endsWith("!") ? "leaving" : word === word.toLowerCase() ? "joining" : "normal";
  return isIntroduced({
    ownKey,
    members: members.split(" ").map((word) => ({ key: word.replace("!", ""), status: statusOf(word) })),
    hasMet: (key) => met.includes(key),
  });
}

describe("a newcomer is introduced", () => {
  it.each([
    ["d", "A B C d", "A", false],
    ["d", "A B C d", "AB", true],
    // half is no majority
    ["d", "A B d", "A", false],
    ["d", "A B d", "AB", true],
    ["d", "A d", "A", true],
    ["d", "A B C! d", "AC", true],
  ])("%s of %s that has met %s: %s", (own, members, met, isIt) => {
    expect(isKnown(own, members, met)).toBe(isIt);
  });

  it("not by other newcomers, however many: they may know nobody but each other", () => {
    expect(isKnown("d", "A B C d e f g", "Aefg")).toBe(false);
    expect(isKnown("d", "A B C d e f g", "AC")).toBe(true);
  });

  it("when nobody is left who could know it", () => {
    expect(isKnown("d", "d e", "")).toBe(true);
  });
});

describe("a member for a while", () => {
  it.each([
    ["A", "A B C", "", false],
    ["A", "A B C", "B", true],
    ["A", "A B", "", false],
    ["A", "A B", "B", true],
    ["A", "A", "", true],
    ["A", "A B C D", "B", false],
    ["A!", "A! B C", "B", true],
  ])("counts as one that knows itself: %s of %s that has met %s: %s", (own, members, met, isIt) => {
    expect(isKnown(own.replace("!", ""), members, met)).toBe(isIt);
  });
});
