/** What is counted of requests that are let in: bytes of answers before there are any, and whose they are. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NO_CALLER } from "../../../services/api/caller-crowd.ts";
import { Entrance, Stay } from "../../../services/api/entrance.ts";
import { type Hindrance, NO_MEMORY, NOBODYS } from "../../../services/api/front-gate.ts";
import type { LoadControl } from "../../../services/api/ports.ts";
import { MAX_INFLIGHT_BYTES, MAX_INFLIGHT_REQUESTS } from "../../../services/base/limits.ts";
import { ANSWER_GUESS_MAX_BYTES, CALLER_MEMORY_MS } from "../../../services/base/load-limits.ts";
import { GrantedCaller } from "../../../services/security/rights.ts";
import { TOKEN_RANDOM_BYTES, tokenOf } from "../../../services/security/token.ts";
import { TokenBook } from "../../../services/security/token-book.ts";
import { seededDraws } from "../../support/seeded.ts";

const MIB = 1024 * 1024;
const READ = { work: "read", method: "GET", bodyLimitBytes: MIB, isOfOneKey: true } as const;
const WRITE = { work: "write", method: "PUT", bodyLimitBytes: MIB, isOfOneKey: true } as const;
const LIST = { work: "list", method: "GET", bodyLimitBytes: 1 } as const;
const BATCH = { work: "write", method: "POST", bodyLimitBytes: MIB } as const;
const quiet = (): void => undefined;

const clockAt = (nowMs: () => number) => ({ monotonicMs: nowMs, wallMicros: () => nowMs() * 1_000 });

interface Rig {
  readonly entrance: Entrance;
  nowMs: number;
  freeCount: number;
  /** One that comes through the door, with the token of the number; undefined: with none. */
  ask(route: typeof READ | typeof WRITE, key: string, caller?: number): Stay | Hindrance;
  /** So many of them, each of a key of its own; those that were let in. */
  askMany(count: number, caller?: number): readonly Stay[];
}

const TOKENS = Array.from({ length: 4 }, (_, seed) => tokenOf(seededDraws(seed + 1).bytes(TOKEN_RANDOM_BYTES)));
const CALLERS = TOKENS.map((_, at) => new GrantedCaller(`principal-${at}`, [{ rights: ["read"], buckets: ["*"] }], []));
const STRANGER = tokenOf(seededDraws(99).bytes(TOKEN_RANDOM_BYTES));

function book(): TokenBook {
  const expiresAtMs = Number.POSITIVE_INFINITY;
  return new TokenBook(
    TOKENS.flatMap(({ id, sha256 }, at) => {
      const caller = CALLERS[at];
      return caller === undefined ? [] : [{ id, sha256: Buffer.from(sha256, "hex"), expiresAtMs, caller }];
    }),
  );
}

/** A request with the token of the number, as it is behind the gatekeeper; undefined: with none. */
function requestOf(url: string, caller: number | undefined) {
  const token = caller === undefined ? undefined : TOKENS[caller];
  const headers = token === undefined ? {} : { authorization: `Bearer ${token.text}` };
  return { raw: { url }, headers, caller: caller === undefined ? undefined : CALLERS[caller] };
}

function rig(limit?: number, hasTokens = true): Rig {
  const calm: LoadControl | undefined =
    limit === undefined ? undefined : { limitOf: () => limit, reasonOf: () => "busy", answered: quiet, follow: quiet };
  const made: Rig = {
    nowMs: 0,
    freeCount: 0,
    entrance: new Entrance({
      ...(calm && { calm }),
      ...(hasTokens && { tokens: book() }),
      clock: clockAt(() => made.nowMs),
      onFree: () => {
        made.freeCount += 1;
      },
    }),
    ask: (route, key, caller) => {
      const { gate } = made.entrance;
      const request = requestOf(`/v1/kv/b/${key}`, caller);
      const atDoor = gate.callerAtDoor(route.work, request);
      const whose = { target: request.raw.url, caller: atDoor, bringsValue: false };
      const why = gate.reasonNow(route.work, whose, 0);
      return why ?? made.entrance.tryEnter(route, made.entrance.answersOf(route), request);
    },
    askMany: (count, caller) =>
      Array.from({ length: count }, (_, n) => made.ask(READ, `k${caller}-${n}`, caller)).filter(
        (one) => one instanceof Stay,
      ),
  };
  return made;
}

