/** What the client API is given of a node. Must never be more than it needs. */
import type { GyreNode } from "./node.ts";

/** The parts of a node that its API works with. */
export function apiPartsOf(
  node: GyreNode,
): Pick<GyreNode, "coordinator" | "buckets" | "status" | "contexts" | "metrics" | "door" | "repair" | "calm"> {
  const { coordinator, buckets, status, contexts, metrics, door, repair, calm } = node;
  return { coordinator, buckets, status, contexts, metrics, door, repair, calm };
}
