/**
 * The secrets of a cluster as links, gossip and context tokens take them, while nodes change from one to another. Pure.
 * Must never let an empty secret be taken beside another: it would let everybody in.
 */
import assert from "node:assert/strict";

/** What a node speaks with, and what it believes besides. */
export interface ClusterSecrets {
  /** proves, seals and makes tokens; empty: none is configured */
  readonly primary: Uint8Array;
  /** believed as well, never spoken with; none of them empty */
  readonly others: readonly Uint8Array[];
}

/** The secrets in a configuration, as bytes. */
export function clusterSecretsOf({
  secret,
  previousSecret,
}: {
  readonly secret: string | undefined;
  readonly previousSecret: string | undefined;
}): ClusterSecrets {
  assert.ok(previousSecret === undefined || (secret ?? "") !== "", "a previous secret stands beside one in use");
  assert.ok(previousSecret !== "", "a previous secret is not empty");
  const others = previousSecret === undefined ? [] : [Buffer.from(previousSecret, "utf8")];
  return { primary: Buffer.from(secret ?? "", "utf8"), others };
}
