/**
 * The next holder's side of copying a partition: it drives. Compares leaves, pulls what differs, catches up with what has
 * changed, and at the end compares count and root with what the donor said under the seal. After any interruption it
 * begins with the comparison again. Must never call a copy equal that was not compared, nor take a refusal for an end.
 * Sources: research: gossip-ring §B.5, §B.7; the hand-over's ports (`services/cluster/handover-ports.ts`), by shape.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import { MAX_TRANSFER_BATCHES, MAX_TRANSFER_ROUNDS, TRANSFER_REST_BYTES, TRANSFER_REST_KEYS } from "../base/limits.ts";
import { rootOf } from "./transfer-donor.ts";
import { type IntakeParts, type IntakeResult, LeafCheck, TransferIntake } from "./transfer-intake.ts";
import { leafHashesOf } from "./transfer-listing.ts";
import { type ChangesRequest, type PullRequest, parseTransferReply, type TransferReply } from "./transfer-messages.ts";

/** The way to one donor's pages. Both answer undefined when there is no answer. */
export interface TransferSource {
  pull(body: unknown): Promise<unknown>;
  changes(body: unknown): Promise<unknown>;
}

/** What a receiver works with. */
export interface ReceiverParts extends IntakeParts {
  readonly store: IntakeParts["store"] &
    Pick<StorageEngine, "merkleChildren" | "merkleRoot" | "keyCountOf" | "isSuspect">;
  readonly replica: IntakeParts["replica"] & { dropPartition(partition: number): Promise<void> };
}

/** What came of copying. */
export type CopyResult =
  | { readonly kind: "copied" }
  /** `isSuspect`: the donor refused because it may lack what it had */
  | { readonly kind: "failed"; readonly reason: string; readonly isSuspect?: boolean };

/** What came of the comparison under the seal. */
export type CompareResult =
  | { readonly kind: "equal" }
  | { readonly kind: "differs"; readonly reason: string }
  | { readonly kind: "failed"; readonly reason: string };

type StepResult = IntakeResult | { readonly kind: "overflown" };
type Changed = Extract<TransferReply, { kind: "changed" }>;
type Progress = (sizeBytes: number) => void;

const TAKEN: IntakeResult = { kind: "taken" };

/** Copies partitions to this node; one call at a time for each partition. */
export class TransferReceiver {
  readonly #parts: ReceiverParts;
  /** partitions whose copy did not become equal: the next one begins with nothing */
  readonly #spoiled = new Set<number>();

  constructor(parts: ReceiverParts) {
    this.#parts = parts;
  }

  /** Drops what an older tenure left of the partition, durably. Rejects as the store does. */
  async clearLeftovers(partition: number): Promise<void> {
    const { store, replica } = this.#parts;
    const isClear = store.keyCountOf(partition) === 0 && !store.isSuspect(partition);
    if (!isClear) await replica.dropPartition(partition);
    this.#spoiled.delete(partition);
  }

  /** Removes a copy for good, durably. Rejects as the store does. */
  async dropPartition(partition: number): Promise<void> {
    await this.#parts.replica.dropPartition(partition);
    this.#spoiled.delete(partition);
  }

  /** Keys, and the Merkle root in hex, of what is held. */
  async summary(partition: number): Promise<{ readonly count: number; readonly root: string }> {
    const { store } = this.#parts;
    return { count: store.keyCountOf(partition), root: rootOf(store.merkleRoot(partition)) };
  }

