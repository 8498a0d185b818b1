/** Asks nodes for their view of the cluster, all at once. Must never wait long for one that does not answer. */
import { askNode, type Fetch } from "../client/http-node.ts";
import { type ClusterSummary, parseCluster } from "./cluster-summary.ts";

const LOOK_TIMEOUT_MS = 2_000;

/** What each node that answers says, in the order of the nodes. */
export async function lookAt(nodes: readonly string[], fetchIt: Fetch = fetch): Promise<readonly ClusterSummary[]> {
  const request = { method: "GET", path: "/v1/cluster", timeoutMs: LOOK_TIMEOUT_MS } as const;
  const answers = await Promise.all(nodes.map((node) => askNode(fetchIt, node, request)));
  return answers.flatMap((answer) => {
    const told = answer.kind === "answered" && answer.status === 200 ? parseCluster(answer.bytes) : undefined;
    return told === undefined ? [] : [told];
  });
}
