/**
 * NewsIntake: takes in what others say of members. Removals and newcomers are durable before anything follows from them: a node
 * that acted on a removal and then forgot it could give up what nobody else may make anew. Must never take another's word on
 * this node, but for one: that its disk is older than its node.
 */
import type { Clock, Log } from "../base/ports.ts";
import type { MemberKey, MemberRecord, Removal } from "../placement/member-record.ts";
import type { RecordNews } from "../placement/record-codec.ts";
import type { RecordSet } from "../placement/record-set.ts";
import { recordText } from "../placement/record-text.ts";
import type { MemberStore } from "./member-store.ts";
import type { MembersFile } from "./members-file.ts";
import { RefusedRecords } from "./refused-records.ts";
import type { TableKeeper } from "./table-keeper.ts";

/** What is changed by news, and who is told. */
export interface IntakeParts {
  readonly set: RecordSet;
  readonly store: Pick<MemberStore, "record">;
  readonly file: Pick<MembersFile, "writeWith" | "writeSoon">;
  readonly tables: Pick<TableKeeper, "changed">;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly log: Log;
  /** a removal, perhaps of this node, is known from now on */
  readonly onRemoval: () => void;
  /** this node must end */
  readonly onFailure: (error: Error) => void;
  /** Removes an earlier life of this node; resolves when that is durable. */
  readonly removeEarlier: (key: MemberKey) => Promise<void>;
}

/** One node's. */
export class NewsIntake {
  readonly #parts: IntakeParts;
  /** what was taken until now is durable, and followed */
  #newest: Promise<void> = Promise.resolve();
  readonly #alarmed = new Set<MemberKey>();
  /** offered at every comparison, for as long as somebody has them */
  readonly refused: RefusedRecords = new RefusedRecords();

  constructor(parts: IntakeParts) {
    this.#parts = parts;
  }

  /** Resolves when all news that came until now is durable, and followed. Rejects when it never will be. */
  settled(): Promise<void> {
    return this.#newest;
  }

  /** Takes news; resolves when removals and newcomers are durable, and the table knows them. Rejects when they never will be. */
  async merge({ records, removals }: RecordNews): Promise<void> {
    const { set, file, tables } = this.#parts;
    let isUrgent = false;
    let isChanged = false;
    for (const record of records) {
      const known = set.recordOf(record.key);
      if (!this.#isTaken(record)) continue;
      isChanged = true;
      isUrgent ||= known?.status !== record.status;
    }
    const fresh = removals.filter((removal) => set.isNews(removal));
    // Whoever asks relies on it, also when another has only just told the same.
    if (!isChanged && fresh.length === 0) return this.#newest;
    if (isUrgent || fresh.length > 0) return this.#follow(fresh);
    file.writeSoon();
    // The set may hold a newcomer already that is on its way to the disk.
    await this.#newest;
    tables.changed(false);
    await this.#reviewNamesakes();
  }

  #follow(removals: readonly Removal[]): Promise<void> {
    const before = this.#newest;
    const followed = this.#writeAndFollow(removals);
    this.#newest = followed.then(() => before);
    // Whoever does not wait for it must not end the process by a rejection that nobody heard: the file's owner has.
    this.#newest.catch(() => undefined);
    return followed;
  }

  async #writeAndFollow(removals: readonly Removal[]): Promise<void> {
    const { set, store, file, tables, onRemoval } = this.#parts;
    // Serving less than one might is safe at any time.
    for (const removal of removals) if (removal.key === store.record.key) set.mergeRemoval(removal);
    onRemoval();
    await file.writeWith(removals);
    for (const removal of removals) set.mergeRemoval(removal);
    tables.changed(true);
    await this.#reviewNamesakes();
  }

  #isTaken(record: MemberRecord): boolean {
    const { set, store, clock, log } = this.#parts;
    if (record.key === store.record.key) {
      this.#reviewEcho(record);
      return false;
    }
    const merged = set.mergeRecord(record);
    if (merged.kind === "refused") {
      const { key, nodeId: node } = record;
      const isToTell = this.refused.add(record, merged.reason, clock.monotonicMs());
      if (isToTell) log.warn({ event: "membership.record-refused", key, node, reason: merged.reason });
    } else if (merged.kind === "taken") this.refused.forget(record.key);
    return merged.kind === "taken";
  }

  /**
   * A newer record of this node than its own, or another one of the same version, can only come from another life of its disk:
   * its word is not safe any more.
   */
  #reviewEcho(record: MemberRecord): void {
    const own = this.#parts.store.record;
    if (record.version < own.version) return;
    if (record.version === own.version && recordText(record) === recordText(own)) return;
    const known = record.version === own.version ? "another record" : `version ${record.version}`;
    const detail = `others know ${known} of this node, its disk version ${own.version}: the data directory is an old copy`;
    this.#parts.onFailure(new Error(detail));
  }

  /**
   * Another life under this node's name still counts: this one joined through a member that had not heard of it, or two processes
   * run under one name. The one of the two that everyone means removes the other and takes its slots; it alone, for they may
   * both live and each think so. The other one calls for its operator.
   */
  async #reviewNamesakes(): Promise<void> {
    const { set, store, log, removeEarlier } = this.#parts;
    const { key, nodeId } = store.record;
    for (const { nodeId: name, kept, ignored } of set.conflicts()) {
      if (name !== nodeId || set.isRemoved(key)) continue;
      if (kept === key) {
        log.warn({ event: "membership.earlier-life-removed", node: nodeId, key: ignored });
        await removeEarlier(ignored);
      } else if (ignored === key && !this.#alarmed.has(kept)) {
        this.#alarmed.add(kept);
        const remedy = `another member has this node's name and counts instead of it; if that one is gone, remove it (key ${kept})`;
        log.error({ event: "membership.name-taken", node: nodeId, key: kept, remedy });
      }
    }
  }
}
