/** Browsers say which page sent a request: those of other sites must not order anything here. Pure. */
import type { Incoming } from "./exchange.ts";

/** A browser sent it for a page of another site. */
export function isOfOtherSite({ headers }: Pick<Incoming, "headers">): boolean {
  const { origin, host } = headers;
  if (origin === undefined) return false;
  return typeof origin !== "string" || origin.replace(/^https?:\/\//, "") !== host;
}
