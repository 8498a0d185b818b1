/** What a replica holds of a key, from what the store gave: decoded, or a refusal. Must never take bad bytes for nothing. */
import type { PutRequest, StoredRecord } from "../../storage/engine.ts";
import { decodeSet, encodedDigestOf } from "../versioning/object-codec.ts";
import { lengthFlawOf } from "../versioning/object-header.ts";
import { EMPTY } from "../versioning/sibling-set.ts";
import type { SiblingSet } from "../versioning/types.ts";
import type { HandedVersion, ReplicaReadResult, ReplicaRefusal } from "./contract.ts";
import { isRefusal, refused } from "./refusals.ts";

/** The versions that a replica holds of a key; `digest` 0n = none. */
export interface HeldVersions {
  readonly set: SiblingSet;
  readonly digest: bigint;
}

/** What the store gave. */
export type Fetched = StoredRecord | undefined | ReplicaRefusal;

/** The answer to a read of the encoded versions. */
export type EncodedRead = { readonly kind: "object"; readonly object: Uint8Array | undefined } | ReplicaRefusal;

const NOTHING_HELD: HeldVersions = { set: EMPTY, digest: 0n };

/** The versions in a record; a record that is no object is refused as corrupt, never taken for an absence. */
export function heldOf(fetched: Fetched): HeldVersions | ReplicaRefusal {
  if (fetched === undefined) return NOTHING_HELD;
  if (isRefusal(fetched)) return fetched;
  const decoded = decodeSet(fetched.value);
  if (decoded.kind === "corrupt") return refused("corrupt_record", `the stored object: ${decoded.reason}`);
  return { set: decoded.set, digest: fetched.digest };
}

/** The answer to a read of the decoded versions. */
export function readResultOf(fetched: Fetched): ReplicaReadResult {
  if (fetched === undefined) return { kind: "object", set: undefined };
  const held = heldOf(fetched);
  return isRefusal(held) ? held : { kind: "object", set: held.set };
}

/** The answer to a read of the versions as they are stored. */
export function encodedReadOf(fetched: Fetched): EncodedRead {
  if (isRefusal(fetched)) return fetched;
  return { kind: "object", object: fetched?.value };
}

/** What is wrong with a version from outside, by its lengths and its digest; undefined when it may be stored as it is. */
export function flawOf(version: HandedVersion): string | undefined {
  const flaw = lengthFlawOf(version.object);
  if (flaw !== undefined) return `the version handed in: ${flaw}`;
  return encodedDigestOf(version.object) === version.digest
    ? undefined
    : "the version handed in is not what its digest says";
}

/** The write, with word of which version of the key it replaces (0n = none): storage then need not read that one's key. */
export function replacing(digest: bigint, request: PutRequest): PutRequest {
  return digest === 0n ? request : { ...request, replaces: digest };
}
