/**
 * Documents that a node can go on without: of a damaged one it is only unknown what it said, and whoever reads it knows what
 * is the worst that it may have said. The file stays as it is until it is written anew. Must never be used for what a node
 * cannot do without: who it is, whom it knows, what it has promised. There a start is refused (`DocumentStore.read`).
 */
import { StoreUnusableError } from "./errors.ts";

/** What came of reading such a document. */
export type AdvisoryRead<T> =
  /** it was never written */
  | { readonly kind: "none" }
  | { readonly kind: "read"; readonly content: T }
  /** something was written, and nobody knows what */
  | { readonly kind: "unreadable" };

/**
 * Reads a document that may be lost. `read`: gives its bytes as a store does, or throws StoreUnusableError where these are
 * damaged; `parse`: undefined for bytes that make no sense. Throws whatever else the two throw.
 */
export function readAdvisory<T>(
  read: () => Uint8Array | undefined,
  parse: (bytes: Uint8Array) => T | undefined,
): AdvisoryRead<T> {
  let bytes: Uint8Array | undefined;
  try {
    bytes = read();
  } catch (error) {
    if (error instanceof StoreUnusableError) return { kind: "unreadable" };
    throw error;
  }
  if (bytes === undefined) return { kind: "none" };
  const content = parse(bytes);
  return content === undefined ? { kind: "unreadable" } : { kind: "read", content };
}
