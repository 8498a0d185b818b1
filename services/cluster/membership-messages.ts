/** What nodes ask each other about membership: values and their parsing. Must never decide anything. */
import { MAX_NODE_WEIGHT } from "../base/limits.ts";
import { parseFields, parseLabel } from "./cluster-config.ts";
import { parseHandoverKey } from "./handover-messages.ts";
import { type Proposal, parseProposal } from "./own-record.ts";

/** Topic of `{}`, answered with an `Agreement`: tell an empty node what was agreed and who belongs. */
export const AGREEMENT_TOPIC = "membership.agreement";
/** Topic of an `Order`, answered `{done: true, status}` or `{done: false, reason}`. */
export const ORDER_TOPIC = "membership.order";

/** What an empty node needs to become a member. */
export interface Agreement {
  readonly proposal: Proposal;
  /** the record set, as its codec gives it */
  readonly records: unknown;
}

/** What an operator wants a node to do with its own record. */
export type MembershipOrder =
  /** an empty node, or one that has left: become a member, in the place of `replaces` if that is given */
  | { readonly kind: "join"; readonly replaces: string | undefined }
  | { readonly kind: "leave" }
  /** take back a leave, or give up a join */
  | { readonly kind: "abort" }
  | { readonly kind: "weight"; readonly weight: number }
  | { readonly kind: "zone" | "host"; readonly label: string };

/** What came of an order. */
export type OrderReply =
  | { readonly kind: "done"; readonly status: string }
  | { readonly kind: "refused"; readonly reason: string };

/** The order in the body of an ask, or undefined. */
export function parseOrder(body: unknown): MembershipOrder | undefined {
  const fields = parseFields(body);
  const kind = fields?.["kind"];
  if (fields === undefined) return undefined;
  switch (kind) {
    case "leave":
    case "abort":
      return { kind };
    case "join": {
      const replaces = parseHandoverKey(fields["replaces"]);
      const isPlain = fields["replaces"] === undefined || fields["replaces"] === null;
      return replaces === undefined && !isPlain ? undefined : { kind, replaces };
    }
    case "weight":
      return parseWeight(fields["weight"]);
    case "zone":
    case "host": {
      const label = parseLabel(fields["label"]);
      return label === undefined ? undefined : { kind, label };
    }
    default:
      return undefined;
  }
}

function parseWeight(weight: unknown): MembershipOrder | undefined {
  return typeof weight === "number" && weight > 0 && weight <= MAX_NODE_WEIGHT ? { kind: "weight", weight } : undefined;
}

/** The agreement in the body of an answer, or undefined. */
export function parseAgreement(body: unknown): Agreement | undefined {
  const fields = parseFields(body);
  const proposal = parseProposal(fields?.["proposal"]);
  return proposal === undefined ? undefined : { proposal, records: fields?.["records"] };
}

/** The reply to an order, or undefined. */
export function parseOrderReply(body: unknown): OrderReply | undefined {
  const fields = parseFields(body);
  const { kind, status, reason } = fields ?? {};
  if (kind === "done" && typeof status === "string") return { kind, status };
  if (kind === "refused" && typeof reason === "string") return { kind, reason };
  return undefined;
}
