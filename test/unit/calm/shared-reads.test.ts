/** Reads of one key that meet in one turn. */
import { describe, expect, it } from "vitest";
import { type BucketName, parseBucketName } from "../../../services/base/ids.ts";
import { SHARED_READS_FROM } from "../../../services/base/load-limits.ts";
import { SharedReads } from "../../../services/calm/shared-reads.ts";
import type { Coordinator, GetAnswer, GetRequest, Knobs } from "../../../services/coordinator/contract.ts";
import { EMPTY_CONTEXT } from "../../../services/versioning/causal-context.ts";
import { TurnClock } from "../../support/turn-clock.ts";

const KNOBS: Knobs = { sloppy: true, timeoutMs: 2_000, explain: false };
const unasked = (): never => expect.unreachable("only reads are asked for");

/** A coordinator that answers when it is let, over a clock whose turns end when they are told to. */
class Rig {
  readonly asked: GetRequest[] = [];
  readonly front: SharedReads;
  readonly clock = new TurnClock();
  readonly #waiting: ((answer: GetAnswer) => void)[] = [];

  constructor() {
    const get = (request: GetRequest): Promise<GetAnswer> => {
      this.asked.push(request);
      return new Promise((resolve) => this.#waiting.push(resolve));
    };
    const inner: Coordinator = { get, put: unasked, delete: unasked, list: unasked };
    this.front = new SharedReads(inner, this.clock);
  }

  read(key: string, changed: Partial<GetRequest> = {}): Promise<GetAnswer> {
    return this.front.get({ name: { bucket: bucket(), key: Buffer.from(key) }, knobs: KNOBS, ...changed });
  }

  /** Reads of other keys, so that the turn has many. */
  crowd(): void {
    for (let n = 1; n < SHARED_READS_FROM; n += 1) void this.read(`other-${n}`);
  }

  endTurn(): void {
    this.clock.endTurn();
  }

  answerAll(): void {
    for (const resolve of this.#waiting.splice(0)) resolve({ kind: "not_found" });
  }

  askedFor(key: string): number {
    return this.asked.filter(({ name }) => Buffer.from(name.key).toString() === key).length;
  }
}

function bucket(): BucketName {
  const name = parseBucketName("b");
  if (name === undefined) throw new Error("a bucket");
  return name;
}

describe("reads of one key in one turn", () => {
  it("that are shared are nobody's in particular: who founded the read may go, and the others have it", async () => {
    const rig = new Rig();
    rig.crowd();
    const asker = { whenGone: () => undefined };
    for (let n = 0; n < 3; n += 1) void rig.read("hot", { asker });
    rig.endTurn();
    const askers = rig.asked.filter(({ name }) => Buffer.from(name.key).toString() === "hot").map((one) => one.asker);
    expect(askers).toEqual([asker, undefined]);
    rig.answerAll();
  });

  it("are two of the replicas, however many ask, and all are answered", async () => {
    const rig = new Rig();
    rig.crowd();
    const reads = Array.from({ length: 1_000 }, () => rig.read("hot"));
    expect(rig.askedFor("hot")).toBe(1);
    rig.endTurn();
    expect([rig.askedFor("hot"), rig.front.sharedCount]).toEqual([2, 998]);
    rig.answerAll();
    expect(new Set((await Promise.all(reads)).map((answer) => answer.kind))).toEqual(new Set(["not_found"]));
  });

  it("never share one that began before they came: a write acknowledged between them is seen", () => {
    const rig = new Rig();
    rig.crowd();
    void rig.read("hot");
    const before = rig.asked.length;
    void rig.read("hot");
    void rig.read("hot");
    expect(rig.asked).toHaveLength(before);
    rig.endTurn();
    expect(rig.asked).toHaveLength(before + 1);
    // The party's read is under way now: the next turn begins its own.
    rig.crowd();
    void rig.read("hot");
    expect(rig.askedFor("hot")).toBe(3);
  });

  it("go each on its own while a turn has few of them", () => {
    const rig = new Rig();
    for (let n = 1; n < SHARED_READS_FROM; n += 1) void rig.read("hot");
    expect(rig.askedFor("hot")).toBe(SHARED_READS_FROM - 1);
    rig.endTurn();
    expect(rig.front.sharedCount).toBe(0);
  });

  it.each<[string, Partial<GetRequest>]>([
    ["another quorum", { knobs: { ...KNOBS, r: 3 } }],
    ["another quorum of owners", { knobs: { ...KNOBS, pr: 1 } }],
    ["no fallbacks", { knobs: { ...KNOBS, sloppy: false } }],
    ["an explanation", { knobs: { ...KNOBS, explain: true } }],
    ["a context", { atLeast: EMPTY_CONTEXT }],
  ])("are not shared with one that asks for %s", (_, changed) => {
    const rig = new Rig();
    rig.crowd();
    void rig.read("hot");
    void rig.read("hot");
    void rig.read("hot", changed);
    expect([rig.askedFor("hot"), rig.front.sharedCount]).toEqual([2, 0]);
  });

  it("are told apart by their bytes", () => {
    const rig = new Rig();
    rig.crowd();
    for (const key of ["a", "ä", "á", "b"]) void rig.read(key);
    expect(rig.asked).toHaveLength(SHARED_READS_FROM + 3);
  });

  it("pass a rejection on to all who share it", async () => {
    const clock = new TurnClock();
    const front = new SharedReads(
      { get: () => Promise.reject(new Error("broken")), put: unasked, delete: unasked, list: unasked },
      clock,
    );
    const name = { bucket: bucket(), key: Buffer.from("hot") };
    const reads = Array.from({ length: 20 }, (_, n) => front.get({ name, knobs: { ...KNOBS, timeoutMs: 2_000 - n } }));
    clock.endTurn();
    const ends = await Promise.allSettled(reads);
    expect(ends.every((end) => end.status === "rejected")).toBe(true);
    expect(clock.plannedCount).toBe(0);
  });
});

/** How a read ended: `replicas` by the read's own word, `alone` by a word for it that the read did not give. */
type End = `${"found" | "replicas" | "alone"} at ${number}`;

/** Reads of one key that join one party, over replicas that answer at a time, or never. */
class PartyRig {
  readonly clock = new TurnClock();
  readonly ends: End[] = [];
  /** of the read of the party: when it began and for how long it was to go on */
  readonly began: { readonly atMs: number; readonly timeoutMs: number }[] = [];
  readonly #front: SharedReads;
  #isOpen = false;

  constructor(answerAtMs: number | undefined) {
    const get = ({ knobs }: GetRequest): Promise<GetAnswer> => {
      const atMs = this.clock.monotonicMs();
      if (!this.#isOpen) return Promise.resolve({ kind: "not_found" });
      this.began.push({ atMs, timeoutMs: knobs.timeoutMs });
      return new Promise((resolve) => {
        const deadline = this.clock.setTimer(knobs.timeoutMs, () => resolve(UNMET));
        if (answerAtMs === undefined) return;
        this.clock.setTimer(answerAtMs - atMs, () => {
          deadline.cancel();
          resolve({ kind: "not_found" });
        });
      });
    };
    this.#front = new SharedReads({ get, put: unasked, delete: unasked, list: unasked }, this.clock);
    // So many that the turn is a busy one, and one of the key, which goes alone.
    for (let n = 1; n <= SHARED_READS_FROM; n += 1) void this.#front.get(hot(KNOBS.timeoutMs));
    this.#isOpen = true;
  }

  async join(timeoutMs: number): Promise<void> {
    const at = this.ends.length;
    this.ends.push("alone at -1");
    const answer = await this.#front.get(hot(timeoutMs));
    const who = answer.kind !== "failed" ? "found" : answer === UNMET ? "replicas" : "alone";
    this.ends[at] = `${who} at ${this.clock.monotonicMs()}`;
  }
}

const UNMET: GetAnswer = {
  kind: "failed",
  code: "quorum_not_met",
  outcome: "not_applied",
  retryable: true,
  detail: "0 of the 2 required replicas answered the read.",
  required: 2,
  received: 0,
};

function hot(timeoutMs: number): GetRequest {
  return { name: { bucket: bucket(), key: Buffer.from("hot") }, knobs: { ...KNOBS, timeoutMs } };
}

describe("reads of one key with deadlines of their own", () => {
  interface Case {
    readonly title: string;
    /** in the order in which they come, all at 0 */
    readonly timeoutsMs: readonly number[];
    readonly answerAtMs: number | undefined;
    readonly ends: readonly End[];
  }
  it.each<Case>([
    {
      title: "are all answered by an answer that is in time for all",
      timeoutsMs: [2_000, 1_500, 1_000],
      answerAtMs: 900,
      ends: ["found at 900", "found at 900", "found at 900"],
    },
    {
      title: "are each told at its own time that there is none, and who has more time is answered later",
      timeoutsMs: [2_000, 1_500, 1_000],
      answerAtMs: 1_700,
      ends: ["found at 1700", "alone at 1500", "alone at 1000"],
    },
    {
      title: "go on for as long as the most patient one has time, whoever came first",
      timeoutsMs: [1_000, 1_500, 2_000],
      answerAtMs: 1_700,
      ends: ["alone at 1000", "alone at 1500", "found at 1700"],
    },
    {
      title: "end with the read's own word for those who have the most time",
      timeoutsMs: [2_000, 1_000, 2_000],
      answerAtMs: undefined,
      ends: ["replicas at 2000", "alone at 1000", "replicas at 2000"],
    },
    {
      title: "are one where the coordinator would have ended them in one tick",
      timeoutsMs: [2_000, 1_996],
      answerAtMs: undefined,
      ends: ["replicas at 2000", "replicas at 2000"],
    },
    {
      title: "are told in the order of their deadlines, not in that of their coming",
      timeoutsMs: [200, 100, 300, 2_000],
      answerAtMs: undefined,
      ends: ["alone at 200", "alone at 100", "alone at 300", "replicas at 2000"],
    },
  ])("$title", async ({ timeoutsMs, answerAtMs, ends }) => {
    const rig = new PartyRig(answerAtMs);
    for (const timeoutMs of timeoutsMs) void rig.join(timeoutMs);
    rig.clock.endTurn();
    expect(rig.began).toEqual([{ atMs: 0, timeoutMs: Math.max(...timeoutsMs) }]);
    await rig.clock.advance(3_000);
    expect(rig.ends).toEqual(ends);
  });

  it("count each one's time from when it came, and the read's to the last one's end", async () => {
    const rig = new PartyRig(undefined);
    void rig.join(100);
    await rig.clock.advance(30);
    void rig.join(100);
    await rig.clock.advance(10);
    rig.clock.endTurn();
    expect(rig.began).toEqual([{ atMs: 40, timeoutMs: 90 }]);
    await rig.clock.advance(200);
    expect(rig.ends).toEqual(["alone at 100", "replicas at 130"]);
  });

  it("are asked for although their turn took longer than their time: a replica here may answer at once", async () => {
    const rig = new PartyRig(40);
    void rig.join(10);
    void rig.join(20);
    await rig.clock.advance(40);
    rig.clock.endTurn();
    expect(rig.began).toEqual([{ atMs: 40, timeoutMs: 1 }]);
    await rig.clock.advance(100);
    expect(rig.ends[1]).toBe("found at 40");
  });

  it("tell who leaves early what a read without its quorum is told: nothing was done, and it may be asked again", async () => {
    const rig = new Rig();
    rig.crowd();
    const [, early] = [rig.read("hot"), rig.read("hot", { knobs: { ...KNOBS, timeoutMs: 50 } }), rig.read("hot")];
    rig.endTurn();
    await rig.clock.advance(50);
    expect(await early).toMatchObject({
      kind: "failed",
      code: "quorum_not_met",
      outcome: "not_applied",
      retryable: true,
    });
  });

  it("leave no timer behind once they are answered", async () => {
    const rig = new PartyRig(100);
    for (const timeoutMs of [2_000, 50, 1_000, 1_500]) void rig.join(timeoutMs);
    rig.clock.endTurn();
    await rig.clock.advance(100);
    expect(rig.ends).toEqual(["found at 100", "alone at 50", "found at 100", "found at 100"]);
    expect(rig.clock.plannedCount).toBe(0);
  });

  it("need no timer where all have the same time", () => {
    const rig = new PartyRig(undefined);
    for (let n = 0; n < 64; n += 1) void rig.join(2_000);
    rig.clock.endTurn();
    // the end of the read itself
    expect(rig.clock.plannedCount).toBe(1);
  });

  it("are as few on a full node, where each waited for another while, as on an idle one", () => {
    const counts = [() => 0, (n: number) => n + 1].map((waitedMs) => {
      const rig = new Rig();
      for (let n = 0; n < 64; n += 1) {
        void rig.read("hot", { knobs: { ...KNOBS, timeoutMs: KNOBS.timeoutMs - waitedMs(n) } });
      }
      rig.endTurn();
      return rig.askedFor("hot");
    });
    expect(counts).toEqual([SHARED_READS_FROM + 1, SHARED_READS_FROM + 1]);
  });

  it("are not shared where an explanation is asked for: it is due at the end, too", () => {
    const rig = new Rig();
    rig.crowd();
    for (const timeoutMs of [2_000, 2_000, 1_000])
      void rig.read("hot", { knobs: { ...KNOBS, explain: true, timeoutMs } });
    expect([rig.askedFor("hot"), rig.front.sharedCount]).toEqual([2, 0]);
  });
});
