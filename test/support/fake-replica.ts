/**
 * One node's keys in a map, by the real rules of versions, with faults that a test sets: what the coordinator and read
 * repair are tested against. The real replica over the real store is tested with its own suites.
 */
import type { NodeId } from "../../services/base/ids.ts";
import type {
  HandedVersion,
  KeyLocation,
  LocalReplica,
  Minted,
  ReadTerm,
  ReplicaReadResult,
  ReplicaRefusal,
  ReplicaWriteResult,
  WriteIntent,
} from "../../services/replica/contract.ts";
import { givenContextOf, mergedOf, mintedOf } from "../../services/replica/write-core.ts";
import { decodeSet, digestOf, encodeSet } from "../../services/versioning/object-codec.ts";
import { EMPTY } from "../../services/versioning/sibling-set.ts";
import type { SiblingSet } from "../../services/versioning/types.ts";
import type { FakeClock } from "./fake-clock.ts";

/** What a replica does with a store, when not the right thing. */
export type StoreFault = ReplicaRefusal["reason"] | "failed_but_stored" | "failed_and_lost";

/** Names a key in maps. */
export function keyText(location: KeyLocation): string {
  return Buffer.from(location.key).toString("latin1");
}

/** A replica in memory. */
export class FakeReplica implements LocalReplica {
  readonly held: Map<string, SiblingSet> = new Map();
  /** every version text that was ever stored here, for tests that look for traces */
  readonly everStored: SiblingSet[] = [];
  slot: number;
  /** whom its slot went to, as it tells those who ask */
  movedTo: NodeId | undefined;
  /** a slot on its way here, whose content is here already */
  slotComing = -1;
  /** writes and stores wait until it is false, and are refused when the slot has gone by then */
  isSealed = false;
  /** writes and stores under way */
  insideCount = 0;
  isSuspectStore = false;
  storeDelayMs = 0;
  readDelayMs = 0;
  storeFault: StoreFault | undefined;
  readFault: ReplicaRefusal["reason"] | undefined;
  /** the local append of a write fails after the dot was minted */
  appendFault: StoreFault | undefined;
  /** milliseconds that each write and store was given, in order */
  readonly budgets: (number | undefined)[] = [];
  readCount = 0;
  /** reads of which it was told that nobody wanted them any more */
  unwantedCount = 0;
  storeCount = 0;
  readonly #clock: FakeClock;
  readonly #actor: number;
  #counter = 0;

  constructor(clock: FakeClock, actor: number, slot: number) {
    this.#clock = clock;
    this.#actor = actor;
    this.slot = slot;
  }

  slotOf(_partition: number): number {
    return this.slot;
  }

  refusalOf(_partition: number): ReplicaRefusal | undefined {
    if (this.slot >= 0) return undefined;
    if (this.movedTo === undefined) return { kind: "refused", reason: "not_owner", detail: "no slot is held here" };
    return { kind: "refused", reason: "moved", detail: "the slot has gone", facts: { to: this.movedTo } };
  }

  isSuspect(_partition: number): boolean {
    return this.isSuspectStore;
  }

  digestOf(location: KeyLocation): bigint {
    const set = this.held.get(keyText(location));
    return set === undefined ? 0n : digestOf(set);
  }

  read(location: KeyLocation, wanted?: number | ReadTerm): ReplicaReadResult | Promise<ReplicaReadResult> {
    this.readCount += 1;
    if (typeof wanted === "object") wanted.whenOver(() => void (this.unwantedCount += 1));
    // As a store does: refused at once, read later, when the slot and all that it held may be gone.
    const refusal = this.refusalOf(0);
    const result = (): ReplicaReadResult =>
      refusal ??
      (this.readFault === undefined
        ? { kind: "object", set: this.held.get(keyText(location)) }
        : { kind: "refused", reason: this.readFault, detail: "as the test says" });
    return this.readDelayMs === 0 ? result() : this.#later(this.readDelayMs, result);
  }

  readEncoded(
    location: KeyLocation,
  ):
    | { readonly kind: "object"; readonly object: Uint8Array | undefined }
    | ReplicaRefusal
    | Promise<{ readonly kind: "object"; readonly object: Uint8Array | undefined } | ReplicaRefusal> {
    const encoded = (
      read: ReplicaReadResult,
    ): { readonly kind: "object"; readonly object: Uint8Array | undefined } | ReplicaRefusal =>
      read.kind === "refused"
        ? read
        : { kind: "object", object: read.set === undefined ? undefined : encodeSet(read.set) };
    const read = this.read(location);
    return read instanceof Promise ? read.then(encoded) : encoded(read);
  }