  /** Copies until little is left; what is held beyond the donor's copy costs a new beginning. Rejects as the store does. */
  async receive(partition: number, source: TransferSource, onProgress: Progress): Promise<CopyResult> {
    if (this.#spoiled.has(partition)) await this.clearLeftovers(partition);
    for (let round = 0; round < MAX_TRANSFER_ROUNDS; round += 1) {
      const intake = new TransferIntake(this.#parts, partition);
      const pulled = await this.#pullAll({ partition, source, intake, onProgress }, true);
      const step = pulled.kind === "taken" ? await this.#catchUp({ partition, source, intake, onProgress }) : pulled;
      if (step.kind === "taken") return { kind: "copied" };
      if (step.kind === "failed") return step;
      if (step.kind === "beyond") await this.clearLeftovers(partition);
    }
    return { kind: "failed", reason: "the copy did not come to rest" };
  }

  /** Merges all that the source has into what is held, whatever that is. Rejects as the store does. */
  async merge(partition: number, source: TransferSource, onProgress: Progress): Promise<CopyResult> {
    const intake = new TransferIntake(this.#parts, partition);
    const pulled = await this.#pullAll({ partition, source, intake, onProgress }, false);
    return pulled.kind === "failed" ? pulled : { kind: "copied" };
  }

  /** Takes what is left under the seal and compares. Rejects as the store does. */
  async finish(
    partition: number,
    source: TransferSource,
    last: { readonly body: unknown; readonly count: number; readonly root: string },
  ): Promise<CompareResult> {
    const first = parseTransferReply(last.body);
    if (first?.kind !== "changed") return { kind: "failed", reason: reasonOf(first) };
    const intake = new TransferIntake(this.#parts, partition);
    const step = await this.#takeBatch({ partition, source, intake, onProgress: ignore }, first);
    if (step.kind === "failed") return step;
    if (step.kind === "overflown") return { kind: "failed", reason: reasonOf({ kind: "refused", reason: step.kind }) };
    const { count, root } = await this.summary(partition);
    if (step.kind === "taken" && count === last.count && root === last.root) return { kind: "equal" };
    this.#spoiled.add(partition);
    const reason = step.kind === "beyond" ? step.reason : `${count} keys with root ${root}`;
    return { kind: "differs", reason: `${reason}; the donor has ${last.count} with root ${last.root}` };
  }

  /** Pulls what differs. The next page is under way while one is taken in. */
  async #pullAll(copy: Copying, isExact: boolean): Promise<IntakeResult> {
    const { partition, source, intake, onProgress } = copy;
    const { store } = this.#parts;
    let reply = await ask(source, { kind: "begin", leaves: leafHashesOf(store, partition) });
    let check: LeafCheck | undefined;
    for (;;) {
      if (reply?.kind !== "pulled") return failedBy(reply);
      const { objects, next, differing } = reply;
      check ??= new LeafCheck(store, { partition, differing });
      const asked = next === undefined ? undefined : ask(source, { kind: "next", differing, cursor: next });
      const taken = await intake.take(objects, check.note);
      // one that was begun is waited for, or its rejection would find nobody
      const answer = asked === undefined ? undefined : await asked;
      if (taken.kind === "failed" || (isExact && taken.kind === "beyond")) return taken;
      onProgress(objects.length);
      if (isExact && !check.passTo(next)) return { kind: "beyond", reason: "a key is held that the donor has not" };
      if (next === undefined) return TAKEN;
      reply = answer;
    }
  }

  /** Takes batches of what has changed until little is left. */
  async #catchUp(copy: Copying): Promise<StepResult> {
    let ack = 0;
    for (let count = 0; count < MAX_TRANSFER_BATCHES; count += 1) {
      const reply = await askChanges(copy.source, { kind: "batch", ack });
      if (reply?.kind === "refused" && reply.reason === "overflown") return { kind: "overflown" };
      if (reply?.kind !== "changed") return { kind: "failed", reason: reasonOf(reply) };
      const step = await this.#takeBatch(copy, reply);
      if (step.kind !== "taken") return step;
      ack = reply.batch;
      const { remainingCount } = reply;
      const restBytes = remainingCount * copy.intake.typicalBytes;
      if (remainingCount < TRANSFER_REST_KEYS && restBytes < TRANSFER_REST_BYTES) return TAKEN;
    }
    return { kind: "failed", reason: "changes come faster than they are copied" };
  }

  /** Takes one batch, page by page. */
  async #takeBatch(copy: Copying, first: Changed): Promise<StepResult> {
    let page = first;
    for (;;) {
      const taken = await copy.intake.take(page.objects);
      if (taken.kind !== "taken") return taken;
      copy.onProgress(page.objects.length);
      if (page.next === undefined) return TAKEN;
      const reply = await askChanges(copy.source, { kind: "next", batch: page.batch, cursor: page.next });
      if (reply?.kind === "refused" && reply.reason === "overflown") return { kind: "overflown" };
      if (reply?.kind !== "changed") return { kind: "failed", reason: reasonOf(reply) };
      if (reply.batch !== page.batch) return { kind: "failed", reason: "another batch was answered" };
      page = reply;
    }
  }
}

interface Copying {
  readonly partition: number;
  readonly source: TransferSource;
  readonly intake: TransferIntake;
  readonly onProgress: Progress;
}

async function ask(source: TransferSource, request: PullRequest): Promise<TransferReply | undefined> {
  return parseTransferReply(await source.pull(request));
}

async function askChanges(source: TransferSource, request: ChangesRequest): Promise<TransferReply | undefined> {
  return parseTransferReply(await source.changes(request));
}

function failedBy(reply: TransferReply | undefined): IntakeResult {
  const failed = { kind: "failed", reason: reasonOf(reply) } as const;
  return reply?.kind === "refused" && reply.reason === "suspect" ? { ...failed, isSuspect: true } : failed;
}

/** Why there is no page. */
function reasonOf(reply: TransferReply | undefined): string {
  if (reply === undefined) return "no answer";
  return reply.kind === "refused" ? `refused: ${reply.reason}` : "an answer to another question";
}

function ignore(): void {
  // writes wait: progress is told by the end
}
