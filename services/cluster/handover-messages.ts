/**
 * What nodes say to each other while a slot changes hands or a lost one is minted: values and their parsing. Every
 * request names its partition, who asks, and the transfer; every one may arrive twice or late. Must never decide.
 */
import { type NodeId, parseNodeId } from "../base/ids.ts";
import { MAX_PARTITIONS, MAX_REPLICAS } from "../base/limits.ts";
import type { MemberKey } from "../placement/member-record.ts";
import { parseFields, parseWhole } from "./cluster-config.ts";

/** The ask topic of all of them. */
export const HANDOVER_TOPIC = "handover";

interface Named {
  readonly partition: number;
  /** the member that asks */
  readonly from: MemberKey;
}
interface Numbered extends Named {
  /** the donor's number of the transfer; for `mint…` the minter's number of the minting */
  readonly tx: number;
}

/** What a receiver asks a donor, and a minter everyone. */
export type HandoverRequest =
  /** give me your slot of this partition; `news` is the asker's record and the removals it knows */
  | (Named & { readonly kind: "req"; readonly news: Uint8Array })
  | (Numbered & { readonly kind: "pull" | "changes"; readonly body: unknown })
  /** `takesSuspect`: a page also of a copy that may lack what it had: what it has is valid */
  | (Numbered & { readonly kind: "mint-pull"; readonly body: unknown; readonly takesSuspect: boolean })
  | (Numbered & { readonly kind: "seal" | "ready" | "settle" })
  /** do you hold this slot, or could it be on its way to or from you? If not, leave it to me */
  | (Numbered & {
      readonly kind: "mint-query";
      readonly slot: number;
      readonly members: string;
      readonly news: Uint8Array;
    })
  /** a promise to `from`: is it still needed (`mint-check`, asked of the promise's owner), it is over (`mint-end`) */
  | (Numbered & { readonly kind: "mint-check" | "mint-end"; readonly slot: number });

/** Why nothing was granted. */
export type HandoverRefusal =
  /** no slot of the partition is held here; `holder` may know more */
  | "no_slot"
  /** by the records known here the asked one should keep its slot, or the asker should have none */
  | "not_departing"
  | "not_target"
  /** another receiver is being served; `holder` says who */
  | "busy"
  /** the asker, or the asked, is removed */
  | "removed"
  /** another holder of the partition looks dead: sealing now could cost writes */
  | "others_down"
  /** the asker knows other members than the asked: exchange records first */
  | "view_differs"
  /** the slot is promised to another; `promisedTo` says to whom */
  | "promised"
  /** the slot is held, staged or on its way: it is not lost */
  | "not_vacant"
  /** the minting is known to be over */
  | "stale";

/** What is answered. */
export type HandoverReply =
  | { readonly kind: "granted"; readonly tx: number; readonly slot: number }
  | {
      readonly kind: "refused";
      readonly reason: HandoverRefusal;
      readonly holder?: NodeId;
      readonly promisedTo?: MemberKey;
    }
  | { readonly kind: "page"; readonly body: unknown; readonly slot: number }
  | {
      readonly kind: "sealed";
      readonly tx: number;
      readonly body: unknown;
      readonly count: number;
      readonly root: string;
    }
  /** the slot is yours: durable at the donor */
  | { readonly kind: "released"; readonly tx: number; readonly slot: number }
  /** this transfer, or this minting, is over and can never come to anything */
  | { readonly kind: "over"; readonly tx: number }
  | { readonly kind: "settled"; readonly tx: number }
  /** not here, and left to you, durably */
  | { readonly kind: "vacant"; readonly tx: number }
  /** `mint-check`: it is still needed */
  | { readonly kind: "open"; readonly tx: number };

const REFUSALS: readonly HandoverRefusal[] = [
  "no_slot",
  "not_departing",
  "not_target",
  "busy",
  "removed",
  "others_down",
  "view_differs",
  "promised",
  "not_vacant",
  "stale",
];
const MEMBER_KEY = /^[0-9a-f]{16}$/;
const MAX_HASH_CHARS = 64;

