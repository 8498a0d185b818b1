/** What clients wrote and read through fake coordinators, and what of it must not have been. */
import type { GetAnswer, WriteAnswer } from "../../services/coordinator/contract.ts";
import { covers } from "../../services/versioning/causal-context.ts";
import type { CausalContext, Dot } from "../../services/versioning/types.ts";
import type { FakeCluster } from "./fake-cluster.ts";

/** One write and how it ended. */
export interface HistoricWrite {
  readonly value: string;
  readonly answer: WriteAnswer;
}

/** What was written and acknowledged, and what reads missed of it. */
export class QuorumHistory {
  readonly faults: string[] = [];
  readonly writes: HistoricWrite[] = [];
  readonly acked: { readonly dot: Dot; readonly value: string }[] = [];
  context: CausalContext | undefined;

  onWrite(write: HistoricWrite): void {
    this.writes.push(write);
    if (write.answer.kind !== "applied") return;
    this.acked.push({ dot: write.answer.dot, value: write.value });
    this.context = write.answer.context;
  }

  /** `ackedBefore`: how many writes had been acknowledged when the read began. */
  onRead(answer: GetAnswer, ackedBefore: number): void {
    if (answer.kind === "failed") return;
    const known = answer.kind === "found" ? answer.set.clock : answer.kind === "deleted" ? answer.context : undefined;
    if (known !== undefined) this.context = known;
    for (const acked of this.acked.slice(0, ackedBefore)) {
      const isSeen = known !== undefined && covers(known, acked.dot);
      if (!isSeen) this.faults.push(`a read misses the acknowledged ${acked.value}`);
    }
  }

  /** Adds a fault for every write that was not applied and yet is stored at some node. */
  checkTraces(cluster: FakeCluster): void {
    const versions = cluster.nodes.flatMap(({ replica, hints }) => [
      ...replica.everStored,
      ...hints.replica.everStored,
    ]);
    const stored = new Set(
      versions.flatMap((set) => set.siblings.map((sibling) => Buffer.from(sibling.bytes).toString())),
    );
    for (const { value, answer } of this.writes) {
      const isDenied = answer.kind === "failed" && answer.outcome === "not_applied";
      if (isDenied && stored.has(value)) this.faults.push(`${value} was not applied, and is stored`);
    }
  }
}
