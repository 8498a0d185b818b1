/**
 * Moving: the hand-over of slots joined to this node's links, gate, copies and records, and what of it is shown. Must never
 * decide what moves: records say so, the hand-over follows them.
 */
import type { DiskLevel, StorageEngine } from "../../storage/engine.ts";
import type { ActiveMove, MovesView } from "../api/cluster-door.ts";
import type { Config } from "../base/config.ts";
import type { Clock, Log, Random } from "../base/ports.ts";
import { SlotHandover } from "../cluster/handover.ts";
import { HANDOVER_TOPIC } from "../cluster/handover-messages.ts";
import type { HandoverView, PartitionGate } from "../cluster/handover-ports.ts";
import type { HandoverMove, HandoverProgress, StalledMove } from "../cluster/handover-progress.ts";
import type { Membership } from "../cluster/membership.ts";
import type { PeerRequests } from "../peers/peer-handler.ts";
import type { PeerLinks } from "../peers/peer-links.ts";
import { TransferDonor } from "../repair/transfer-donor.ts";
import { TransferPace } from "../repair/transfer-pace.ts";
import { TransferReceiver } from "../repair/transfer-receiver.ts";
import type { Replica } from "../replica/replica.ts";
import { BulkAsks } from "./bulk-asks.ts";
import type { RingState } from "./ring-state.ts";

/** What the hand-over of a node is joined to. */
export interface MovingParts {
  readonly config: Config;
  readonly engine: StorageEngine;
  readonly replica: Replica;
  readonly links: PeerLinks;
  readonly membership: Membership;
  readonly view: HandoverView;
  readonly ring: RingState;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** 0 … 1: how much of its full pace background work may take now */
  readonly backgroundShare: () => number;
}

/** The hand-over of one node; it begins when the node is a member. */
export class Moving {
  readonly #parts: MovingParts;
  readonly #asks: BulkAsks;
  #handover: SlotHandover | undefined;
  #onSealed: (micros: number) => void = () => undefined;

  constructor(parts: MovingParts) {
    this.#parts = parts;
    this.#asks = new BulkAsks(parts.links, parts.clock);
  }

  /** Answers the others' questions from the first moment on: those that come before this node is a member wait for nothing. */
  register(requests: PeerRequests): void {
    requests.registerTopic(HANDOVER_TOPIC, async (from, body) => this.#handover?.handler(from, body) ?? null);
  }

  /** Goes on with what the ledger says. Once, when membership has begun. */
  begin(): void {
    const { engine, replica, membership, view, links, clock, random, log } = this.#parts;
    const { table } = membership;
    if (table === undefined || this.#handover !== undefined) return;
    const pace = new TransferPace({ clock, share: this.#parts.backgroundShare });
    const settings = { partitionCount: table.partitionCount, replicaCount: table.replicaCount };
    this.#handover = new SlotHandover(
      {
        peers: this.#asks,
        store: membership.store,
        gate: this.#gate(),
        donorData: new TransferDonor({
          ...{ store: engine, replica, clock, pace },
          call: (to, request, budgetMs, onResult) => links.callBulk(to, request, budgetMs, onResult),
        }),
        receiverData: new TransferReceiver({ store: engine, replica, clock }),
        view,
        hasRoom: () => isGrowthAllowed(engine.disk.level),
        clock,
        random: random.fork("handover"),
        log,
      },
      settings,
    );
    this.#handover.start();
  }

  /** Records or liveness changed. */
  review(): void {
    this.#handover?.review();
  }

  stop(): void {
    this.#handover?.stop();
    this.#asks.stop();
  }

  /** The partition's slot comes or goes here. Before this node is a member nothing is known, and so everything may. */
  isMoving(partition: number): boolean {
    return this.#handover?.isMoving(partition) !== false;
  }

  /** `listener` is told for how long writes of a partition waited for its hand-over, each time. */
  onSealed(listener: (micros: number) => void): void {
    this.#onSealed = listener;
  }

  /** Totals since the start, for metrics. */
  totals(): Pick<HandoverProgress, "takenCount" | "mintedCount" | "receivedBytes" | "oldCopyCount" | "leftCount"> {
    return (
      this.#handover?.progress() ?? { takenCount: 0, mintedCount: 0, receivedBytes: 0, oldCopyCount: 0, leftCount: 0 }
    );
  }

  /** What this node itself moves now. */
  progress(): Pick<MovesView, "bytesPerSecond" | "etaSeconds" | "active"> {
    const progress = this.#handover?.progress();
    if (progress === undefined) return { bytesPerSecond: 0, etaSeconds: undefined, active: [] };
    const active = [
      ...progress.incoming.map((move) => this.#shown(move, "in")),
      ...progress.outgoing.map((move) => this.#shown(move, "out")),
      ...progress.minting.map((move) => this.#shown(move, "mint")),
    ];
    const waiting = progress.stalled.filter(({ why }) => isStall(why)).map((move) => this.#waiting(move));
    return {
      bytesPerSecond: Math.round(progress.bytesPerSecond),
      etaSeconds: progress.etaMs === undefined ? undefined : Math.ceil(progress.etaMs / 1_000),
      active: [...active, ...waiting],
    };
  }

  #gate(): PartitionGate {
    const { replica, ring, clock } = this.#parts;
    const closedAtMs = new Map<number, number>();
    return {
      close: (partition) => {
        if (!closedAtMs.has(partition)) closedAtMs.set(partition, clock.monotonicMs());
        return replica.closeGate(partition);
      },
      open: (partition) => {
        const sinceMs = closedAtMs.get(partition);
        if (sinceMs !== undefined) this.#onSealed((clock.monotonicMs() - sinceMs) * 1_000);
        closedAtMs.delete(partition);
        replica.openGate(partition);
      },
      hold: (partition, slot) => ring.hold(partition, slot),
    };
  }

  #shown(
    { partition, slot, peer, stage, receivedBytes, stalled }: HandoverMove,
    way: "in" | "out" | "mint",
  ): ActiveMove {
    const { config, engine } = this.#parts;
    const self = config.nodeId;
    return {
      partition,
      slot,
      from: way === "in" ? peer : way === "out" ? self : undefined,
      to: way === "out" ? (peer ?? self) : self,
      phase: way === "mint" ? "minting" : phaseOf(stage),
      bytes: receivedBytes,
      // what stood here before is cleared first: from the first page on, what is here has come
      keys: receivedBytes === undefined ? undefined : engine.keyCountOf(partition),
      stalled: isStall(stalled) ? stalled : undefined,
    };
  }

  #waiting({ partition, slot, why }: StalledMove): ActiveMove {
    const to = this.#parts.config.nodeId;
    const unknown = { from: undefined, bytes: undefined, keys: undefined };
    return { partition, slot, to, phase: "waiting", ...unknown, stalled: why };
  }
}

/** A donor that is busy with others is none: it comes to this one in turn. */
function isStall(why: string | undefined): boolean {
  return why !== undefined && why !== "busy";
}

function phaseOf(stage: string): ActiveMove["phase"] {
  if (stage.startsWith("copy")) return "copying";
  if (stage.startsWith("seal")) return "sealed";
  if (stage === "finishing" || stage === "staging" || stage === "ready") return "verifying";
  return "waiting";
}

/** Copies of partitions fill the disk and can wait: clients come first. */
function isGrowthAllowed(level: DiskLevel): boolean {
  return level === "ok" || level === "warn";
}
