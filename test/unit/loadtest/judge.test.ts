/** The ledger's judgement: what is lost is found, and what was lawfully replaced is never called lost. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { judgeKey } from "../../../loadtest/driver/judge.ts";
import type { WriteRecord } from "../../../loadtest/driver/ledger.ts";

function write(id: string, startMs: number, more: Partial<WriteRecord> = {}): WriteRecord {
  return { id, key: "k", mode: "overwrite", covers: [], startMs, endMs: startMs + 1, outcome: "applied", ...more };
}

function lostOf(writes: readonly WriteRecord[], shown: readonly string[]): readonly string[] {
  return judgeKey(writes, shown).lost.map(({ id }) => id);
}

describe("an acknowledged write", () => {
  test.each([
    ["is there when it is shown", [write("w1", 0)], ["w1"], []],
    ["is lost when nothing is shown", [write("w1", 0)], [], ["w1"]],
    ["is lost when only an older version is shown", [write("w1", 0), write("w2", 5)], ["w1"], ["w2"]],
    ["may be replaced by a later blind overwrite", [write("w1", 0), write("w2", 5)], ["w2"], []],
    ["may be replaced by an overwrite that overlaps it", [write("w1", 0, { endMs: 9 }), write("w2", 5)], ["w1"], []],
    [
      "may be replaced by an overwrite of unknown outcome that began before it",
      [write("w1", 0, { outcome: "unknown", endMs: undefined }), write("w2", 5)],
      ["w1"],
      [],
    ],
    [
      "is replaced by a write whose context had seen it",
      [write("w1", 0), write("w2", 5, { mode: "context", covers: ["w1"] })],
      ["w2"],
      [],
    ],
    [
      "is lost beneath a write whose context had not seen it",
      [
        write("w1", 0, { mode: "sibling" }),
        write("w2", 0, { mode: "sibling" }),
        write("w3", 5, { mode: "context", covers: ["w1"] }),
      ],
      ["w3"],
      ["w2"],
    ],
    [
      "is lost beneath a sibling, which replaces nothing",
      [write("w1", 0), write("w2", 5, { mode: "sibling" })],
      ["w2"],
      ["w1"],
    ],
    [
      "is replaced through others that are not shown either",
      [
        write("w1", 0),
        write("w2", 5, { mode: "context", covers: ["w1"], outcome: "unknown", endMs: undefined }),
        write("w3", 9, { mode: "context", covers: ["w2"] }),
      ],
      ["w3"],
      [],
    ],
    [
      "is not replaced by a refused write, whatever that had seen",
      [write("w1", 0), write("w2", 5, { mode: "context", covers: ["w1"], outcome: "not_applied" })],
      [],
      ["w1"],
    ],
  ] as const)("%s", (_, writes, shown, lost) => {
    expect(lostOf(writes, shown)).toEqual(lost);
  });
});

describe("what is shown", () => {
  test("is undead when the answer was that it had no effect", () => {
    expect(judgeKey([write("w1", 0, { outcome: "not_applied" })], ["w1"]).undead).toEqual(["w1"]);
  });

  test("is foreign when no write of the ledger made it", () => {
    expect(judgeKey([write("w1", 0)], ["w1", "w9"]).foreign).toEqual(["w9"]);
  });

  test("need not hold a write of unknown outcome", () => {
    expect(lostOf([write("w1", 0, { outcome: "unknown", endMs: undefined })], [])).toEqual([]);
  });
});

/** A key as the rules have it: clients one after the other, each write replaces what its mode entitles it to. */
interface Life {
  readonly writes: readonly WriteRecord[];
  readonly shown: readonly string[];
}

const LIFE: fc.Arbitrary<Life> = fc
  .array(
    fc.record({ mode: fc.constantFrom("overwrite", "sibling", "context"), seen: fc.nat(), isKnown: fc.boolean() }),
    {
      minLength: 1,
      maxLength: 25,
    },
  )
  .map((steps) => {
    let shown: readonly string[] = [];
    const writes = steps.map(({ mode, seen, isKnown }, i): WriteRecord => {
      const id = `w${i}`;
      const covers = mode === "context" ? shown.slice(0, seen % (shown.length + 1)) : [];
      const replaced = mode === "overwrite" ? shown : covers;
      shown = [...shown.filter((one) => !replaced.includes(one)), id];
      const known = { outcome: "applied", endMs: i * 2 + 1 } as const;
      const unknown = { outcome: "unknown", endMs: undefined } as const;
      return { id, key: "k", mode, covers, startMs: i * 2, ...(isKnown ? known : unknown) };
    });
    return { writes, shown };
  });

describe("the law of the ledger", () => {
  test("a store that keeps the rules loses nothing", () => {
    fc.assert(
      fc.property(LIFE, ({ writes, shown }) => {
        expect(lostOf(writes, shown)).toEqual([]);
      }),
    );
  });

  test("whatever of it goes missing is called lost, unless a blind overwrite may explain it", () => {
    fc.assert(
      fc.property(LIFE, fc.nat(), ({ writes, shown }, pick) => {
        const gone = shown[pick % shown.length];
        const record = writes.find(({ id }) => id === gone);
        const rest = shown.filter((id) => id !== gone);
        const isExplained = writes.some(
          (one) =>
            one.mode === "overwrite" &&
            (one.endMs === undefined || one.endMs >= (record?.startMs ?? 0)) &&
            one.id !== gone,
        );
        fc.pre(record?.outcome === "applied" && !isExplained);
        expect(lostOf(writes, rest)).toContain(gone);
      }),
    );
  });
});
