/**
 * What nodes tell each other of their marks, and what follows: finishing a proof in which this one took part, catching up
 * where it did not, minting above what others were promised. Must never let a mark of a peer's former life count for its
 * present one, nor take silence for a word.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import type { NodeId } from "../base/ids.ts";
import { COLLECT_ASK_MS } from "../base/limits.ts";
import type { HolderTable } from "../placement/holder-table.ts";
import type { CatchUpTurns } from "./collect-catch-up-turns.ts";
import type { CollectDoor } from "./collect-door.ts";
import type { CollectFloors } from "./collect-floors-core.ts";
import type { CollectHolder } from "./collect-holder.ts";
import { encodeMarks, FLOORS_TOPIC, fieldsOf, parseMarks, type ToldMark } from "./collect-messages.ts";
import type { CollectRules } from "./collect-rules-core.ts";
import { type CatchUpPlan, sourcesOf } from "./collect-sources-core.ts";
import { type CollectWord, type CollectWords, isBelieved } from "./collect-word-core.ts";

/** What hearing works with. */
export interface HearingParts {
  readonly self: NodeId;
  /** drawn anew at every start */
  readonly boot: string;
  readonly store: Pick<StorageEngine, "isSuspect">;
  readonly floors: CollectFloors;
  readonly door: CollectDoor;
  readonly holder: CollectHolder;
  readonly turns: CatchUpTurns;
  readonly rules: CollectRules;
  readonly slotOf: (partition: number) => number;
  readonly table: () => HolderTable | undefined;
  readonly isAlive: (node: NodeId) => boolean;
  readonly isStopped: () => boolean;
  readonly ask: (to: NodeId, topic: string, body: unknown, timeoutMs: number) => Promise<unknown>;
}

interface PeerMarks {
  readonly version: string;
  readonly rules: bigint;
  readonly isOpen: boolean;
  readonly marks: ReadonlyMap<number, ToldMark>;
}

const NO_MARKS: ReadonlyMap<number, ToldMark> = new Map();

/** The marks of the others. */
export class CollectHearing implements CollectWords {
  readonly #parts: HearingParts;
  /** what each told since a link to it last came up */
  readonly #peers = new Map<NodeId, PeerMarks>();
  #catchingUp: Promise<void> | undefined;

  constructor(parts: HearingParts) {
    this.#parts = parts;
  }

  /** A new life of the node has begun, maybe. */
  forget(node: NodeId): void {
    this.#peers.delete(node);
    this.#parts.turns.wake();
  }

  /** Whether the node has told its marks since a link to it last came up. */
  hasHeard(node: NodeId): boolean {
    return this.#peers.has(node);
  }

  /** What this node tells of its marks to one that knows those of `known`. */
  tell(body: unknown): unknown {
    const { boot, holder, floors, slotOf, door, store } = this.#parts;
    this.#noteLosses();
    const rules = holder.rulesOfMarks();
    const version = `${boot}.${holder.version}`;
    const head = { version, promised: holder.promised, isOpen: door.gate.isOpen, rules };
    if (fieldsOf(body)?.["known"] === version) return encodeMarks({ ...head, marks: undefined });
    const held = floors.marked().filter((partition) => slotOf(partition) >= 0);
    const marks = held.map((partition) => {
      const { noted, reaped } = floors.marksOf(partition);
      const isBelievable = !floors.isBehind(partition) && !store.isSuspect(partition);
      return { partition, floor: isBelievable ? noted.floor : 0, reaped };
    });
    return encodeMarks({ ...head, marks });
  }

  /** What this node may say of what it has of the partition now; undefined: nothing. */
  wordOf(partition: number): CollectWord | undefined {
    const { holder, floors, slotOf, store } = this.#parts;
    this.#noteLosses();
    const rules = holder.rulesOfMarks();
    if (slotOf(partition) < 0 || floors.isBehind(partition) || store.isSuspect(partition)) return undefined;
    return { floor: floors.marksOf(partition).noted.floor, rules };
  }

  /** Whether what comes with the word stands here, however old: who gave it took part in the last collection, by the rules of now. */
  believes(word: CollectWord | undefined, partition: number): boolean {
    const { floors, holder } = this.#parts;
    return isBelieved(word, floors.lineOf(partition), holder.rulesOfMarks());
  }