/** The member key in `value`, or undefined. */
export function parseHandoverKey(value: unknown): MemberKey | undefined {
  return typeof value === "string" && MEMBER_KEY.test(value) ? value : undefined;
}

/** The request in the body of an ask, or undefined. Never throws. */
export function parseHandoverRequest(value: unknown): HandoverRequest | undefined {
  const fields = parseFields(value);
  if (fields === undefined) return undefined;
  const partition = parseWhole(fields["partition"]);
  const from = parseHandoverKey(fields["from"]);
  if (partition === undefined || partition >= MAX_PARTITIONS || from === undefined) return undefined;
  const named = { partition, from };
  if (fields["kind"] === "req") {
    return fields["news"] instanceof Uint8Array ? { kind: "req", ...named, news: fields["news"] } : undefined;
  }
  const tx = parseWhole(fields["tx"]);
  return tx === undefined ? undefined : parseNumbered({ ...named, tx }, fields);
}

function parseNumbered(named: Numbered, fields: Readonly<Record<string, unknown>>): HandoverRequest | undefined {
  const { kind, news, members } = fields;
  const slot = parseSlot(fields["slot"]);
  switch (kind) {
    case "pull":
    case "changes":
      return { kind, ...named, body: fields["body"] };
    case "mint-pull":
      return parseMintPull(named, fields);
    case "seal":
    case "ready":
    case "settle":
      return { kind, ...named };
    case "mint-check":
    case "mint-end":
      return slot === undefined ? undefined : { kind, ...named, slot };
    case "mint-query":
      if (slot === undefined || typeof members !== "string" || members.length > MAX_HASH_CHARS) return undefined;
      return news instanceof Uint8Array ? { kind, ...named, slot, members, news } : undefined;
    default:
      return undefined;
  }
}

function parseMintPull(
  named: Numbered,
  { body, takesSuspect }: Readonly<Record<string, unknown>>,
): HandoverRequest | undefined {
  return typeof takesSuspect === "boolean" ? { kind: "mint-pull", ...named, body, takesSuspect } : undefined;
}

/** The reply in the body of an answer, or undefined. Never throws. */
export function parseHandoverReply(value: unknown): HandoverReply | undefined {
  const fields = parseFields(value);
  if (fields === undefined) return undefined;
  const { kind, body } = fields;
  if (kind === "refused") return parseRefused(fields);
  const slot = parseSlot(fields["slot"]);
  if (kind === "page") return slot === undefined ? undefined : { kind, body, slot };
  const tx = parseWhole(fields["tx"]);
  if (tx === undefined) return undefined;
  if (kind === "granted" || kind === "released") return slot === undefined ? undefined : { kind, tx, slot };
  if (kind === "sealed") return parseSealed(tx, fields);
  return kind === "over" || kind === "settled" || kind === "vacant" || kind === "open" ? { kind, tx } : undefined;
}

function parseSealed(tx: number, fields: Readonly<Record<string, unknown>>): HandoverReply | undefined {
  const { body, root } = fields;
  const count = parseWhole(fields["count"]);
  if (count === undefined || typeof root !== "string" || root.length > MAX_HASH_CHARS) return undefined;
  return { kind: "sealed", tx, body, count, root };
}

function parseRefused(fields: Readonly<Record<string, unknown>>): HandoverReply | undefined {
  const reason = REFUSALS.find((known) => known === fields["reason"]);
  if (reason === undefined) return undefined;
  const holder = typeof fields["holder"] === "string" ? parseNodeId(fields["holder"]) : undefined;
  const promisedTo = parseHandoverKey(fields["promisedTo"]);
  return {
    kind: "refused",
    reason,
    ...(holder === undefined ? {} : { holder }),
    ...(promisedTo === undefined ? {} : { promisedTo }),
  };
}

function parseSlot(value: unknown): number | undefined {
  const slot = parseWhole(value);
  return slot === undefined || slot >= MAX_REPLICAS ? undefined : slot;
}
