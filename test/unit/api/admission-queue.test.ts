/** Who waits for room: whose turn it is, who is refused and when, and that nobody is forgotten. */
import { EventEmitter } from "node:events";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AdmissionQueue } from "../../../services/api/admission-queue.ts";
import { type Hindrance, PUSHED_OUT, WAITED } from "../../../services/api/front-gate.ts";
import type { KeyWork, Waiting } from "../../../services/api/waiting-rows.ts";
import {
  QUEUE_CROWDED_ROWS,
  QUEUE_DEALT_A_TURN,
  QUEUE_LOOK_MS,
  QUEUE_LOOKED_AT,
  QUEUE_MAX_BEHIND,
  QUEUE_MAX_BYTES,
  QUEUE_MAX_MS,
  QUEUE_MAX_OF_ONE,
  QUEUE_REFUSALS_A_LOOK,
  QUEUE_REFUSE_EACH_MS,
  QUEUE_USEFUL_MS,
  UNREAD_MAX_BYTES,
  UNREAD_MORE_BYTES,
} from "../../../services/base/load-limits.ts";
import { FakeClock } from "../../support/fake-clock.ts";

/** A connection that only ends, and tells whether it is read. */
class FakeConnection extends EventEmitter {
  destroyed = false;
  isRead = true;
  bytesRead = 0;

  pause(): void {
    this.isRead = false;
  }

  resume(): void {
    this.isRead = true;
    this.emit("resume");
  }

  isPaused(): boolean {
    return !this.isRead;
  }

  end(): void {
    this.destroyed = true;
    this.emit("close");
  }
}

const FULL: Hindrance = { kind: "node", words: "full" };
const HOT: Hindrance = { kind: "key", words: "hot" };
const TOO_MUCH: Hindrance = { kind: "bytes", words: "too much" };

class Rig {
  readonly clock = new FakeClock();
  readonly room = { read: 0, write: 0 };
  readonly letIn: (readonly [what: string, waitedMs: number])[] = [];
  readonly refused: string[] = [];
  /** of them: the words */
  readonly why: string[] = [];
  /** of them: refused for a key that was not hot then */
  readonly untrue: string[] = [];
  /** bytes that what is let in may bring */
  freeBytes = Number.POSITIVE_INFINITY;
  /** places that either class may have */
  sharedRoom = Number.POSITIVE_INFINITY;
  /** targets of keys that are hot */
  readonly hot = new Set<string>();
  readonly queue = new AdmissionQueue<string>({
    clock: this.clock,
    reasonNow: (work, target, bytes) => {
      if (this.room[work] <= 0 || this.sharedRoom <= 0) return FULL;
      if (bytes > this.freeBytes) return TOO_MUCH;
      return target !== undefined && this.hot.has(target) ? HOT : undefined;
    },
    letIn: (what, waitedMs) => {
      this.room[what.startsWith("w") ? "write" : "read"] -= 1;
      this.sharedRoom -= 1;
      this.letIn.push([what, waitedMs]);
    },
    refuse: (what, _work, { words }) => {
      this.refused.push(what);
      this.why.push(words);
      if (words === HOT.words && !this.hot.has(`/v1/kv/b/${what}`)) this.untrue.push(what);
    },
  });

  /** A request of the name; its class is the first letter's: `r…` or `w…`. */
  join(what: string, connection: FakeConnection = new FakeConnection(), bytes: number = 0, sinceMs?: number): boolean {
    const work: KeyWork = what.startsWith("w") ? "write" : "read";
    const request: Waiting<string> = {
      what,
      work,
      target: `/v1/kv/b/${what}`,
      connection,
      sinceMs: sinceMs ?? this.queue.cameMs(connection),
      bytes,
      bringsBytes: bytes,
    };
    return this.queue.join(request);
  }

  joinMany(count: number): void {
    for (let n = 0; n < count; n += 1) this.join(`r${n}`);
  }

