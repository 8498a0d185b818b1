/** Whom a request asks when a slot is not where the table had it. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type NodeId, parseNodeId } from "../../../services/base/ids.ts";
import { HolderSearchCore, type SearchedSeat, soughtCount } from "../../../services/coordinator/holder-search-core.ts";
import type { Seat } from "../../../services/coordinator/needs.ts";

interface Asked extends SearchedSeat {
  state: string;
}

function node(at: number): NodeId {
  const id = parseNodeId(`node${at}`);
  if (id === undefined) throw new Error("no node");
  return id;
}

function seat(at: number, slot: number): Seat {
  return { node: node(at), slot, role: "owner" };
}

function asked(at: number, slot: number, state: string, named = slot): Asked {
  return { seat: seat(at, slot), state, slot: named, reason: "" };
}

describe("a search", () => {
  test("follows to whom is named, three hops and no more", () => {
    const all: Asked[] = [asked(0, 0, "stored"), asked(1, 1, "astray")];
    const core = new HolderSearchCore(all, 3);
    let last = 1;
    for (const at of [2, 3, 4]) {
      expect(core.follow(last, node(at))).toEqual(seat(at, 1));
      all.push(asked(at, 1, "astray"));
      last = all.length - 1;
    }
    expect(core.follow(last, node(5))).toBeUndefined();
    expect(core.startRound()).toBe(true);
    expect(core.follow(last, node(5)), "after a wait the hops begin anew").toEqual(seat(5, 1));
  });

  test("never names a node twice in a round, whatever release logs say", () => {
    const all: Asked[] = [asked(0, 0, "gone"), asked(1, 1, "astray")];
    const core = new HolderSearchCore(all, 3);
    expect(core.follow(1, node(0))).toBeUndefined();
    core.startRound();
    expect(core.follow(1, node(0))).toEqual(seat(0, 1));
    expect(core.follow(1, node(0))).toBeUndefined();
  });

  test("asks those again that held nothing, and whom a newer table names for what nobody stands for", () => {
    const all: Asked[] = [asked(0, 0, "stored"), asked(1, 1, "astray"), asked(2, 2, "lost")];
    const core = new HolderSearchCore(all, 3);
    core.startRound();
    expect(core.seatsToAsk(undefined)).toEqual([seat(1, 1)]);
    core.startRound();
    const newer = [seat(5, 0), seat(3, 1), seat(4, 2)];
    expect(core.seatsToAsk(newer), "slot 0 is stood for").toEqual([seat(1, 1), seat(3, 1), seat(4, 2)]);
    core.startRound();
    expect(core.seatsToAsk([seat(2, 2)]), "who may have stored is not asked again").toEqual([seat(1, 1)]);
  });

  test("looks a hundred times at most", () => {
    const core = new HolderSearchCore([asked(1, 1, "astray")], 3);
    let count = 0;
    while (core.startRound()) count += 1;
    expect(count).toBe(100);
  });

  test("looks for who is astray, and for slots whose believed holders named others", () => {
    expect(soughtCount([asked(0, 0, "stored"), asked(1, 1, "astray"), asked(2, 2, "lost")], 3)).toBe(1);
    expect(soughtCount([asked(0, 0, "stored", 1), asked(1, 1, "stored", 0)], 3), "crosswise is all there").toBe(0);
    expect(soughtCount([asked(0, 0, "stored", 1), asked(1, 1, "stored")], 3)).toBe(1);
    expect(soughtCount([asked(0, 5, "stored", 1)], 3), "no slot of the bucket").toBe(0);
  });

  test("is bounded: however refusals point, a round asks each node once", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(7), fc.nat(7)), { maxLength: 60 }), (words) => {
        const all: Asked[] = [asked(0, 0, "astray"), asked(1, 1, "astray"), asked(2, 2, "astray")];
        const core = new HolderSearchCore(all, 3);
        core.startRound();
        const met: NodeId[] = core.seatsToAsk(undefined).map((one) => one.node);
        for (const [index, to] of words) {
          const next = core.follow(index % all.length, node(to));
          if (next === undefined) continue;
          met.push(next.node);
          if (!all.some((one) => one.seat.node === next.node)) all.push(asked(to, next.slot, "astray"));
        }
        expect(new Set(met).size).toBe(met.length);
      }),
    );
  });
});
