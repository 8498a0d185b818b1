/**
 * Carries out what the state table says: changes members, starts and ends suspicions, tells listeners, passes news on.
 * Must never hold more than one timer for a member. Source: gossip-ring notes §A.4.
 */

import { MemberEntry } from "./member-table.ts";
import type { Life, MemberFacts, Rumor, Sender } from "./messages.ts";
import { suspicionBounds } from "./parameters.ts";
import type { ProbeOrder } from "./probe-order.ts";
import { decisionOn } from "./rumor-rules.ts";
import type { SelfKeeper } from "./self-keeper.ts";
import { Suspicion } from "./suspicion.ts";
import type { TableEntry } from "./swim-api.ts";
import { type SwimState, subjectOf } from "./swim-state.ts";

/** Tombstones older than this part of their time are not taken over from others: else they would be handed round for ever. */
const TAKEOVER_SHARE = 0.5;

interface MillParts {
  readonly self: SelfKeeper;
  readonly order: ProbeOrder;
  /** someone speaks of a member that we do not know */
  readonly onUnknown: (sender: Sender, nowMs: number) => void;
}

/** What becomes of rumors. */
export class RumorMill {
  readonly #state: SwimState;
  readonly #parts: MillParts;

  constructor(state: SwimState, parts: MillParts) {
    this.#state = state;
    this.#parts = parts;
  }

  /** Takes a rumor. `sender` is whom to answer; undefined for rumors of our own and out of tables. */
  onRumor(rumor: Rumor, sender: Sender | undefined, nowMs: number): void {
    const nodeId = subjectOf(rumor);
    if (nodeId === this.#state.nodeId) {
      this.#parts.self.onRumor(rumor, sender, nowMs);
      return;
    }
    const entry = this.#state.table.get(nodeId);
    if (entry === undefined) this.#onStranger(rumor, sender, nowMs);
    else this.#onMember(entry, { rumor, sender }, nowMs);
  }

