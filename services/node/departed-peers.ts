/**
 * DepartedPeers: ends the dialling of nodes that belong no more. Whoever left or was removed keeps its links while it runs, so
 * that it hears how its affairs end; once it has been unlinked for a while it is forgotten, and comes back only if it dials
 * us. The same goes for nodes that waited for a cluster and went away. Must never forget a member, however dead it is.
 */
import type { NodeId } from "../base/ids.ts";
import { DEPARTED_DIAL_MS, DEPARTED_LOOK_MS } from "../base/limits.ts";
import type { Clock, Log, Timer } from "../base/ports.ts";
import type { PeerLinks } from "../peers/peer-links.ts";

/** What it looks at. */
export interface DepartedParts {
  readonly links: Pick<PeerLinks, "knownPeers" | "isLinked" | "removePeer">;
  /** a member has this name; undefined: who belongs is not known yet */
  readonly isMember: (node: NodeId) => boolean | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** One node's. */
export class DepartedPeers {
  readonly #parts: DepartedParts;
  /** since when a node that is no member has no link, by the monotonic clock */
  readonly #since = new Map<NodeId, number>();
  #timer: Timer | undefined;

  constructor(parts: DepartedParts) {
    this.#parts = parts;
  }

  /** Begins to look. */
  start(): void {
    this.#timer ??= this.#parts.clock.setTimer(DEPARTED_LOOK_MS, () => {
      this.#timer = undefined;
      this.#look();
      this.start();
    });
  }

  /** Looks no more. */
  stop(): void {
    this.#timer?.cancel();
  }

  #look(): void {
    const { links, isMember, clock, log } = this.#parts;
    const nowMs = clock.monotonicMs();
    for (const { nodeId } of links.knownPeers()) {
      if (isMember(nodeId) !== false || links.isLinked(nodeId)) {
        this.#since.delete(nodeId);
        continue;
      }
      const sinceMs = this.#since.get(nodeId) ?? nowMs;
      this.#since.set(nodeId, sinceMs);
      if (nowMs - sinceMs < DEPARTED_DIAL_MS) continue;
      this.#since.delete(nodeId);
      links.removePeer(nodeId);
      log.info({ event: "peers.departed", peer: nodeId, unlinkedForMs: nowMs - sinceMs });
    }
  }
}
