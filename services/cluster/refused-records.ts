/**
 * RefusedRecords: member records of others that this node does not take. Whoever has one offers it at every comparison, so each is
 * told once, and shown for as long as it comes. Must never grow with what others send.
 */
import type { NodeId } from "../base/ids.ts";
import type { MemberKey, MemberRecord } from "../placement/member-record.ts";

/** One of them. */
export interface RefusedRecord {
  readonly node: NodeId;
  readonly key: MemberKey;
  readonly reason: string;
}

interface Kept extends RefusedRecord {
  readonly version: number;
  /** when it came last, monotonic */
  readonly atMs: number;
  readonly tellCount: number;
}

/** So many are told of: there are at most as many wrong ones as somebody makes. */
const MAX_KEPT = 64;
/** Members are compared with one a second: what has not come for so long is not out there any more. */
const SHOWN_MS = 120_000;

/** One node's. */
export class RefusedRecords {
  readonly #kept = new Map<MemberKey, Kept>();

  /**
   * A record was refused now. True when that is to be told: the first time, and for another version or reason of the same key
   * at the second, fourth, eighth, … of them.
   */
  add({ key, nodeId: node, version }: MemberRecord, reason: string, nowMs: number): boolean {
    const known = this.#kept.get(key);
    if (known === undefined && !this.#hasRoom(nowMs)) return false;
    const isSame = known?.version === version && known.reason === reason;
    const tellCount = (known?.tellCount ?? 0) + (isSame ? 0 : 1);
    this.#kept.set(key, { node, key, reason, version, atMs: nowMs, tellCount });
    return !isSame && Number.isInteger(Math.log2(tellCount));
  }

  /** A record of this key was taken. */
  forget(key: MemberKey): void {
    this.#kept.delete(key);
  }

  /** Those that others still have, as far as is known. */
  shown(nowMs: number): readonly RefusedRecord[] {
    return [...this.#kept.values()].filter(({ atMs }) => nowMs - atMs < SHOWN_MS);
  }

  #hasRoom(nowMs: number): boolean {
    if (this.#kept.size < MAX_KEPT) return true;
    for (const { key, atMs } of this.#kept.values()) if (nowMs - atMs >= SHOWN_MS) this.#kept.delete(key);
    return this.#kept.size < MAX_KEPT;
  }
}
