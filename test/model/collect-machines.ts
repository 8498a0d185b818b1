/**
 * Machines that run the holder's core of tombstone collection: their disks and clocks, what they promise and mint, which settings they
 * know, and messages that come late, twice or never. Everything comes from one seed. Must never decide what a core decides.
 */
import { parseNodeId } from "../../services/base/ids.ts";
import { CollectFloors } from "../../services/repair/collect-floors-core.ts";
import { HolderCore } from "../../services/repair/collect-holder-core.ts";
import { encodeFloors, restoreFloors } from "../../services/repair/collect-marks-codec.ts";
import type { KnownRules } from "../../services/repair/collect-rules-core.ts";
import type { CausalContext, SiblingSet } from "../../services/versioning/types.ts";
import { type SeededDraws, seededDraws } from "../support/seeded.ts";
import {
  BASE_MS,
  type CollectCounts,
  type CollectPlan,
  type Disk,
  FIRST_HEAD,
  FIRST_SETTING,
  type Life,
  type Machine,
  type Message,
  NODES,
  type Op,
  P,
  RULED,
  rulesFor,
  type Setting,
} from "./collect-life.ts";

export class Machines {
  now = 0;
  readonly violations: string[] = [];
  readonly ops: Op[] = [];
  readonly counts: CollectCounts = {
    writes: 0,
    applied: 0,
    deletes: 0,
    rounds: 0,
    collected: 0,
    restores: 0,
    moves: 0,
    catchUps: 0,
    staleDropped: 0,
    reads: 0,
    rules: 0,
  };
  readonly machines: Machine[];
  readonly plan: CollectPlan;
  readonly draws: SeededDraws;
  readonly messages: Message[] = [];
  /** copies of versions that were once sent: they may come again at any time */
  readonly sent: { readonly key: string; readonly object: SiblingSet }[] = [];
  readonly seen: Map<string, CausalContext> = new Map();
  readonly backups: { readonly at: number; readonly takenAt: number; readonly disk: Disk }[] = [];
  /** dots whose delete was collected somewhere */
  readonly gone: Set<string> = new Set();
  /** clocks are hours off in some lives: in those few rounds come to their end */
  readonly isWild: boolean;
  /** the key `k2` gets fewer replicas and more in some lives; drawn apart, so that the others stay as they are */
  readonly isRuled: boolean;
  readonly ruleDraws: SeededDraws;
  /** in some lives holders hardly ever compare what they have */
  readonly isLazy: boolean;
  actorCount = 0;
  isCalm = false;

  constructor(seed: number, plan: CollectPlan) {
    this.plan = plan;
    this.draws = seededDraws(seed);
    this.isWild = this.chance(0.4);
    this.ruleDraws = seededDraws(seed + 1_000_000);
    this.isRuled = plan.isCalm !== true && this.ruleDraws.below(3) === 0;
    this.isLazy = seededDraws(seed + 2_000_000).below(2) === 0;
    this.machines = NODES.map((at) => {
      const id = parseNodeId(`n${at}`);
      if (id === undefined) throw new Error("a node id");
      const slot = at < 3 ? at : -1;
      const disk = {
        objects: new Map(),
        hints: new Map(),
        marks: encodeFloors(new CollectFloors(1), FIRST_HEAD),
        slot,
        tenure: 0,
        lease: 0,
        setting: FIRST_SETTING,
      };
      const isSkewed = plan.isCalm !== true && this.isWild && this.chance(0.12);
      const skewMs = isSkewed ? (this.chance(0.5) ? 5_000 : -5_000) : 0;
      return { id, disk, life: undefined, skewMs, era: 0, isOld: false };
    });
  }

  below(bound: number): number {
    return this.draws.below(bound);
  }

  chance(share: number): boolean {
    return this.draws.u32() < share * 2 ** 32;
  }

  holders(): readonly number[] {
    return NODES.filter((at) => (this.machines[at]?.disk.slot ?? -1) >= 0);
  }