  /** Places of the class become free, one after the other in one turn. */
  async free(work: KeyWork, places: number): Promise<void> {
    for (let n = 0; n < places; n += 1) {
      this.room[work] += 1;
      this.queue.placeFree();
    }
    await this.clock.advance(0);
  }

  get names(): readonly string[] {
    return this.letIn.map(([what]) => what);
  }
}

describe("who waits for room", () => {
  it("is let in as soon as there is some, the youngest of the class first, and no more than there is room for", async () => {
    const rig = new Rig();
    for (const what of ["r1", "w1", "r2", "w2", "r3"]) {
      rig.join(what);
      await rig.clock.advance(10);
    }
    await rig.free("read", 2);
    expect(rig.letIn).toEqual([
      ["r3", 10],
      ["r2", 30],
    ]);
    await rig.free("write", 1);
    expect([rig.names, rig.queue.count]).toEqual([["r3", "r2", "w2"], 2]);
  });

  it("is let in as well when limits grow and nobody leaves", async () => {
    const rig = new Rig();
    rig.join("r1");
    rig.room.read = 1;
    await rig.clock.advance(QUEUE_LOOK_MS);
    expect([rig.names, rig.clock.plannedCount]).toEqual([["r1"], 0]);
  });

  it("is asked for once in a turn, however many leave in it", async () => {
    const rig = new Rig();
    rig.joinMany(3);
    const before = rig.clock.plannedCount;
    for (let n = 0; n < 10; n += 1) rig.queue.placeFree();
    expect(rig.clock.plannedCount).toBe(before + 1);
    await rig.clock.advance(0);
    rig.queue.placeFree();
    expect(rig.clock.plannedCount).toBe(before + 1);
  });

  it("is no longer let in after half a second, whatever room there is, but refused", async () => {
    const rig = new Rig();
    rig.join("r1");
    await rig.clock.advance(QUEUE_USEFUL_MS);
    rig.join("r2");
    rig.room.read = 1;
    await rig.clock.advance(1);
    await rig.free("read", 4);
    expect([rig.names, rig.refused]).toEqual([["r2"], []]);
    await rig.clock.advance(2 * QUEUE_LOOK_MS);
    expect([rig.names, rig.refused, rig.queue.count, rig.clock.plannedCount]).toEqual([["r2"], ["r1"], 0, 0]);
  });

  it.each([
    [10, QUEUE_USEFUL_MS],
    [600, 600 * QUEUE_REFUSE_EACH_MS],
    [2_000, QUEUE_MAX_MS],
  ])(
    "is refused the later the more of them wait, so many in a look at most: of %i after %i ms",
    async (count, pauseMs) => {
      const rig = new Rig();
      rig.joinMany(count);
      await rig.clock.advance(pauseMs - QUEUE_LOOK_MS);
      expect([rig.refused.length, rig.queue.count]).toEqual([0, count]);
      await rig.clock.advance(2 * QUEUE_LOOK_MS);
      expect(rig.refused.length).toBeGreaterThan(0);
      expect(rig.refused.length).toBeLessThanOrEqual(2 * Math.max(QUEUE_REFUSALS_A_LOOK, count / 50));
      await rig.clock.advance(Math.ceil(count / QUEUE_REFUSALS_A_LOOK) * QUEUE_LOOK_MS);
      expect([rig.refused.length, rig.queue.count, rig.names.length]).toEqual([count, 0, 0]);
    },
  );

  it("is refused sooner where there is room and nobody of use waits: some in each look", async () => {
    const rig = new Rig();
    rig.joinMany(1_000);
    await rig.clock.advance(QUEUE_USEFUL_MS + QUEUE_LOOK_MS);
    expect(rig.refused).toEqual([]);
    rig.room.read = 1;
    // of the writes there is none yet: they may be what the node is full of
    await rig.clock.advance(QUEUE_LOOK_MS);
    expect(rig.refused).toEqual([]);
    rig.room.write = 1;
    await rig.clock.advance(QUEUE_LOOK_MS);
    expect(rig.refused).toEqual(Array.from({ length: 4 * QUEUE_REFUSALS_A_LOOK }, (_, n) => `r${n}`));
    rig.join("w1");
    rig.room.write = 0;
    await rig.clock.advance(QUEUE_LOOK_MS);
    expect(rig.refused).toHaveLength(4 * QUEUE_REFUSALS_A_LOOK);
  });

  it("is passed over at its turn when it is for a key that is hot, and refused in its time", async () => {
    const rig = new Rig();
    rig.join("r1");
    rig.join("r2");
    rig.hot.add("/v1/kv/b/r2");
    await rig.free("read", 1);
    expect([rig.names, rig.refused]).toEqual([["r1"], []]);
    await rig.clock.advance(QUEUE_USEFUL_MS + 2 * QUEUE_LOOK_MS);
    expect([rig.names, rig.refused, rig.queue.count]).toEqual([["r1"], ["r2"], 0]);
  });

  it("is let in after all when its key is not hot any more, and it is of use yet", async () => {
    const rig = new Rig();
    rig.join("r1");
    rig.hot.add("/v1/kv/b/r1");
    rig.room.write = 1;
    await rig.free("read", 1);
    rig.hot.clear();
    await rig.clock.advance(2 * QUEUE_LOOK_MS);
    expect([rig.names, rig.refused, rig.queue.count]).toEqual([["r1"], [], 0]);
  });

  it("is dealt with in as many turns as it takes, not in one, whatever room there is", async () => {
    const rig = new Rig();
    rig.joinMany(3 * QUEUE_DEALT_A_TURN);
    rig.room.read = 1_000;
    const byTurn: number[] = [];
    const { defer } = rig.clock;
    rig.clock.defer = (run) => {
      defer.call(rig.clock, () => {
        const before = rig.letIn.length;
        run();
        byTurn.push(rig.letIn.length - before);
      });
    };
    rig.queue.placeFree();
    await rig.clock.advance(0);
    expect(byTurn).toEqual([QUEUE_DEALT_A_TURN, QUEUE_DEALT_A_TURN, QUEUE_DEALT_A_TURN]);
  });

  it("is refused within seconds of being due though thousands came at once, never many in one look", async () => {
    const rig = new Rig();
    rig.joinMany(4_000);
    let most = 0;
    for (let ms = 0; ms < QUEUE_MAX_MS + 3_500; ms += QUEUE_LOOK_MS) {
      const before = rig.refused.length;
      await rig.clock.advance(QUEUE_LOOK_MS);
      most = Math.max(most, rig.refused.length - before);
    }
    expect([rig.refused.length, rig.queue.count]).toEqual([4_000, 0]);
    expect(most).toBeLessThanOrEqual(4_000 / 50);
  });

  it("is refused with those behind it, and each of them counts into what is done in a look", async () => {
    const rig = new Rig();
    for (let n = 0; n < 100; n += 1) {
      const one = new FakeConnection();
      for (let of = 0; of < 4; of += 1) rig.join(`r${n}`, one);
    }
    await rig.clock.advance(400 * QUEUE_REFUSE_EACH_MS);
    expect(rig.refused).toEqual([]);
    await rig.clock.advance(QUEUE_LOOK_MS);
    expect(rig.refused.join()).toBe(["r0", "r1", "r2", "r3"].map((what) => `${what},${what},${what},${what}`).join());
  });

  it.each([0, QUEUE_LOOK_MS])(
    "takes turns by class where all are bound together, a place each %i ms",
    async (eachMs) => {
      const rig = new Rig();
      Object.assign(rig, { room: { read: 99, write: 99 }, sharedRoom: 0 });
      for (let n = 0; n < 8; n += 1) {
        rig.join(`r${n}`);
        rig.join(`w${n}`);
      }
      // between the looks, which let nobody in
      await rig.clock.advance(QUEUE_LOOK_MS / 2);
      for (let n = 0; n < 8; n += 1) {
        rig.sharedRoom = 1;
        rig.queue.placeFree();
        await rig.clock.advance(eachMs);
      }
      expect(rig.names.map((what) => what.slice(0, 1)).join("")).toMatch(/^(wr){4}$|^(rw){4}$/);
    },
  );

  it("is passed by while it brings more bytes than there is room for, and keeps none of others out", async () => {
    const rig = new Rig();
    rig.join("w-small", undefined, 10);
    for (let n = 1; n < QUEUE_LOOKED_AT; n += 1) rig.join(`w${n}`, undefined, 100);
    rig.freeBytes = 99;
    await rig.free("write", 3);
    expect([rig.names, rig.refused]).toEqual([["w-small"], []]);
    rig.freeBytes = 100;
    await rig.free("write", 0);
    await rig.clock.advance(QUEUE_LOOK_MS);
    expect(rig.names).toEqual(["w-small", "w7", "w6"]);
  });

  it("is not looked for behind more than a few that bring too much", async () => {
    const rig = new Rig();
    rig.join("w-small", undefined, 10);
    for (let n = 0; n < QUEUE_LOOKED_AT; n += 1) rig.join(`w${n}`, undefined, 100);
    rig.freeBytes = 99;
    await rig.free("write", 3);
    expect([rig.names, rig.refused, rig.queue.count]).toEqual([[], [], QUEUE_LOOKED_AT + 1]);
  });

  it("costs nothing any more once it has gone", async () => {
    const rig = new Rig();
    const [one, other] = [new FakeConnection(), new FakeConnection()];
    rig.join("r1", one, 1_000);
    rig.join("r2", one);
    rig.join("r3", other);
    one.end();
    expect([rig.queue.count, rig.queue.isWaiting(one), rig.queue.isWaiting(other)]).toEqual([1, false, true]);
    await rig.free("read", 3);
    await rig.clock.advance(QUEUE_MAX_MS);
    expect([rig.names, rig.refused, rig.clock.plannedCount]).toEqual([["r3"], [], 0]);
    // its bytes are given back
    expect(rig.join("w1", other, QUEUE_MAX_BYTES)).toBe(true);
  });

  it("is not let in in the moment between the end of its connection and the word of it", async () => {
    const rig = new Rig();
    const one = new FakeConnection();
    rig.join("r1", one);
    one.destroyed = true;
    await rig.free("read", 1);
    expect([rig.names, rig.refused, rig.queue.count]).toEqual([[], [], 0]);
  });

  it("has one listener, however often its connection waits", async () => {
    const rig = new Rig();
    const one = new FakeConnection();
    for (let n = 0; n < 5; n += 1) {
      rig.join("r1", one);
      await rig.free("read", 1);
    }
    expect([rig.names.length, one.listenerCount("close")]).toEqual([5, 1]);
  });
});

