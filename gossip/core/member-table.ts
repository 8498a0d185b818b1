/**
 * All members that this node knows but itself, with lists by state and a hash of all, kept up with every change.
 * Must never lower a stored life. Source: gossip-ring notes §A.3, §A.4, §A.5 (membersHash).
 */
import assert from "node:assert/strict";
import { compareLives } from "./life.ts";
import type { Fitness, Life, Member, MemberFacts, MemberState } from "./messages.ts";
import type { Suspicion } from "./suspicion.ts";

/** One known member. Only the table changes state and life. */
export class MemberEntry {
  readonly nodeId: string;
  readonly nameHash: number;
  facts: MemberFacts;
  life: Life;
  state: MemberState;
  sinceMs: number;
  fitness: Fitness | undefined;
  recordsHash: bigint | undefined;
  /** the process that was heard last in this generation */
  boot: number | undefined;
  /** present exactly while suspect */
  suspicion: Suspicion | undefined;
  /** whether listeners have ever been told of it */
  isAnnounced = false;
  /** place in the list of its state */
  listIndex = -1;
  isInProbeOrder = false;
  /** whether it counts in the hash and is told to others */
  isTold = false;
  /** when it was last told what is said of it, and last asked for its table and records; monotonic ms */
  toldAtMs: number = -Infinity;
  askedAtMs: number = -Infinity;
  recordsAskedAtMs: number = -Infinity;

  constructor(facts: MemberFacts, belief: { readonly life: Life; readonly state: MemberState }, nowMs: number) {
    this.nodeId = facts.nodeId;
    this.nameHash = hashOfName(facts.nodeId);
    this.facts = facts;
    this.life = belief.life;
    this.state = belief.state;
    this.sinceMs = nowMs;
  }

  /** Whether it may answer: probes and gossip go to it. */
  get isLive(): boolean {
    return this.state === "alive" || this.state === "suspect";
  }
}

/** A member as others may see it. */
export function memberOf(entry: MemberEntry): Member {
  const { facts, life, state, sinceMs, fitness, recordsHash } = entry;
  return { facts, life, state, sinceMs, fitness, recordsHash };
}

/** The other members. */
export class MemberTable {
  readonly #entries = new Map<string, MemberEntry>();
  /** alive and suspect, in no order that means anything */
  readonly #live: MemberEntry[] = [];
  readonly #dead: MemberEntry[] = [];
  #hash = 0;
  /** changes of the hash so far */
  #changeCount = 0;

  /** u32: the sum over all entries that are told; suspicion does not count, being a doubt and no fact. */
  get hash(): number {
    return this.#hash;
  }

  get changeCount(): number {
    return this.#changeCount;
  }

  /** Alive and suspect; `pick` reorders it. */
  get live(): readonly MemberEntry[] {
    return this.#live;
  }

  get dead(): readonly MemberEntry[] {
    return this.#dead;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(nodeId: string): MemberEntry | undefined {
    return this.#entries.get(nodeId);
  }

  all(): IterableIterator<MemberEntry> {
    return this.#entries.values();
  }

  add(entry: MemberEntry): void {
    assert(!this.#entries.has(entry.nodeId));
    this.#entries.set(entry.nodeId, entry);
    this.#enlist(entry);
    this.tell(entry, entry.facts.address !== "");
  }

  /** Takes a state and a life that is not earlier. */
  change(entry: MemberEntry, to: { readonly state: MemberState; readonly life: Life }, nowMs: number): void {
    assert(compareLives(to.life, entry.life) >= 0, "a stored life never goes back");
    const isTold = entry.facts.address !== "" && (entry.isTold || to.state !== entry.state);
    this.tell(entry, false);
    if (to.life.generation > entry.life.generation) entry.boot = undefined;
    entry.life = to.life;
    if (to.state !== entry.state) {
      this.#delist(entry);
      entry.state = to.state;
      entry.sinceMs = nowMs;
      this.#enlist(entry);
    }
    this.tell(entry, isTold);
  }

  /** Says whether the entry counts in the hash. */
  tell(entry: MemberEntry, isTold: boolean): void {
    if (entry.isTold === isTold) return;
    entry.isTold = isTold;
    const part = hashOfEntry(entry.nameHash, entry.life, entry.state);
    this.#hash = (this.#hash + (isTold ? part : -part)) >>> 0;
    this.#changeCount += 1;
  }

  forget(entry: MemberEntry): void {
    this.tell(entry, false);
    this.#delist(entry);
    this.#entries.delete(entry.nodeId);
  }

  /**
   * Up to `count` different live members that are wanted, each as likely, into `into`. Exact: with few members, trying
   * random places would miss the only candidate now and then. O(count) when most are wanted.
   */
  pick(
    count: number,
    into: MemberEntry[],
    by: { readonly random: () => number; readonly isWanted: (entry: MemberEntry) => boolean },
  ): void {
    const list = this.#live;
    let found = 0;
    for (let at = 0; at < list.length && found < count; at += 1) {
      const entry = swapIn(list, at, at + Math.floor(by.random() * (list.length - at)));
      if (entry === undefined || !by.isWanted(entry)) continue;
      into.push(entry);
      found += 1;
    }
  }

  #listOf(entry: MemberEntry): MemberEntry[] | undefined {
    if (entry.isLive) return this.#live;
    return entry.state === "dead" ? this.#dead : undefined;
  }

  #enlist(entry: MemberEntry): void {
    const list = this.#listOf(entry);
    entry.listIndex = list === undefined ? -1 : list.push(entry) - 1;
  }

  #delist(entry: MemberEntry): void {
    const list = this.#listOf(entry);
    const last = list?.pop();
    if (list === undefined || last === undefined || last === entry) return;
    list[entry.listIndex] = last;
    last.listIndex = entry.listIndex;
  }
}

function swapIn(list: MemberEntry[], at: number, from: number): MemberEntry | undefined {
  const [here, there] = [list[at], list[from]];
  if (here === undefined || there === undefined) return undefined;
  list[at] = there;
  list[from] = here;
  there.listIndex = at;
  here.listIndex = from;
  return there;
}

/** What one member adds to the hash of the table. Suspect counts as alive. */
export function hashOfEntry(nameHash: number, life: Life, state: MemberState): number {
  const stateCode = state === "dead" ? 2 : state === "left" ? 3 : 1;
  let hash = mix(nameHash ^ Math.imul(life.generation, 0x9e37_79b1));
  hash = mix(hash ^ Math.imul(life.incarnation, 0x85eb_ca77) ^ stateCode);
  return hash >>> 0;
}

/** A hash of a name, u32. Source: FNV-1a, finished by murmur3's mixer. */
export function hashOfName(name: string): number {
  let hash = 0x811c_9dc5;
  for (let at = 0; at < name.length; at += 1) hash = Math.imul(hash ^ name.charCodeAt(at), 0x0100_0193);
  return mix(hash) >>> 0;
}

function mix(input: number): number {
  let hash = input ^ (input >>> 16);
  hash = Math.imul(hash, 0x85eb_ca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2_ae35);
  return hash ^ (hash >>> 16);
}
