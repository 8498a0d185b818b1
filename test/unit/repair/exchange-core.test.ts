import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  differingInner,
  differingStates,
  differingUnder,
  Exchange,
  type ExchangeManner,
  innerHashesOf,
  isLeafSet,
  LEAVES,
  leavesUnder,
  statesOf,
} from "../../../services/repair/exchange-core.ts";

const MANNER: ExchangeManner = {
  isPatient: true,
  maxHashes: 10,
  maxPasses: 2,
  rangeOf: (leaf) => ({ fromHash: BigInt(leaf) * 100n, toHash: BigInt(leaf) * 100n + 99n }),
};
const DIFFERENCE = { hash: 205n, ours: 1n, theirs: 2n };

function leavesWith(...differing: readonly number[]): Uint8Array {
  const leaves = Buffer.alloc(LEAVES * 8);
  for (const leaf of differing) leaves.writeBigUInt64BE(BigInt(leaf + 1), leaf * 8);
  return leaves;
}

function bitsOf(...leaves: readonly number[]): Uint8Array {
  const bits = new Uint8Array(LEAVES / 8);
  for (const leaf of leaves) bits[leaf >>> 3] = (bits[leaf >>> 3] ?? 0) | (1 << (leaf & 7));
  return bits;
}

/** An exchange that has come to its list. */
function listing(manner: Partial<ExchangeManner> = {}, bits: Uint8Array = bitsOf(2, 9)): Exchange {
  const exchange = new Exchange({ ...MANNER, ...manner });
  exchange.begin();
  exchange.compared(leavesWith(2, 9));
  exchange.innerDiffer(1);
  exchange.leavesDiffer(bits);
  return exchange;
}

describe("one exchange, as the asking side goes through it", () => {
  it("ends at once when nothing differs", () => {
    const exchange = new Exchange(MANNER);
    expect(exchange.begin()).toEqual({ kind: "compare", isAgain: false });
    expect(exchange.compared(leavesWith())).toMatchObject({ kind: "ask-inner" });
    expect(exchange.innerDiffer(0)).toEqual({ kind: "end", end: { kind: "complete", isEqual: true } });
  });

  it("lists all differing leaves in one question, from the first to the last", () => {
    const exchange = new Exchange(MANNER);
    exchange.begin();
    exchange.compared(leavesWith(2, 9));
    expect(exchange.innerDiffer(1)).toEqual({ kind: "ask-leaves", at: 1, leaves: leavesWith(2, 9).subarray(0, 128) });
    expect(exchange.leavesDiffer(bitsOf(2, 9))).toEqual({
      kind: "ask-list",
      range: { fromHash: 200n, toHash: 999n, leaves: bitsOf(2, 9) },
    });
  });

  it("goes on right behind where an answer ended", () => {
    const exchange = listing();
    expect(exchange.listed([], 205n)).toMatchObject({ kind: "ask-list", range: { fromHash: 206n, toHash: 999n } });
    expect(exchange.listed([], 999n)).toEqual({ kind: "end", end: { kind: "complete", isEqual: false } });
  });

  it("looks twice at what differs, but where acknowledged records may be missing", () => {
    expect(listing().listed([DIFFERENCE], 999n)).toEqual({ kind: "settle", differences: [DIFFERENCE] });
    expect(listing({ isPatient: false }).listed([DIFFERENCE], 999n)).toMatchObject({ kind: "move" });
  });

  it("is complete only when everything that differed was moved", () => {
    const exchange = listing();
    exchange.listed([DIFFERENCE], 999n);
    exchange.settled([DIFFERENCE], 0);
    expect(exchange.moved(1, 0)).toEqual({ kind: "end", end: { kind: "complete", isEqual: false } });
  });

  it.each([
    ["was still being written", (exchange: Exchange) => exchange.settled([], 1)],
    [
      "could not be moved",
      (exchange: Exchange) => {
        exchange.settled([DIFFERENCE], 0);
        return exchange.moved(0, 1);
      },
    ],
  ])("compares from the beginning when something %s, and gives up after some passes", (_, unsettle) => {
    const exchange = listing();
    exchange.listed([DIFFERENCE], 999n);
    expect(unsettle(exchange)).toEqual({ kind: "compare", isAgain: true });
    exchange.compared(leavesWith(2));
    exchange.innerDiffer(1);
    exchange.leavesDiffer(bitsOf(2));
    exchange.listed([DIFFERENCE], 299n);
    expect(unsettle(exchange)).toEqual({ kind: "end", end: { kind: "unsettled", hashCount: 1 } });
  });

  it("forgets what was unsettled once a later pass finds nothing", () => {
    const exchange = listing();
    exchange.listed([DIFFERENCE], 999n);
    exchange.settled([], 1);
    exchange.compared(leavesWith());
    expect(exchange.innerDiffer(0)).toEqual({ kind: "end", end: { kind: "complete", isEqual: true } });
  });

  it("lets others have their turn when it has moved enough", () => {
    const exchange = listing();
    exchange.listed([DIFFERENCE], 300n);
    exchange.settled([DIFFERENCE], 0);
    expect(exchange.moved(10, 0)).toEqual({ kind: "end", end: { kind: "more" } });
  });
});

