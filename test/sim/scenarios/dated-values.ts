/**
 * Values with a time to live under clocks that are wrong in ways that are known: each is written once, and read through nodes of
 * which it is known what their clocks showed meanwhile. Must never look inside a node but for what is held at the end.
 */
import type { BucketName } from "../../../services/base/ids.ts";
import { locate } from "../../../services/placement/partitioner.ts";
import type { Stage } from "../scenario-stage.ts";
import { EPOCH_MS } from "../sim-clock.ts";
import { SIM_PARTITIONS } from "../sim-machine.ts";
import { keyBytesOf, valueBytesOf, writeIdOf } from "../sim-values.ts";
import type { ScrambledClocks } from "./scrambled-clocks.ts";

/** A bucket of siblings, like the oracle's. */
const BUCKET = "dated" as BucketName;
const KNOBS = { sloppy: false, timeoutMs: 600, explain: true } as const;
const ALL_NODES: readonly number[] = [0, 1, 2];

interface Dated {
  readonly id: number;
  readonly key: Uint8Array;
  /** the end that the answer named */
  readonly dateMs: number;
}

/** What the reads met, so that a run that tested nothing is noticed. */
export interface DatedCounts {
  shown: number;
  gone: number;
  /** nodes that a read brought something to */
  repaired: number;
  /** by the true time: the longest that a value was shown after its end, and that one was gone before it */
  lateMs: number;
  earlyMs: number;
}

/** The values of one run. */
export class DatedValues {
  readonly #on: Stage;
  readonly #clocks: ScrambledClocks;
  readonly #written: Dated[] = [];
  readonly counts: DatedCounts = { shown: 0, gone: 0, repaired: 0, lateMs: 0, earlyMs: 0 };
  /** broken promises, in words */
  readonly violations: string[] = [];
  #nextId = 1;

  constructor(on: Stage, clocks: ScrambledClocks) {
    this.#on = on;
    this.#clocks = clocks;
  }

  /** Values that were acknowledged. */
  get count(): number {
    return this.#written.length;
  }

  /** Writes a new value through the node. */
  async write(node: number, ttlSeconds: number): Promise<void> {
    const door = this.#on.door(node);
    if (door === undefined) return;
    const id = this.#nextId;
    this.#nextId += 1;
    const key = keyBytesOf(`dated-${id}`);
    const invokedMs = this.#on.nowMs;
    const put = { name: { bucket: BUCKET, key }, knobs: KNOBS, contentType: "text/plain", bytes: valueBytesOf(id) };
    const answered = door.coordinator.put({ ...put, context: undefined, ttlSeconds });
    const answer = await Promise.race([answered, door.gone]);
    if (answer === "gone" || answer.kind === "failed") return;
    const dateMs = answer.expiresAtMs ?? 0;
    this.#written.push({ id, key, dateMs });
    // whoever has minted it: each node here owns every key
    const { least, most } = this.#clocks.rangeOf(ALL_NODES, invokedMs, this.#on.nowMs);
    const madeMs = dateMs - ttlSeconds * 1_000;
    if (madeMs < least || madeMs > most) this.violations.push(`value ${id} of ${ttlSeconds} s is to end at ${dateMs}`);
  }

  /** Reads one of the values, drawn by chance, through the node. */
  async readAny(node: number): Promise<void> {
    const value = this.#written[this.#on.random.below(Math.max(1, this.#written.length))];
    if (value !== undefined) await this.#read(node, value);
  }

  /** Reads the last so many values through every node, and as many of the others. */
  async readMany(count: number): Promise<void> {
    const at = this.#written.length - count;
    const others = Array.from({ length: count }, () => this.#written[this.#on.random.below(Math.max(1, at))]);
    for (const value of [...this.#written.slice(at), ...others]) {
      for (const node of ALL_NODES) if (value !== undefined) await this.#read(node, value);
    }
  }

  /** Records of them that the nodes still have. */
  async heldCount(): Promise<number> {
    let count = 0;
    for (const { key } of this.#written) {
      const location = locate({ bucket: BUCKET, key }, SIM_PARTITIONS);
      for (const node of ALL_NODES) count += (await this.#on.cluster.heldAt(node, location)) === undefined ? 0 : 1;
    }
    return count;
  }

  async #read(node: number, { id, key, dateMs }: Dated): Promise<void> {
    const door = this.#on.door(node);
    if (door === undefined) return;
    const invokedMs = this.#on.nowMs;
    const answered = door.coordinator.get({ name: { bucket: BUCKET, key }, knobs: KNOBS });
    const answer = await Promise.race([answered, door.gone]);
    if (answer === "gone" || answer.kind === "failed") return;
    this.counts.repaired += answer.explain?.repaired.length ?? 0;
    // By the clock of the very node that answers, and by no other.
    const { least, most } = this.#clocks.rangeOf([node], invokedMs, this.#on.nowMs);
    const fail = (what: string): void => {
      this.violations.push(`value ${id}, to end at ${dateMs}, ${what} by a clock from ${least} to ${most}`);
    };
    if (answer.kind === "found") {
      this.counts.shown += 1;
      this.counts.lateMs = Math.max(this.counts.lateMs, EPOCH_MS + invokedMs - dateMs);
      const [shown, ...others] = answer.set.siblings;
      if (shown === undefined || others.length > 0 || writeIdOf(shown.bytes) !== id) fail("is not what is shown");
      if (shown?.expiresAtMs !== dateMs) fail(`is shown to end at ${shown?.expiresAtMs}`);
      if (least >= dateMs) fail("is shown");
    } else {
      this.counts.gone += 1;
      this.counts.earlyMs = Math.max(this.counts.earlyMs, dateMs - EPOCH_MS - this.#on.nowMs);
      if (most < dateMs) fail(`is ${answer.kind}`);
    }
  }
}
