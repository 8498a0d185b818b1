/**
 * ClusterConfig: what all members agree on once, at bootstrap, and keep for ever: identity, Q, N, hash, first members and
 * the defaults of buckets. The same shape travels between nodes and lies on disk; both ways in go through `parse…`.
 */
import type { BucketSettings } from "../base/bucket-settings.ts";
import { type NodeId, parseNodeId } from "../base/ids.ts";
import { MAX_MEMBERS, MAX_REPLICAS, MAX_TTL_SECONDS } from "../base/limits.ts";
import { isPartitionCount } from "../placement/partitioner.ts";
import { PLACEMENT_RULE } from "../placement/placement-table.ts";
import type { RingMember } from "../placement/types.ts";

/** A member with the address at which its peers reach it. */
export interface ClusterMember extends RingMember {
  /** `host:port` of its peer listener at bootstrap; a live link's address is newer */
  readonly address: string;
}

/** The agreement. Equal cluster ids promise equal configurations. */
export interface ClusterConfig {
  /** 32 hex digits, minted once */
  readonly clusterId: string;
  readonly clusterName: string;
  /** Q: a power of two, 64 … 4096 */
  readonly partitionCount: number;
  /** N: 1 … 7, at most the number of members */
  readonly replicaCount: number;
  /** how keys are hashed; a node that knows another hash must not take part */
  readonly hashName: "xxh64";
  /** how slots are placed on members, caps included; a node that places differently must not take part */
  readonly placementRule: typeof PLACEMENT_RULE;
  /** sorted by id */
  readonly members: readonly ClusterMember[];
  /** of buckets that were not made explicitly */
  readonly bucketDefaults: BucketSettings;
}

/** The only hash there is so far. */
export const HASH_NAME = "xxh64" as const;

/** What a bucket may do with concurrent versions. */
export const CONFLICT_RULES: readonly BucketSettings["conflicts"][] = ["siblings", "lww"];
/** What a bucket may do with a write that names no context. */
export const BLIND_RULES: readonly BucketSettings["blindWrites"][] = ["overwrite", "sibling", "reject"];

const CLUSTER_ID = /^[0-9a-f]{32}$/;
/** Longest label, name or address that a node takes from another. */
const MAX_LABEL_CHARS = 255;

/** A value as an object whose fields can be asked for, or undefined. */
export function parseFields(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined;
}

/** The configuration in `value`, or undefined when it is none: wrong shapes, bounds, order, or members named twice. */
export function parseClusterConfig(value: unknown): ClusterConfig | undefined {
  const fields = parseFields(value);
  if (fields === undefined) return undefined;
  const clusterId = parseClusterId(fields["clusterId"]);
  const clusterName = parseLabel(fields["clusterName"]);
  const partitionCount = parseWhole(fields["partitionCount"]);
  const members = parseMembers(fields["members"]);
  const replicaCount = parseWhole(fields["replicaCount"]);
  const bucketDefaults = parseBucketSettings(fields["bucketDefaults"]);
  if (clusterId === undefined || clusterName === undefined || members === undefined) return undefined;
  if (partitionCount === undefined || !isPartitionCount(partitionCount)) return undefined;
  if (replicaCount === undefined || replicaCount < 1 || replicaCount > Math.min(MAX_REPLICAS, members.length)) {
    return undefined;
  }
  if (bucketDefaults === undefined || bucketDefaults.n > replicaCount) return undefined;
  if (fields["hashName"] !== HASH_NAME || fields["placementRule"] !== PLACEMENT_RULE) return undefined;
  const rules = { hashName: HASH_NAME, placementRule: PLACEMENT_RULE };
  return { clusterId, clusterName, partitionCount, replicaCount, ...rules, members, bucketDefaults };
}

/** The cluster id (32 hex digits) in `value`, or undefined. */
export function parseClusterId(value: unknown): string | undefined {
  return typeof value === "string" && CLUSTER_ID.test(value) ? value : undefined;
}

/** The settings in `value`, or undefined: n of 1 … 7, r and w of 1 … n, known words, a time to live in bounds if any. */
export function parseBucketSettings(value: unknown): BucketSettings | undefined {
  const fields = parseFields(value);
  if (fields === undefined) return undefined;
  const counts = parseCounts(fields);
  const conflicts = CONFLICT_RULES.find((known) => known === fields["conflicts"]);
  const blindWrites = BLIND_RULES.find((known) => known === fields["blindWrites"]);
  if (counts === undefined || conflicts === undefined || blindWrites === undefined) return undefined;
  const ttlSeconds = fields["ttlSeconds"] === undefined ? 0 : parseWhole(fields["ttlSeconds"]);
  if (ttlSeconds === undefined || ttlSeconds > MAX_TTL_SECONDS) return undefined;
  const settings = { ...counts, conflicts, blindWrites };
  return ttlSeconds === 0 ? settings : { ...settings, ttlSeconds };
}

function parseCounts(fields: Readonly<Record<string, unknown>>): Pick<BucketSettings, "n" | "r" | "w"> | undefined {
  const n = parseWhole(fields["n"]);
  const r = parseWhole(fields["r"]);
  const w = parseWhole(fields["w"]);
  if (n === undefined || n < 1 || n > MAX_REPLICAS) return undefined;
  return r === undefined || r < 1 || r > n || w === undefined || w < 1 || w > n ? undefined : { n, r, w };
}

/** The whole number ≥ 0 in `value`, or undefined. */
export function parseWhole(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

function parseMembers(value: unknown): readonly ClusterMember[] | undefined {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_MEMBERS) return undefined;
  const members: ClusterMember[] = [];
  for (const item of value) {
    const member = parseMember(item);
    const last = members.at(-1);
    if (member === undefined || (last !== undefined && last.id >= member.id)) return undefined;
    members.push(member);
  }
  return members;
}

function parseMember(value: unknown): ClusterMember | undefined {
  const fields = parseFields(value);
  if (fields === undefined || typeof fields["id"] !== "string") return undefined;
  const id: NodeId | undefined = parseNodeId(fields["id"]);
  const zone = parseLabel(fields["zone"]);
  const host = parseLabel(fields["host"]);
  const address = parseLabel(fields["address"]);
  const weight = fields["weight"];
  if (id === undefined || zone === undefined || host === undefined || address === undefined) return undefined;
  if (typeof weight !== "number" || !Number.isFinite(weight) || weight <= 0) return undefined;
  return { id, zone, host, weight, address };
}

/** A label, name or address of 1 … 255 characters, or undefined. */
export function parseLabel(value: unknown): string | undefined {
  return typeof value === "string" && value.length > 0 && value.length <= MAX_LABEL_CHARS ? value : undefined;
}