  /** This node accuses a member in the life that it knows. */
  accuse(entry: MemberEntry, nowMs: number): void {
    this.onRumor(
      { kind: "suspect", nodeId: entry.nodeId, life: entry.life, from: this.#state.nodeId },
      undefined,
      nowMs,
    );
  }

  /**
   * A line of a peer's table. Its dead are only suspected here, so that who is accused can refute; its doubts count for no more
   * than the life they are about. Both were first taken as accusations by this node (as memberlist does): the word of one
   * then came back as that of many, and members died of one slow accuser (measured: 100 times the false dead at 64 members).
   */
  onTableEntry(told: TableEntry, peer: string, nowMs: number): void {
    const { facts, life } = told;
    const { nodeId } = facts;
    const isSelf = nodeId === this.#state.nodeId;
    const entry = this.#state.table.get(nodeId);
    if (entry === undefined && !isSelf && isTombstone(told)) {
      this.#inherit(told, nowMs);
      return;
    }
    if (entry !== undefined && entry.facts.address === "") {
      entry.facts = facts;
      this.#state.table.tell(entry, facts.address !== "");
    }
    if (told.state === "left") this.onRumor({ kind: "left", nodeId, life }, undefined, nowMs);
    else if (told.state === "alive" || (told.state === "suspect" && !isSelf))
      this.onRumor({ kind: "alive", life, facts }, undefined, nowMs);
    else this.onRumor({ kind: "suspect", nodeId, life, from: peer }, undefined, nowMs);
  }

  /** Takes an alive member as known. */
  assume(told: TableEntry, nowMs: number): void {
    const { nodeId } = told.facts;
    if (nodeId === this.#state.nodeId || this.#state.table.get(nodeId) !== undefined) return;
    const entry = new MemberEntry(told.facts, told, nowMs - told.ageMs);
    this.#state.table.add(entry);
    this.#parts.order.add(entry);
    entry.isAnnounced = true;
  }

  /** An authenticated datagram of a member is word of the life in its header. */
  onHeader(entry: MemberEntry, sender: Sender, nowMs: number): void {
    // A later generation may live elsewhere: only its own ALIVE tells where.
    if (sender.life.generation > entry.life.generation || entry.facts.address === "") {
      this.#parts.onUnknown(sender, nowMs);
      return;
    }
    this.#onMember(entry, { rumor: { kind: "alive", life: sender.life, facts: entry.facts }, sender }, nowMs);
    if (entry.isLive && sender.life.generation === entry.life.generation) this.#checkBoot(entry, sender, nowMs);
    // It speaks and does not know: its word may never have reached those who passed the suspicion on.
    if (entry.state === "suspect") this.#tellAccusation(entry, sender, nowMs);
  }

  /** A suspicion has run out: the member counts as dead. */
  onExpired(entry: MemberEntry, nowMs: number): void {
    const rumor: Rumor = { kind: "dead", nodeId: entry.nodeId, life: entry.life, from: this.#state.nodeId };
    this.onRumor(rumor, undefined, nowMs);
  }

  #onStranger(rumor: Rumor, sender: Sender | undefined, nowMs: number): void {
    if (rumor.kind === "suspect" || decisionOn(undefined, rumor.kind, rumor.life) === "ask") {
      if (sender !== undefined) this.#parts.onUnknown(sender, nowMs);
      return;
    }
    this.#state.spread(rumor);
    const facts: MemberFacts = rumor.kind === "alive" ? rumor.facts : { nodeId: rumor.nodeId, address: "", zone: "" };
    const entry = new MemberEntry(facts, { life: rumor.life, state: rumor.kind }, nowMs);
    this.#state.table.add(entry);
    if (rumor.kind !== "alive") return;
    this.#parts.order.add(entry);
    entry.isAnnounced = true;
    this.#state.tellListeners("join", entry);
  }

  #inherit(told: TableEntry, nowMs: number): void {
    if (told.ageMs > this.#state.parameters.forgetAfterMs * TAKEOVER_SHARE) return;
    this.#state.table.add(new MemberEntry(told.facts, told, nowMs - told.ageMs));
  }

  #onMember(
    entry: MemberEntry,
    said: { readonly rumor: Rumor; readonly sender: Sender | undefined },
    nowMs: number,
  ): void {
    const { rumor, sender } = said;
    const state = this.#state;
    switch (decisionOn(entry, rumor.kind, rumor.life)) {
      case "adopt":
        this.#adopt(entry, rumor, nowMs);
        return;
      case "confirm":
        this.#confirm(entry, rumor, nowMs);
        return;
      case "raise":
      case "raise-and-pass-on":
        state.table.change(entry, { state: entry.state, life: rumor.life }, nowMs);
        if (rumor.kind === "dead" || rumor.kind === "left") state.spread(rumor);
        return;
      case "answer":
        this.#answer(entry, sender);
        return;
      case "accuse":
        this.#tellAccusation(entry, sender, nowMs);
        return;
      case "insert":
      case "ask":
      case "drop":
    }
  }

  #confirm(entry: MemberEntry, rumor: Rumor, nowMs: number): void {
    const { suspicion } = entry;
    if (rumor.kind !== "suspect" || suspicion?.confirm(rumor.from) !== true) return;
    this.arm(entry, suspicion, nowMs);
    this.#state.spread(rumor);
  }

