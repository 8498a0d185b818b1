/**
 * One accepted write on its way to disk, and the group that it is written in. Must never be resolved before its group
 * is durable.
 */
import type { PutRequest } from "./engine.ts";
import { recordBytes } from "./format/record.ts";

/** A write between `put` and its answer. */
export interface PendingWrite {
  readonly request: PutRequest;
  /** bytes of its record */
  readonly totalBytes: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  /** undefined while it is being found out whether another key has the same hash */
  sharesHash: boolean | undefined;
  /** resolves when `sharesHash` is known */
  judged: Promise<void> | undefined;
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
    totalBytes: recordBytes(request.address.key.length, request.value.length),
    resolve: settle.resolve,
    reject: settle.reject,
    sharesHash: undefined,
    judged: undefined,
    crowd: 0,
    seq: 0,
    offset: 0,
  };
}
