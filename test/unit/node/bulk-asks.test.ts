import { expect, it } from "vitest";
import { BulkAsks } from "../../../services/node/bulk-asks.ts";
import type { CallResult, PeerRequest } from "../../../services/peers/messages.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { nodeIdOf } from "../../support/sim-peers.ts";

const PEER = nodeIdOf("b");

function asksOver(results: readonly CallResult[]): {
  readonly clock: FakeClock;
  readonly asks: BulkAsks;
  readonly budgets: number[];
} {
  const clock = new FakeClock();
  const budgets: number[] = [];
  const callBulk = (_to: string, _request: PeerRequest, budgetMs: number, onResult: (result: CallResult) => void) => {
    const result = results[Math.min(budgets.length, results.length - 1)];
    budgets.push(budgetMs);
    if (result !== undefined) onResult(result);
  };
  return { clock, asks: new BulkAsks({ callBulk }, clock), budgets };
}

const UNSENT: CallResult = { kind: "unsent", reason: "no_link" };

it("asks again while the link does not stand, within its time", async () => {
  const { clock, asks, budgets } = asksOver([UNSENT, UNSENT, { kind: "answer", body: "yes" }]);
  const answer = asks.ask(PEER, "handover", {}, 1_000);
  await clock.advance(100);
  expect([await answer, budgets]).toEqual(["yes", [1_000, 980, 960]]);
});

it("answers undefined when the time is up, or when the question was lost", async () => {
  const never = asksOver([UNSENT]);
  const answer = never.asks.ask(PEER, "handover", {}, 1_000);
  await never.clock.advance(1_100);
  expect(await answer).toBe(undefined);
  expect(never.clock.plannedCount).toBe(0);
  const lost = asksOver([{ kind: "lost", reason: "timeout" }]);
  expect([await lost.asks.ask(PEER, "handover", {}, 1_000), lost.budgets.length]).toEqual([undefined, 1]);
});

it("a stopped node asks nobody again, and plans nothing more", async () => {
  const { clock, asks, budgets } = asksOver([UNSENT]);
  const answer = asks.ask(PEER, "handover", {}, 30_000);
  await clock.advance(50);
  asks.stop();
  expect(await answer).toBe(undefined);
  expect(await asks.ask(PEER, "handover", {}, 30_000)).toBe(undefined);
  expect([clock.plannedCount, budgets.length]).toEqual([0, 3]);
});
