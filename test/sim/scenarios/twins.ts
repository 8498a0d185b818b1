/**
 * The story of a machine that was cloned, data, name and all, while clients write: both run, and one must give way. Must never
 * decide what is judged.
 */
import type { Dot } from "../../../services/versioning/types.ts";
import type { Stage } from "../scenario-stage.ts";
import { keyName } from "../sim-values.ts";

/** The machine that is cloned, n1. */
const ORIGINAL = 0;
const CLIENTS = 5;
const THINK_MS = 80;
const BUSY_MS = 1_500;
const ENDS_WITHIN_MS = 10_000;
const STANDS_MS = 4_000;
const HEALED_WITHIN_MS = 1_800_000;

/** How the clone comes to be. */
export type Cloning =
  /** from the disk of a running machine; it is started when the original has gone on for a while */
  | "of-running"
  /** from the disk of a machine that was stopped in order; then both are started at once */
  | "of-stopped";

/** What came of it. */
export interface TwinsTold {
  /** the twins that ran in the end: of the original and the clone */
  readonly left: readonly number[];
  /** from the start of the twins until at most one was left; Infinity: both went on */
  readonly tookMs: number;
  /** of all writes that were acknowledged, through any node, in their order */
  readonly dots: readonly Dot[];
  /** of the original when the clone was made, and of the clone once it had started; undefined: it ended before that */
  readonly actors: { readonly before: number; readonly ofClone: number | undefined };
  /** writes that whoever is left of the twins acknowledged, as the one that coordinates, once the other had ended */
  readonly takenAfter: number;
  /** in the end, before anybody has read: all holders of a partition have the same trees */
  readonly areEqual: boolean;
  /** keys that were not answered to strict readers afterwards */
  readonly unreadCount: number;
}

/** Clones n1 while clients write, lets both run, takes the one that ended out of service, and has everything judged. */
export async function runTwins(
  on: Stage,
  { cloning, keyCount }: { readonly cloning: Cloning; readonly keyCount: number },
): Promise<TwinsTold> {
  on.isStrict = true;
  const writers = new Writers(on, keyCount);
  await on.sleep(BUSY_MS);
  const before = on.node(ORIGINAL).engine.identity.actor;
  const clone = await cloneWhile(on, cloning);
  // the clone has an old disk: what it takes over from the original it does not hold
  on.isStrict = false;
  const startedMs = on.nowMs;
  on.cluster.start(ORIGINAL);
  on.cluster.start(clone);
  const twins = [ORIGINAL, clone];
  let ofClone: number | undefined;
  const isOneLeft = (): boolean => {
    ofClone ??= on.cluster.inside(clone)?.engine.identity.actor;
    return twins.filter((node) => on.cluster.isUp(node)).length < 2;
  };
  const isOver = await on.until(isOneLeft, ENDS_WITHIN_MS);
  const tookMs = isOver ? on.nowMs - startedMs : Number.POSITIVE_INFINITY;
  const takenBefore = writers.takenBy(ORIGINAL) + writers.takenBy(clone);
  // the other may follow it, and what is left must stand
  await on.sleep(STANDS_MS);
  const left = twins.filter((node) => on.cluster.isUp(node));
  for (const node of twins) if (!left.includes(node)) on.cluster.retire(node);
  await writers.stop();
  const takenAfter = writers.takenBy(ORIGINAL) + writers.takenBy(clone) - takenBefore;
  await on.settled();
  const areEqual = await on.until(() => on.areRootsEqual(), HEALED_WITHIN_MS);
  on.isStrict = true;
  const unreadCount = await countUnread(on, keyCount);
  await on.finish();
  return { left, tookMs, dots: writers.dots, actors: { before, ofClone }, takenAfter, areEqual, unreadCount };
}

/** The clone's machine: with the disk as it was some time ago, or with the one that the original was stopped with. */
async function cloneWhile(on: Stage, cloning: Cloning): Promise<number> {
  if (cloning === "of-stopped") {
    await on.cluster.stop(ORIGINAL);
    return on.cluster.cloneMachine(ORIGINAL);
  }
  const clone = on.cluster.cloneMachine(ORIGINAL);
  await on.sleep(BUSY_MS);
  return clone;
}

async function countUnread(on: Stage, keyCount: number): Promise<number> {
  const client = on.client();
  let count = 0;
  for (let at = 0; at < keyCount; at += 1) {
    const door = on.anyDoor();
    const answer = door === undefined ? "gone" : await client.read(door, keyName(at));
    if (answer === "gone" || answer.kind === "failed") count += 1;
  }
  return count;
}

/** Clients that write over what they have seen, through every node that runs, ready or not. */
class Writers {
  readonly dots: Dot[] = [];
  readonly #on: Stage;
  readonly #keyCount: number;
  readonly #running: Promise<unknown>;
  readonly #countsByNode = new Map<number, number>();
  #isOver = false;

  constructor(on: Stage, keyCount: number) {
    this.#on = on;
    this.#keyCount = keyCount;
    this.#running = Promise.all(Array.from({ length: CLIENTS }, () => this.#write()));
  }

  takenBy(node: number): number {
    return this.#countsByNode.get(node) ?? 0;
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  async #write(): Promise<void> {
    const { random, cluster } = this.#on;
    const client = this.#on.client();
    while (!this.#isOver) {
      await this.#on.sleep(random.float() * THINK_MS);
      const node = random.below(cluster.size);
      const door = this.#on.door(node);
      const key = keyName(random.below(this.#keyCount));
      if (door === undefined) continue;
      if (random.chance(0.3)) {
        await client.read(door, key);
        continue;
      }
      const answer = await client.write(door, key, { kind: "put", basis: client.seen(key) ?? "blind-sibling" });
      if (answer === "gone" || answer.kind !== "applied") continue;
      this.dots.push(answer.dot);
      this.#countsByNode.set(node, this.takenBy(node) + 1);
    }
  }
}
