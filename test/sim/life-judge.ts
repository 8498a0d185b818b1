/**
 * What is judged when a life's faults are over: replicas made equal by reading, then each key at each node that holds it,
 * against what clients did. Must never write.
 */
import { locate } from "../../services/placement/partitioner.ts";
import { decodeSet } from "../../services/versioning/object-codec.ts";
import type { ScanPage, StorageEngine } from "../../storage/engine.ts";
import { MerkleTree } from "../../storage/merkle-tree.ts";
import type { Oracle, Violation } from "./oracle.ts";
import type { SimCluster } from "./sim-cluster.ts";
import { SIM_PARTITIONS, SIM_QUORUM, SIM_REPLICAS } from "./sim-machine.ts";
import { keyBytesOf, keyName, SIM_BUCKET, writeIdOf } from "./sim-values.ts";

const REPAIR_ROUNDS = 200;
const COMPARE_ROUNDS = 20;
const COMPARE_MS = 60_000;

/** What is judged, and by whom. */
export interface JudgedLife {
  readonly cluster: SimCluster;
  readonly oracle: Oracle;
  readonly keyCount: number;
  /** nodes that hold a slot of the partition */
  holdersOf(partition: number): readonly number[];
  sleep(ms: number): Promise<void>;
  fail(violation: Violation): void;
}

/** Judges one life. */
export class LifeJudge {
  readonly #life: JudgedLife;
  readonly #whole = new Set<string>();

  constructor(life: JudgedLife) {
    this.#life = life;
  }

