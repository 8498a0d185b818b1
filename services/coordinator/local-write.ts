/** A write at this node itself: by its own replica, or, where it stands in, among its hints. Must never tell anyone. */
import type { Minted, ReplicaWriteResult, WriteIntent } from "../replica/contract.ts";
import type { CoordinatorRoom, RequestScope } from "./request-scope.ts";
import type { WriteOrder } from "./write-answer.ts";
import type { StoreRequest } from "./write-stand-ins.ts";

/** What to write, and where. */
export interface LocalWrite {
  readonly scope: RequestScope;
  readonly intent: WriteIntent;
}

/** Writes here; see `LocalReplica.write`. Rejects for bugs only. */
export function writeHere(
  room: CoordinatorRoom,
  { scope, intent }: LocalWrite,
  onMinted: (minted: Minted) => void,
): Promise<ReplicaWriteResult> {
  const seat = scope.seats[scope.localIndex];
  const { local, fallback } = room;
  if (seat?.role !== "fallback" || fallback === undefined) return local.write(scope.location, intent, onMinted);
  room.counters.standInMintCount += 1;
  return fallback.write(scope.location, seat.slot, intent, onMinted);
}

/** The slot that this node writes in: the one it holds by its own record, whatever the table says, or stands in for. */
export function ownSlotOf(room: CoordinatorRoom, { seats, localIndex, location }: RequestScope): number {
  const seat = seats[localIndex];
  return seat?.role === "fallback" ? seat.slot : room.local.slotOf(location.partition);
}

/** What the others are told of a write that was minted here. */
export function storeRequestOf({ scope, knobs }: Pick<WriteOrder, "scope" | "knobs">, minted: Minted): StoreRequest {
  const { baseDigest, digest, object } = minted;
  const request: StoreRequest = { kind: "store", key: scope.location, baseDigest, digest, object };
  return knobs.trace === undefined ? request : { ...request, trace: knobs.trace };
}

/**
 * What this node holds of the key may lack what other owners have, and it knows: they would refuse what it makes of it, or
 * get siblings that were replaced. Asked for every write that is minted here.
 */
export function isBehindHere({ local }: CoordinatorRoom, { location }: RequestScope): boolean {
  const { partition, key } = location;
  return local.isSuspect(partition) || local.isHidden?.(partition, key) === true;
}
