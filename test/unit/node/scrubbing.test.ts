/** Scrubs that someone asks a node for. */
import { beforeEach, describe, expect, test } from "vitest";
import { Scrubbing } from "../../../services/node/scrubbing.ts";
import type { StorageEngine } from "../../../storage/engine.ts";
import { node } from "../../support/api-node.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const NONE = { segmentCount: 0, readBytes: 0, badCount: 0, lostCount: 0, rebuiltIndexCount: 0 };

let clock: FakeClock;
let passes: { readonly resolve: () => void; readonly reject: (error: Error) => void }[];
let counts: typeof NONE;
let scrubbing: Scrubbing;

beforeEach(() => {
  clock = new FakeClock();
  passes = [];
  counts = { ...NONE, readBytes: 1_000, badCount: 7 };
  const engine: Pick<StorageEngine, "scrub" | "stats"> = {
    scrub: () =>
      new Promise((resolve, reject) => {
        passes.push({ resolve: () => resolve(NONE), reject });
      }),
    stats: () => ({ scrub: { ...counts, bytesPerSecond: 0, passCount: 0, passEndedAtMs: 0 } }) as never,
  };
  scrubbing = new Scrubbing({ config: { nodeId: node("n1") }, engine, clock });
});

describe("a scrub that is asked for", () => {
  test("tells what this pass has read and found, and nothing of earlier ones", async () => {
    const asked = scrubbing.scrub(1_000);
    counts = { ...counts, readBytes: 5_000, badCount: 9, lostCount: 1 };
    await clock.advance(40);
    passes[0]?.resolve();
    expect(await asked).toEqual({
      node: "n1",
      isDone: true,
      readBytes: 4_000,
      rotCount: 2,
      lostCount: 1,
      rebuiltIndexCount: 0,
      durationMs: 40,
    });
  });

  test("is one for all who ask meanwhile, and goes on when time is up for one of them", async () => {
    const impatient = scrubbing.scrub(10);
    const patient = scrubbing.scrub(1_000);
    await clock.advance(10);
    expect(await impatient).toMatchObject({ isDone: false, durationMs: 10 });
    expect(passes).toHaveLength(1);
    passes[0]?.resolve();
    expect(await patient).toMatchObject({ isDone: true });
    void scrubbing.scrub(10);
    expect(passes).toHaveLength(2);
  });

  test("that the store gives up is not done", async () => {
    const asked = scrubbing.scrub(1_000);
    passes[0]?.reject(new Error("the store is closed"));
    expect(await asked).toMatchObject({ isDone: false });
  });
});
