/** How a node asks another about a partition: one question, one parsed answer; and pages by way of such questions. */
import { HANDOVER_PAGE_MS } from "../base/limits.ts";
import type { MemberKey } from "../placement/member-record.ts";
import { HANDOVER_TOPIC, type HandoverReply, type HandoverRequest, parseHandoverReply } from "./handover-messages.ts";
import type { HandoverParts, PageSource } from "./handover-ports.ts";

type AskParts = Pick<HandoverParts, "peers" | "view">;

/** Which pages of whom. */
export interface PagesOf {
  readonly partition: number;
  readonly from: MemberKey;
  readonly tx: number;
}

/** The answer of a member, or undefined: it is not known, was silent, or made no sense. Never before the caller goes on. */
export async function askMember(
  { peers, view }: AskParts,
  to: MemberKey,
  question: { readonly request: HandoverRequest; readonly timeoutMs: number },
): Promise<HandoverReply | undefined> {
  // Another life of this very node cannot be asked: its disk is gone, or it is this one's past.
  const node = view.nodeOf(to) === view.nodeOf(view.ownKey) ? undefined : view.nodeOf(to);
  const { request, timeoutMs } = question;
  const body = node === undefined ? await Promise.resolve() : await peers.ask(node, HANDOVER_TOPIC, request, timeoutMs);
  return body === undefined ? undefined : parseHandoverReply(body);
}

/** The pages of one attempt. */
export function attemptPages(parts: AskParts, { partition, from, tx }: PagesOf): PageSource {
  const ask = async (kind: "pull" | "changes", body: unknown): Promise<unknown> => {
    const request = { kind, partition, from: parts.view.ownKey, tx, body };
    const reply = await askMember(parts, from, { request, timeoutMs: HANDOVER_PAGE_MS });
    return reply?.kind === "page" ? reply.body : undefined;
  };
  return { pull: (body) => ask("pull", body), changes: (body) => ask("changes", body) };
}

/** Pages of a holder outside of any attempt; `slots` fills with the slots that it named. */
export function heldPages(
  parts: AskParts,
  { partition, from, tx, takesSuspect = false }: PagesOf & { readonly takesSuspect?: boolean },
): PageSource & { readonly slots: ReadonlySet<number> } {
  const slots = new Set<number>();
  const pull = async (body: unknown): Promise<unknown> => {
    const request = { kind: "mint-pull", partition, from: parts.view.ownKey, tx, body, takesSuspect } as const;
    const reply = await askMember(parts, from, { request, timeoutMs: HANDOVER_PAGE_MS });
    if (reply?.kind !== "page") return undefined;
    slots.add(reply.slot);
    return reply.body;
  };
  return { pull, changes: () => Promise.resolve(undefined), slots };
}