  at(at: number): Machine {
    const machine = this.machines[at];
    if (machine === undefined) throw new Error(`no node ${at}`);
    return machine;
  }

  newActor(): number {
    this.actorCount += 1;
    return this.actorCount;
  }

  wallMicros(at: number): number {
    return (BASE_MS + this.now + this.at(at).skewMs) * 1_000;
  }

  isQuiet(): boolean {
    return this.now % 1_500 > 500;
  }

  hasHeardAll(at: number): boolean {
    const { life } = this.at(at);
    return this.holders().every((one) => one === at || life?.peers.has(one) === true);
  }

  // ── messages

  later(to: number, run: () => void): void {
    // Most come soon, some long after everyone has given up.
    const delay = this.chance(this.isQuiet() ? 0.99 : 0.85) ? this.below(12) : this.below(600);
    this.messages.push({ to, dueAt: this.now + delay, run });
    if (this.chance(0.1)) this.messages.push({ to, dueAt: this.now + this.below(1_000), run });
  }

  deliverDue(): void {
    for (let at = 0; at < this.messages.length; ) {
      const message = this.messages[at];
      if (message === undefined || message.dueAt > this.now) {
        at += 1;
        continue;
      }
      this.messages.splice(at, 1);
      const isLost = !this.isCalm && this.chance(this.isQuiet() ? 0.005 : 0.05);
      if (!isLost && this.at(message.to).life !== undefined) message.run();
    }
  }

  // ── what is durable

  mint(at: number, life: Life): number {
    life.last = Math.max(life.last + 1, this.wallMicros(at));
    const { disk } = this.at(at);
    disk.lease = Math.max(disk.lease, life.last + 1_000);
    return life.last;
  }

  promise(at: number, floor: number): void {
    const { life, disk } = this.at(at);
    if (life === undefined) return;
    if (this.plan.withoutPromise !== true) {
      life.last = Math.max(life.last, floor);
      disk.lease = Math.max(disk.lease, floor);
    }
    life.core.hasPromised(floor);
  }

  persist(at: number): void {
    const { disk, life } = this.at(at);
    if (life !== undefined) this.encode(disk, life);
  }

  encode(disk: Disk, { core, floors, rules }: Life): void {
    disk.marks = encodeFloors(floors, { promised: core.promised, rules });
  }

  durable({ disk }: Machine): CollectFloors {
    const floors = new CollectFloors(1);
    restoreFloors(floors, disk.marks);
    return floors;
  }

  // ── settings

  learnRules(at: number, setting: Setting): void {
    const { disk, life } = this.at(at);
    if (life === undefined || setting.version <= disk.setting.version) return;
    disk.setting = setting;
    life.rules = this.rulesAfter(life.core, life.rules, disk);
    this.persist(at);
  }

  rulesAfter(core: HolderCore, before: KnownRules, { setting, slot }: Disk): KnownRules {
    if (this.plan.withoutDoubt === true) return rulesFor(setting);
    return core.rulesChanged(before, rulesFor(setting), () => slot);
  }

  /** Whether the slot should have the key, as the node believes. */
  has(at: number, key: string, slot: number): boolean {
    return slot >= 0 && (key !== RULED || slot < this.at(at).disk.setting.n);
  }

  /** What is held of the key is no answer to a read. */
  isHidden(at: number, key: string): boolean {
    const { life, disk } = this.at(at);
    if (life === undefined || this.plan.readingAll === true) return false;
    if (life.floors.isHidden(P)) return true;
    const raised = life.rules.raised.find(([name]) => name === key);
    return life.floors.doubtOf(P) === "rules" && raised !== undefined && raised[1] <= disk.slot;
  }

  areRulesSettled(): boolean {
    const isOne = new Set(this.machines.map(({ disk }) => disk.setting.version)).size === 1;
    const marks = this.holders().map((at) => this.at(at).life?.floors ?? this.durable(this.at(at)));
    return isOne && marks.every((floors) => floors.doubtOf(P) === undefined);
  }
}
