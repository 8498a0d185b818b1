/** Facts for the cores of the hand-over, in which every answer can be set by hand. */
import type { NodeId } from "../../services/base/ids.ts";
import type { HandoverEffect, HandoverFacts, HandoverTimes } from "../../services/cluster/handover-steps.ts";
import { applyChange, emptyLedger, type LedgerChange, type SlotLedger } from "../../services/cluster/slot-ledger.ts";
import type { MemberKey } from "../../services/placement/member-record.ts";

export const SELF: MemberKey = "000000000000000a";
export const OTHER: MemberKey = "000000000000000b";
export const THIRD: MemberKey = "000000000000000c";
export const FOURTH: MemberKey = "000000000000000d";

export const TIMES: HandoverTimes = {
  sealMs: 5_000,
  idleMs: 30_000,
  retryMinMs: 100,
  retryMaxMs: 5_000,
  mintQuietMs: 35_000,
};

/** What a test says of the world; partition 0 is the one that is spoken of. */
export class FactsByHand {
  readonly ledger: SlotLedger;
  targets: readonly MemberKey[] = [];
  removed: readonly MemberKey[] = [];
  left: readonly MemberKey[] = [];
  dead: readonly MemberKey[] = [];
  others: readonly MemberKey[] = [OTHER, THIRD, FOURTH];
  holders: readonly { readonly key: MemberKey; readonly slot: number }[] = [];
  members = "all";
  isIntroduced = true;
  isStaying = true;
  nowMs = 0;
  #tx = 0;

  constructor(slot = -1) {
    this.ledger = emptyLedger(new Int8Array([slot, -1]));
  }

  get facts(): HandoverFacts {
    return {
      ledger: this.ledger,
      nowMs: this.nowMs,
      wallMs: 1_800_000_000_000 + this.nowMs,
      nextTx: () => {
        this.#tx = Math.max(this.#tx, this.ledger.txCounter) + 1;
        return this.#tx;
      },
      view: {
        ownKey: SELF,
        isTarget: (_partition, key) => this.targets.includes(key),
        isRemoved: (key) => this.removed.includes(key),
        hasLeft: (key) => this.left.includes(key),
        isStaying: () => this.isStaying,
        nodeOf: (key) => (this.removed.includes(key) ? undefined : nodeOf(key)),
        holdersOf: () => this.holders,
        isAlive: (key) => !this.dead.includes(key),
        others: () => this.others,
        membersHash: () => this.members,
        isIntroduced: () => this.isIntroduced,
        news: () => new Uint8Array([1]),
      },
    };
  }

  apply(...changes: readonly LedgerChange[]): void {
    for (const change of changes) applyChange(this.ledger, change);
  }

  /** Applies what the effects write, as the shell does at once; answers the token of the last write. */
  write(effects: readonly HandoverEffect[]): number {
    let last = -1;
    for (const effect of effects) {
      if (effect.kind !== "persist") continue;
      this.apply(...effect.changes);
      last = effect.token;
    }
    return last;
  }
}

export function nodeOf(key: MemberKey): NodeId {
  return `node-${key.slice(-1)}` as NodeId;
}

export function kindsOf(effects: readonly HandoverEffect[]): readonly string[] {
  return effects.map((effect) => effect.kind);
}

/** The one effect of this kind. */
export function effectOf<K extends HandoverEffect["kind"]>(
  effects: readonly HandoverEffect[],
  kind: K,
): Extract<HandoverEffect, { readonly kind: K }> {
  const found = effects.filter(
    (effect): effect is Extract<HandoverEffect, { readonly kind: K }> => effect.kind === kind,
  );
  const [only] = found;
  if (only === undefined || found.length > 1)
    throw new Error(`${found.length} ${kind} among ${kindsOf(effects).join()}`);
  return only;
}
