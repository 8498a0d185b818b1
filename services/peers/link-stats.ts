/** Plain counters of all links, for metrics. Only ever grow, but for what is a level. */
import type { CallResult } from "./messages.ts";

/** What has passed over the links since the start. */
export interface LinkStats {
  framesSent: number;
  framesReceived: number;
  bytesSent: number;
  bytesReceived: number;
  /** replies that came after their call had ended */
  lateReplies: number;
  /** replies that had nobody left to go to */
  orphanReplies: number;
  requestsServed: number;
  /** of them, refused because their time was up */
  requestsExpired: number;
  linksOpened: number;
  linksClosed: number;
  dialsFailed: number;
  handshakesRefused: number;
  /** ended calls by result, `unsent` and `lost` with their reason */
  readonly callsByResult: Record<CallOutcomeName, number>;
}

/** How a call can end, for counting. */
export type CallOutcomeName =
  | Exclude<CallResult["kind"], "unsent" | "lost">
  | "unsent_no_link"
  | "unsent_queue_full"
  | "lost_link_closed"
  | "lost_timeout";

/** Counters at zero. */
export function newLinkStats(): LinkStats {
  return {
    framesSent: 0,
    framesReceived: 0,
    bytesSent: 0,
    bytesReceived: 0,
    lateReplies: 0,
    orphanReplies: 0,
    requestsServed: 0,
    requestsExpired: 0,
    linksOpened: 0,
    linksClosed: 0,
    dialsFailed: 0,
    handshakesRefused: 0,
    callsByResult: {
      digest: 0,
      object: 0,
      stored: 0,
      pong: 0,
      answer: 0,
      refused: 0,
      failed: 0,
      unsent_no_link: 0,
      unsent_queue_full: 0,
      lost_link_closed: 0,
      lost_timeout: 0,
    },
  };
}

/** Counts the end of one call. */
export function countResult(stats: LinkStats, result: CallResult): void {
  switch (result.kind) {
    case "unsent":
      stats.callsByResult[result.reason === "no_link" ? "unsent_no_link" : "unsent_queue_full"] += 1;
      return;
    case "lost":
      stats.callsByResult[result.reason === "timeout" ? "lost_timeout" : "lost_link_closed"] += 1;
      return;
    case "digest":
    case "object":
    case "stored":
    case "pong":
    case "answer":
    case "refused":
    case "failed":
      stats.callsByResult[result.kind] += 1;
  }
}
