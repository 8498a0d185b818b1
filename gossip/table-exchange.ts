/**
 * The exchange of tables with one member over a link: my digests, its differing entries and its wishes, mine for them.
 * Must never have more than a few under way, never two with one member, and never believe an answer that does not parse.
 * Source: gossip-ring notes §A.5 (digest first), §A.4 (merge of a peer's table is the core's).
 */
import { decodeTable, encodeTable, type MemberDigest } from "./core/codec-table.ts";
import type { TableEntry } from "./core/swim-api.ts";
import type { GossipClock, LinkTarget, MemberCalls } from "./ports.ts";

/** Exchanges that this node has begun and not finished; one more is dropped: the next difference asks again. */
export const MAX_EXCHANGES = 8;
/** How long one exchange may take, both questions together. */
export const EXCHANGE_TIMEOUT_MS = 5_000;

/** What the exchange reads and feeds. */
export interface ExchangeNeeds {
  readonly clock: GossipClock;
  readonly calls: MemberCalls;
  /** what this node believes now, itself first */
  readonly table: () => readonly TableEntry[];
  /** what that member believes of some */
  readonly onTable: (peer: string, entries: readonly TableEntry[]) => void;
}

/** What came of exchanges since the start. */
export interface ExchangeStats {
  begun: number;
  done: number;
  /** no answer in time, or one that does not parse */
  failed: number;
  /** too many under way */
  dropped: number;
  /** asked by others */
  answered: number;
  /** others' questions that do not parse */
  refused: number;
}

/** The exchanges of one node. */
export class TableExchange {
  readonly #needs: ExchangeNeeds;
  readonly #underWay = new Set<string>();
  readonly #stats: ExchangeStats = { begun: 0, done: 0, failed: 0, dropped: 0, answered: 0, refused: 0 };

  constructor(needs: ExchangeNeeds) {
    this.#needs = needs;
  }

  /** A copy of the counters. */
  get stats(): Readonly<ExchangeStats> {
    return { ...this.#stats };
  }

  /** Begins an exchange with a member, unless one is under way with it or too many with others. Resolves when it is over. */
  async begin(target: LinkTarget & { readonly nodeId: string }): Promise<void> {
    if (this.#underWay.has(target.nodeId)) return;
    if (this.#underWay.size >= MAX_EXCHANGES) {
      this.#stats.dropped += 1;
      return;
    }
    this.#stats.begun += 1;
    this.#underWay.add(target.nodeId);
    const isDone = await this.#run(target).catch(() => false);
    this.#underWay.delete(target.nodeId);
    this.#stats[isDone ? "done" : "failed"] += 1;
  }

  /** The answer to another member's question; undefined when it is none. O(members). */
  answer(from: string, body: unknown): Uint8Array | undefined {
    const question = body instanceof Uint8Array ? decodeTable(body) : undefined;
    if (question === undefined || question.kind === "answer") {
      this.#stats.refused += 1;
      return undefined;
    }
    this.#stats.answered += 1;
    if (question.kind === "digests") return encodeTable({ kind: "answer", ...this.#differences(question.digests) });
    this.#needs.onTable(from, question.entries);
    return encodeTable({ kind: "entries", entries: [] });
  }

  async #run(target: LinkTarget & { readonly nodeId: string }): Promise<boolean> {
    const { clock, table, onTable } = this.#needs;
    const endMs = clock.monotonicMs() + EXCHANGE_TIMEOUT_MS;
    const digests = table().map(({ facts, life, state }) => ({ nodeId: facts.nodeId, life, state }));
    const answer = await this.#ask(target, encodeTable({ kind: "digests", digests }), endMs);
    if (answer?.kind !== "answer") return false;
    onTable(target.nodeId, answer.entries);
    if (answer.wanted.length === 0) return true;
    const wanted = new Set(answer.wanted);
    const entries = table().filter(({ facts }) => wanted.has(facts.nodeId));
    return (await this.#ask(target, encodeTable({ kind: "entries", entries }), endMs)) !== undefined;
  }

  async #ask(target: LinkTarget, body: Uint8Array, endMs: number): Promise<ReturnType<typeof decodeTable>> {
    const { calls, clock } = this.#needs;
    const answer = await calls.ask(target, "sync", body, Math.max(1, endMs - clock.monotonicMs()));
    return answer instanceof Uint8Array ? decodeTable(answer) : undefined;
  }

  /** What we believe otherwise than these digests say, and of whom we should hear what they stand for. */
  #differences(theirs: readonly MemberDigest[]): {
    readonly entries: readonly TableEntry[];
    readonly wanted: readonly string[];
  } {
    const ours = new Map(this.#needs.table().map((entry) => [entry.facts.nodeId, entry]));
    const told = new Map(theirs.map((digest) => [digest.nodeId, digest]));
    return {
      entries: [...ours.values()].filter((entry) => !isSame(entry, told.get(entry.facts.nodeId))),
      wanted: theirs.filter((digest) => !isSame(digest, ours.get(digest.nodeId))).map(({ nodeId }) => nodeId),
    };
  }
}

type Belief = Pick<MemberDigest, "life" | "state">;

function isSame(a: Belief, b: Belief | undefined): boolean {
  return (
    b !== undefined &&
    a.state === b.state &&
    a.life.generation === b.life.generation &&
    a.life.incarnation === b.life.incarnation
  );
}
