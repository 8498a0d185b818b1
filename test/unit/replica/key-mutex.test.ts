/** One operation at a time for a key, in order, within a bound. */
import { describe, expect, test } from "vitest";
import { KeyMutex } from "../../../services/replica/key-mutex.ts";

describe("the mutex of a key", () => {
  test("is taken at once when nobody has it, and leaves nothing behind", () => {
    const mutex = new KeyMutex(4);
    expect(mutex.acquire(1n)).toBe("taken");
    expect(mutex.acquire(2n)).toBe("taken");
    mutex.release(1n);
    mutex.release(2n);
    expect(mutex.heldCount).toBe(0);
  });

  test("passes from one to the next in the order of asking", async () => {
    const mutex = new KeyMutex(4);
    const order: string[] = [];
    expect(mutex.acquire(1n)).toBe("taken");
    const turns = ["b", "c", "d"].map(async (name) => {
      await mutex.acquire(1n);
      order.push(name);
      mutex.release(1n);
    });
    expect(mutex.waiterCount).toBe(3);
    expect(order).toEqual([]);
    mutex.release(1n);
    await Promise.all(turns);
    expect(order).toEqual(["b", "c", "d"]);
    expect(mutex.heldCount + mutex.waiterCount).toBe(0);
  });

  test("is not free between two turns: nobody overtakes", () => {
    const mutex = new KeyMutex(4);
    expect(mutex.acquire(1n)).toBe("taken");
    const next = mutex.acquire(1n);
    mutex.release(1n);
    expect(next).toBeInstanceOf(Promise);
    expect(mutex.acquire(1n)).toBeInstanceOf(Promise);
  });

  test("turns away who would wait beyond the bound, over all keys together", () => {
    const mutex = new KeyMutex(2);
    expect(mutex.acquire(1n)).toBe("taken");
    expect(mutex.acquire(2n)).toBe("taken");
    expect(mutex.acquire(1n)).toBeInstanceOf(Promise);
    expect(mutex.acquire(2n)).toBeInstanceOf(Promise);
    expect(mutex.acquire(1n)).toBe("full");
    expect(mutex.acquire(3n)).toBe("taken");
    mutex.release(1n);
    expect(mutex.acquire(2n)).toBeInstanceOf(Promise);
  });

  test("turns away who would wait beyond the bound of one key, and lets others wait for theirs", () => {
    const mutex = new KeyMutex(100);
    for (const hash of [1n, 2n]) expect(mutex.acquire(hash, 2)).toBe("taken");
    for (let n = 0; n < 2; n += 1) expect(mutex.acquire(1n, 2)).toBeInstanceOf(Promise);
    expect([mutex.acquire(1n, 2), mutex.waitersOf(1n)]).toEqual(["full", 2]);
    expect(mutex.acquire(1n, 3)).toBeInstanceOf(Promise);
    expect(mutex.acquire(2n, 2)).toBeInstanceOf(Promise);
    expect([mutex.waitersOf(1n), mutex.waitersOf(2n), mutex.waitersOf(3n)]).toEqual([3, 1, 0]);
    mutex.release(1n);
    expect(mutex.acquire(1n, 2)).toBe("full");
  });

  test("released twice is a bug", () => {
    const mutex = new KeyMutex(1);
    expect(mutex.acquire(1n)).toBe("taken");
    mutex.release(1n);
    expect(() => mutex.release(1n)).toThrow("only a held key is released");
  });
});