describe("the bytes of answers", () => {
  it("count before they are made, as many as those before them held: large ones are read a few at a time", () => {
    const { entrance, askMany } = rig();
    const first = askMany(200);
    expect(first).toHaveLength(200);
    for (const stay of first) {
      stay.answered(MIB);
      stay.place.over();
    }
    expect(entrance.admission.bytes).toBe(0);
    const next = askMany(MAX_INFLIGHT_REQUESTS);
    expect(next.length).toBeGreaterThan(50);
    expect(next.length * MIB).toBeLessThanOrEqual(MAX_INFLIGHT_BYTES);
    expect(rig().entrance.gate.reasonNow("read", NOBODYS, 0)).toBeUndefined();
    expect(entrance.gate.reasonNow("read", NOBODYS, 0)?.kind).toBe("bytes");
  });

  it("are those of the last one where there are two", () => {
    const { entrance, askMany } = rig();
    const [stay] = askMany(1);
    for (const bytes of [500, 200]) stay?.answered(bytes);
    expect(entrance.admission.bytes).toBe(200);
  });

  it("are forgotten when answers are small again", () => {
    const { askMany } = rig();
    for (const bytes of [MIB, 100]) {
      for (let round = 0; round < 20; round += 1) {
        for (const stay of askMany(50)) {
          stay.answered(bytes);
          stay.place.over();
        }
      }
    }
    expect(askMany(900)).toHaveLength(900);
  });

  it("of a mean that few large ones make leave room for all", () => {
    const { askMany } = rig();
    for (let n = 0; n < 3_000; n += 1) {
      for (const stay of askMany(1)) {
        stay.answered(n % 100 === 0 ? MIB : 1_000);
        stay.place.over();
      }
    }
    expect(askMany(900)).toHaveLength(900);
  });

  it("that are huge never keep everybody out", () => {
    const { entrance, askMany } = rig();
    for (let n = 0; n < 100; n += 1) {
      for (const stay of askMany(1)) {
        stay.answered(20 * MIB);
        stay.place.over();
      }
    }
    expect(askMany(100)).toHaveLength(Math.floor((MAX_INFLIGHT_BYTES * 0.9375) / ANSWER_GUESS_MAX_BYTES));
    expect(entrance.admission.requests).toBe(7);
  });

  it("of listings and batches count by their own", () => {
    const { entrance } = rig();
    const [lists, batches] = [entrance.answersOf(LIST), entrance.answersOf(BATCH)];
    for (let n = 0; n < 300; n += 1) batches.saw(4 * MIB);
    const request = requestOf("/v1/kv/b", undefined);
    const enter = (route: typeof LIST | typeof BATCH, answers: typeof lists): boolean =>
      entrance.tryEnter(route, answers, request) instanceof Stay;
    expect(Array.from({ length: 20 }, () => enter(BATCH, batches)).filter(Boolean)).toHaveLength(16);
    expect(enter(LIST, lists)).toBe(false);
    expect(new Entrance({ clock: clockAt(() => 0), onFree: quiet }).answersOf(LIST).bytes).toBe(0);
  });

  it("add up to nothing when everybody has gone, whatever came first", () => {
    type Step = {
      readonly at: number;
      readonly what: "enter" | "answer" | "over" | "busy" | "idle";
      readonly bytes: number;
    };
    const step = fc.record<Step>({
      at: fc.nat(5),
      what: fc.constantFrom("enter", "answer", "over", "busy", "idle"),
      bytes: fc.nat(2 * MIB),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const here = rig(64);
        const stays = new Map<number, Stay>();
        let count = 0;
        for (const { at, what, bytes } of steps) {
          const stay = stays.get(at);
          if (what === "enter" && stay === undefined) {
            const entered = here.ask(READ, `k${at}`, at % 3);
            if (!(entered instanceof Stay)) continue;
            stays.set(at, entered);
            count += 1;
          } else if (what === "answer") stay?.answered(bytes);
          else if (what === "over") stay?.place.over();
          else if (what === "busy") stay?.place.busy();
          else stay?.place.idle();
          expect(here.entrance.admission.bytes).toBeGreaterThanOrEqual(0);
        }
        for (const stay of stays.values()) {
          stay.place.idle();
          stay.place.over();
          stay.answered(1_000);
        }
        expect([here.entrance.admission.bytes, here.entrance.admission.requests, here.freeCount]).toEqual([
          0,
          0,
          count,
        ]);
      }),
    );
  });
});

describe("a node without memory", () => {
  it("lets in reads and deletes, and nothing that brings a value, by whatever way", () => {
    const load = { limitOf: () => 8, reasonOf: () => "busy", answered: quiet, follow: quiet };
    const calm: LoadControl = { ...load, takesValues: () => false };
    const entrance = new Entrance({ calm, clock: clockAt(() => 0), onFree: quiet });
    const { gate } = entrance;
    expect(gate.reasonNow("read", NOBODYS, 0)).toBeUndefined();
    expect(gate.reasonNow("write", NOBODYS, 0)).toBeUndefined();
    expect(gate.reasonNow("write", { ...NOBODYS, bringsValue: true }, 0)).toBe(NO_MEMORY);
    const request = requestOf("/v1/kv/b/k", undefined);
    const [put, batch, read, removal] = [WRITE, BATCH, READ, { ...WRITE, method: "DELETE" } as const].map((route) =>
      entrance.tryEnter(route, entrance.answersOf(route), request),
    );
    expect([put, batch]).toEqual([NO_MEMORY, NO_MEMORY]);
    expect([read, removal].every((one) => one instanceof Stay)).toBe(true);
  });
});

