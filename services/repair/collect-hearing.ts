/**
 * What holders tell each other of their marks, and what follows: finishing a proof in which this one took part, catching up
 * where it did not, minting above what others were promised. Must never let a mark of a peer's former life count for its
 * present one.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import type { NodeId } from "../base/ids.ts";
import { COLLECT_ASK_MS } from "../base/limits.ts";
import type { Log } from "../base/ports.ts";
import type { HolderTable } from "../placement/holder-table.ts";
import type { CatchUp } from "./collect-catch-up.ts";
import type { CollectFloors } from "./collect-floors-core.ts";
import type { CollectHolder } from "./collect-holder.ts";
import { encodeMarks, FLOORS_TOPIC, fieldsOf, parseMarks, type ToldMark } from "./collect-messages.ts";

/** What hearing works with. */
export interface HearingParts {
  readonly self: NodeId;
  /** drawn anew at every start */
  readonly boot: string;
  readonly store: Pick<StorageEngine, "isSuspect">;
  readonly floors: CollectFloors;
  readonly holder: CollectHolder;
  readonly catchUp: CatchUp;
  readonly slotOf: (partition: number) => number;
  readonly table: () => HolderTable | undefined;
  readonly isAlive: (node: NodeId) => boolean;
  readonly isStopped: () => boolean;
  readonly ask: (to: NodeId, topic: string, body: unknown, timeoutMs: number) => Promise<unknown>;
  readonly log: Log;
}

interface PeerMarks {
  readonly version: string;
  readonly marks: ReadonlyMap<number, ToldMark>;
}

const NO_MARKS: ReadonlyMap<number, ToldMark> = new Map();

/** The marks of the others. */
export class CollectHearing {
  readonly #parts: HearingParts;
  readonly #peers = new Map<NodeId, PeerMarks>();
  /** partitions that were suspect below a line, in this life */
  readonly #doubted = new Set<number>();
  #isHearing = false;

  constructor(parts: HearingParts) {
    this.#parts = parts;
  }

  /** Whether what that node has of the partition may be believed, however old: it took part in the last collection. */
  isTrusted(node: NodeId, partition: number): boolean {
    const line = this.#parts.floors.lineOf(partition);
    return line === 0 || (this.#peers.get(node)?.marks.get(partition)?.floor ?? 0) >= line;
  }

  /** A new life of the node has begun, maybe. */
  forget(node: NodeId): void {
    this.#peers.delete(node);
  }

  /** What this node tells of its marks to one that knows those of `known`. */
  tell(body: unknown): unknown {
    const version = `${this.#parts.boot}.${this.#parts.holder.version}`;
    const promised = this.#parts.holder.promised;
    if (fieldsOf(body)?.["known"] === version) return encodeMarks({ version, promised, marks: undefined });
    const { floors, slotOf } = this.#parts;
    const held = floors.marked().filter((partition) => slotOf(partition) >= 0);
    const marks = held.map((partition) => {
      const { noted, reaped } = floors.marksOf(partition);
      return { partition, floor: noted.floor, reaped };
    });
    return encodeMarks({ version, promised, marks });
  }

  /** Asks all peers that are there, one after the other. Rejects as the store does. */
  async hearAll(): Promise<void> {
    if (this.#isHearing) return;
    this.#isHearing = true;
    try {
      const { table, self, isAlive } = this.#parts;
      for (const { nodeId } of table()?.all ?? []) {
        if (nodeId !== self && isAlive(nodeId) && !this.#parts.isStopped()) await this.hear(nodeId);
      }
      this.#unhear();
    } finally {
      this.#isHearing = false;
    }
  }

  /** Asks a peer for its marks, and does what follows from them. */
  async hear(node: NodeId): Promise<void> {
    const known = this.#peers.get(node);
    const body = known === undefined ? {} : { known: known.version };
    const told = parseMarks(await this.#parts.ask(node, FLOORS_TOPIC, body, COLLECT_ASK_MS));
    if (told === undefined || this.#parts.isStopped()) return;
    await this.#parts.holder.promise(told.promised);
    const marks = told.marks === undefined ? known?.marks : new Map(told.marks.map((mark) => [mark.partition, mark]));
    this.#peers.set(node, { version: told.version, marks: marks ?? NO_MARKS });
    for (const mark of marks?.values() ?? []) await this.#compare(node, mark);
  }

  /** A mark that was heard is over when whoever told of it tells otherwise now: its disk was set back, or its slot is gone. */
  #unhear(): void {
    const { floors, table } = this.#parts;
    const members = new Set(table()?.all.map((member) => member.nodeId));
    for (const node of this.#peers.keys()) if (!members.has(node)) this.#peers.delete(node);
    for (let partition = 0; partition < floors.partitionCount; partition += 1) {
      if (!floors.isBehind(partition)) continue;
      const line = floors.lineOf(partition);
      const isTold = [...this.#peers.values()].some(({ marks }) => (marks.get(partition)?.reaped.floor ?? 0) >= line);
      if (!isTold) floors.unhear(partition);
    }
  }

  async #compare(peer: NodeId, { partition, reaped }: ToldMark): Promise<void> {
    const { slotOf, floors, table, store, log } = this.#parts;
    const claim = table()
      ?.claimsOf(partition)
      .find(({ node }) => node === peer);
    if (slotOf(partition) < 0 || claim === undefined || this.#parts.isStopped()) return;
    const heard = floors.hear(partition, reaped);
    if (heard === "reap") await this.#parts.holder.reap(reaped, [partition]);
    // Where records were missing, what came meanwhile was believed without a look at the line: once whole, it is looked at.
    if (store.isSuspect(partition) && reaped.floor > 0) this.#doubted.add(partition);
    const isWhole = this.#doubted.has(partition) && !store.isSuspect(partition);
    if (heard !== "behind" && !(isWhole && reaped.floor >= floors.lineOf(partition))) return;
    const end = await this.#parts.catchUp.run({ partition, peer, peerSlot: claim.slot, line: reaped.floor });
    if (end.kind === "failed") {
      log.warn({ event: "collect.catch-up-failed", partition, peer, reason: end.reason });
      return;
    }
    log.info({ event: "collect.caught-up", partition, peer });
    if (!store.isSuspect(partition)) this.#doubted.delete(partition);
    await this.#parts.holder.catchUp(partition, reaped);
  }
}
