/**
 * The operator of a simulated cluster: machines join, leave, are removed, replaced and wiped, several at a time. Insists
 * until what was begun is done, through whatever member takes orders. Must never ask for more than the system promises:
 * one lost disk at a time, and never fewer than N members that have theirs.
 */
import type { MembershipOrder } from "../../services/cluster/membership-messages.ts";
import type { GyreNode } from "../../services/node/node.ts";
import type { MemberKey, MemberStatus } from "../../services/placement/member-record.ts";
import { HealWatch } from "./heal-watch.ts";
import type { RingLook } from "./ring-look.ts";
import type { SimCluster } from "./sim-cluster.ts";
import { nodeIdOf, SIM_REPLICAS } from "./sim-machine.ts";
import type { SimRandom } from "./sim-random.ts";

/** What an operator does. */
export type RingDeed = "join" | "leave" | "abort" | "weight" | "remove" | "replace" | "wipe" | "retire";

const DEEDS: readonly RingDeed[] = [
  "join",
  "join",
  "leave",
  "leave",
  "abort",
  "weight",
  "remove",
  "replace",
  "wipe",
  "retire",
];
const MAX_MACHINES = 7;
const POLL_MS = 60;

/**
 * `spare`: empty and out of service · `entering`: becomes a member · `member` · `leaving` · `left`: runs, and is none ·
 * `lost`: its disk is gone for good.
 */
type Standing = "spare" | "entering" | "member" | "leaving" | "left" | "lost";

/** The world as the operator may touch it. */
export interface OperatedWorld {
  readonly cluster: SimCluster;
  readonly look: RingLook;
  readonly random: SimRandom;
  sleep(ms: number): Promise<void>;
  /** a disk is gone for good */
  onLoss(): void;
}

/** One life's operator. */
export class RingOperator {
  readonly #world: OperatedWorld;
  readonly #standings = new Map<number, Standing>();
  readonly #meanPauseMs: number;
  readonly #kinds: readonly RingDeed[];
  /** what is under way, in words */
  readonly underWay: Set<string> = new Set();
  /** what was done, in order */
  readonly deeds: string[] = [];
  #isLosing = false;
  /** since the last loss was mended; undefined: all is as before it */
  #healing: HealWatch | undefined;

  constructor(world: OperatedWorld) {
    this.#world = world;
    this.#meanPauseMs = [300, 1_000, 3_000][world.random.below(3)] ?? 1_000;
    // Swarm: some lives only grow, some only lose disks, …
    const kinds = DEEDS.filter(() => world.random.chance(0.6));
    this.#kinds = kinds.length === 0 ? ["join", "leave"] : kinds;
    for (let node = 0; node < world.cluster.size; node += 1) this.#standings.set(node, "member");
  }

  /** Begins deeds until `isOver`; resolves when all that was begun is done. */
  async run(isOver: () => boolean): Promise<void> {
    const { random, sleep } = this.#world;
    const begun: Promise<void>[] = [];
    await sleep(random.float() * 500);
    while (!isOver()) {
      this.#reviewHealing();
      const kind = this.#kinds[random.below(this.#kinds.length)];
      if (kind !== undefined) begun.push(this.#begin(kind));
      await sleep(20 + random.exponential(this.#meanPauseMs));
    }
    await Promise.all(begun);
  }

  async #begin(kind: RingDeed): Promise<void> {
    // Such an order may also have let one go that was to stay.
    for (const [node, standing] of this.#standings) {
      if (standing === "member" && this.#statusOf(node) === "left") this.#standings.set(node, "left");
    }
    switch (kind) {
      case "join":
        return this.#join();
      case "leave":
        return this.#leave(false);
      case "abort":
        return this.#leave(true);
      case "weight":
        return this.#weigh();
      case "remove":
        return this.#remove();
      case "replace":
        return this.#replace();
      case "wipe":
        return this.#wipe();
      case "retire":
        return this.#retire();
    }
  }

  /** A new machine, one that was emptied, or one that had left. */
  async #join(): Promise<void> {
    const { cluster } = this.#world;
    const node = this.#pick("left") ?? this.#spare();
    if (node === undefined) return;
    const isBack = this.#standings.get(node) === "left";
    this.#standings.set(node, "entering");
    await this.#during(`${isBack ? "join again" : "join"} n${node + 1}`, async () => {
      if (isBack) return this.#insist(node, { kind: "join", replaces: undefined }, ["joining", "normal"]);
      cluster.wipe(node, "auto");
      cluster.start(node);
      await this.#until(() => this.#statusOf(node) !== undefined);
    });
    this.#standings.set(node, "member");
  }

