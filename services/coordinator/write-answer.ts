/** What the writer is told at the end of a write that this node coordinated. Must never say more than the core knows. */
import type { Minted, WriteIntent } from "../replica/contract.ts";
import type { Failure, Knobs, WriteAnswer } from "./contract.ts";
import { writeFailure } from "./failures.ts";
import type { FanOut } from "./fan-out.ts";
import { explainOf, writeReports } from "./reports.ts";
import type { CoordinatorRoom, RequestScope } from "./request-scope.ts";
import type { WriteCore, WriteNeed } from "./write-core.ts";

/** What to write, and what that must reach. */
export interface WriteOrder {
  readonly scope: RequestScope;
  readonly intent: WriteIntent;
  readonly need: WriteNeed;
  readonly knobs: Knobs;
}

/** How it stands when it is answered. */
export interface WriteStanding {
  readonly core: WriteCore;
  readonly fanOut: FanOut;
  /** undefined: it never had a dot */
  readonly minted: Minted | undefined;
}

/** The answer that the core's verdict allows. */
export function writeAnswer(room: CoordinatorRoom, order: WriteOrder, standing: WriteStanding): WriteAnswer {
  return applied(room, order, standing) ?? failed(room, order, standing);
}

function applied(room: CoordinatorRoom, order: WriteOrder, standing: WriteStanding): WriteAnswer | undefined {
  const { core, minted } = standing;
  if (core.verdict !== "applied" || minted === undefined) return undefined;
  const { received, owners, fallbacks, durable } = standing.core.counts();
  const answer: WriteAnswer = {
    kind: "applied",
    context: minted.context,
    dot: minted.dot,
    siblingCount: minted.siblingCount,
    acks: { required: order.need.total, received, owners, fallbacks, durable },
    ...(order.intent.kind === "put" && order.intent.expiresAtMs > 0 ? { expiresAtMs: order.intent.expiresAtMs } : {}),
  };
  if (!order.knobs.explain) return answer;
  const replicas = writeReports(order.scope, standing.core.parties, standing.fanOut);
  return { ...answer, explain: explainOf(room, order.scope, { replicas, repaired: [], isHedged: false }) };
}

function failed(room: CoordinatorRoom, { scope, need, knobs }: WriteOrder, { core, fanOut }: WriteStanding): Failure {
  const replicas = writeReports(scope, core.parties, fanOut);
  return writeFailure(core, need, {
    required: need.total,
    received: core.counts().received,
    replicas,
    explain: knobs.explain ? explainOf(room, scope, { replicas, repaired: [], isHedged: false }) : undefined,
  });
}
