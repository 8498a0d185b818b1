/**
 * What routing believes of the other nodes: does a link stand, does gossip hold it for dead, has it answered us lately.
 * For the order in which they are asked, and for what is known to be out of reach. Must never turn away a reply.
 */
import type { NodeId } from "../base/ids.ts";
import type { Peers } from "../peers/messages.ts";
import { Circuit } from "./circuit-core.ts";
import type { Liveness } from "./needs.ts";

/** When a node is asked: in its turn, after the others, or when nobody else is left. */
export type Standing = "well" | "doubtful" | "unreachable";

/** What a coordinator believes of another node. */
export interface PeerView {
  readonly node: NodeId;
  readonly standing: Standing;
  /** in which it answered reads lately, 0 when it was asked for none: of those that are well, who takes longer is asked later */
  readonly meanReadMs: number;
}

const ALL_ALIVE: Liveness = { stateOf: () => "alive" };

/** What it works with. */
export interface PeerHealthParts {
  readonly peers: Pick<Peers, "isReachable">;
  /** undefined: all are alive */
  readonly liveness?: Liveness;
}

/** The health of every peer that this node has asked; times are of the monotonic clock, in milliseconds. */
export class PeerHealth {
  readonly #peers: Pick<Peers, "isReachable">;
  readonly #liveness: Liveness;
  readonly #circuits = new Map<NodeId, Circuit>();

  constructor(parts: PeerHealthParts) {
    this.#peers = parts.peers;
    this.#liveness = parts.liveness ?? ALL_ALIVE;
  }

  /** The node's circuit: whoever sends notes it there. */
  circuitOf(node: NodeId): Circuit {
    const known = this.#circuits.get(node);
    if (known !== undefined) return known;
    const circuit = new Circuit();
    this.#circuits.set(node, circuit);
    return circuit;
  }

  /** A link stands, and gossip does not hold the node for dead. */
  isReachable(node: NodeId): boolean {
    return this.#peers.isReachable(node) && this.#liveness.stateOf(node) !== "dead";
  }

  /** The node has not answered us lately. */
  isSilent(node: NodeId, nowMs: number): boolean {
    return this.#circuits.get(node)?.isOpen(nowMs) === true;
  }

  /** When the node is to be asked; `doubtful`: gossip suspects it, or it has not answered us lately. */
  standingOf(node: NodeId, nowMs: number): Standing {
    if (!this.#peers.isReachable(node)) return "unreachable";
    const state = this.#liveness.stateOf(node);
    if (state === "dead") return "unreachable";
    return state === "suspect" || this.isSilent(node, nowMs) ? "doubtful" : "well";
  }

  /** True once in a while for a node in doubt: it is asked in its turn, to see whether it has recovered. */
  takeProbe(node: NodeId, nowMs: number): boolean {
    return this.#circuits.get(node)?.takeProbe(nowMs) === true;
  }
}