  /** Reads every key from all replicas through every node until nobody lacks anything. */
  async repairByReading(): Promise<void> {
    for (let round = 0; round < REPAIR_ROUNDS; round += 1) {
      let isWhole = true;
      for (let i = 0; i < this.#life.keyCount; i += 1) isWhole = (await this.#readFromAll(keyName(i))) && isWhole;
      await this.#life.sleep(50);
      if (isWhole && (await this.#areEqual())) return;
    }
    const detail = `replicas still differ after ${REPAIR_ROUNDS} rounds of reading`;
    this.#life.fail({ rule: "liveness", key: "", detail });
  }

  /** Lets anti-entropy alone make all holders equal, and every partition trusted: nothing is read. */
  async repairByComparing(): Promise<void> {
    const { cluster, sleep, fail } = this.#life;
    for (let round = 0; round < COMPARE_ROUNDS; round += 1) {
      const at = Array.from({ length: cluster.size }, (_, node) => node).find((node) => cluster.isUp(node));
      const asked = at === undefined ? undefined : cluster.inside(at)?.healing.repair(undefined, COMPARE_MS);
      await Promise.race([asked ?? sleep(1_000), at === undefined ? sleep(1_000) : cluster.gone(at)]);
      if (this.#unequalRoots().length === 0 && this.#suspectCount() === 0) return;
      await sleep(1_000);
    }
    const unequal = this.#unequalRoots();
    const detail = `after ${COMPARE_ROUNDS} rounds of comparing ${unequal.length} partitions differ (${unequal.slice(0, 5).join("; ")}), ${this.#suspectCount()} are suspect`;
    fail({ rule: "anti-entropy", key: "", detail });
  }

  /** Judges the trees: equal on all holders, and equal to a tree that is built anew from what the store lists (I12). */
  async judgeTrees(when: string): Promise<void> {
    const { cluster, holdersOf, fail } = this.#life;
    for (const detail of this.#unequalRoots()) fail({ rule: "roots", key: "", detail: `${when}: ${detail}` });
    for (let partition = 0; partition < SIM_PARTITIONS; partition += 1) {
      for (const holder of holdersOf(partition)) {
        const engine = cluster.inside(holder)?.engine;
        if (engine === undefined) continue;
        const built = await rebuiltRoot(engine, partition);
        if (built === engine.merkleRoot(partition)) continue;
        const detail = `${when}: the tree of partition ${partition} at n${holder + 1} is not what its store lists`;
        fail({ rule: "trees", key: "", detail });
      }
    }
  }

  #unequalRoots(): readonly string[] {
    const { cluster, holdersOf } = this.#life;
    return Array.from({ length: SIM_PARTITIONS }, (_, partition) => partition).flatMap((partition) => {
      const roots = holdersOf(partition).map(
        (node) => `n${node + 1} ${cluster.inside(node)?.engine.merkleRoot(partition).toString(16)}`,
      );
      const isEqual = new Set(roots.map((root) => root.split(" ")[1])).size <= 1;
      return isEqual ? [] : [`partition ${partition}: ${roots.join(", ")}`];
    });
  }

  #suspectCount(): number {
    const { cluster, holdersOf } = this.#life;
    let count = 0;
    for (let partition = 0; partition < SIM_PARTITIONS; partition += 1) {
      for (const node of holdersOf(partition)) {
        if (cluster.inside(node)?.engine.isSuspect(partition) === true) count += 1;
      }
    }
    return count;
  }

  /** Notes which keys are the same in every slot now: those that nobody writes any more must be so for ever. */
  async noteWhole(keys: readonly string[]): Promise<void> {
    for (const key of keys) {
      const [first, ...others] = (await this.#statesOf(key)).map(({ bytes }) => hexOf(bytes));
      if (first !== "nothing" && others.every((other) => other === first)) this.#whole.add(key);
    }
  }

  /** Judges how many slots have what was acknowledged, before anything is repaired. */
  async judgeSlots(): Promise<void> {
    const { oracle, keyCount } = this.#life;
    for (let i = 0; i < keyCount; i += 1) {
      const key = keyName(i);
      const states = await this.#statesOf(key);
      const held = states.map(({ bytes }) => this.#idsIn(key, bytes));
      oracle.onSlots(key, held, this.#whole.has(key) ? SIM_REPLICAS : SIM_QUORUM);
    }
  }

  /** Judges every key at every node that holds it. */
  async judge(when: string): Promise<void> {
    const { oracle, keyCount } = this.#life;
    for (let i = 0; i < keyCount; i += 1) {
      const key = keyName(i);
      const states = await this.#statesOf(key);
      oracle.onConvergence(
        key,
        states.map(({ bytes }) => hexOf(bytes)),
      );
      for (const { node, bytes } of states) oracle.onFinal(key, this.#idsIn(key, bytes), `n${node + 1} ${when}`);
    }
  }

  async #readFromAll(key: string): Promise<boolean> {
    let isAnswered = true;
    for (const door of this.#life.cluster.doors()) {
      const name = { bucket: SIM_BUCKET, key: keyBytesOf(key) };
      const knobs = { r: "all", sloppy: false, timeoutMs: 2_000, explain: false } as const;
      const answer = await Promise.race([door.coordinator.get({ name, knobs }), door.gone]);
      isAnswered = isAnswered && answer !== "gone" && answer.kind !== "failed";
    }
    return isAnswered;
  }

  async #statesOf(key: string): Promise<readonly { readonly node: number; readonly bytes: Uint8Array | undefined }[]> {
    const { cluster, holdersOf } = this.#life;
    const location = locate({ bucket: SIM_BUCKET, key: keyBytesOf(key) }, SIM_PARTITIONS);
    const states: { node: number; bytes: Uint8Array | undefined }[] = [];
    for (const node of holdersOf(location.partition)) {
      states.push({ node, bytes: await cluster.heldAt(node, location) });
    }
    return states;
  }

  async #areEqual(): Promise<boolean> {
    for (let i = 0; i < this.#life.keyCount; i += 1) {
      const states = await this.#statesOf(keyName(i));
      if (new Set(states.map(({ bytes }) => hexOf(bytes))).size > 1) return false;
    }
    return true;
  }

  #idsIn(key: string, bytes: Uint8Array | undefined): readonly number[] {
    if (bytes === undefined) return [];
    const decoded = decodeSet(bytes);
    if (decoded.kind === "corrupt") {
      this.#life.fail({ rule: "corrupt-object", key, detail: decoded.reason });
      return [];
    }
    return decoded.set.siblings.map((sibling) => writeIdOf(sibling.bytes));
  }
}

function hexOf(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? "nothing" : Buffer.from(bytes).toString("hex");
}

async function rebuiltRoot(engine: StorageEngine, partition: number): Promise<bigint> {
  const tree = new MerkleTree(Math.log2(engine.partitionCount));
  let from: bigint | undefined = 0n;
  while (from !== undefined) {
    const page: ScanPage = await engine.scan(partition, from, 64);
    for (const { hash, digest } of page.entries) tree.toggle(hash, digest);
    from = page.nextHash;
  }
  return tree.root();
}
