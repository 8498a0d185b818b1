/**
 * The story of a node whose disk fails one call while clients write, and of its way back. Most keys are written once, so
 * that what a node has of them can be held against what it said. Must never decide what is judged.
 */
import type { QuorumLevel, WriteAnswer } from "../../../services/coordinator/contract.ts";
import type { RecoveryReport } from "../../../storage/engine.ts";
import type { AckLedger } from "../ack-ledger.ts";
import type { Stage } from "../scenario-stage.ts";
import type { SimClient } from "../sim-client.ts";
import { nodeIdOf } from "../sim-machine.ts";
import { keyName } from "../sim-values.ts";

/** The node whose disk fails, n2. */
const FAULTY = 1;
const POWER = { kind: "power", outcome: { pages: "dropped", names: "dropped" } } as const;
/** the last keys: written over and over */
const BUSY_KEYS = 32;
const THINK_MS = 40;
const SERVE_ON_MS = 1_000;
const VERIFIED_WITHIN_MS = 1_800_000;

/** One write, from its client's side. */
export interface Put {
  readonly key: string;
  /** of the value, when it was applied; the writes of a key come from one client, each over the one before */
  readonly id: number | undefined;
  readonly through: number;
  readonly w: QuorumLevel;
  readonly startedMs: number;
  readonly endedMs: number;
  readonly answer: WriteAnswer | "gone";
}

/** What is to happen. */
export interface DiskFailure {
  /** fails once */
  readonly operation: "write" | "fdatasync";
  /** the machine loses power right after its node has ended: what only the cache held is gone before anybody looks */
  readonly losesPower: boolean;
  /** plugged into the stage */
  readonly ledger: AckLedger;
  readonly keyCount: number;
}

/** What came of it. */
export interface DiskFailureTold {
  readonly failedMs: number;
  /** when the process was gone; Infinity when it was not, a second after the failure */
  readonly endedMs: number;
  readonly puts: readonly Put[];
  readonly recovery: RecoveryReport;
  readonly hasNewName: boolean;
  /** what the node had of the keys when it was back, before it could hear of anybody: ids by key */
  readonly held: ReadonlyMap<string, readonly number[]>;
  /** the same after its machine had lost power too */
  readonly heldAfterPower: ReadonlyMap<string, readonly number[]>;
  /** then, too: keys of which it held less than its store had said, to whomever */
  readonly lost: readonly string[];
  /** in the end all its partitions were compared with both others, none is suspect, and all hold the same */
  readonly isVerified: boolean;
  /** keys that were not answered to strict readers afterwards */
  readonly unreadCount: number;
}

/** Whether a node said that it holds the write, durably, before the client was answered. */
export function isHeldBy(node: number, { answer }: Put): boolean {
  if (answer === "gone" || answer.kind !== "applied") return false;
  const id = nodeIdOf(`n${node + 1}`);
  return (
    answer.explain?.replicas.some((one) => one.node === id && one.role === "owner" && one.answer === "ok") === true
  );
}

/** What the client of a write knows of it. */
export function outcomeOf({ answer }: Put): string {
  if (answer === "gone") return "unknown";
  return answer.kind === "failed" ? answer.outcome : answer.kind;
}

/** Lets one call of the disk of n2 fail while clients write; n2 starts again alone, loses power (again), and comes back. */
export async function failOnce(on: Stage, failure: DiskFailure): Promise<DiskFailureTold> {
  const { operation, losesPower, ledger, keyCount } = failure;
  on.isStrict = true;
  const load = new Load(on, keyCount);
  await on.sleep(300);
  const actor = on.node(FAULTY).engine.identity.actor;
  const { failedMs, endedMs } = await breakDisk(on, operation);
  await on.sleep(SERVE_ON_MS);
  on.cluster.end(FAULTY, { kind: "kill" });
  const puts = await load.stop();

  if (losesPower) on.cluster.losePower(FAULTY, POWER.outcome);
  await startAlone(on);
  const { recovery, identity } = on.node(FAULTY).engine;
  const held = await heldOf(on, keyCount);
  on.cluster.end(FAULTY, POWER);
  await startAlone(on);
  const heldAfterPower = await heldOf(on, keyCount);
  const lost = await ledger.lostAt(FAULTY, on.node(FAULTY).engine);

  on.cluster.network.heal();
  await on.allServe();
  const unreadCount = await countUnread(on, keyCount);
  const isVerified = await on.until(() => isTrusted(on) && on.areRootsEqual(), VERIFIED_WITHIN_MS);
  await on.finish();
  const hasNewName = identity.actor !== actor;
  return { failedMs, endedMs, puts, recovery, hasNewName, held, heldAfterPower, lost, isVerified, unreadCount };
}