  #answer(entry: MemberEntry, sender: Sender | undefined): void {
    if (sender === undefined) return;
    this.#state.sendToAddress(sender.address, this.#state.table.get(sender.nodeId), [aliveRumor(entry)]);
  }

  #adopt(entry: MemberEntry, rumor: Rumor, nowMs: number): void {
    const before = entry.state;
    const isMoved = rumor.kind === "alive" && isElsewhere(entry.facts, rumor.facts);
    if (rumor.kind === "alive") entry.facts = rumor.facts;
    this.#calm(entry);
    this.#state.table.change(entry, { state: rumor.kind, life: rumor.life }, nowMs);
    this.#state.spread(rumor);
    if (entry.isLive) this.#parts.order.add(entry);
    if (rumor.kind === "suspect") this.#suspect(entry, rumor.from, nowMs);
    if (before !== entry.state) this.#state.tellListeners(this.#eventOf(entry, before), entry);
    else if (isMoved) this.#state.tellListeners("update", entry);
    entry.isAnnounced ||= entry.isLive;
  }

  #eventOf(entry: MemberEntry, before: MemberEntry["state"]): "join" | "recover" | "suspect" | "dead" | "left" {
    if (entry.state !== "alive") return entry.state;
    return before === "left" || !entry.isAnnounced ? "join" : "recover";
  }

  #suspect(entry: MemberEntry, from: string, nowMs: number): void {
    const suspicion = new Suspicion(suspicionBounds(this.#state.parameters, this.#state.liveCount), from, nowMs);
    entry.suspicion = suspicion;
    this.arm(entry, suspicion, nowMs);
  }

  /** Starts the timer of a suspicion anew, in place of the one that runs. */
  arm(entry: MemberEntry, suspicion: Suspicion, nowMs: number): void {
    this.#state.outbox.cancel(suspicion.timerId);
    // Some time before the end the suspect is asked once more: see `askOnceMore`.
    const { probeIntervalMs } = this.#state.parameters;
    const leftMs = Math.max(0, suspicion.dueMs - nowMs);
    const delayMs = suspicion.isAskedOnceMore || leftMs <= probeIntervalMs ? leftMs : leftMs - probeIntervalMs;
    suspicion.timerId = this.#state.outbox.arm({ kind: "suspicion", entry, suspicion }, delayMs, nowMs);
  }

  /**
   * A last ping with the accusation, in time for an answer. After a split the suspicion of one may have been told to nobody who
   * is heard: without this it ended in the death of a member long after the links were back.
   */
  askOnceMore(entry: MemberEntry, suspicion: Suspicion): void {
    if (suspicion.isAskedOnceMore) return;
    suspicion.isAskedOnceMore = true;
    const { nodeId, life } = entry;
    this.#state.sendTo(entry, [
      { kind: "ping", seq: this.#state.nextSeq(), target: nodeId, hashes: this.#state.hashes },
      { kind: "suspect", nodeId, life, from: this.#state.nodeId },
    ]);
  }

  #calm(entry: MemberEntry): void {
    if (entry.suspicion === undefined) return;
    this.#state.outbox.cancel(entry.suspicion.timerId);
    entry.suspicion = undefined;
  }

  /** Who is thought gone and is not must hear of it: else it stays so for ever (memberlist #311). */
  #tellAccusation(entry: MemberEntry, sender: Sender | undefined, nowMs: number): void {
    const { nodeId, life } = entry;
    const address = sender?.nodeId === nodeId ? sender.address : entry.facts.address;
    if (address === "" || !this.#state.mayTell(entry, nowMs)) return;
    const rumor: Rumor =
      entry.state === "left"
        ? { kind: "left", nodeId, life }
        : { kind: entry.state === "suspect" ? "suspect" : "dead", nodeId, life, from: this.#state.nodeId };
    this.#state.sendToAddress(address, entry, [rumor]);
  }

  /** Two processes under one name and generation: the one that speaks now shall hear of the other, and will see whose it is. */
  #checkBoot(entry: MemberEntry, sender: Sender, nowMs: number): void {
    if (entry.boot !== undefined && entry.boot !== sender.boot && this.#state.mayTell(entry, nowMs)) {
      this.#state.sendToAddress(sender.address, entry, [aliveRumor(entry)]);
    }
    entry.boot = sender.boot;
  }
}

/** What we would say of a member that we take for alive. */
function aliveRumor(entry: { readonly life: Life; readonly facts: MemberFacts }): Rumor {
  return { kind: "alive", life: entry.life, facts: entry.facts };
}

function isTombstone(told: TableEntry): boolean {
  return told.state === "dead" || told.state === "left";
}

function isElsewhere(a: MemberFacts, b: MemberFacts): boolean {
  return a.address !== b.address || a.zone !== b.zone;
}
