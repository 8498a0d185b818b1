/** What one node keeps as a stand-in, in memory: a replica that holds a slot of everything, and whom each key is for. */
import type { StandInReplica } from "../../services/coordinator/needs.ts";
import type { ServedStandIns } from "../../services/peers/peer-handler.ts";
import type {
  HandedVersion,
  KeyLocation,
  LocalReplica,
  Minted,
  ReplicaReadResult,
  ReplicaWriteResult,
  WriteIntent,
} from "../../services/replica/contract.ts";
import type { FakeClock } from "./fake-clock.ts";
import { FakeReplica, keyText } from "./fake-replica.ts";

/** Set its `replica`'s faults to make it refuse, lose or wait. */
export class FakeHints implements StandInReplica, ServedStandIns {
  readonly replica: FakeReplica;
  /** for whom keys are kept: slots in the order in which they were noted */
  readonly slots: Map<string, number[]> = new Map();

  constructor(clock: FakeClock, actor: number) {
    this.replica = new FakeReplica(clock, actor, 0);
  }

  digestOf(location: KeyLocation): bigint {
    return this.replica.digestOf(location);
  }

  read(location: KeyLocation): ReplicaReadResult | Promise<ReplicaReadResult> {
    return this.replica.read(location);
  }

  readEncoded(location: KeyLocation): ReturnType<LocalReplica["readEncoded"]> {
    return this.replica.readEncoded(location);
  }

  async store(location: KeyLocation, slot: number, version: HandedVersion): Promise<ReplicaWriteResult> {
    return this.#noted(location, slot, await this.replica.store(location, version));
  }

  async write(
    location: KeyLocation,
    slot: number,
    intent: WriteIntent,
    onMinted: (minted: Minted) => void,
  ): Promise<ReplicaWriteResult> {
    return this.#noted(location, slot, await this.replica.write(location, intent, onMinted));
  }

  #noted(location: KeyLocation, slot: number, result: ReplicaWriteResult): ReplicaWriteResult {
    if (result.kind === "stored") {
      const text = keyText(location);
      this.slots.set(text, [...(this.slots.get(text) ?? []), slot]);
    }
    return result;
  }
}
