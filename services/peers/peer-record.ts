/** What is known of one other node, and the links to and from it. Must never dial: its loop is told to. */

import type { NodeId } from "../base/ids.ts";
import { MAX_PEER_QUEUE_BYTES, MAX_SERVED_BYTES_PER_PEER } from "../base/limits.ts";
import type { CallLink } from "./call-link.ts";
import type { DialLoop } from "./dial-loop.ts";
import type { LinkPurpose, PeerIdentity } from "./identity.ts";
import { LatencyEstimator } from "./latency-estimator.ts";
import { QueueAccount } from "./queue-account.ts";
import type { ServeLink } from "./serve-link.ts";

/** A dialling side that has lost a link may have opened the next one before we notice: so many stand side by side. */
const MAX_SERVED_PER_PURPOSE = 4;
const MAX_RETIRED_NONCES = 8;

/** One peer. */
export class PeerRecord {
  readonly nodeId: NodeId;
  readonly account: QueueAccount;
  /** bytes of its requests that are being served */
  readonly served: QueueAccount = new QueueAccount(MAX_SERVED_BYTES_PER_PEER);
  readonly latencies: LatencyEstimator = new LatencyEstimator();
  /** as the latest handshake proved it; undefined while only an address is known */
  identity: PeerIdentity | undefined;
  /** where to dial it */
  address: string;
  /** what the peer named last as the hash of its ring */
  ringHash: bigint | undefined;
  readonly calls: Record<LinkPurpose, CallLink | undefined> = { data: undefined, bulk: undefined };
  readonly loops: Record<LinkPurpose, DialLoop | undefined> = { data: undefined, bulk: undefined };
  readonly #servedLinks: { readonly purpose: LinkPurpose; readonly link: ServeLink }[] = [];
  #retiredNonces: string[] = [];

  constructor(nodeId: NodeId, address: string, allPeers: QueueAccount) {
    this.nodeId = nodeId;
    this.address = address;
    this.account = new QueueAccount(MAX_PEER_QUEUE_BYTES, allPeers);
  }

  get isReachable(): boolean {
    return this.calls.data !== undefined;
  }

  /** Bytes that have not left for this peer as of now; the account is only brought up to date now and then. */
  get queuedBytes(): number {
    const calls = (this.calls.data?.queuedBytes ?? 0) + (this.calls.bulk?.queuedBytes ?? 0);
    return this.#servedLinks.reduce((sum, { link }) => sum + link.queuedBytes, calls);
  }

  /** A link stands, in either direction. */
  get isLinked(): boolean {
    return this.isReachable || this.#servedLinks.length > 0;
  }

  /** True when this boot nonce belongs to a process that a newer one has replaced. */
  isRetired(bootNonce: string): boolean {
    return this.#retiredNonces.includes(bootNonce);
  }

  /** Takes what a handshake has proven; a new process of the node ends the links of the old one. */
  learn(identity: PeerIdentity): void {
    const known = this.identity;
    if (known !== undefined && known.bootNonce !== identity.bootNonce) {
      const retired = this.#retiredNonces.filter((nonce) => nonce !== identity.bootNonce);
      this.#retiredNonces = [...retired.slice(1 - MAX_RETIRED_NONCES), known.bootNonce];
      this.closeAll("peer_restarted");
    }
    // Handshakes may overtake each other, but a process that became a member of a cluster never ceases to be.
    const isSameProcess = known?.bootNonce === identity.bootNonce;
    this.identity = isSameProcess ? { ...identity, clusterId: identity.clusterId ?? known.clusterId } : identity;
    this.address = identity.address;
  }

  /** Keeps a link that the peer opened; the oldest of too many is closed. */
  addServed(purpose: LinkPurpose, link: ServeLink): void {
    this.#servedLinks.push({ purpose, link });
    const same = this.#servedLinks.filter((served) => served.purpose === purpose);
    if (same.length > MAX_SERVED_PER_PURPOSE) same[0]?.link.close("replaced");
  }

  /** Forgets a link that has closed. */
  removeServed(link: ServeLink): void {
    const at = this.#servedLinks.findIndex((served) => served.link === link);
    if (at >= 0) this.#servedLinks.splice(at, 1);
  }

  /** Closes the links in both directions. */
  closeAll(reason: string): void {
    this.calls.data?.close(reason);
    this.calls.bulk?.close(reason);
    for (const { link } of [...this.#servedLinks]) link.close(reason);
  }

  /** Stops dialling, then closes all. */
  stop(reason: string): void {
    this.loops.data?.stop();
    this.loops.bulk?.stop();
    this.closeAll(reason);
  }
}