describe("requests of one connection", () => {
  it("are let in in their order, whichever class they are of", async () => {
    const rig = new Rig();
    const one = new FakeConnection();
    for (const what of ["r1", "w1", "r2"]) rig.join(what, one);
    await rig.free("write", 1);
    expect(rig.names).toEqual([]);
    await rig.free("read", 2);
    // the write stands first after the read, and has room
    await rig.clock.advance(QUEUE_LOOK_MS);
    expect([rig.names, rig.queue.count]).toEqual([["r1", "w1", "r2"], 0]);
  });

  it("are refused together once the first is, but for those that are of use yet", async () => {
    const rig = new Rig();
    const one = new FakeConnection();
    rig.join("r-a", one);
    rig.joinMany(600);
    await rig.clock.advance(300);
    rig.join("w-b", one);
    await rig.clock.advance(500);
    rig.join("r-c", one, 0, rig.clock.monotonicMs());
    await rig.clock.advance(603 * QUEUE_REFUSE_EACH_MS - 800 + QUEUE_LOOK_MS);
    expect(rig.refused.slice(0, 3)).toEqual(["r-a", "w-b", "r0"]);
    await rig.free("read", 1);
    expect(rig.names).toEqual(["r-c"]);
  });

  it("come by age among the others, not by when the one before them went", async () => {
    const rig = new Rig();
    const one = new FakeConnection();
    rig.join("r1", one);
    rig.join("r2", one);
    await rig.clock.advance(10);
    rig.join("r3");
    await rig.clock.advance(10);
    await rig.free("read", 2);
    expect(rig.names).toEqual(["r3", "r1"]);
    rig.join("r4");
    await rig.free("read", 1);
    await rig.free("read", 1);
    expect(rig.names).toEqual(["r3", "r1", "r4", "r2"]);
  });
});

