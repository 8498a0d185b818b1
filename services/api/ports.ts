/**
 * What the API needs from the rest of the node, declared here and satisfied by `node`. Types only: no code, no windows.
 */
import type { BucketSettings } from "../base/bucket-settings.ts";
import type { BucketName, NodeId } from "../base/ids.ts";
import type { MetricsRegistry } from "../base/metrics.ts";
import type { Clock, Log, Random } from "../base/ports.ts";
import type { TraceSink } from "../base/trace.ts";
import type { Coordinator, KeyName } from "../coordinator/contract.ts";
import type { TokenBook } from "../security/token-book.ts";
import type { CausalContext } from "../versioning/types.ts";
import type { ClusterDoor } from "./cluster-door.ts";
import type { WorkClass } from "./exchange.ts";
import type { RepairDoor } from "./repair-door.ts";

/** Makes and checks the opaque text that clients carry; bound to one key by the cluster's secret. */
export interface ContextCodec {
  encode(name: KeyName, context: CausalContext): string;
  decode(
    name: KeyName,
    token: string,
  ):
    | { readonly kind: "context"; readonly context: CausalContext }
    | { readonly kind: "invalid" /** in words */; readonly reason: string };
}

/** What became of a change of settings. */
export type BucketChange =
  /** `memberCount`: members, this one included, that are known to have it */
  | { readonly kind: "changed"; readonly settings: BucketSettings; readonly memberCount?: number }
  /** a rule was broken; `detail` names the field and the rule; nothing changed */
  | { readonly kind: "invalid"; readonly detail: string }
  /** the change could not be made durable here; it may or may not hold */
  | { readonly kind: "failed"; readonly detail: string };

/** The settings of buckets, as this node knows them. Changes are durable here before they are answered. */
export interface BucketDirectory {
  /** what holds for a bucket that was never made explicitly */
  defaults(): BucketSettings;
  effective(bucket: BucketName): BucketSettings;
  isExplicit(bucket: BucketName): boolean;
  /** explicit buckets by name */
  list(): readonly { readonly name: BucketName; readonly settings: BucketSettings }[];
  put(bucket: BucketName, settings: BucketSettings): Promise<BucketChange>;
  patch(bucket: BucketName, change: Partial<BucketSettings>): Promise<BucketChange>;
  /** Removes the bucket's own settings; `changed` carries the defaults, which hold again. Keys stay. */
  delete(bucket: BucketName): Promise<BucketChange>;
}

/** One named condition of the node. */
export interface HealthCheck {
  readonly name: string;
  readonly isOk: boolean;
  /** in words; shown when not ok, and with `?verbose` */
  readonly reason: string;
}

/** A member as this node sees it. */
export interface MemberView {
  readonly node: NodeId;
  readonly zone: string;
  readonly host: string;
  readonly weight: number;
  readonly liveness: "alive" | "suspect" | "faulty" | "left" | "unknown";
  /** peer address, for people */
  readonly address: string;
  readonly slotsHeld: number;
}

/** What GET /v1/cluster shows; `details` holds further facts by name (moves, hints, anti-entropy). */
export interface ClusterView {
  readonly cluster: string;
  readonly node: NodeId;
  readonly partitions: number;
  readonly replicas: number;
  /** 16 hex digits */
  readonly ringHash: string;
  readonly members: readonly MemberView[];
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Who holds a partition, by node. */
export interface PartitionView {
  readonly partition: number;
  /** in slot order */
  readonly owners: readonly NodeId[];
  readonly fallbacks: readonly NodeId[];
}

/** Every partition of the ring; 64 … 4,096 of them. */
export interface RingView {
  readonly ringHash: string;
  readonly partitions: readonly PartitionView[];
}

/** One verdict on the cluster with its reasons. */
export interface ClusterHealth {
  readonly verdict: "healthy" | "degraded" | "unavailable";
  /** in words, one per thing that is wrong */
  readonly reasons: readonly string[];
  readonly partitionsWithoutQuorum: number;
}

/** What the node knows about itself and the cluster. All from memory, none of it waits. */
export interface NodeStatus {
  livez(): readonly HealthCheck[];
  /** "this node can coordinate"; never "the cluster has quorum" */
  readyz(): readonly HealthCheck[];
  startupz(): readonly HealthCheck[];
  cluster(): ClusterView;
  ring(): RingView;
  ringOf(name: KeyName): PartitionView & { readonly ringHash: string };
  /** Judged for reads and writes at this level. */
  clusterHealth(level: "one" | "quorum" | "all"): ClusterHealth;
}

/** How much the node can take, and what it makes of how requests fare; `services/calm` satisfies it by shape. */
export interface LoadControl {
  /** A request of one key was answered so long after its headers had come. Must be cheap. */
  answered(work: "read" | "write", latencyMs: number): void;
  /** Requests of the class that may be under way now, ∞ for no limit. Asked for every request: must be cheap. */
  limitOf(work: WorkClass): number;
  /** Why there are so few, in words. */
  reasonOf(work: WorkClass): string;
  /** The same by its name, for counting. Absent: it is always the limit. */
  causeOf?(work: WorkClass): "limit" | "memory" | "event_loop";
  /** False: what brings a value is refused, and only deletes are taken among writes. Absent: it is not. */
  takesValues?(): boolean;
  /** Looks at these counts from now on: requests under way, and refused or made to wait for want of room since the start. */
  follow(counts: { inflightOf(work: WorkClass): number; refusedOf(work: WorkClass): number }): void;
}

/** All that the API is handed. */
export interface ApiDependencies {
  readonly coordinator: Coordinator;
  readonly buckets: BucketDirectory;
  readonly status: NodeStatus;
  /** absent: the ring never changes, and the status is NodeStatus's own */
  readonly door?: ClusterDoor;
  /** undefined: there is nothing to repair, and no route for it */
  readonly repair?: RepairDoor;
  readonly contexts: ContextCodec;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: MetricsRegistry;
  /** absent: the node was told of no tokens, and whoever reaches it may do everything */
  readonly tokens?: TokenBook | undefined;
  /** clients must show a certificate of the CA that the listener was given */
  readonly needsCertificate?: boolean | undefined;
  /** only this machine reaches the listener, and nothing else guards it */
  readonly refusesForeignHosts?: boolean | undefined;
  /** /metrics answers without a token */
  readonly isMetricsOpen?: boolean | undefined;
  /** absent: nobody looks, and only the fixed bounds hold */
  readonly calm?: LoadControl;
  /** absent: nobody collects traces */
  readonly traces?: TraceSink | undefined;
}
