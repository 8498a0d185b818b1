/**
 * The load generator of clients that open a connection for each request, as load-testing tools do for each of their users: open
 * or closed loop. Whoever is not connected by the deadline gives up, and so does who has no answer so long after that: two times, as
 * clients have them. What is answered later than the deadline after it was due counts as late all the same. Must never retry.
 */
import {
  Connection,
  count,
  type GeneratorPlan,
  newResult,
  openLoop,
  pauseUntil,
  type TargetResult,
} from "./generator.ts";

const UNANSWERED_PAUSE_MS = 100;

/** Runs the plan; `connectionsPerTarget`: requests that may be outstanding to a target. Resolves when all are settled. */
export async function generateFresh(plan: GeneratorPlan): Promise<readonly TargetResult[]> {
  const results = plan.ports.map(newResult);
  const open = plan.ports.map(() => new Set<Connection>());
  const beginMs = performance.now();
  plan.onBegin?.();
  let isOver = false;
  const fire = (target: number, dueMs: number): void => {
    const [result, mine, port] = [results[target], open[target], plan.ports[target]];
    if (result === undefined || mine === undefined || port === undefined) return;
    if (mine.size >= plan.connectionsPerTarget) {
      result.unsentCount += 1;
      return;
    }
    result.sentCount += 1;
    // whoever has no answer asks again a little later: a node that is not there would be asked without end
    const again = (): void => {
      if (!isOver) fire(target, performance.now());
    };
    const giveUpAfter = (ms: number): NodeJS.Timeout => setTimeout(() => connection.destroy(), Math.max(0, ms));
    const connection = new Connection(target, port, {
      open: () => {
        clearTimeout(timer);
        timer = giveUpAfter(plan.deadlineMs);
      },
      answer: (one, { isHot, writeId }, status) => {
        const nowMs = performance.now();
        count(result, plan, { status, isHot, tookMs: nowMs - dueMs, atMs: nowMs - beginMs });
        if (status === 200) result.sinceConnectedMs.push(nowMs - (one.openedMs ?? nowMs));
        if (status === 200 && writeId >= 0) plan.onAck(writeId);
        one.destroy();
      },
      end: () => {
        clearTimeout(timer);
        mine.delete(connection);
        const nowMs = performance.now();
        const [lost] = connection.waiting;
        if (lost !== undefined && connection.openedMs === undefined) result.unconnectedCount += 1;
        else if (lost !== undefined) {
          result.lost.push({ isHot: lost.isHot, tookMs: nowMs - dueMs, atMs: nowMs - beginMs });
        }
        if (plan.rate !== undefined) return;
        if (lost === undefined) again();
        else setTimeout(again, UNANSWERED_PAUSE_MS);
      },
    });
    let timer = giveUpAfter(plan.deadlineMs - (performance.now() - dueMs));
    mine.add(connection);
    connection.send(plan.next(), dueMs);
  };
  if (plan.rate === undefined) {
    for (let n = 0; n < plan.connectionsPerTarget; n += 1)
      for (const target of plan.ports.keys()) fire(target, beginMs);
    await pauseUntil(beginMs + plan.durationMs);
  } else await openLoop(plan, beginMs, fire);
  isOver = true;
  while (open.some(({ size }) => size > 0)) await pauseUntil(performance.now() + 20);
  return results;
}