describe("a connection that sends on without waiting", () => {
  it("is left unread from the end of the turn on, and read again when nothing of it waits any more", async () => {
    const rig = new Rig();
    const one = new FakeConnection();
    rig.join("r1", one);
    await rig.clock.advance(0);
    expect(one.isRead).toBe(true);
    rig.join("r2", one);
    expect(one.isRead).toBe(true);
    await rig.clock.advance(0);
    expect(one.isRead).toBe(false);
    // whatever has it read on, the next that comes stops it again
    one.resume();
    rig.join("r3", one);
    await rig.clock.advance(0);
    expect(one.isRead).toBe(false);
    await rig.free("read", 2);
    expect([rig.names, one.isRead]).toEqual([["r1", "r2"], false]);
    await rig.free("read", 1);
    expect([rig.names, one.isRead]).toEqual([["r1", "r2", "r3"], true]);
  });

  it("is left unread as well when no more of it may wait", async () => {
    const rig = new Rig();
    const one = new FakeConnection();
    for (let n = 0; n < QUEUE_MAX_OF_ONE; n += 1) rig.join("r1", one);
    await rig.clock.advance(0);
    one.resume();
    expect(rig.join("r1", one)).toBe(false);
    await rig.clock.advance(0);
    expect(one.isRead).toBe(false);
  });

  it("brings what counts as old as it was unread, for the turns in which that comes, and no longer", async () => {
    const rig = new Rig();
    const one = new FakeConnection();
    const seen: (readonly [cameMs: number, unreadMs: number])[] = [];
    const look = (): void => void seen.push([rig.queue.cameMs(one), rig.queue.unreadMs(one)]);
    await rig.clock.advance(7);
    rig.join("r1", one);
    rig.join("r2", one);
    look();
    await rig.clock.advance(QUEUE_USEFUL_MS);
    one.once("resume", () => {
      look();
      // as the kernel does
      rig.clock.defer(() => {
        look();
        rig.join("w-old", one);
        rig.join("w-older", one);
        look();
      });
    });
    await rig.clock.advance(3 * QUEUE_LOOK_MS);
    expect(rig.refused.slice(0, 2)).toEqual(["r1", "r2"]);
    const againMs = QUEUE_USEFUL_MS + QUEUE_LOOK_MS;
    expect(seen).toEqual([
      [7, 0],
      [7, againMs],
      [7, againMs],
      [7, againMs],
    ]);
    // and what it brought is let in no more
    await rig.free("write", 2);
    expect([rig.names, rig.refused]).toEqual([[], ["r1", "r2", "w-old", "w-older"]]);
    seen.length = 0;
    await rig.clock.advance(1_000);
    look();
    expect(seen).toEqual([[rig.clock.monotonicMs(), 0]]);
  });

  /** Left unread at 0 with two requests, which are let in at 400 ms; what it brings in the turn after it is read again. */
  async function readAgain(rig: Rig, one: FakeConnection, bytes: number): Promise<void> {
    rig.join("r1", one);
    rig.join("r2", one);
    await rig.clock.advance(400);
    const came = Promise.withResolvers<void>();
    one.resume = () => {
      one.isRead = true;
      one.resume = FakeConnection.prototype.resume;
      rig.clock.defer(() => {
        one.bytesRead += bytes;
        rig.join("r3", one);
        rig.join("r4", one);
        came.resolve();
      });
    };
    await rig.free("read", 2);
    await came.promise;
    await rig.clock.advance(0);
  }

  it.each([
    ["brought less than one reading takes: what is behind it is new", UNREAD_MORE_BYTES - 1, 400],
    ["brought as much as one takes: what is behind it may be as old", UNREAD_MORE_BYTES, 0],
    ["brought so much that what is behind it is taken for new", UNREAD_MAX_BYTES, 400],
  ])("is left unread again after it %s", async (_, bytes, sinceMs) => {
    const rig = new Rig();
    const one = new FakeConnection();
    await readAgain(rig, one, bytes);
    expect([one.isRead, rig.names, rig.letIn[0]?.[1]]).toEqual([false, ["r1", "r2"], 400]);
    await rig.clock.advance(20);
    const seen: number[] = [];
    one.resume = () => void seen.push(rig.queue.cameMs(one), rig.clock.monotonicMs() - rig.queue.unreadMs(one));
    // by the age of the two that it brought
    await rig.free("read", 2);
    expect(rig.letIn.slice(2)).toEqual([
      ["r3", 420],
      ["r4", 420],
    ]);
    expect(seen).toEqual([sinceMs, sinceMs]);
  });
});