  /** Asks all peers that are there for their marks, and takes them in. Rejects as the store does. */
  async hearAll(): Promise<void> {
    const { table, self, isAlive } = this.#parts;
    const others = (table()?.all ?? []).map(({ nodeId }) => nodeId).filter((node) => node !== self);
    for (const node of this.#peers.keys()) if (!others.includes(node)) this.#peers.delete(node);
    await Promise.all(others.filter(isAlive).map((node) => this.#learn(node)));
    await this.takeMarks();
  }

  /** Asks one, and takes in its marks. Rejects as the store does. */
  async hear(node: NodeId): Promise<void> {
    if (await this.#learn(node)) await this.takeMarks();
  }

  /** Who is in a position to know above what this node must mint has been heard, or everyone has. */
  isEnoughToMint(): boolean {
    const others = (this.#parts.table()?.all ?? []).filter(({ nodeId }) => nodeId !== this.#parts.self);
    if ([...this.#peers.values()].some(({ isOpen }) => isOpen)) return true;
    return others.every(({ nodeId }) => this.#peers.has(nodeId));
  }

  /** Every other holder of the partition that seems to be there has told its marks. */
  hasHeardHolders(partition: number): boolean {
    const { table, self, isAlive } = this.#parts;
    const claims = table()?.claimsOf(partition) ?? [];
    return claims.every(({ node }) => node === self || this.#peers.has(node) || !isAlive(node));
  }

  /** False when there was no answer. Rejects as the store does. */
  async #learn(node: NodeId): Promise<boolean> {
    const known = this.#peers.get(node);
    const body = known === undefined ? {} : { known: known.version };
    const told = parseMarks(await this.#parts.ask(node, FLOORS_TOPIC, body, COLLECT_ASK_MS));
    if (told === undefined || this.#parts.isStopped()) return false;
    await this.#parts.holder.promise(told.promised);
    const { version, rules, isOpen } = told;
    const marks = told.marks === undefined ? known?.marks : new Map(told.marks.map((mark) => [mark.partition, mark]));
    this.#peers.set(node, { version, rules, isOpen, marks: marks ?? NO_MARKS });
    if (known?.rules !== rules) this.#parts.turns.wake();
    return true;
  }

  /** What was told of partitions that are held here: proofs end, and what is not to be believed is known from now on. Rejects as the store does. */
  async takeMarks(): Promise<void> {
    const { floors, holder, slotOf } = this.#parts;
    this.#noteLosses();
    let isRaised = false;
    for (const [node, { marks }] of this.#peers) {
      for (const { partition, reaped } of marks.values()) {
        if (slotOf(partition) < 0 || this.#slotAt(node, partition) < 0) continue;
        const heard = floors.hear(partition, reaped);
        if (heard === "reap") await holder.reap(reaped, [partition]);
        isRaised ||= heard === "behind";
      }
    }
    if (isRaised) await holder.persist();
  }

  /** Catches up, partition by partition, where this node is behind; one run at a time. Rejects as the store does. */
  async catchUp(): Promise<void> {
    this.#catchingUp ??= this.#runCatchUps().finally(() => {
      this.#catchingUp = undefined;
    });
    await this.#catchingUp;
  }

  async #runCatchUps(): Promise<void> {
    const { floors, slotOf, store, door, turns, isStopped } = this.#parts;
    const silent = new Set<NodeId>();
    for (let partition = 0; partition < floors.partitionCount; partition += 1) {
      if (!floors.isBehind(partition) || slotOf(partition) < 0 || store.isSuspect(partition)) continue;
      if (isStopped()) return;
      // Those that seem to be there have three seconds at a start: what one has lost another may have.
      if (door.isHearing && !this.hasHeardHolders(partition)) continue;
      if (turns.isDue(partition)) await this.#catchUpOne(partition, silent);
    }
  }

  async #catchUpOne(partition: number, silent: Set<NodeId>): Promise<void> {
    const { floors, holder, turns } = this.#parts;
    const plan = this.#planFor(partition);
    if (plan === "nobody") {
      // What one told a minute ago may be older than the proof that another told of since.
      if (!(await this.#haveAllTold(partition, silent)) || this.#planFor(partition) !== "nobody") return;
      // Whoever told of that proof tells otherwise now: its disk was set back, or its slot is gone.
      floors.unhear(partition);
      holder.persistSoon();
      return;
    }
    if (plan !== "wait") await turns.run(partition, plan, () => this.#planAnew(partition, silent));
  }

  async #planAnew(partition: number, silent: Set<NodeId>): Promise<CatchUpPlan | undefined> {
    const haveTold = await this.#haveAllTold(partition, silent);
    const plan = this.#planFor(partition);
    return haveTold && typeof plan !== "string" ? plan : undefined;
  }

  /** All other holders tell their marks now; `silent`: who did not, and is not asked again. */
  async #haveAllTold(partition: number, silent: Set<NodeId>): Promise<boolean> {
    const { table, self } = this.#parts;
    const others = (table()?.claimsOf(partition) ?? []).map(({ node }) => node).filter((node) => node !== self);
    if (others.some((node) => silent.has(node))) return false;
    const told = await Promise.all(others.map((node) => this.#learn(node)));
    for (const [index, node] of others.entries()) if (told[index] !== true) silent.add(node);
    await this.takeMarks();
    return told.every((hasTold) => hasTold);
  }

  #planFor(partition: number): CatchUpPlan | "wait" | "nobody" {
    const { table, self, floors, rules, slotOf, holder } = this.#parts;
    const ownRules = holder.rulesOfMarks();
    const claims = (table()?.claimsOf(partition) ?? []).filter(({ node }) => node !== self);
    const holders = claims.map(({ node, slot }) => {
      const told = this.#peers.get(node);
      const mark = told?.marks.get(partition);
      return {
        node,
        slot,
        isHeard: told !== undefined,
        hasSameRules: told?.rules === ownRules,
        floor: mark?.floor ?? 0,
        reaped: mark?.reaped,
      };
    });
    const { heard } = floors.marksOf(partition);
    return sourcesOf({ slot: slotOf(partition), heard, rules: rules.known() }, holders);
  }

  #slotAt(node: NodeId, partition: number): number {
    const claims = this.#parts.table()?.claimsOf(partition) ?? [];
    return claims.find((claim) => claim.node === node)?.slot ?? -1;
  }

  /** Where records were lost below a mark, an old version may have come up from under what replaced it. */
  #noteLosses(): void {
    const { floors, store, holder } = this.#parts;
    for (const partition of floors.marked()) if (store.isSuspect(partition)) holder.lostRecords(partition);
  }
}
