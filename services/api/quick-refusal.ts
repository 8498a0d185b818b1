/**
 * The cheapest rejection: a request of one key that is not let in is answered before the framework has seen it. Measured, this
 * one costs 9–12 µs in a row, what Node's own HTTP costs, and a refusal through the framework 13–17.
 */
import { RETRY_AFTER_MAX_SECONDS } from "../base/load-limits.ts";
import type { Hindrance } from "./front-gate.ts";
import { refusalForNow } from "./problem.ts";
import { failureReply } from "./reply.ts";
import type { KeyWork } from "./waiting-rows.ts";

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

/** What refusing works with. */
export interface RefusalParts {
  /** counts a refusal */
  readonly onRefused: (work: KeyWork, why: Hindrance) => void;
  readonly nextId: () => string;
  /** [0, 1) */
  readonly chance: () => number;
}

const KEY_PREFIX = "/v1/kv/";
/** reasons are few, and limits of words are not needed: each is of a fixed text */
const MAX_MADE = 16;

/** Writes refusals. */
export class QuickRefusal {
  readonly #parts: RefusalParts;
  /** documents by reason */
  readonly #made = new Map<string, string>();

  constructor(parts: RefusalParts) {
    this.#parts = parts;
  }

  /** Answers 503, not applied, in the words of what hinders it. */
  answer(response: RawResponse, work: KeyWork, why: Hindrance): void {
    this.#parts.onRefused(work, why);
    const body = this.#bodyOf(why.words);
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
  }

  #bodyOf(reason: string): string {
    const made = this.#made.get(reason);
    if (made !== undefined) return made;
    const text = String(failureReply(refusalForNow("overloaded", overloadWords(reason))).body);
    if (this.#made.size >= MAX_MADE) this.#made.clear();
    this.#made.set(reason, text);
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
export function keyWorkOf({ method, url }: RawRequest): KeyWork | undefined {
  if (url?.startsWith(KEY_PREFIX) !== true || url.indexOf("/", KEY_PREFIX.length) < 0) return undefined;
  if (method === "GET" || method === "HEAD") return "read";
  return method === "PUT" || method === "DELETE" ? "write" : undefined;
}
