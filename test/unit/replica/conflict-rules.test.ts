/** Whose last write wins: as the bucket before the first zero byte of the key was told. */
import { expect, test } from "vitest";
import type { BucketSettings } from "../../../services/base/bucket-settings.ts";
import { conflictRulesOf } from "../../../services/replica/conflict-rules.ts";

const defaults: BucketSettings = { n: 3, r: 2, w: 2, conflicts: "siblings", blindWrites: "overwrite" };
const rules = conflictRulesOf({
  settingsOf: (bucket) => (bucket === "counters" ? { ...defaults, conflicts: "lww" } : defaults),
});

test.each([
  { key: "counters\0a", isLww: true },
  { key: "counters\0a\0b", isLww: true },
  { key: "carts\0counters", isLww: false },
  { key: "counters2\0a", isLww: false },
  { key: "counters", isLww: false },
  { key: "\0counters", isLww: false },
  { key: "COUNTERS\0a", isLww: false },
])("the last write wins for $key: $isLww", ({ key, isLww }) => {
  expect(rules.isLastWriteWins({ partition: 0, hash: 0n, key: Buffer.from(key) })).toBe(isLww);
});
