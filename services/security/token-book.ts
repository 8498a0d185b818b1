/**
 * The tokens that hold now, and whose the one in a request is. A token seen before costs a look-up and a comparison, no hash.
 * Must never answer in a time that tells how much of a secret was right, and never remember what was wrong.
 */
import { hash, timingSafeEqual } from "node:crypto";
import type { Caller } from "./rights.ts";
import { carriesToken, presentedId, presentedToken, tokenBytes } from "./token.ts";
import type { TokenEntry } from "./tokens-file.ts";

/** What a request shows. `words` say what is wrong, for the one who sent it. */
export type Presented =
  | { readonly kind: "known"; readonly caller: Caller }
  | { readonly kind: "missing" | "wrong"; readonly words: string };

const MISSING: Presented = { kind: "missing", words: "this node wants a token: send Authorization: Bearer gyre_…" };
const MALFORMED: Presented = {
  kind: "wrong",
  words: "the Authorization header carries no gyre token: send Authorization: Bearer gyre_…, whole",
};
const UNKNOWN: Presented = { kind: "wrong", words: "this token is not valid here, or not any more" };
const EXPIRED: Presented = { kind: "wrong", words: "this token has expired: ask for a new one" };

interface Page {
  readonly entry: TokenEntry;
  readonly known: Presented;
  /** the token itself, once it was shown and its hash was right: one for each entry of the file */
  bytes: Uint8Array | undefined;
}

/** Which tokens are valid. */
export class TokenBook {
  #pages: ReadonlyMap<string, Page>;

  constructor(entries: readonly TokenEntry[]) {
    this.#pages = pagesOf(entries);
  }

  /** From now on these hold, and no others. */
  replace(entries: readonly TokenEntry[]): void {
    this.#pages = pagesOf(entries);
  }

  /** Whose token the `Authorization` header carries, at `nowMs` of the wall clock. */
  present(header: string | undefined, nowMs: () => number): Presented {
    if (header === undefined) return MISSING;
    const id = presentedId(header);
    if (id === undefined) return MALFORMED;
    const page = this.#pages.get(id);
    if (page === undefined || !isOf(page, header)) return UNKNOWN;
    return page.entry.expiresAtMs !== Number.POSITIVE_INFINITY && nowMs() >= page.entry.expiresAtMs
      ? EXPIRED
      : page.known;
  }
}

function pagesOf(entries: readonly TokenEntry[]): ReadonlyMap<string, Page> {
  return new Map(
    entries.map((entry) => [entry.id, { entry, known: { kind: "known", caller: entry.caller }, bytes: undefined }]),
  );
}

function isOf(page: Page, header: string): boolean {
  if (page.bytes !== undefined) return carriesToken(header, page.bytes);
  const text = presentedToken(header);
  if (!timingSafeEqual(hash("sha256", text, "buffer"), page.entry.sha256)) return false;
  page.bytes = tokenBytes(text);
  return true;
}
