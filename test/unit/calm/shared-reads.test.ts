/** Reads of one key that meet in one turn. */
import { describe, expect, it } from "vitest";
import { type BucketName, parseBucketName } from "../../../services/base/ids.ts";
import { SHARED_READS_FROM } from "../../../services/base/load-limits.ts";
import { SharedReads } from "../../../services/calm/shared-reads.ts";
import type { Coordinator, GetAnswer, GetRequest, Knobs } from "../../../services/coordinator/contract.ts";
import { EMPTY_CONTEXT } from "../../../services/versioning/causal-context.ts";

const KNOBS: Knobs = { sloppy: true, timeoutMs: 2_000, explain: false };
const unasked = (): never => expect.unreachable("only reads are asked for");

/** A coordinator that answers when it is let, over a clock whose turns end when they are told to. */
class Rig {
  readonly asked: GetRequest[] = [];
  readonly front: SharedReads;
  readonly #ends: (() => void)[] = [];
  readonly #waiting: ((answer: GetAnswer) => void)[] = [];

  constructor() {
    const get = (request: GetRequest): Promise<GetAnswer> => {
      this.asked.push(request);
      return new Promise((resolve) => this.#waiting.push(resolve));
    };
    const inner: Coordinator = { get, put: unasked, delete: unasked, list: unasked };
    this.front = new SharedReads(inner, { defer: (run) => void this.#ends.push(run) });
  }

  read(key: string, changed: Partial<GetRequest> = {}): Promise<GetAnswer> {
    return this.front.get({ name: { bucket: bucket(), key: Buffer.from(key) }, knobs: KNOBS, ...changed });
  }

  /** Reads of other keys, so that the turn has many. */
  crowd(): void {
    for (let n = 1; n < SHARED_READS_FROM; n += 1) void this.read(`other-${n}`);
  }

  endTurn(): void {
    for (const run of this.#ends.splice(0)) run();
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
    ["another deadline", { knobs: { ...KNOBS, timeoutMs: 100 } }],
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
    const front = new SharedReads(
      { get: () => Promise.reject(new Error("broken")), put: unasked, delete: unasked, list: unasked },
      { defer: (run) => void setImmediate(run) },
    );
    const name = { bucket: bucket(), key: Buffer.from("hot") };
    const reads = Array.from({ length: 20 }, () => front.get({ name, knobs: KNOBS }));
    const ends = await Promise.allSettled(reads);
    expect(ends.every((end) => end.status === "rejected")).toBe(true);
  });
});
