/**
 * Now and then a replica that a read does not need is asked for its digest beside it, so that one which has recovered is noticed:
 * by its latency it is the last, and would never be asked. Must never have a part in the read, nor keep it waiting.
 */
import type { KeyLocation } from "../replica/contract.ts";
import { idleInTurn, type ReadVoter } from "./read-voter-core.ts";
import { tellsPace } from "./replica-ranking-core.ts";
import type { CoordinatorRoom } from "./request-scope.ts";

/** A read begins, and has asked whom it needs: once in so many one more is asked, another one each time. */
export function explore(
  room: CoordinatorRoom,
  read: { readonly location: KeyLocation; readonly voters: readonly ReadVoter[]; readonly byMs: number },
): void {
  const turn = room.ranking.explorationOf();
  if (turn < 0 || room.isShedding?.() === true) return;
  const { self, health, clock, peers, ranking } = room;
  const sentMs = clock.monotonicMs();
  const isLeftOut: Parameters<typeof idleInTurn>[2] = (node) =>
    node === self || health.standingOf(node, sentMs) !== "well";
  const node = idleInTurn(read.voters, turn, isLeftOut)?.seat.node;
  if (node === undefined) return;
  room.counters.explorationCount += 1;
  const circuit = health.circuitOf(node);
  circuit.onSent(sentMs);
  peers.call(node, { kind: "digest", key: read.location }, Math.max(1, read.byMs - sentMs), (result) => {
    const nowMs = clock.monotonicMs();
    circuit.onResult(result, nowMs - sentMs, nowMs);
    if (tellsPace(result)) ranking.observe(node, nowMs - sentMs);
  });
}
