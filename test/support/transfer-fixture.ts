/** Two nodes that copy a partition: replicas on memory engines, and between them the binary JSON of the links. */
import { xxh64 } from "../../services/base/hash.ts";
import type { NodeId } from "../../services/base/ids.ts";
import { MAX_FRAME_BYTES } from "../../services/base/limits.ts";
import type { Clock, Timer } from "../../services/base/ports.ts";
import { decodeBody, encodeBody } from "../../services/peers/binary-json.ts";
import type { CallResult, PeerRequest } from "../../services/peers/messages.ts";
import { TransferDonor } from "../../services/repair/transfer-donor.ts";
import { TransferPace } from "../../services/repair/transfer-pace.ts";
import { TransferReceiver, type TransferSource } from "../../services/repair/transfer-receiver.ts";
import type { ChangeTracker } from "../../services/replica/change-trackers.ts";
import type { KeyLocation } from "../../services/replica/contract.ts";
import type { Replica } from "../../services/replica/replica.ts";
import type { StorageEngine } from "../../storage/engine.ts";
import { putOf, type ReplicaFixture, replicaFixture } from "./replica-fixture.ts";

/** The partition that is copied. */
export const COPIED = 5;
const PARTITION_BITS = 6n;

/** The n-th key of a series whose hashes all lie in the copied partition. */
export function nthCopied(n: number): KeyLocation {
  while (found.length <= n) {
    tried += 1;
    const key = Buffer.from(`carts\0key-${tried}`);
    const hash = xxh64(key);
    if (Number(hash >> (64n - PARTITION_BITS)) === COPIED) found.push({ partition: COPIED, hash, key });
  }
  const location = found[n];
  if (location === undefined) throw new Error("no such key");
  return location;
}
const found: KeyLocation[] = [];
let tried = 0;

/** Time passes only where somebody waits for it; everyone gets a turn of the event loop in between. */
export class WaitClock implements Clock {
  nowMs = 0;
  deferCount = 0;
  /** time that each look at the clock takes */
  tickMs = 0;

  monotonicMs(): number {
    this.nowMs += this.tickMs;
    return this.nowMs;
  }
  wallMicros(): number {
    return 1_800_000_000_000_000 + this.nowMs * 1_000;
  }
  setTimer(delayMs: number, run: () => void): Timer {
    const immediate = setImmediate(() => {
      this.nowMs += delayMs;
      run();
    });
    return { cancel: () => clearImmediate(immediate) };
  }
  defer(run: () => void): void {
    this.deferCount += 1;
    setImmediate(run);
  }
}

/** One node of the two. */
export interface TransferNode {
  readonly fixture: ReplicaFixture;
  readonly replica: Replica;
  readonly engine: StorageEngine;
  readonly clock: WaitClock;
  donor: TransferDonor;
  receiver: TransferReceiver;
  /** makes the donor's tracker of changes as it is after too many of them */
  overflow: () => void;
  /** another life of the same store: what was in memory only is gone */
  restart(): void;
  /** what becomes of its calls; default: nobody is reached */
  onCall: (to: NodeId, request: PeerRequest, onResult: (result: CallResult) => void) => void;
}

/** A node with an empty store. `store`: what the transfer sees of it, when it is not the engine itself. */
export function transferNode(seed: number, store?: (engine: StorageEngine) => StorageEngine): TransferNode {
  const fixture = replicaFixture({ seed });
  const { replica } = fixture;
  const { engine } = fixture.store;
  const clock = new WaitClock();
  const parts = { store: store?.(engine) ?? engine, replica, clock };
  const trackChanges = (partition: number): ChangeTracker => {
    const tracker = replica.trackChanges(partition);
    let isOverflown = false;
    node.overflow = () => {
      isOverflown = true;
    };
    return {
      get count() {
        return tracker.count;
      },
      get isOverflown() {
        return isOverflown || tracker.isOverflown;
      },
      take: (limit) => (isOverflown ? [] : tracker.take(limit)),
      stop: () => tracker.stop(),
    };
  };
  const donorOf = (): TransferDonor => {
    const pace = new TransferPace({ clock, share: () => 1 });
    return new TransferDonor({
      ...{ ...parts, replica: { trackChanges }, pace },
      call: (to, request, _budgetMs, onResult) => node.onCall(to, request, onResult),
    });
  };
  const node: TransferNode = {
    fixture,
    replica,
    engine,
    clock,
    donor: donorOf(),
    receiver: new TransferReceiver(parts),
    overflow: () => undefined,
    onCall: (_to, _request, onResult) => onResult({ kind: "unsent", reason: "no_link" }),
    restart: () => {
      node.donor = donorOf();
      node.receiver = new TransferReceiver(parts);
    },
  };
  return node;
}

/** What came over the link. */
export interface LinkLog {
  readonly answers: { readonly question: unknown; readonly sizeBytes: number }[];
}

/** The way to a donor, over the bytes of a link; `onAnswer` may throw an answer away. */
export function sourceOf(
  node: TransferNode,
  tx: number,
  onAnswer: (question: "pull" | "changes", count: number) => boolean | Promise<boolean> = () => true,
): TransferSource & LinkLog {
  const answers: LinkLog["answers"][number][] = [];
  const carry = async (kind: "pull" | "changes", body: unknown): Promise<unknown> => {
    const question = carried(body);
    const answer =
      kind === "pull" ? await node.donor.pull(COPIED, tx, question) : await node.donor.changes(COPIED, tx, question);
    const bytes = encodeBody(answer);
    if (bytes.length > MAX_FRAME_BYTES) throw new Error("an answer that no frame takes");
    answers.push({
      question: { ask: kind, ...(typeof question === "object" ? question : {}) },
      sizeBytes: bytes.length,
    });
    return (await onAnswer(kind, answers.length)) ? carried(answer) : undefined;
  };
  return { answers, pull: (body) => carry("pull", body), changes: (body) => carry("changes", body) };
}

/** A body as it arrives. */
export function carried(body: unknown): unknown {
  const decoded = decodeBody(encodeBody(body));
  if (decoded.kind === "corrupt") throw new Error(decoded.reason);
  return decoded.body;
}

/** Writes a value of this size to the n-th key. */
export async function writeNth(node: TransferNode, n: number, sizeBytes = 40): Promise<void> {
  const result = await node.replica.write(nthCopied(n), putOf("x".repeat(sizeBytes)), () => undefined);
  if (result.kind !== "stored") throw new Error(`not written: ${JSON.stringify(result)}`);
}