  async write(
    location: KeyLocation,
    intent: WriteIntent,
    onMinted: (minted: Minted) => void,
  ): Promise<ReplicaWriteResult> {
    this.budgets.push(intent.budgetMs);
    const refusal = await this.#enter(intent.budgetMs);
    if (refusal !== undefined) return refusal;
    try {
      return await this.#writeInside(location, intent, onMinted);
    } finally {
      this.insideCount -= 1;
    }
  }

  async #writeInside(
    location: KeyLocation,
    intent: WriteIntent,
    onMinted: (minted: Minted) => void,
  ): Promise<ReplicaWriteResult> {
    if (this.storeFault !== undefined && !this.storeFault.startsWith("failed")) return this.#refusal(this.storeFault);
    const set = this.held.get(keyText(location)) ?? EMPTY;
    const held = { set, digest: this.digestOf(location) };
    this.#counter = Math.max(this.#counter + 1, this.#clock.wallMicros());
    const dot = { actor: this.#actor, counter: this.#counter };
    const plan = mintedOf(held, { intent, given: givenContextOf(held, intent), dot, isLww: false });
    if (plan.kind === "refused") return plan;
    onMinted(plan.minted);
    return this.#append(location, plan.minted.object, this.appendFault ?? this.storeFault);
  }

  async store(location: KeyLocation, version: HandedVersion): Promise<ReplicaWriteResult> {
    this.storeCount += 1;
    this.budgets.push(version.budgetMs);
    const refusal = await this.#enter(version.budgetMs);
    if (refusal !== undefined) return refusal;
    try {
      return await this.#append(location, version.object, this.storeFault);
    } finally {
      this.insideCount -= 1;
    }
  }

  /** Passes the gate; a refusal when the slot is not held, or the time is up. Who is in counts as inside. */
  async #enter(budgetMs = Number.POSITIVE_INFINITY): Promise<ReplicaRefusal | undefined> {
    const endMs = this.#clock.monotonicMs() + budgetMs;
    while (this.isSealed && this.#clock.monotonicMs() < endMs) await this.#later(1, () => undefined);
    if (this.#clock.monotonicMs() >= endMs) return this.#refusal("expired");
    const refusal = this.refusalOf(0);
    if (refusal === undefined) this.insideCount += 1;
    return refusal;
  }

  /** Takes over all that `other` holds. */
  copyFrom(other: FakeReplica): void {
    for (const [key, set] of other.held) {
      const mine = this.held.get(key);
      this.held.set(key, mine === undefined ? set : mergedOf(mine, set, false));
      this.everStored.push(set);
    }
  }

  async #append(location: KeyLocation, object: Uint8Array, fault: StoreFault | undefined): Promise<ReplicaWriteResult> {
    if (this.storeDelayMs > 0) await this.#later(this.storeDelayMs, () => undefined);
    if (fault !== undefined && !fault.startsWith("failed")) return this.#refusal(fault);
    if (fault !== "failed_and_lost") this.#keep(location, object);
    if (fault !== undefined) return { kind: "failed", detail: "as the test says" };
    return { kind: "stored", digest: this.digestOf(location), isDurable: true };
  }

  #keep(location: KeyLocation, object: Uint8Array): void {
    const decoded = decodeSet(object);
    if (decoded.kind !== "set") throw new Error(`the coordinator sent a corrupt object: ${decoded.reason}`);
    const before = this.held.get(keyText(location));
    this.held.set(keyText(location), before === undefined ? decoded.set : mergedOf(before, decoded.set, false));
    this.everStored.push(decoded.set);
  }

  #refusal(fault: StoreFault): ReplicaRefusal {
    const reason = fault === "failed_but_stored" || fault === "failed_and_lost" ? "expired" : fault;
    return { kind: "refused", reason, detail: "as the test says" };
  }

  #later<T>(delayMs: number, value: () => T): Promise<T> {
    return new Promise((resolve) => this.#clock.setTimer(delayMs, () => resolve(value())));
  }
}
