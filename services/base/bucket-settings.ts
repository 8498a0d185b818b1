/** What a bucket can be told: replicas, default quorums, conflict rule, time to live. Known on every node. */

/** The settings of a bucket, whole: quorums are at most `n`. */
export interface BucketSettings {
  /** replicas used, 1 … the cluster's N (slots 0 … n − 1) */
  readonly n: number;
  readonly r: number;
  readonly w: number;
  readonly conflicts: "siblings" | "lww";
  readonly blindWrites: "overwrite" | "sibling" | "reject";
  /** seconds that a value written from now on lives, 1 … MAX_TTL_SECONDS; 0 or absent: for ever */
  readonly ttlSeconds?: number;
}

/** A bucket as stored and passed on: the higher version wins, ties by the bytes of the settings. */
export interface BucketRecord {
  readonly name: string;
  /** hybrid-logical, microseconds; orders changes of one bucket */
  readonly version: number;
  /** undefined: the bucket's own settings were removed, the defaults hold again */
  readonly settings: BucketSettings | undefined;
}