describe("a queue that is full", () => {
  it("takes no more of one connection", () => {
    const rig = new Rig();
    const one = new FakeConnection();
    const taken = Array.from({ length: QUEUE_MAX_OF_ONE + 1 }, () => rig.join("r1", one));
    expect(taken.filter(Boolean)).toHaveLength(QUEUE_MAX_OF_ONE);
    expect([taken.at(-1), rig.queue.count]).toEqual([false, 16]);
  });

  it("takes no more behind others, and yet the first of any connection", () => {
    const rig = new Rig();
    const connections = QUEUE_MAX_BEHIND / (QUEUE_MAX_OF_ONE - 1) + 1;
    let last = new FakeConnection();
    for (let n = 0; n < connections; n += 1) {
      last = new FakeConnection();
      for (let of = 0; of < QUEUE_MAX_OF_ONE; of += 1) rig.join("r1", last);
    }
    const behind = rig.queue.count - Math.ceil(connections);
    expect(behind).toBe(QUEUE_MAX_BEHIND);
    expect([rig.join("r1", last), rig.join("r1")]).toEqual([false, true]);
  });

  it("takes no more bytes, but what is of no use any more gives way", async () => {
    const rig = new Rig();
    expect([rig.join("w1", undefined, QUEUE_MAX_BYTES), rig.join("w2", undefined, 1)]).toEqual([true, false]);
    rig.joinMany(1_000);
    await rig.clock.advance(QUEUE_USEFUL_MS + 2 * QUEUE_LOOK_MS);
    expect([rig.join("w3", undefined, QUEUE_MAX_BYTES), rig.refused]).toEqual([true, ["w1"]]);
    expect(rig.join("w4", undefined, 1)).toBe(false);
  });

  it("keeps what comes behind one of its own connection that gives way", async () => {
    const rig = new Rig();
    const one = new FakeConnection();
    rig.join("w1", one, QUEUE_MAX_BYTES);
    rig.joinMany(1_000);
    await rig.clock.advance(QUEUE_USEFUL_MS + 2 * QUEUE_LOOK_MS);
    expect([rig.join("w2", one, 1), rig.refused]).toEqual([true, ["w1"]]);
    expect([rig.queue.isWaiting(one), rig.queue.count]).toEqual([true, 1_001]);
    await rig.free("write", 1);
    expect(rig.names).toEqual(["w2"]);
  });

  it("has only what is of no use any more give way to bytes, not what came behind it", async () => {
    const rig = new Rig();
    const one = new FakeConnection();
    rig.join("w1", one, QUEUE_MAX_BYTES - 10);
    rig.joinMany(1_000);
    await rig.clock.advance(QUEUE_USEFUL_MS + 2 * QUEUE_LOOK_MS);
    rig.join("w2", one, 10, rig.clock.monotonicMs());
    expect([rig.join("w3", undefined, 20), rig.refused]).toEqual([true, ["w1"]]);
    await rig.free("write", 2);
    expect(rig.names).toEqual(["w3", "w2"]);
  });

  it("has nobody give way to what may not stand where it comes", async () => {
    const rig = new Rig();
    const one = new FakeConnection();
    for (let n = 0; n < QUEUE_MAX_OF_ONE; n += 1) rig.join("r1", one);
    rig.join("w1", undefined, QUEUE_MAX_BYTES);
    rig.joinMany(1_000);
    await rig.clock.advance(QUEUE_USEFUL_MS + 2 * QUEUE_LOOK_MS);
    expect([rig.join("r2", one, 1), rig.refused]).toEqual([false, []]);
  });

  it("deals with so many at most to make room for one", async () => {
    const rig = new Rig();
    for (let n = 0; n < 1_000; n += 1) rig.join(`w${n}`, undefined, QUEUE_MAX_BYTES / 1_000);
    await rig.clock.advance(QUEUE_USEFUL_MS + 2 * QUEUE_LOOK_MS);
    expect([rig.join("w-big", undefined, QUEUE_MAX_BYTES / 2), rig.refused.length]).toEqual([
      false,
      QUEUE_DEALT_A_TURN,
    ]);
    expect([
      rig.join("w-small", undefined, (QUEUE_DEALT_A_TURN * QUEUE_MAX_BYTES) / 1_000),
      rig.refused.length,
    ]).toEqual([true, QUEUE_DEALT_A_TURN]);
  });

  it("deals with so many requests at most, not rows, and does not count those that have gone", async () => {
    const rig = new Rig();
    const gone = Array.from({ length: 100 }, () => new FakeConnection());
    for (const one of gone) rig.join("w-gone", one, 1);
    for (let n = 0; n < 10; n += 1) {
      const one = new FakeConnection();
      for (let of = 0; of < QUEUE_MAX_OF_ONE; of += 1) rig.join(`w${n}`, one, QUEUE_MAX_BYTES / 200);
    }
    rig.joinMany(1_000);
    await rig.clock.advance(QUEUE_USEFUL_MS + 2 * QUEUE_LOOK_MS);
    for (const one of gone) one.end();
    expect([rig.join("w-big", undefined, QUEUE_MAX_BYTES), rig.refused.length]).toEqual([false, QUEUE_DEALT_A_TURN]);
  });

  it("says of one of a hot key that gives way what is true of it", async () => {
    const rig = new Rig();
    rig.join("w1", undefined, QUEUE_MAX_BYTES);
    rig.hot.add("/v1/kv/b/w1");
    await rig.free("write", 1);
    expect([rig.join("w2", undefined, 1), rig.why]).toEqual([true, [HOT.words]]);
  });

  it("has nobody give way to a new connection for whose bytes there is no room", async () => {
    const rig = new Rig();
    rig.join("w1", undefined, QUEUE_MAX_BYTES);
    rig.joinMany(QUEUE_CROWDED_ROWS - 1);
    expect([rig.join("w2", undefined, 1), rig.refused]).toEqual([false, []]);
    // for which what is of no use any more gives way, and thereby a place
    await rig.clock.advance(QUEUE_USEFUL_MS + 2 * QUEUE_LOOK_MS);
    expect([rig.join("w3", undefined, 1), rig.refused]).toEqual([true, ["w1"]]);
    expect([rig.join("w4", undefined, 1), rig.refused]).toEqual([true, ["w1", "r0"]]);
  });

  it("has the oldest of both classes give way to new connections, and says what is true of it", async () => {
    const rig = new Rig();
    for (let n = 0; n < QUEUE_CROWDED_ROWS / 2; n += 1) rig.join(`w${n}`);
    await rig.clock.advance(400);
    for (let n = 0; n < QUEUE_CROWDED_ROWS / 2; n += 1) rig.join(`r${n}`);
    rig.join("r-new");
    await rig.clock.advance(QUEUE_USEFUL_MS - 390);
    rig.join("w-new");
    expect(rig.refused).toEqual(["w0", "w1"]);
    expect(rig.why).toEqual([PUSHED_OUT.words, WAITED.words]);
  });

  it("has whoever waited longest give way to new connections, and to no old one that comes back", async () => {
    const rig = new Rig();
    const old = new FakeConnection();
    rig.join("r-old", old);
    await rig.free("read", 1);
    rig.joinMany(QUEUE_CROWDED_ROWS);
    await rig.clock.advance(1);
    expect([rig.join("w-old", old), rig.refused]).toEqual([true, []]);
    expect([rig.join("r-new"), rig.refused]).toEqual([true, ["r0"]]);
    await rig.clock.advance(QUEUE_USEFUL_MS + 2 * QUEUE_LOOK_MS);
    expect([rig.join("r-newer"), rig.refused, rig.queue.count]).toEqual([true, ["r0", "r1"], QUEUE_CROWDED_ROWS + 1]);
  });
});

