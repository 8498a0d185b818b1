/**
 * What a member answers to one that wants to mint a slot lost with a removed member. Must never say `vacant` of a slot that
 * is here, or could come here or leave from here by a transfer under way (M1 of handover-mint-core.ts).
 */
import type { HandoverReply, HandoverRequest } from "./handover-messages.ts";
import { promiseCheck, promiseEnd, standingPromise } from "./handover-rules-core.ts";
import type { HandoverEffect, HandoverFacts } from "./handover-steps.ts";
import type { LedgerChange } from "./slot-ledger.ts";

/** What an asked member does: changes to make durable before it replies. */
export interface MintAnswer {
  readonly changes: readonly LedgerChange[];
  readonly reply: HandoverReply;
  /** asks that may end a promise which stands in the way; their answers go to the partition's receiver */
  readonly checks: readonly HandoverEffect[];
}

/** The answer to any of the `mint-…` questions but `mint-pull`; the asker's news must be merged, durably, before. */
export function answerMint(request: HandoverRequest, facts: HandoverFacts): MintAnswer | undefined {
  const { ledger, view } = facts;
  switch (request.kind) {
    case "mint-query":
      return answerQuery(request, facts);
    case "mint-check": {
      const isOpen = ledger.minting.get(request.partition)?.tx === request.tx;
      return { changes: [], reply: { kind: isOpen ? "open" : "over", tx: request.tx }, checks: [] };
    }
    case "mint-end": {
      const change = promiseEnd({ ...request, to: request.from }, ledger);
      const isOwn = request.from === view.ownKey;
      return {
        changes: change === undefined || isOwn ? [] : [change],
        reply: { kind: "over", tx: request.tx },
        checks: [],
      };
    }
    case "req":
    case "pull":
    case "changes":
    case "mint-pull":
    case "seal":
    case "ready":
    case "settle":
      return undefined;
  }
}

function answerQuery(query: Extract<HandoverRequest, { kind: "mint-query" }>, facts: HandoverFacts): MintAnswer {
  const { ledger, view } = facts;
  const { partition, slot, from, tx } = query;
  const refuse = (reply: Omit<Extract<HandoverReply, { kind: "refused" }>, "kind">): MintAnswer => {
    return { changes: [], reply: { kind: "refused", ...reply }, checks: [] };
  };
  if (view.isRemoved(view.ownKey) || view.isRemoved(from)) return refuse({ reason: "removed" });
  if (view.membersHash() !== query.members) return refuse({ reason: "view_differs" });
  if (isPresent(query, facts)) return refuse({ reason: "not_vacant" });
  const known = ledger.promises.get(partition)?.get(slot);
  if (known?.to === from && (tx < known.tx || (tx === known.tx && known.isOver))) return refuse({ reason: "stale" });
  const standing = standingPromise({ partition, slot }, facts);
  if (standing !== undefined && standing.to !== from) {
    const refused = refuse({ reason: "promised", promisedTo: standing.to });
    return { ...refused, checks: promiseCheck({ partition, slot }, facts) };
  }
  const promised: LedgerChange = { kind: "promised", partition, slot, promise: { to: from, tx, isOver: false } };
  // What is staged here of this slot came from a removed member: it will never be taken.
  const isFenced = ledger.staged.get(partition)?.slot === slot;
  const changes: readonly LedgerChange[] = isFenced
    ? [{ kind: "staged", partition, staged: undefined }, promised]
    : [promised];
  return { changes, reply: { kind: "vacant", tx }, checks: [] };
}

/** True when the slot is held here, or on its way to here or from here. */
function isPresent(
  { partition, slot }: { readonly partition: number; readonly slot: number },
  { ledger, view }: HandoverFacts,
): boolean {
  if (ledger.slots[partition] === slot) return true;
  const staged = ledger.staged.get(partition);
  if (staged?.slot === slot && !view.isRemoved(staged.from)) return true;
  const released = ledger.released.get(partition);
  return released?.slot === slot && !released.isSettled && !view.isRemoved(released.to);
}
