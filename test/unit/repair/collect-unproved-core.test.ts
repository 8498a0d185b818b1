/** Keys that nobody could prove: for how long, and how many. */
import { describe, expect, test } from "vitest";
import { MAX_UNPROVED_KEYS } from "../../../services/base/limits.ts";
import { CollectFloors } from "../../../services/repair/collect-floors-core.ts";
import { UnprovedKeys } from "../../../services/repair/collect-unproved-core.ts";

const at = (floor: number) => ({ floor, expiryMs: 0 });

function caughtUpTo(floor: number): { readonly floors: CollectFloors; readonly keys: UnprovedKeys } {
  const floors = new CollectFloors(4);
  for (const partition of [1, 2]) floors.catchUp(partition, at(floor));
  return { floors, keys: new UnprovedKeys(floors) };
}

describe("keys without proof", () => {
  test("are named until the next proof of their partition, and not when the slot has gone", () => {
    const { floors, keys } = caughtUpTo(100);
    expect([keys.keep(1, 100, [7n, 9n]), keys.keep(2, 100, [8n])]).toEqual([true, true]);
    expect([keys.hashesOf(1), keys.hashesOf(2), keys.hashesOf(3), keys.count]).toEqual([[7n, 9n], [8n], [], 3]);
    floors.note(1, at(200));
    floors.forget(2);
    expect([keys.hashesOf(1), keys.hashesOf(2), keys.count]).toEqual([[], [], 0]);
  });

  test("are replaced by those of the next catching up, which may be none", () => {
    const { keys } = caughtUpTo(100);
    keys.keep(1, 100, [7n]);
    keys.keep(1, 100, [8n]);
    expect(keys.hashesOf(1)).toEqual([8n]);
    expect([keys.keep(1, 100, []), keys.keep(1, 100, []), keys.count]).toEqual([true, false, 0]);
  });

  test("come back from their bytes, and from no others", () => {
    const { floors, keys } = caughtUpTo(100);
    keys.keep(1, 100, [7n, 2n ** 64n - 1n]);
    keys.keep(2, 100, [8n]);
    const bytes = keys.encode();
    const again = new UnprovedKeys(floors);
    expect(again.restore(bytes)).toBe(true);
    expect([again.hashesOf(1), again.hashesOf(2)]).toEqual([[7n, 2n ** 64n - 1n], [8n]]);
    for (let place = 0; place < bytes.length; place += 1) {
      const wrong = Buffer.from(bytes);
      wrong[place] = (wrong[place] ?? 0) ^ 1;
      expect(new UnprovedKeys(floors).restore(wrong)).toBe(false);
      expect(new UnprovedKeys(floors).restore(bytes.subarray(0, place))).toBe(false);
    }
  });

  test("are so many at most; those of before the last proof count no more", () => {
    const { floors, keys } = caughtUpTo(100);
    const many = Array.from({ length: MAX_UNPROVED_KEYS }, (_, index) => BigInt(index));
    expect(keys.keep(1, 100, many)).toBe(true);
    expect(keys.keep(2, 100, [1n])).toBeUndefined();
    expect([keys.hashesOf(1).length, keys.hashesOf(2)]).toEqual([many.length, []]);
    floors.note(1, at(200));
    expect(keys.keep(2, 100, [1n])).toBe(true);
    expect([keys.count, keys.encode().length]).toEqual([1, 31]);
  });
});