describe("a queue whose node stops", () => {
  it("lets everybody in, in the order of each connection, old and young, and is empty", async () => {
    const rig = new Rig();
    const one = new FakeConnection();
    rig.join("r-a", one);
    rig.join("w-b", one);
    rig.joinMany(500);
    await rig.clock.advance(QUEUE_USEFUL_MS + QUEUE_LOOK_MS);
    rig.join("r-c", one);
    rig.queue.letInAll();
    expect([rig.names.slice(0, 3), rig.names.length, rig.queue.count]).toEqual([["r-a", "w-b", "r-c"], 503, 0]);
    await rig.clock.advance(QUEUE_MAX_MS);
    expect([rig.names.length, rig.refused.length, rig.clock.plannedCount]).toEqual([503, 0, 0]);
  });
});

describe("whatever happens", () => {
  const step = fc.record({
    connection: fc.nat(7),
    work: fc.constantFrom<KeyWork>("read", "write"),
    does: fc.constantFrom("join", "join", "join", "join", "free", "end", "bytes", "hot", "cool"),
    bytes: fc.constantFrom(0, QUEUE_MAX_BYTES / 2, QUEUE_MAX_BYTES),
    thenMs: fc.oneof(fc.constant(0), fc.nat(400)),
  });

  it("each is let in or refused once, in the order of its connection and in bounded time, or has gone", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const rig = new Rig();
        const connections = Array.from({ length: 8 }, () => new FakeConnection());
        const joined: { readonly what: string; readonly by: number }[] = [];
        for (const { connection, work, does, bytes, thenMs } of steps) {
          const one = connections[connection] ?? new FakeConnection();
          const what = `${work.slice(0, 1)}${joined.length}`;
          if (does === "free") rig.room[work] += 1;
          else if (does === "end") one.end();
          else if (does === "bytes") rig.freeBytes = rig.freeBytes === 0 ? Number.POSITIVE_INFINITY : 0;
          else if (does === "hot") rig.hot.add(`/v1/kv/b/${joined.at(-1)?.what ?? ""}`);
          else if (does === "cool") rig.hot.clear();
          else if (!one.destroyed && rig.join(what, one, bytes)) joined.push({ what, by: connection });
          if (does === "free") rig.queue.placeFree();
          await rig.clock.advance(thenMs);
        }
        await rig.clock.advance(QUEUE_MAX_MS + 8 * QUEUE_LOOK_MS);
        expect([rig.queue.count, rig.clock.plannedCount]).toEqual([0, 0]);
        const settled = [...rig.names, ...rig.refused];
        expect(new Set(settled).size).toBe(settled.length);
        expect(rig.letIn.every(([, waitedMs]) => waitedMs <= QUEUE_USEFUL_MS)).toBe(true);
        expect(rig.untrue).toEqual([]);
        expect(connections.every((one) => one.destroyed || one.isRead)).toBe(true);
        for (const [index, one] of connections.entries()) {
          const mine = joined.filter(({ by }) => by === index).map(({ what }) => what);
          const inOrder = mine.filter((what) => rig.names.includes(what));
          expect(rig.names.filter((what) => mine.includes(what))).toEqual(inOrder);
          if (!one.destroyed) expect(mine.filter((what) => !settled.includes(what))).toEqual([]);
        }
      }),
      { numRuns: 200 },
    );
  });
});
