/** Clients of a bucket where the last write wins, and the judge of what they are told. Must never decide what is judged. */
import type { BucketName } from "../../../services/base/ids.ts";
import type { WriteAnswer } from "../../../services/coordinator/contract.ts";
import { locate } from "../../../services/placement/partitioner.ts";
import type { KeyLocation } from "../../../services/replica/contract.ts";
import { decodeSet } from "../../../services/versioning/object-codec.ts";
import type { CausalContext, SiblingSet } from "../../../services/versioning/types.ts";
import { type LwwEnd, LwwJudge, type LwwValue } from "../lww-judge.ts";
import type { Stage } from "../scenario-stage.ts";
import type { NodeDoor } from "../sim-client.ts";
import { SIM_PARTITIONS } from "../sim-machine.ts";
import { keyBytesOf, valueBytesOf, writeIdOf } from "../sim-values.ts";

const BUCKET = "newest" as BucketName;
const KNOBS = { sloppy: false, timeoutMs: 600, explain: false } as const;
const KNOWN_WITHIN_MS = 60_000;

interface Seen {
  readonly context: CausalContext;
  readonly saw: number | undefined;
}

/** The keys of one run. */
export class LwwKeys {
  readonly #on: Stage;
  readonly #keyCount: number;
  readonly judge: LwwJudge = new LwwJudge();

  constructor(on: Stage, keyCount: number) {
    this.#on = on;
    this.#keyCount = keyCount;
  }

  /** Makes the bucket through one node; all know it then. */
  async makeBucket(): Promise<void> {
    await this.#on.node(1).buckets.patch(BUCKET, { conflicts: "lww" });
    const isKnown = (node: number): boolean => this.#on.node(node).buckets.settingsOf(BUCKET).conflicts === "lww";
    if (!(await this.#on.until(() => [0, 1, 2].every(isKnown), KNOWN_WITHIN_MS))) throw new Error("not known to all");
  }

  /** One client: reads, writes after what it has read, writes blind, deletes, through any node that takes requests. */
  async keepBusy(isOver: () => boolean): Promise<void> {
    const { random } = this.#on;
    const seen = new Map<string, Seen>();
    while (!isOver()) {
      await this.#on.sleep(random.float() * 60);
      const door = this.#on.anyDoor();
      const key = this.#keyOf(random.below(this.#keyCount));
      const dice = random.float();
      if (door === undefined) continue;
      if (dice < 0.3) await this.#read(door, key, seen);
      else await this.#write(door, key, { kind: dice < 0.9 ? "put" : "delete", seen });
    }
  }

  /** Judges what each node holds of each key; answers how the states of keys differ between nodes, in words. */
  async judgeHeld(): Promise<readonly string[]> {
    const unequal: string[] = [];
    for (let at = 0; at < this.#keyCount; at += 1) {
      const key = this.#keyOf(at);
      const location = locationOf(key);
      const states = new Set<string>();
      for (const node of this.#on.look.holdersOf(location.partition)) {
        const bytes = await this.#on.cluster.heldAt(node, location);
        const decoded = bytes === undefined ? undefined : decodeSet(bytes);
        if (decoded?.kind === "corrupt") throw new Error(decoded.reason);
        const values = decoded === undefined ? [] : valuesOf(decoded.set);
        this.judge.onLook({ key, values, where: `n${node + 1}`, beganAt: Number.POSITIVE_INFINITY });
        states.add(bytes === undefined ? "nothing" : Buffer.from(bytes).toString("hex"));
      }
      if (states.size !== 1) unequal.push(`${key}: ${[...states].join(" | ")}`);
    }
    return unequal;
  }

  async #read(door: NodeDoor, key: string, seen: Map<string, Seen>): Promise<void> {
    const beganAt = this.#on.nowMs;
    const asked = door.coordinator.get({ name: { bucket: BUCKET, key: keyBytesOf(key) }, knobs: KNOBS });
    const answer = await Promise.race([asked, door.gone]);
    if (answer === "gone" || answer.kind === "failed") return;
    const values = answer.kind === "found" ? valuesOf(answer.set) : [];
    this.judge.onLook({ key, values, where: "a read", beganAt });
    if (answer.kind === "found") seen.set(key, { context: answer.set.clock, saw: values[0]?.id });
    else if (answer.kind === "deleted") seen.set(key, { context: answer.context, saw: undefined });
  }

  async #write(
    door: NodeDoor,
    key: string,
    { kind, seen }: { readonly kind: "put" | "delete"; readonly seen: Map<string, Seen> },
  ): Promise<void> {
    const { random } = this.#on;
    const basis = random.chance(0.5) ? seen.get(key) : undefined;
    const write = this.judge.begin(key, kind, { saw: basis?.saw, invokedAt: this.#on.nowMs });
    const common = { name: { bucket: BUCKET, key: keyBytesOf(key) }, knobs: KNOBS, context: basis?.context };
    const blind = random.chance(0.5) ? "sibling" : "overwrite";
    const value = { contentType: "text/plain", bytes: valueBytesOf(write.id), blind } as const;
    const { coordinator } = door;
    const asked = kind === "delete" ? coordinator.delete(common) : coordinator.put({ ...common, ...value });
    const answer = await Promise.race([asked, door.gone]);
    write.end = endOf(answer, this.#on.nowMs);
  }

  #keyOf(at: number): string {
    return `newest-${at}`;
  }
}

function endOf(answer: WriteAnswer | "gone", returnedAt: number): LwwEnd {
  if (answer === "gone") return { outcome: "unknown" };
  if (answer.kind === "applied") return { outcome: "applied", dot: answer.dot, returnedAt };
  return { outcome: answer.outcome === "not_applied" ? "not_applied" : "unknown" };
}

function valuesOf(set: SiblingSet): readonly LwwValue[] {
  return set.siblings.map(({ dot, bytes }) => ({ id: writeIdOf(bytes), dot }));
}

function locationOf(key: string): KeyLocation {
  return locate({ bucket: BUCKET, key: keyBytesOf(key) }, SIM_PARTITIONS);
}
