/**
 * The cheapest rejection first: a request of one key that will not be let in is answered before the framework has seen it.
 * A node that is offered three times what it can do spends its time on refusals; measured, this one costs 9–12 µs, what
 * Node's own HTTP costs, and a refusal through the framework 13–17. Must never answer what the framework would let in, unless it
 * has waited unread for too long to be of use.
 */
import { RETRY_AFTER_MAX_SECONDS } from "../base/load-limits.ts";
import type { WorkClass } from "./exchange.ts";
import type { Hindrance } from "./front-gate.ts";
import { refusalForNow } from "./problem.ts";
import { failureReply } from "./reply.ts";

/** What is needed of a request. */
export interface RawRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
}

/** What is needed of its answer. */
export interface RawResponse {
  writeHead(status: number, headers: string[]): unknown;
  end(body: string): unknown;
}

/** What was refused, and for whose sake. */
export interface Refusal extends Pick<Hindrance, "kind"> {
  readonly work: "read" | "write";
}

/** What refusing works with. */
export interface RefusalParts {
  /** why a request of this class and target is not let in now; undefined: it may be */
  readonly reasonNow: (work: WorkClass, target: string | undefined) => Hindrance | undefined;
  /** counts a refusal */
  readonly onRefused: (work: WorkClass) => void;
  readonly nextId: () => string;
  /** [0, 1) */
  readonly chance: () => number;
}

const KEY_PREFIX = "/v1/kv/";
const OVERDUE: Hindrance = {
  kind: "node",
  words: "this node has had no room for what came over this connection, and it has waited for too long",
};

/** Refuses what would not be let in. */
export class QuickRefusal {
  readonly #parts: RefusalParts;
  /** the last document of each class, and that of what is overdue: reasons seldom change */
  readonly #made = new Map<WorkClass | "overdue", { readonly reason: string; readonly body: string }>();

  constructor(parts: RefusalParts) {
    this.#parts = parts;
  }

  /**
   * Answers the request if it is one of a key that is not let in now, or has waited for too long, and says what it refused;
   * undefined: nothing.
   */
  refuse(
    request: RawRequest,
    response: RawResponse,
    isOverdue: (work: Refusal["work"]) => boolean,
  ): Refusal | undefined {
    const work = classOf(request);
    if (work === undefined) return undefined;
    const reason = isOverdue(work) ? OVERDUE : this.#parts.reasonNow(work, request.url);
    if (reason === undefined) return undefined;
    this.#parts.onRefused(work);
    const body = this.#bodyOf(reason === OVERDUE ? "overdue" : work, reason.words);
    response.writeHead(503, [
      "content-type",
      "application/problem+json",
      "retry-after",
      retryAfterText(this.#parts.chance()),
      "content-length",
      String(body.length),
      "gyre-request-id",
      this.#parts.nextId(),
    ]);
    // A HEAD's body is left out by Node itself.
    response.end(body);
    return { work, kind: reason.kind };
  }

  #bodyOf(of: WorkClass | "overdue", reason: string): string {
    const made = this.#made.get(of);
    if (made?.reason === reason) return made.body;
    const { body } = failureReply(refusalForNow("overloaded", overloadWords(reason)));
    const text = String(body);
    this.#made.set(of, { reason, body: text });
    return text;
  }
}

/** The words of a refusal for overload. */
export function overloadWords(reason: string): string {
  return `${reason}; try again after Retry-After, or ask another node`;
}

/** Whole seconds after which to try again: spread, so that those who were refused in one moment do not come back in one. */
export function retryAfterText(chance: number): string {
  return String(1 + Math.floor(chance * RETRY_AFTER_MAX_SECONDS));
}

/** The class of a request of one key; undefined for all others. */
function classOf({ method, url }: RawRequest): "read" | "write" | undefined {
  if (url?.startsWith(KEY_PREFIX) !== true || url.indexOf("/", KEY_PREFIX.length) < 0) return undefined;
  if (method === "GET" || method === "HEAD") return "read";
  return method === "PUT" || method === "DELETE" ? "write" : undefined;
}
