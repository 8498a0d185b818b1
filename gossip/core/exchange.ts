/**
 * When two members should compare tables or records over a link: hashes that keep differing, members not known, and now and
 * then all the same. Must never ask one member more than once a second, nor run after hashes that are still moving.
 * Source: hash-first exchange in place of memberlist's push/pull (gossip-ring notes §A.1, §A.6, §A.7).
 */
import type { MemberEntry } from "./member-table.ts";
import type { Sender, StateHashes } from "./messages.ts";
import { syncIntervalMs } from "./parameters.ts";
import type { SyncTopic } from "./swim-api.ts";
import type { SwimState } from "./swim-state.ts";

/** Differences in a row before tables are exchanged: one may be news under way. */
const DIFFERENCES = 2;
const ASK_AGAIN_MS = 1000;
/** News still spreads for so long, for each member, up to the most: an exchange of large tables waits for that. */
const SETTLING_MS_PER_MEMBER = 10;
const MOST_SETTLING_MS = 2000;

/** Watches hashes and asks for exchanges. */
export class Exchange {
  readonly #state: SwimState;
  readonly #differences: Record<SyncTopic, number> = { members: 0, records: 0 };
  #strangerAskedMs = -Infinity;
  #seenChanges = 0;
  #changedMs = -Infinity;

  constructor(state: SwimState) {
    this.#state = state;
  }

  start(nowMs: number): void {
    this.#armForced(nowMs);
  }

  /** What an answering member's hashes say. `isGreeting`: it answered a greeting, so a difference counts at once. */
  compare(entry: MemberEntry, hashes: StateHashes, at: { readonly nowMs: number; readonly isGreeting: boolean }): void {
    entry.recordsHash = hashes.records;
    const { changeCount } = this.#state.table;
    if (changeCount !== this.#seenChanges) {
      this.#seenChanges = changeCount;
      this.#changedMs = at.nowMs;
    }
    const settlingMs = Math.min(MOST_SETTLING_MS, this.#state.liveCount * SETTLING_MS_PER_MEMBER);
    const isSettled = at.isGreeting || at.nowMs - this.#changedMs >= settlingMs;
    if (hashes.members === this.#state.membersHash) this.#differences.members = 0;
    else if (isSettled) this.#onDifference(entry, "members", at);
    if (hashes.records === this.#state.recordsHash) this.#differences.records = 0;
    else this.#onDifference(entry, "records", at);
  }

  /** A datagram speaks of someone we do not know, or comes from one in a life that we have no facts of: its sender shall tell. */
  onUnknown(sender: Sender, nowMs: number): void {
    const entry = this.#state.table.get(sender.nodeId);
    if (entry !== undefined) {
      this.#ask(entry, "members", nowMs);
      return;
    }
    if (nowMs - this.#strangerAskedMs < ASK_AGAIN_MS / 5) return;
    this.#strangerAskedMs = nowMs;
    this.#push(sender.nodeId, sender.address, "members");
  }

  /** A member asks us to begin an exchange, or came back from the dead: the sides of a split must compare all. */
  begin(entry: MemberEntry, what: SyncTopic, nowMs: number): void {
    this.#ask(entry, what, nowMs);
  }

  /** Tables are compared now and then though all hashes agree: a hash is no proof. */
  onForced(nowMs: number): void {
    const found: MemberEntry[] = [];
    const { table, options } = this.#state;
    table.pick(1, found, { random: options.random, isWanted: (entry) => entry.state === "alive" });
    for (const entry of found) this.#ask(entry, "members", nowMs);
    this.#armForced(nowMs);
  }

  #armForced(nowMs: number): void {
    const { parameters, liveCount, outbox, options } = this.#state;
    outbox.arm({ kind: "sync" }, syncIntervalMs(parameters, liveCount) * (0.5 + options.random()), nowMs);
  }

  #onDifference(
    entry: MemberEntry,
    what: SyncTopic,
    at: { readonly nowMs: number; readonly isGreeting: boolean },
  ): void {
    this.#differences[what] += 1;
    if (this.#differences[what] >= DIFFERENCES || at.isGreeting) this.#ask(entry, what, at.nowMs);
  }

  #ask(entry: MemberEntry, what: SyncTopic, nowMs: number): void {
    const atMs = what === "members" ? entry.askedAtMs : entry.recordsAskedAtMs;
    if (nowMs - atMs < ASK_AGAIN_MS) return;
    if (what === "members") entry.askedAtMs = nowMs;
    else entry.recordsAskedAtMs = nowMs;
    this.#differences[what] = 0;
    this.#push(entry.nodeId, entry.facts.address, what);
  }

  #push(nodeId: string, address: string, what: SyncTopic): void {
    const { outbox, counters, phase } = this.#state;
    if (phase !== "alive" || outbox.isMuted || address === "") return;
    counters.syncs += 1;
    outbox.push({ kind: "sync-with", nodeId, address, what });
  }
}
