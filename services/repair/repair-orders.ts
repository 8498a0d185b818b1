/**
 * A repair that somebody asks for: every member compares the partition (or all that it holds) with all other holders, now.
 * This node asks them, and asks again until all are through or the time is up. Must never wait longer than it was told.
 */
import type { NodeId } from "../base/ids.ts";
import { HANDOVER_ASK_MS, REPAIR_POLL_MS } from "../base/limits.ts";
import type { Clock } from "../base/ports.ts";
import type { ReplicasCompared } from "../base/repair-reports.ts";
import type { TopicHandler } from "../peers/peer-handler.ts";
import type { AntiEntropy, AntiEntropyStatus } from "./anti-entropy.ts";
import { fieldsOf, wholeOf } from "./body-fields-core.ts";

/** Topic of the links. */
export const ORDER_REPAIR_TOPIC = "repair.order";

/** What orders work with. */
export interface OrderParts {
  readonly self: NodeId;
  readonly antiEntropy: Pick<AntiEntropy, "order"> & {
    status(): Pick<AntiEntropyStatus, "pulledKeys" | "pushedKeys">;
  };
  readonly clock: Clock;
  /** unpredictable: names of orders must not meet those of another life */
  readonly nonce: () => string;
  /** every member, this one included */
  readonly members: () => readonly NodeId[];
  readonly isAlive: (node: NodeId) => boolean;
  readonly ask: (to: NodeId, topic: string, body: unknown, timeoutMs: number) => Promise<unknown>;
  readonly pause: (ms: number) => Promise<void>;
}

interface MemberProgress {
  readonly pairCount: number;
  readonly leftCount: number;
  readonly waitingFor: Readonly<Record<string, number>>;
  /** total since the member's start */
  readonly repairedCount: number;
}

/** Repairs by order. */
export class RepairOrders {
  readonly #parts: OrderParts;

  constructor(parts: OrderParts) {
    this.#parts = parts;
  }

  /** Another member asks this one to begin, or how far it is. */
  readonly handler: TopicHandler = async (_, body) => {
    const order = orderIn(body);
    return order === undefined ? null : { ...this.#own(order.name, order.partition) };
  };

  /** Compares one partition, or all (undefined), everywhere; resolves when that is done or the time is up. Never rejects. */
  async run(partition: number | undefined, timeoutMs: number): Promise<ReplicasCompared> {
    const { self, clock, nonce, pause } = this.#parts;
    const beganMs = clock.monotonicMs();
    const name = `${self}:${nonce()}`;
    const first = new Map<NodeId, number>();
    for (;;) {
      const report = await this.#ask({ name, partition, first, beganMs, timeoutMs });
      if (report.isDone || report.durationMs >= timeoutMs) return report;
      await pause(Math.max(1, Math.min(REPAIR_POLL_MS, timeoutMs - report.durationMs)));
    }
  }

  async #ask({ name, partition, first, beganMs, timeoutMs }: Asking): Promise<ReplicasCompared> {
    const { members, clock } = this.#parts;
    const leftMs = Math.max(1, timeoutMs - (clock.monotonicMs() - beganMs));
    const nodes = members();
    const answers = await Promise.all(nodes.map((node) => this.#askOne(node, { name, partition }, leftMs)));
    const waitingFor: Record<string, number> = {};
    const unreachable: NodeId[] = [];
    let pairs = 0;
    let left = 0;
    let repairedKeys = 0;
    for (const [at, answer] of answers.entries()) {
      const node = nodes[at];
      if (node === undefined) continue;
      if (answer === undefined) {
        unreachable.push(node);
        continue;
      }
      pairs += answer.pairCount;
      left += answer.leftCount;
      const before = first.get(node) ?? answer.repairedCount;
      first.set(node, before);
      repairedKeys += answer.repairedCount - before;
      for (const [other, count] of Object.entries(answer.waitingFor))
        waitingFor[other] = (waitingFor[other] ?? 0) + count;
    }
    // who knows no members is none, and has compared nothing
    const isDone = left === 0 && unreachable.length === 0 && nodes.length > 0;
    const durationMs = Math.round(clock.monotonicMs() - beganMs);
    return { isDone, pairs, left, waitingFor, unreachable, repairedKeys, durationMs };
  }

  async #askOne(node: NodeId, order: Order, leftMs: number): Promise<MemberProgress | undefined> {
    const { self, isAlive, ask } = this.#parts;
    if (node === self) return this.#own(order.name, order.partition);
    if (!isAlive(node)) return undefined;
    const body = { name: order.name, partition: order.partition ?? null };
    return progressIn(await ask(node, ORDER_REPAIR_TOPIC, body, Math.min(HANDOVER_ASK_MS, leftMs)));
  }

  #own(name: string, partition: number | undefined): MemberProgress {
    const { antiEntropy } = this.#parts;
    // counted before it begins
    const { pulledKeys, pushedKeys } = antiEntropy.status();
    const { pairCount, leftCount, waitingFor } = antiEntropy.order(name, partition) ?? NOTHING;
    return { pairCount, leftCount, waitingFor, repairedCount: pulledKeys + pushedKeys };
  }
}

interface Order {
  readonly name: string;
  readonly partition: number | undefined;
}

interface Asking extends Order {
  /** what each member had repaired when it was first asked */
  readonly first: Map<NodeId, number>;
  readonly beganMs: number;
  readonly timeoutMs: number;
}

const NOTHING = { pairCount: 0, leftCount: 0, waitingFor: {} };
const MAX_NAME_CHARS = 128;

function orderIn(value: unknown): Order | undefined {
  const fields = fieldsOf(value);
  const name = fields?.["name"];
  const partition = fields?.["partition"];
  if (typeof name !== "string" || name.length > MAX_NAME_CHARS) return undefined;
  if (partition === null || partition === undefined) return { name, partition: undefined };
  const one = wholeOf(partition);
  return one === undefined ? undefined : { name, partition: one };
}

function progressIn(value: unknown): MemberProgress | undefined {
  const fields = fieldsOf(value);
  const pairCount = wholeOf(fields?.["pairCount"]);
  const leftCount = wholeOf(fields?.["leftCount"]);
  const repairedCount = wholeOf(fields?.["repairedCount"]);
  const told = fieldsOf(fields?.["waitingFor"]);
  if (pairCount === undefined || leftCount === undefined) return undefined;
  if (repairedCount === undefined || told === undefined) return undefined;
  const waitingFor: Record<string, number> = {};
  for (const [node, count] of Object.entries(told)) waitingFor[node] = wholeOf(count) ?? 0;
  return { pairCount, leftCount, waitingFor, repairedCount };
}
