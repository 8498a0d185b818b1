import { describe, expect, test } from "vitest";
import type { MemberState } from "../../../gossip/core/messages.ts";
import type { TableEntry } from "../../../gossip/core/swim-api.ts";
import type { LinkTarget, MemberCalls } from "../../../gossip/ports.ts";
import { MAX_EXCHANGES, TableExchange } from "../../../gossip/table-exchange.ts";

const clock = { monotonicMs: () => 0, setTimer: () => ({ cancel: () => {} }), defer: (run: () => void) => run() };

function entryOf(nodeId: string, incarnation = 1, state: MemberState = "alive"): TableEntry {
  const facts = { nodeId, address: `${nodeId}:1`, zone: "" };
  return { facts, life: { generation: 1, incarnation }, state, ageMs: 5 };
}

interface Side {
  readonly exchange: TableExchange;
  /** as `peer: name/incarnation/state` */
  readonly learnt: string[];
  readonly questions: Uint8Array[];
}

/** A member with this table, whose questions this function answers. */
function sideOf(table: readonly TableEntry[], answer: (target: LinkTarget, body: Uint8Array) => unknown): Side {
  const learnt: string[] = [];
  const questions: Uint8Array[] = [];
  const calls: MemberCalls = {
    ask: async (target, _question, body) => {
      if (!(body instanceof Uint8Array)) throw new TypeError("a question is bytes");
      questions.push(body);
      return answer(target, body);
    },
  };
  const onTable = (peer: string, entries: readonly TableEntry[]): void => {
    for (const { facts, life, state } of entries) learnt.push(`${peer}: ${facts.nodeId}/${life.incarnation}/${state}`);
  };
  return { exchange: new TableExchange({ clock, calls, table: () => table, onTable }), learnt, questions };
}

/** Two members that answer each other; a begins. */
async function exchanged(ofA: readonly TableEntry[], ofB: readonly TableEntry[]): Promise<{ a: Side; b: Side }> {
  const b = sideOf(ofB, () => undefined);
  const a = sideOf(ofA, (_target, body) => b.exchange.answer("a", body));
  await a.exchange.begin({ nodeId: "b", address: "b:1" });
  return { a, b };
}

describe("an exchange of tables", () => {
  test("tells both sides what differs, and nothing else", async () => {
    const both = [entryOf("a"), entryOf("b"), entryOf("same", 7, "dead")];
    const { a, b } = await exchanged(
      [...both, entryOf("newer", 9), entryOf("only-a"), entryOf("state", 2, "suspect")],
      [...both, entryOf("newer", 3), entryOf("only-b", 4, "left"), entryOf("state", 2, "alive")],
    );
    expect(a.learnt.toSorted()).toEqual(["b: newer/3/alive", "b: only-b/4/left", "b: state/2/alive"]);
    expect(b.learnt.toSorted()).toEqual(["a: newer/9/alive", "a: only-a/1/alive", "a: state/2/suspect"]);
    expect(a.exchange.stats).toMatchObject({ begun: 1, done: 1, failed: 0 });
    expect(b.exchange.stats).toMatchObject({ answered: 2, refused: 0 });
  });

  test("is one question when nothing differs that the asker knows", async () => {
    const { a, b } = await exchanged([entryOf("a")], [entryOf("a"), entryOf("b")]);
    expect(a.questions).toHaveLength(1);
    expect([a.learnt, b.learnt]).toEqual([["b: b/1/alive"], []]);
  });

  test.each<[string, (body: Uint8Array) => unknown]>([
    ["no answer", () => Promise.reject(new Error("timeout"))],
    ["an answer that is no bytes", () => ({ entries: [] })],
    ["an answer that does not parse", () => Uint8Array.from([1, 3, 0, 9])],
    ["an answer to another question", (body) => body],
    ["nothing", () => undefined],
  ])("with %s has failed, and nothing is learnt", async (_what, answer) => {
    const a = sideOf([entryOf("a")], (_target, body) => answer(body));
    await a.exchange.begin({ nodeId: "b", address: "b:1" });
    expect(a.learnt).toEqual([]);
    expect(a.exchange.stats).toMatchObject({ begun: 1, done: 0, failed: 1 });
  });

  test.each([undefined, 7, {}, new Uint8Array(0), Uint8Array.from([1, 3, 0, 0, 0, 0])])(
    "refuses a question that is none: %o",
    (body) => {
      const b = sideOf([entryOf("b")], () => undefined);
      expect(b.exchange.answer("a", body)).toBeUndefined();
      expect(b.exchange.stats.refused).toBe(1);
    },
  );

  test("happens once at a time with one member, and with few at once", async () => {
    const waiting: (() => void)[] = [];
    const a = sideOf([entryOf("a")], () => new Promise((_, reject) => waiting.push(() => reject(new Error("late")))));
    const begun = Array.from({ length: MAX_EXCHANGES + 3 }, (_, index) => [
      a.exchange.begin({ nodeId: `n${index}`, address: "n:1" }),
      a.exchange.begin({ nodeId: `n${index}`, address: "n:1" }),
    ]);
    expect(a.questions).toHaveLength(MAX_EXCHANGES);
    for (const end of waiting) end();
    await Promise.all(begun.flat());
    expect(a.exchange.stats).toMatchObject({ begun: MAX_EXCHANGES, failed: MAX_EXCHANGES, dropped: 6 });
    const later = a.exchange.begin({ nodeId: "later", address: "n:1" });
    waiting.at(-1)?.();
    await later;
    expect(a.questions).toHaveLength(MAX_EXCHANGES + 1);
  });
});
