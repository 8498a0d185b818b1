/**
 * Whom hints are delivered to, and when: one delivery per target at a time, few at once, jittered when a target comes back,
 * later and later while it fails. Pure: chance comes in as numbers. Must never leave a target with hints unscheduled, nor
 * start everybody's delivery at the same moment. Source: research: features §3.11–12, reliability O10.
 */

import { HINT_JITTER_MS, HINT_RETRY_MAX_MS, HINT_RETRY_MIN_MS, MAX_HINT_DELIVERIES } from "../base/hint-limits.ts";
import type { NodeId } from "../base/ids.ts";

/** How a delivery ended. */
export type DeliveryEnd =
  /** all that was there when it began */
  | "done"
  /** the target does not answer, or refuses for now */
  | "failed"
  /** some of it is to go elsewhere, or not now */
  | "stuck";

interface Target {
  dueMs: number;
  failureCount: number;
  isRunning: boolean;
  /** asked for while it ran: once more at once */
  isHurried: boolean;
}

/** The schedule of one node. Times are monotonic milliseconds. */
export class DeliverySchedule {
  readonly #targets = new Map<NodeId, Target>();

  /** These targets have hints, and no others. `chance`: 0 … 1, drawn for each new one. */
  review(wanted: ReadonlySet<NodeId>, nowMs: number, chance: () => number): void {
    for (const [node, target] of this.#targets) if (!wanted.has(node) && !target.isRunning) this.#targets.delete(node);
    for (const node of wanted) {
      if (this.#targets.has(node)) continue;
      const dueMs = nowMs + chance() * HINT_JITTER_MS;
      this.#targets.set(node, { dueMs, failureCount: 0, isRunning: false, isHurried: false });
    }
  }

  /** The node can be reached again. */
  cameUp(node: NodeId, nowMs: number, chance: number): void {
    const target = this.#targets.get(node);
    if (target === undefined) return;
    target.failureCount = 0;
    target.dueMs = nowMs + chance * HINT_JITTER_MS;
  }

  /** Someone waits: all of them now. */
  hurry(nowMs: number): void {
    for (const target of this.#targets.values()) {
      target.dueMs = nowMs;
      target.isHurried = target.isRunning;
    }
  }

  /** Those whose time has come and that can be reached; they count as running from now on. */
  start(nowMs: number, isAlive: (node: NodeId) => boolean): readonly NodeId[] {
    const running = [...this.#targets.values()].filter((target) => target.isRunning).length;
    const due = [...this.#targets]
      .filter(([node, target]) => !target.isRunning && target.dueMs <= nowMs && isAlive(node))
      .sort(([, left], [, right]) => left.dueMs - right.dueMs)
      .slice(0, MAX_HINT_DELIVERIES - running);
    for (const [, target] of due) target.isRunning = true;
    return due.map(([node]) => node);
  }

  /** A delivery has ended. `chance`: 0 … 1. */
  ended(node: NodeId, end: DeliveryEnd, now: { readonly nowMs: number; readonly chance: number }): void {
    const target = this.#targets.get(node);
    if (target === undefined) return;
    target.isRunning = false;
    target.failureCount = end === "done" ? 0 : target.failureCount + 1;
    const backoffMs = Math.min(HINT_RETRY_MAX_MS, HINT_RETRY_MIN_MS * 2 ** Math.max(0, target.failureCount - 1));
    target.dueMs = target.isHurried ? now.nowMs : now.nowMs + backoffMs * (0.5 + now.chance);
    target.isHurried = false;
  }
}
