/** What requests are made of, and how long one may take. Pure. */

/** A document as the body of a request. */
export function jsonOf(document: unknown): {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
} {
  return { headers: { "content-type": "application/json" }, body: Buffer.from(JSON.stringify(document)) };
}

/** The header that hands an earlier answer's context on, if there is one. */
export function contextHeader({
  context,
}: {
  readonly context?: string | undefined;
}): Readonly<Record<string, string>> {
  return context === undefined ? {} : { "gyre-context": context };
}

/** How long the pauses of a request may be in all: never longer than its caller lets a node take for it, by `timeout` in the query. */
export function patienceMsOf(path: string, timeoutMs: number): number {
  const at = path.indexOf("?");
  const asked = at < 0 ? timeoutMs : Number(new URLSearchParams(path.slice(at)).get("timeout") ?? timeoutMs);
  return asked >= 0 ? Math.min(asked, timeoutMs) : timeoutMs;
}
