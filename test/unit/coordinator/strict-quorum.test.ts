/**
 * Random schedules of whole coordinators: with R + W > N every read that begins after a write was acknowledged sees it
 * or something that superseded it; what was `not_applied` is nowhere; every operation ends in its time.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { GetAnswer, WriteAnswer } from "../../../services/coordinator/contract.ts";
import { FakeCluster, type Fate, knobs } from "../../support/fake-cluster.ts";
import type { StoreFault } from "../../support/fake-replica.ts";
import { QuorumHistory } from "../../support/quorum-history.ts";

const TIMEOUT_MS = 60;
const FAULTS: readonly (StoreFault | undefined)[] = [
  undefined,
  undefined,
  undefined,
  "disk_full",
  "shutting_down",
  "failed_but_stored",
  "failed_and_lost",
];

interface Step {
  readonly kind: "put" | "delete" | "get" | "fault" | "away";
  readonly at: number;
  readonly waitMs: number;
  readonly isBlind: boolean;
  readonly fault: StoreFault | undefined;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom("put", "put", "put", "delete", "get", "get", "get", "fault", "away"),
  at: fc.nat(3),
  waitMs: fc.nat(12),
  isBlind: fc.boolean(),
  fault: fc.constantFrom(...FAULTS),
});
const fate: fc.Arbitrary<Fate> = fc
  .record({ thereMs: fc.nat(15), backMs: fc.nat(15), lost: fc.nat(11) })
  .map(({ thereMs, backMs, lost }) => ({ thereMs: lost === 0 ? -1 : thereMs, backMs: lost === 1 ? -1 : backMs }));

async function play(cluster: FakeCluster, steps: readonly Step[], history: QuorumHistory): Promise<void> {
  const running: Promise<void>[] = [];
  for (const [order, what] of steps.entries()) {
    await cluster.clock.advance(what.waitMs);
    const node = cluster.node(what.at);
    const startMs = cluster.clock.monotonicMs();
    const ended = (): void => {
      const tookMs = cluster.clock.monotonicMs() - startMs;
      if (tookMs > TIMEOUT_MS + 10) history.faults.push(`an operation took ${tookMs} ms`);
    };
    const common = { name: cluster.name(), knobs: knobs({ timeoutMs: TIMEOUT_MS }) };
    if (what.kind === "fault") node.replica.storeFault = what.fault;
    if (what.kind === "away") node.isAway = !node.isAway;
    if (what.kind === "get") {
      const ackedBefore = history.acked.length;
      const onAnswer = (answer: GetAnswer): void => {
        ended();
        history.onRead(answer, ackedBefore);
      };
      running.push(node.coordinator.get(common).then(onAnswer));
    }
    const context = what.isBlind ? undefined : history.context;
    const value = `v${order}`;
    const onWritten = (answer: WriteAnswer): void => {
      ended();
      history.onWrite({ value, answer });
    };
    if (what.kind === "delete") running.push(node.coordinator.delete({ ...common, context }).then(onWritten));
    if (what.kind === "put") {
      const put = { ...common, context, contentType: "text/plain", bytes: Buffer.from(value) };
      running.push(node.coordinator.put(put).then(onWritten));
    }
  }
  const all = Promise.all(running);
  await cluster.run(all);
}

/** Plays the steps on a new cluster; everything that should not have been. */
async function faultsOf(
  steps: readonly Step[],
  fates: { next(): { readonly value?: Fate } },
  quorum: { readonly r: number; readonly w: number },
): Promise<readonly string[]> {
  const cluster = new FakeCluster({ nodeCount: 4, settings: quorum });
  cluster.fateOf = () => fates.next().value ?? { thereMs: 1, backMs: 1 };
  const history = new QuorumHistory();
  await play(cluster, steps, history);
  await cluster.clock.advance(10_000);
  history.checkTraces(cluster);
  return history.faults;
}

describe("with R + W > N", () => {
  test("a read sees every write acknowledged before it began; what was not applied is nowhere", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 4, maxLength: 24 }),
        fc.infiniteStream(fate),
        fc.constantFrom({ r: 2, w: 2 }, { r: 1, w: 3 }, { r: 3, w: 1 }),
        async (steps, fates, quorum) => {
          expect(await faultsOf(steps, fates, quorum)).toEqual([]);
        },
      ),
      { numRuns: 300 },
    );
  });
});
