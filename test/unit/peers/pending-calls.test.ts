import { describe, expect, it } from "vitest";
import { type PendingCall, PendingCalls } from "../../../services/peers/pending-calls.ts";

/** Calls until the generation of ids comes round. */
const GENERATIONS = 2 ** 18;

function call(deadlineMs: number): PendingCall {
  return {
    requestId: 0,
    requestKind: "ping",
    request: undefined,
    sizeBytes: 0,
    startedMs: 0,
    deadlineMs,
    onResult: () => undefined,
  };
}

describe("the calls of a link", () => {
  it("are found by their ids until they end", () => {
    const calls = new PendingCalls(4);
    const [one, other] = [call(10), call(10)];
    calls.add(one);
    calls.add(other);
    expect([calls.find(one.requestId), calls.find(other.requestId)]).toEqual([one, other]);
    calls.remove(one);
    expect([calls.find(one.requestId), calls.find(other.requestId), calls.count]).toEqual([undefined, other, 1]);
  });

  it("never get the id of the call before them in their slot that ran out, also when ids come round", () => {
    const calls = new PendingCalls(1);
    const late = call(1);
    calls.add(late);
    expect(calls.takeExpired(1)).toEqual([late]);
    for (let count = 0; count < 2 * GENERATIONS; count += 1) {
      const younger = call(10);
      calls.add(younger);
      if (calls.find(late.requestId) !== undefined) expect.fail(`call ${count} has the id of the one that ran out`);
      calls.remove(younger);
    }
  });

  it("have ids of 32 bits, each once among those that wait", () => {
    const calls = new PendingCalls(16_384);
    const ids = new Set<number>();
    for (let count = 0; count < 16_384; count += 1) {
      const one = call(10);
      calls.add(one);
      ids.add(one.requestId);
    }
    expect([ids.size, calls.isFull]).toEqual([16_384, true]);
    for (const id of ids) expect(id >>> 0).toBe(id);
    expect(calls.takeAll()).toHaveLength(16_384);
    expect(calls.count).toBe(0);
  });
});
