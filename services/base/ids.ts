/** Identities, branded so that one is never taken for another; each is made by one `parse…`. */

declare const nodeIdBrand: unique symbol;
/** The stable name of a node: 1–63 characters of `[A-Za-z0-9._-]`, starting with a letter or digit. Never an address. */
export type NodeId = string & { readonly [nodeIdBrand]: true };

declare const bucketBrand: unique symbol;
/** A bucket name: `[a-z0-9][a-z0-9._-]{0,62}`. */
export type BucketName = string & { readonly [bucketBrand]: true };

/** What node names look like. */
export const NODE_ID_PATTERN: RegExp = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
/** What bucket names look like. */
export const BUCKET_PATTERN: RegExp = /^[a-z0-9][a-z0-9._-]{0,62}$/;

/** The node id in `text`, or undefined when it is none. */
export function parseNodeId(text: string): NodeId | undefined {
  return NODE_ID_PATTERN.test(text) ? (text as NodeId) : undefined;
}

/** The bucket name in `text`, or undefined when it is none. */
export function parseBucketName(text: string): BucketName | undefined {
  return BUCKET_PATTERN.test(text) ? (text as BucketName) : undefined;
}
