/**
 * What routing believes of the other nodes: does a link stand, does gossip hold it for dead, has it answered us lately.
 * For the order in which they are asked, and for what is known to be out of reach. Must never turn away a reply.
 */
import type { NodeId } from "../base/ids.ts";
import type { Peers } from "../peers/messages.ts";
import { Circuit } from "./circuit-core.ts";
import type { Liveness } from "./needs.ts";

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

  /** Gossip suspects the node, or it has not answered us lately: it is asked when nobody better is left. */
  isDoubtful(node: NodeId, nowMs: number): boolean {
    return this.isSilent(node, nowMs) || this.#liveness.stateOf(node) === "suspect";
  }

  /** True once in a while for a node in doubt: it is asked in its turn, to see whether it has recovered. */
  takeProbe(node: NodeId, nowMs: number): boolean {
    return this.#circuits.get(node)?.takeProbe(nowMs) === true;
  }
}
