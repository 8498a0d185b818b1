/**
 * BulkAsks: questions over the bulk links as promises. A link that does not stand yet is opened by the first call, so an
 * unsent question is asked again within its time. Must never be used for what a client waits for.
 */
import type { NodeId } from "../base/ids.ts";
import type { Clock } from "../base/ports.ts";
import type { CallResult } from "../peers/messages.ts";
import type { PeerLinks } from "../peers/peer-links.ts";
import { Pauses } from "../repair/pauses.ts";

/** How long to wait before an unsent question is tried again. */
const RETRY_MS = 20;

/** Asks peers over their bulk links. */
export class BulkAsks {
  readonly #links: Pick<PeerLinks, "callBulk">;
  readonly #clock: Clock;
  readonly #pauses: Pauses;
  #isStopped = false;

  constructor(links: Pick<PeerLinks, "callBulk">, clock: Clock) {
    this.#links = links;
    this.#clock = clock;
    this.#pauses = new Pauses(clock);
  }

  /** Asks nobody any more: what waits for its next try has no answer. */
  stop(): void {
    this.#isStopped = true;
    this.#pauses.end();
  }

  /** The answer's body, or undefined when none came within `timeoutMs`, for whatever reason. Never rejects. */
  async ask(node: NodeId, topic: string, body: unknown, timeoutMs: number): Promise<unknown> {
    const endMs = this.#clock.monotonicMs() + timeoutMs;
    for (let leftMs = timeoutMs; leftMs >= 1 && !this.#isStopped; leftMs = endMs - this.#clock.monotonicMs()) {
      const result = await new Promise<CallResult>((resolve) =>
        this.#links.callBulk(node, { kind: "ask", topic, body }, leftMs, resolve),
      );
      if (result.kind === "answer") return result.body;
      if (result.kind !== "unsent") return undefined;
      if (!this.#isStopped) await this.#pauses.pause(RETRY_MS);
    }
    return undefined;
  }
}