async function breakDisk(on: Stage, operation: "write" | "fdatasync"): Promise<{ failedMs: number; endedMs: number }> {
  const gone = on.cluster.gone(FAULTY).then(() => on.nowMs);
  let failedMs: number | undefined;
  const onFailure = (): void => {
    failedMs = on.nowMs;
  };
  const skip = on.random.below(4);
  // what clients wait for is durable when its write returns; what is flushed apart is new segments and indexes
  const which = operation === "write" ? { path: ".log", isDurable: true as const } : { path: "segments/" };
  on.cluster.breakDisk(FAULTY, { on: [operation], code: "EIO", times: 1, skip, onFailure, ...which });
  await on.until(() => failedMs !== undefined, 10_000);
  if (failedMs === undefined) throw new Error(`no ${operation} has failed`);
  const endedMs = await Promise.race([gone, on.sleep(1_000).then(() => Number.POSITIVE_INFINITY)]);
  return { failedMs, endedMs };
}

/** The node starts, and neither hears nor is heard. */
async function startAlone(on: Stage): Promise<void> {
  for (const other of [0, 2]) on.cluster.network.partition(on.cluster.hostOf(FAULTY), on.cluster.hostOf(other));
  on.cluster.start(FAULTY);
  if (!(await on.until(() => on.cluster.inside(FAULTY) !== undefined, 10_000))) {
    throw new Error(`${on.cluster.hostOf(FAULTY)} does not start alone`);
  }
}

async function heldOf(on: Stage, keyCount: number): Promise<ReadonlyMap<string, readonly number[]>> {
  const held = new Map<string, readonly number[]>();
  for (let at = 0; at < keyCount; at += 1) {
    const ids = await on.heldIds(FAULTY, keyName(at));
    if (ids !== undefined) held.set(keyName(at), ids);
  }
  return held;
}

/** Reads each key once through each in turn: strictly, so that the oracle misses what was acknowledged and is not there. */
async function countUnread(on: Stage, keyCount: number): Promise<number> {
  const client = on.client();
  let count = 0;
  for (let at = 0; at < keyCount; at += 1) {
    const door = on.door(at % 3);
    const answer = door === undefined ? "gone" : await client.read(door, keyName(at));
    if (answer === "gone" || answer.kind === "failed") count += 1;
  }
  return count;
}

function isTrusted(on: Stage): boolean {
  const { neverVerified, suspectPartitions } = on.node(FAULTY).healing.status();
  return neverVerified === 0 && suspectPartitions === 0;
}

/** Clients that write until they are told to stop. */
class Load {
  readonly #on: Stage;
  readonly #onceCount: number;
  readonly #puts: Put[] = [];
  readonly #running: Promise<unknown>;
  #nextKey = 0;
  #isOver = false;

  constructor(on: Stage, keyCount: number) {
    this.#on = on;
    this.#onceCount = keyCount - BUSY_KEYS;
    const writers = [0, 1, 2, 0, 1, 2].map((through) => this.#writeOnceEach(through, 2));
    const careful = [0, 2, 0, 2].map((through) => this.#writeOnceEach(through, "all"));
    const busy = [0, 1].map((first) => this.#writeOver(first));
    this.#running = Promise.all([...writers, ...careful, ...busy]);
  }

  async stop(): Promise<readonly Put[]> {
    this.#isOver = true;
    await this.#running;
    return this.#puts;
  }

  /** The writers take turns at the keys. */
  async #writeOnceEach(through: number, w: QuorumLevel): Promise<void> {
    const { random } = this.#on;
    const client = this.#on.client({ w, explain: true });
    while (!this.#isOver && this.#nextKey < this.#onceCount) {
      await this.#on.sleep(random.float() * THINK_MS);
      const key = keyName(this.#nextKey);
      this.#nextKey += 1;
      await this.#put(client, { key, through, w });
    }
  }

  /** Without a pause through the faulty node, until it is gone: there is always somebody who waits for it. */
  async #writeOver(first: number): Promise<void> {
    const client = this.#on.client({ explain: true });
    for (let at = first; !this.#isOver && this.#on.door(FAULTY) !== undefined; at += 2) {
      const key = keyName(this.#onceCount + (at % BUSY_KEYS));
      const answer = await this.#put(client, { key, through: FAULTY, w: 2 });
      // a refusal may take no time at all, and time would then stand still
      if (answer !== "gone" && answer?.kind !== "applied") await this.#on.sleep(THINK_MS);
    }
  }

  async #put(client: SimClient, what: Pick<Put, "key" | "through" | "w">): Promise<Put["answer"] | undefined> {
    const { key, through } = what;
    const door = this.#on.door(through);
    if (door === undefined) return undefined;
    const startedMs = this.#on.nowMs;
    const basis = client.seen(key) ?? "blind-sibling";
    const answer = await client.write(door, key, { kind: "put", basis });
    const id = answer !== "gone" && answer.kind === "applied" ? client.seen(key)?.saw.at(-1) : undefined;
    this.#puts.push({ ...what, id, startedMs, endedMs: this.#on.nowMs, answer });
    return answer;
  }
}
