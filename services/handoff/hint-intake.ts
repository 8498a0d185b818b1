/**
 * The receiving side: says which of the offered versions this node's slots lack, takes those, and how much more it can do
 * with. Must never confirm what its own slot does not durably hold, nor take anything for a slot that it does not hold.
 */
import { type NodeId, parseNodeId } from "../base/ids.ts";
import type { Clock } from "../base/ports.ts";
import { TopicRefusal } from "../peers/peer-handler.ts";
import type { KeyLocation, ReplicaWriteResult } from "../replica/contract.ts";
import { decodeSet, encodedDigestOf } from "../versioning/object-codec.ts";
import { lengthFlawOf } from "../versioning/object-header.ts";
import {
  type DeliveredKey,
  encodeReply,
  type HintState,
  type OfferedKey,
  parseDelivery,
  parseFlags,
  parseOffer,
} from "./hint-messages.ts";
import { IntakeCredits } from "./intake-credit-core.ts";
import type { MainReplica } from "./needs.ts";
import type { RepairFlags } from "./repair-flags.ts";

/** What taking in works with. */
export interface IntakeParts {
  readonly main: MainReplica;
  readonly partitionCount: number;
  readonly flags: RepairFlags;
  readonly clock: Clock;
  /** 0 … 1: how much of the full pace background work may have here */
  readonly backgroundShare: () => number;
  /** the node was removed from the cluster: what it still brings is not taken */
  readonly isRemoved: (node: NodeId) => boolean;
}

/** Totals since the start. */
export interface IntakeCounts {
  readonly offeredCount: number;
  readonly takenCount: number;
  readonly takenBytes: number;
}

/** Takes the hints that others bring. */
export class HintIntake {
  readonly #parts: IntakeParts;
  readonly #credits: IntakeCredits;
  #offeredCount = 0;
  #takenCount = 0;
  #takenBytes = 0;

  constructor(parts: IntakeParts) {
    this.#parts = parts;
    this.#credits = new IntakeCredits(parts.clock.monotonicMs());
  }

  /** Totals since the start. */
  counts(): IntakeCounts {
    return { offeredCount: this.#offeredCount, takenCount: this.#takenCount, takenBytes: this.#takenBytes };
  }

  /** Which of these the slots here lack. */
  readonly offer = async (from: NodeId, body: unknown): Promise<unknown> => {
    const keys = parseOffer(body, this.#parts.partitionCount);
    const refusal = this.#refusalOf(from, keys);
    if (keys === undefined || refusal !== undefined) return refusal;
    this.#offeredCount += keys.length;
    this.#credits.spent(from, { offered: keys.length, keys: 0, bytes: 0 });
    return this.#reply(
      from,
      keys,
      keys.map((key) => this.#stateOf(key)),
    );
  };

  /** Takes these in; the answer comes when all of them are durable, or refused. */
  readonly take = async (from: NodeId, body: unknown, budgetMs: number): Promise<unknown> => {
    const keys = parseDelivery(body, this.#parts.partitionCount);
    const refusal = this.#refusalOf(from, keys);
    if (keys === undefined || refusal !== undefined) return refusal;
    const bytes = keys.reduce((sum, { object }) => sum + object.length, 0);
    this.#credits.spent(from, { offered: 0, keys: keys.length, bytes });
    const states = await Promise.all(keys.map((key) => this.#taken(key, budgetMs)));
    this.#takenCount += states.filter((state) => state === "held").length;
    this.#takenBytes += bytes;
    return this.#reply(from, keys, states);
  };

  /** Flags partitions of which the sender gave hints up: answered when that is durable. Only those held here. */
  readonly flag = async (from: NodeId, body: unknown): Promise<unknown> => {
    const { partitionCount, main, flags } = this.#parts;
    const partitions = parseFlags(body, partitionCount);
    const refusal = this.#refusalOf(from, partitions);
    if (partitions === undefined || refusal !== undefined) return refusal;
    const held = partitions.filter((partition) => main.slotOf(partition) >= 0);
    await flags.flag(held);
    return { partitions: held };
  };

  #refusalOf(from: NodeId, parsed: unknown): TopicRefusal | undefined {
    if (parsed === undefined) return new TopicRefusal("bad_request", "malformed");
    if (this.#parts.isRemoved(from)) return new TopicRefusal("not_ready", `node ${from} was removed`);
    return undefined;
  }

  #stateOf({ location, slot, digest }: OfferedKey): HintState {
    const { main } = this.#parts;
    if (main.slotOf(location.partition) !== slot) return "elsewhere";
    return main.digestOf(location) === digest ? "held" : "lacking";
  }

  async #taken({ location, slot, object }: DeliveredKey, budgetMs: number): Promise<HintState> {
    const { main } = this.#parts;
    if (main.slotOf(location.partition) !== slot) return "elsewhere";
    if (lengthFlawOf(object) !== undefined) return "bad";
    // the body is the link's buffer: what the store keeps must not hold all of it in memory
    const own = object.slice();
    const version = { baseDigest: 0n, digest: encodedDigestOf(own), object: own, budgetMs };
    const result = await main.store({ ...location, key: location.key.slice() }, version);
    // Deleted since, and collected: there is nothing left to bring. A slot that is uncertain of that has kept nothing.
    const isSettled = result.kind === "stored" || (result.kind === "refused" && result.reason === "collected");
    if (isSettled) return main.slotOf(location.partition) === slot ? "held" : "elsewhere";
    // What this store cannot read of its own is no fault of what was brought.
    return decodeSet(own).kind === "corrupt" ? "bad" : stateOfFailure(result);
  }

  #reply(from: NodeId, keys: readonly { readonly location: KeyLocation }[], states: readonly HintState[]): unknown {
    const { clock, backgroundShare, main } = this.#parts;
    const moved = new Map<number, NodeId>();
    for (const [index, state] of states.entries()) {
      const partition = keys[index]?.location.partition ?? 0;
      const to = state === "elsewhere" ? main.refusalOf(partition)?.facts?.["to"] : undefined;
      const node = typeof to === "string" ? parseNodeId(to) : undefined;
      if (node !== undefined) moved.set(partition, node);
    }
    const credit = this.#credits.grant(from, clock.monotonicMs(), backgroundShare());
    return encodeReply({ states, moved, credit });
  }
}

function stateOfFailure(result: ReplicaWriteResult): HintState {
  if (result.kind !== "refused") return "later";
  return result.reason === "moved" || result.reason === "not_owner" ? "elsewhere" : "later";
}