describe("comparisons of the answering side", () => {
  const leaves = fc.uniqueArray(fc.nat(LEAVES - 1), { maxLength: 40 });

  it("find exactly the leaves that differ, by inner hashes and below them", () => {
    fc.assert(
      fc.property(leaves, leaves, (ours, theirs) => {
        const [mine, other] = [leavesWith(...ours), leavesWith(...theirs)];
        const at = differingInner(mine, innerHashesOf(other));
        const bits = differingUnder(mine, at, leavesUnder(other, at)) ?? new Uint8Array(LEAVES / 8);
        const found = Array.from({ length: LEAVES }, (_, leaf) => leaf).filter((leaf) => isLeafSet(bits, leaf));
        const expected = [...new Set(ours).symmetricDifference(new Set(theirs))].toSorted((a, b) => a - b);
        expect(found).toEqual(expected);
      }),
    );
  });

  it("do not believe a length", () => {
    expect(differingUnder(leavesWith(1), 3, new Uint8Array(128))).toBeUndefined();
  });

  const entries = fc
    .uniqueArray(fc.record({ hash: fc.bigInt(0n, 60n), state: fc.bigInt(1n, 3n) }), { selector: (one) => one.hash })
    .map((some) => some.toSorted((a, b) => Number(a.hash - b.hash)));

  it("find every hash under which lists differ, in any number of steps", () => {
    fc.assert(
      fc.property(entries, entries, fc.integer({ min: 1, max: 5 }), (ours, theirs, limit) => {
        const found = new Map<bigint, readonly [bigint, bigint]>();
        let from = 0n;
        for (;;) {
          const left = <T extends { readonly hash: bigint }>(some: readonly T[]): readonly T[] =>
            some.filter(({ hash }) => hash >= from);
          const { differences, throughHash } = differingStates(left(ours), left(theirs), limit);
          expect(differences.length).toBeLessThanOrEqual(limit);
          for (const one of differences) found.set(one.hash, [one.ours, one.theirs]);
          if (throughHash === undefined) break;
          from = throughHash + 1n;
        }
        const at = (some: readonly { readonly hash: bigint; readonly state: bigint }[], hash: bigint): bigint =>
          some.find((one) => one.hash === hash)?.state ?? 0n;
        for (let hash = 0n; hash <= 60n; hash += 1n) {
          const [mine, other] = [at(ours, hash), at(theirs, hash)];
          expect(found.get(hash)).toEqual(mine === other ? undefined : [mine, other]);
        }
      }),
    );
  });

  it("take keys of one hash together", () => {
    const pairs = [
      { hash: 1n, digest: 5n },
      { hash: 2n, digest: 6n },
      { hash: 2n, digest: 3n },
    ];
    expect(statesOf(pairs)).toEqual([
      { hash: 1n, state: 5n },
      { hash: 2n, state: 5n },
    ]);
  });
});
