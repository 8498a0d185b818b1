/**
 * What a caller may do: six rights, four of them over buckets by name or by the beginning of it, two over the whole cluster. Pure.
 * Must never know routes, tokens or time; what is not granted is refused. Source: Riak's permissions by bucket; research: reliability §5.4.
 */

/** The rights over buckets: `read` keys and settings, `write` keys, `list` keys and buckets, `admin`: change settings. */
export const BUCKET_RIGHTS = ["read", "write", "list", "admin"] as const;
/** The rights over the cluster: `operate` changes it and repairs, `metrics` looks at it. */
export const NODE_RIGHTS = ["operate", "metrics"] as const;

/** A right over buckets. */
export type BucketRight = (typeof BUCKET_RIGHTS)[number];
/** A right over the whole cluster. */
export type NodeRight = (typeof NODE_RIGHTS)[number];
/** Any right. */
export type Right = BucketRight | NodeRight;

/** Some rights over some buckets. */
export interface BucketGrant {
  readonly rights: readonly BucketRight[];
  /** bucket names, or beginnings of them with `*` at the end */
  readonly buckets: readonly string[];
}

/** Whoever a request comes from, as far as the routes need to know. */
export interface Caller {
  /** for logs and answers; never a secret */
  readonly name: string;
  mayOn(right: BucketRight, bucket: string): boolean;
  may(right: NodeRight): boolean;
}

const PATTERN = /^(?:[a-z0-9][a-z0-9._-]{0,62}\*?|\*)$/;

/** Whether the text is a bucket's name, the beginning of one and `*`, or `*` for all. */
export function isBucketPattern(text: string): boolean {
  return PATTERN.test(text) && text.length <= 63;
}

/** The right of this name; undefined for none. */
export function parseRight(text: string): Right | undefined {
  return [...BUCKET_RIGHTS, ...NODE_RIGHTS].find((right) => right === text);
}

/** Whether the right is one over buckets. */
export function isBucketRight(right: Right): right is BucketRight {
  return right !== "operate" && right !== "metrics";
}

/** A caller with these grants and nothing else. Whoever may operate may look. */
export class GrantedCaller implements Caller {
  readonly name: string;
  readonly #rights: ReadonlySet<NodeRight>;
  readonly #exact: ReadonlyMap<string, ReadonlySet<BucketRight>>;
  readonly #beginnings: readonly (readonly [beginning: string, rights: ReadonlySet<BucketRight>])[];

  constructor(name: string, grants: readonly BucketGrant[], nodeRights: readonly NodeRight[]) {
    this.name = name;
    this.#rights = new Set(nodeRights.includes("operate") ? [...nodeRights, "metrics"] : nodeRights);
    const exact = new Map<string, Set<BucketRight>>();
    const beginnings: (readonly [string, ReadonlySet<BucketRight>])[] = [];
    for (const { rights, buckets } of grants) {
      for (const pattern of buckets) {
        if (pattern.endsWith("*")) beginnings.push([pattern.slice(0, -1), new Set(rights)]);
        else exact.set(pattern, new Set([...(exact.get(pattern) ?? []), ...rights]));
      }
    }
    this.#exact = exact;
    this.#beginnings = beginnings;
  }

  /** O(patterns that are beginnings). */
  mayOn(right: BucketRight, bucket: string): boolean {
    if (this.#exact.get(bucket)?.has(right) === true) return true;
    for (const [beginning, rights] of this.#beginnings) {
      if (rights.has(right) && bucket.startsWith(beginning)) return true;
    }
    return false;
  }

  may(right: NodeRight): boolean {
    return this.#rights.has(right);
  }
}

/** Whoever reaches a node that was told of no tokens: the addresses that it listens on are its only guard. */
export const ANYONE: Caller = { name: "anyone", mayOn: () => true, may: () => true };
/** Whoever showed nothing: may do nothing. */
export const NOBODY: Caller = { name: "nobody", mayOn: () => false, may: () => false };