describe("a stay that is over", () => {
  it("tells at once who asks to be told, and every other one at its end, once", () => {
    const here = rig();
    const stay = here.ask(READ, "k");
    if (!(stay instanceof Stay)) throw new Error(stay.words);
    const told: string[] = [];
    stay.whenGone(() => told.push("before"));
    expect(told).toEqual([]);
    stay.over();
    stay.over();
    expect(told).toEqual(["before"]);
    stay.whenGone(() => told.push("after"));
    expect(told).toEqual(["before", "after"]);
  });
});

describe("one principal", () => {
  it("has everything while it is alone, and half once others come, until they have been away for a second", () => {
    const here = rig(64);
    const alone = here.askMany(100, 0);
    expect(alone).toHaveLength(64);
    expect(here.ask(READ, "other", 1)).toMatchObject({ reason: "limit", words: "busy" });
    for (const stay of alone.slice(0, 10)) stay.place.over();
    const crowded = {
      kind: "own",
      reason: "principal",
      words: "this node has all the requests of this principal that it takes at a time while others ask",
    };
    expect(here.ask(READ, "mine", 0)).toEqual(crowded);
    expect(here.askMany(20, 1)).toHaveLength(10);
    here.nowMs += CALLER_MEMORY_MS;
    for (const stay of alone.slice(10, 20)) stay.place.over();
    expect(here.askMany(20, 0)).toHaveLength(10);
  });

  it("that waits is held back by another who has come since", () => {
    const here = rig(64);
    here.askMany(40, 0);
    const { gate } = here.entrance;
    const caller = gate.callerAtDoor("read", requestOf("/v1/kv/b/k", 0));
    expect(gate.isCrowded("read", caller)).toBe(false);
    here.nowMs += 5 * CALLER_MEMORY_MS;
    gate.callerAtDoor("read", requestOf("/v1/kv/b/k", 1));
    expect(gate.isCrowded("read", caller)).toBe(true);
  });

  it("is known at the door of a class that is half full, and where it is to wait", () => {
    const here = rig(64);
    const { gate } = here.entrance;
    const at = (isToWait?: boolean): boolean => gate.callerAtDoor("read", requestOf("/v1/kv/b/k", 0), isToWait) >= 0;
    here.askMany(31);
    expect([at(), at(true)]).toEqual([false, true]);
    here.askMany(1);
    expect(at()).toBe(true);
  });

  it("of one class says nothing of another", () => {
    const here = rig(64);
    for (let n = 0; n < 40; n += 1) here.ask(WRITE, `w${n}`, 0);
    here.ask(READ, "k", 1);
    expect(
      Array.from({ length: 30 }, (_, n) => here.ask(WRITE, `x${n}`, 0)).filter((one) => one instanceof Stay),
    ).toHaveLength(24);
  });

  it("has its half again once what it had under way is over", () => {
    const here = rig(64);
    here.ask(READ, "k", 1);
    for (let round = 0; round < 3; round += 1) {
      const stays = here.askMany(64, 0);
      expect(stays).toHaveLength(32);
      for (const stay of stays) stay.place.over();
    }
  });

  it("of three has half as well, and nobody in particular what there is", () => {
    const here = rig(64);
    expect([0, 1, 2].map((caller) => here.askMany(32, caller).length)).toEqual([32, 32, 0]);
    const other = rig(64);
    other.ask(READ, "k", 1);
    expect([other.askMany(64, 0).length, other.askMany(64).length]).toEqual([32, 31]);
  });

  it("is held to that in listings and batches, in each class by what it has there", () => {
    const here = rig(64);
    const enter = (): boolean =>
      here.entrance.tryEnter(BATCH, here.entrance.answersOf(BATCH), requestOf("/v1/kv/b", 0)) instanceof Stay;
    here.askMany(64, 0);
    for (let n = 0; n < 32; n += 1) here.ask(WRITE, `w${n}`, 1);
    // of reads it has all, of writes nothing
    expect(Array.from({ length: 40 }, enter).filter(Boolean)).toHaveLength(32);
  });

  it("is not held back by strangers, who hear that they are none behind the door", () => {
    const here = rig(64);
    const alone = here.askMany(64, 0);
    const { gate } = here.entrance;
    for (const authorization of [undefined, "Bearer nonsense", `Bearer ${STRANGER.text}`]) {
      expect(gate.callerAtDoor("read", { headers: authorization === undefined ? {} : { authorization } })).toBe(
        NO_CALLER,
      );
    }
    for (const stay of alone.slice(0, 10)) stay.place.over();
    expect(here.askMany(20, 0)).toHaveLength(10);
  });

  it("is nobody's where none were given out", () => {
    const here = rig(64, false);
    here.ask(READ, "k", 1);
    expect(here.askMany(64, 0)).toHaveLength(63);
  });
});
