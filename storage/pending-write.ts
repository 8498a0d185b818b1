/**
 * One accepted write on its way to disk, and the group that it is written in. Must never be resolved before its group
 * is durable.
 */
import type { KeyAddress, PutRequest } from "./engine.ts";
import {
  KIND_EXPIRING,
  KIND_REAPED,
  KIND_TOMBSTONE,
  KIND_VALUE,
  type RecordKind,
  recordBytes,
} from "./format/record.ts";

/** A write between `put` and its answer. */
export interface PendingWrite {
  readonly request: PutRequest;
  readonly kind: RecordKind;
  /** bytes of its record */
  readonly totalBytes: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  /** undefined while it is being found out whether another key has the same hash */
  sharesHash: boolean | undefined;
  /** resolves when `sharesHash` is known */
  judged: Promise<void> | undefined;
  /** why it is not to be written, though it is judged */
  refusal: Error | undefined;
  /** kept by the queue while this is the newest of its hash: how many of that hash are unsettled */
  crowd: number;
  /** set when its record is laid out */
  seq: number;
  offset: number;
}

/** A pending write for a request. */
export function pendingWriteOf(
  request: PutRequest,
  settle: { readonly resolve: () => void; readonly reject: (error: Error) => void },
): PendingWrite {
  return {
    request,
    kind: kindOfRequest(request),
    totalBytes: recordBytes(request.address.key.length, request.value.length),
    resolve: settle.resolve,
    reject: settle.reject,
    sharesHash: undefined,
    judged: undefined,
    refusal: undefined,
    crowd: 0,
    seq: 0,
    offset: 0,
  };
}

/** A pending write of a reap mark: the key of this address is as if never written once it is visible. */
export function pendingReapOf(
  address: KeyAddress,
  settle: { readonly resolve: () => void; readonly reject: (error: Error) => void },
): PendingWrite {
  const request = { address, value: NOTHING, digest: 0n, isTombstone: true };
  return { ...pendingWriteOf(request, settle), kind: KIND_REAPED };
}

const NOTHING = new Uint8Array(0);

function kindOfRequest({ isTombstone, mayExpire }: PutRequest): RecordKind {
  if (isTombstone) return KIND_TOMBSTONE;
  return mayExpire === true ? KIND_EXPIRING : KIND_VALUE;
}