  async #leave(isTakenBack: boolean): Promise<void> {
    const { random, sleep } = this.#world;
    const node = this.#count("member") > SIM_REPLICAS ? this.#pick("member") : undefined;
    if (node === undefined) return;
    this.#standings.set(node, "leaving");
    await this.#during(`leave n${node + 1}`, async () => {
      await this.#insist(node, { kind: "leave" }, ["leaving", "left"]);
      if (isTakenBack) {
        await sleep(random.exponential(300));
        this.deeds.push(`take back n${node + 1}`);
        await this.#insist(node, { kind: "abort" }, ["normal", "left"]);
      }
      await this.#untilOut(node, isTakenBack);
    });
    this.#standings.set(node, this.#statusOf(node) === "normal" ? "member" : "left");
  }

  /** An order that was given up long ago may still arrive, and take the node back: then it is told to leave once more. */
  async #untilOut(node: number, isTakenBack: boolean): Promise<void> {
    const isOneOf = (...some: readonly MemberStatus[]): boolean =>
      some.some((status) => status === this.#statusOf(node));
    await this.#until(() => isOneOf("left", "normal"));
    while (!isTakenBack && !isOneOf("left")) {
      await this.#insist(node, { kind: "leave" }, ["leaving", "left"]);
      await this.#until(() => isOneOf("left", "normal"));
    }
  }

  async #weigh(): Promise<void> {
    const node = this.#pick("member");
    if (node === undefined) return;
    const weight = [0.5, 1, 2][this.#world.random.below(3)] ?? 1;
    this.#standings.set(node, "entering");
    await this.#during(`weigh n${node + 1} ${weight}`, () =>
      this.#insist(node, { kind: "weight", weight }, ["joining", "normal", "leaving"]),
    );
    this.#standings.set(node, "member");
  }

  /** A machine burns; some time later an operator takes it off the ring. */
  async #remove(): Promise<void> {
    const { cluster, random, sleep } = this.#world;
    const node = this.#count("member") > SIM_REPLICAS ? this.#pick("member") : undefined;
    const key = this.#keyOf(node);
    if (node === undefined || key === undefined || !this.#mayLose) return;
    await this.#losing(node, `remove n${node + 1}`, async () => {
      cluster.retire(node);
      await sleep(random.exponential(800));
      await this.#removeKey(key);
      await this.#until(() => this.#world.look.isMended([key]));
    });
    this.#standings.set(node, "spare");
  }

  /** A machine burns; another one takes its place under its own name. */
  async #replace(): Promise<void> {
    const { cluster, random, sleep } = this.#world;
    const node = this.#count("member") >= SIM_REPLICAS ? this.#pick("member") : undefined;
    const key = this.#keyOf(node);
    if (node === undefined || key === undefined || !this.#mayLose) return;
    const heir = this.#spare();
    if (heir === undefined) return;
    this.#standings.set(heir, "entering");
    await this.#losing(node, `replace n${node + 1} with n${heir + 1}`, async () => {
      cluster.retire(node);
      await sleep(random.exponential(800));
      cluster.wipe(heir, "manual");
      cluster.start(heir);
      await this.#insist(heir, { kind: "join", replaces: key }, ["joining", "normal"]);
      await this.#until(() => this.#world.look.isMended([key]));
    });
    this.#standings.set(heir, "member");
    this.#standings.set(node, "spare");
  }

  /** A disk is lost, and its node comes back empty under the same name. */
  async #wipe(): Promise<void> {
    const { cluster, random, sleep } = this.#world;
    const node = this.#count("member") >= SIM_REPLICAS ? this.#pick("member") : undefined;
    const key = this.#keyOf(node);
    if (node === undefined || key === undefined || !this.#mayLose) return;
    await this.#losing(node, `wipe n${node + 1}`, async () => {
      cluster.retire(node);
      await sleep(random.exponential(300));
      cluster.wipe(node, "auto");
      cluster.start(node);
      await this.#until(() => this.#statusOf(node) !== undefined);
      await this.#until(() => this.#world.look.isMended([key]));
    });
    this.#standings.set(node, "member");
  }

  /** A node that has left is switched off and emptied. */
  async #retire(): Promise<void> {
    const node = this.#pick("left");
    const key = this.#keyOf(node);
    // Who is switched off before others have heard that it left is a dead member, which would have to be removed.
    if (node === undefined || key === undefined || this.#countKnowing(node, key, "left") < SIM_REPLICAS - 1) return;
    this.deeds.push(`retire n${node + 1}`);
    this.#world.cluster.retire(node);
    this.#standings.set(node, "spare");
  }

  /** One loss at a time. */
  async #losing(node: number, what: string, act: () => Promise<void>): Promise<void> {
    this.#isLosing = true;
    this.#world.onLoss();
    this.#standings.set(node, "lost");
    await this.#during(what, act);
    this.#healing = new HealWatch(this.#world.cluster, this.#world.look);
    this.#isLosing = false;
  }

  /** The next disk may be lost when all slots are held again, and all that was acknowledged lies on as many disks as before. */
  get #mayLose(): boolean {
    return !this.#isLosing && this.#healing === undefined;
  }

  #reviewHealing(): void {
    if (this.#healing?.isHealed() === true) this.#healing = undefined;
  }

  async #during(what: string, act: () => Promise<void>): Promise<void> {
    this.deeds.push(what);
    this.underWay.add(what);
    await act();
    this.underWay.delete(what);
  }

  /** Orders it through one member after the other until the node says that it is so. */
  async #insist(node: number, order: MembershipOrder, wanted: readonly MemberStatus[]): Promise<void> {
    const id = nodeIdOf(this.#world.cluster.hostOf(node));
    for (;;) {
      const door = this.#door();
      const through = order.kind === "join" ? node : door;
      const inside = through === undefined ? undefined : this.#world.cluster.inside(through);
      if (through !== undefined && inside !== undefined) {
        const reply = await Promise.race([
          inside.operator.order(id, order).catch(refusal),
          this.#world.cluster.gone(through),
        ]);
        if (reply !== "gone" && reply.kind === "done") return;
        // The answer to the last try may have been lost.
        const status = this.#statusOf(node);
        if (order.kind !== "weight" && status !== undefined && wanted.includes(status)) return;
      }
      await this.#world.sleep(POLL_MS * 3);
    }
  }

  async #removeKey(key: MemberKey): Promise<void> {
    const { cluster, sleep } = this.#world;
    for (;;) {
      const door = this.#door();
      const inside = door === undefined ? undefined : cluster.inside(door);
      if (door !== undefined && inside !== undefined) {
        const removed = inside.membership.remove(key, undefined).then(() => "done" as const, refusal);
        if ((await Promise.race([removed, cluster.gone(door)])) === "done") return;
      }
      await sleep(POLL_MS * 3);
    }
  }

  async #until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await this.#world.sleep(POLL_MS);
  }

  /** A member that runs, whichever side of a split it is on. */
  #door(): number | undefined {
    const doors = [...this.#standings.keys()].filter((node) => {
      const status = this.#statusOf(node);
      return status !== undefined && status !== "left";
    });
    return doors[this.#world.random.below(Math.max(1, doors.length))];
  }

  #pick(standing: Standing): number | undefined {
    const some = [...this.#standings].filter(([, is]) => is === standing).map(([node]) => node);
    return some[this.#world.random.below(Math.max(1, some.length))];
  }

  #count(standing: Standing): number {
    return [...this.#standings.values()].filter((is) => is === standing).length;
  }

  /** An emptied machine, or a new one. */
  #spare(): number | undefined {
    const { cluster } = this.#world;
    const old = this.#pick("spare");
    if (old !== undefined || cluster.size >= MAX_MACHINES) return old;
    return cluster.addMachine();
  }

  #memberAt(node: number): GyreNode | undefined {
    const inside = this.#world.cluster.inside(node);
    return inside?.membership.isMember === true && !inside.membership.isRemoved ? inside : undefined;
  }

  #statusOf(node: number): MemberStatus | undefined {
    return this.#memberAt(node)?.membership.store.record.status;
  }

  /** The key of a member, if others have heard of it: one that burns before that leaves nothing to be removed. */
  #keyOf(node: number | undefined): MemberKey | undefined {
    const key = node === undefined ? undefined : this.#memberAt(node)?.membership.store.record.key;
    if (node === undefined || key === undefined) return undefined;
    return this.#countKnowing(node, key) >= SIM_REPLICAS - 1 ? key : undefined;
  }

  /** Other members that run and know of it, or know this of it. */
  #countKnowing(node: number, key: MemberKey, status?: MemberStatus): number {
    return [...this.#standings.keys()].filter((other) => {
      const record = this.#memberAt(other)?.membership.set?.recordOf(key);
      return other !== node && record !== undefined && (status === undefined || record.status === status);
    }).length;
  }
}

function refusal(): { readonly kind: "refused" } {
  return { kind: "refused" };
}
