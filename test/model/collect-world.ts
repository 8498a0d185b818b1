/**
 * A small cluster around the cores of tombstone collection: three holders and two stand-ins, one partition, two keys, messages
 * that come late or twice, machines that crash, clocks hours apart, a disk that is set back to an older copy, slots that
 * move. Everything durable is durable at once: what is checked is the protocol. One step is about a millisecond.
 */
import type { NodeId } from "../../services/base/ids.ts";
import { parseNodeId } from "../../services/base/ids.ts";
import { type CollectAnswer, type CollectQuestion, CollectRound } from "../../services/repair/collect-core.ts";
import { CollectFloors, type CollectMark, NO_MARK } from "../../services/repair/collect-floors-core.ts";
import { HolderCore } from "../../services/repair/collect-holder-core.ts";
import { encodeFloors, restoreFloors } from "../../services/repair/collect-marks-codec.ts";
import { fingerprintOf, type KnownRules, rulesOf } from "../../services/repair/collect-rules-core.ts";
import { sourceOf } from "../../services/repair/collect-sources-core.ts";
import { caughtUp, leftOfStale, withoutStale } from "../../services/replica/stale-versions.ts";
import { covers, EMPTY_CONTEXT, greatestCounter } from "../../services/versioning/causal-context.ts";
import { decodeSet, digestOf, encodeSet } from "../../services/versioning/object-codec.ts";
import { EMPTY, holds, merge, put, remove } from "../../services/versioning/sibling-set.ts";
import type { CausalContext, Dot, SiblingSet } from "../../services/versioning/types.ts";
import { type SeededDraws, seededDraws } from "../support/seeded.ts";

/** Bugs that may be planted: what is done otherwise than it should be. */
export interface CollectPlan {
  /** tombstones go when they are old enough, and nobody is asked */
  readonly byTimer?: boolean;
  readonly withoutPromise?: boolean;
  readonly withoutHints?: boolean;
  /** the first of the other holders is asked, and stands for both */
  readonly withOneOther?: boolean;
  /** roots are not compared */
  readonly withoutLook?: boolean;
  /** what comes late is taken whatever was collected */
  readonly withoutLine?: boolean;
  /** who took no part is believed like the others */
  readonly believingAll?: boolean;
  /** whoever noted a floor is believed, whatever it noted it under */
  readonly trustingAnyRules?: boolean;
  /** a slot that should have keys that it had not goes on as before */
  readonly withoutDoubt?: boolean;
  /** what comes late is kept without what is below the line, whether or not that was deleted for certain */
  readonly droppingAnywhere?: boolean;
  /** a read takes the word of one that is behind */
  readonly readingAll?: boolean;
  /** clocks are right, and no disk is set back: nothing but deletes and delays */
  readonly isCalm?: boolean;
}

/** One write as it happened. */
export interface Op {
  readonly key: string;
  readonly dot: Dot;
  readonly kind: "put" | "delete";
  /** what it replaces */
  readonly given: CausalContext;
  readonly startedAt: number;
  /** copies that the answer waits for */
  readonly needed: number;
  /** who has confirmed it in time for the answer */
  readonly acks: Set<number>;
  /** where it still is for that reason: less by disks that were set back */
  readonly places: Set<number>;
  isApplied: boolean;
}

interface Disk {
  objects: Map<string, SiblingSet>;
  hints: Map<string, SiblingSet>;
  marks: Uint8Array;
  slot: number;
  tenure: number;
  lease: number;
  /** replicas of the key `k2`, and how new that is */
  setting: Setting;
}

interface Setting {
  readonly n: number;
  readonly version: number;
}

interface Leading {
  readonly round: CollectRound;
  readonly mark: CollectMark;
  readonly rules: bigint;
  asked: number;
  pending: number;
  settledAt: number;
  attempt: number;
}

interface CatchingUp {
  readonly peer: number;
  readonly line: number;
  readonly rules: bigint;
  readonly mark: CollectMark;
  readonly keys: string[];
}

/** What a holder told of its marks: a floor of 0 stands for one that is not to be believed. */
interface ToldMarks {
  readonly floor: number;
  readonly reaped: CollectMark | undefined;
  readonly rules: bigint;
}

interface Life {
  readonly core: HolderCore;
  readonly floors: CollectFloors;
  last: number;
  readonly actor: number;
  readonly hintActor: number;
  readonly peers: Map<number, ToldMarks>;
  rules: KnownRules;
  leading: Leading | undefined;
  catchingUp: CatchingUp | undefined;
}

interface Machine {
  readonly id: NodeId;
  disk: Disk;
  /** undefined: down */
  life: Life | undefined;
  skewMs: number;
  /** times that its disk was set back, or lost its slot's copy */
  era: number;
  /** its disk was set back, and it has not caught up since: it may show what it likes */
  isOld: boolean;
}

interface Message {
  readonly to: number;
  readonly dueAt: number;
  readonly run: () => void;
}

/** What happened, so that an empty check is seen. */
export interface CollectCounts {
  writes: number;
  applied: number;
  deletes: number;
  rounds: number;
  collected: number;
  restores: number;
  moves: number;
  catchUps: number;
  staleDropped: number;
  reads: number;
  rules: number;
}

const P = 0;
const KEYS = ["k1", "k2"];
const BASE_MS = 1_000_000_000;
const DEADLINE = 30;
const SETTLE = 62;
const MIN_AGE = 40;
const ANSWER_WITHIN = 25;
const LOOKS = 3;
const MEMBERS = "all";
const RULED = "k2";
const FIRST_SETTING: Setting = { n: 3, version: 0 };
const FIRST_HEAD = { promised: 0, rules: rulesFor(FIRST_SETTING) };
const NODES = [0, 1, 2, 3, 4];

/** One life of the cluster. */
export class CollectWorld {
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
  readonly #plan: CollectPlan;
  readonly #draws: SeededDraws;
  readonly #messages: Message[] = [];
  /** copies of versions that were once sent: they may come again at any time */
  readonly #sent: { readonly key: string; readonly object: SiblingSet }[] = [];
  readonly #seen = new Map<string, CausalContext>();
  readonly #backups: { readonly at: number; readonly takenAt: number; readonly disk: Disk }[] = [];
  /** dots whose delete was collected somewhere */
  readonly #gone = new Set<string>();
  /** clocks are hours off in some lives: in those few rounds come to their end */
  readonly #isWild: boolean;
  /** the key `k2` gets fewer replicas and more in some lives; drawn apart, so that the others stay as they are */
  readonly #isRuled: boolean;
  readonly #ruleDraws: SeededDraws;
  #actorCount = 0;
  isCalm = false;

  constructor(seed: number, plan: CollectPlan) {
    this.#plan = plan;
    this.#draws = seededDraws(seed);
    this.#isWild = this.chance(0.4);
    this.#ruleDraws = seededDraws(seed + 1_000_000);
    this.#isRuled = plan.isCalm !== true && this.#ruleDraws.below(3) === 0;
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
      const isSkewed = plan.isCalm !== true && this.#isWild && this.chance(0.12);
      const skewMs = isSkewed ? (this.chance(0.5) ? 5_000 : -5_000) : 0;
      return { id, disk, life: undefined, skewMs, era: 0, isOld: false };
    });
    for (const at of NODES) this.start(at);
  }

  below(bound: number): number {
    return this.#draws.below(bound);
  }

  chance(share: number): boolean {
    return this.#draws.u32() < share * 2 ** 32;
  }

  /** One step of chaos. */
  step(): void {
    const isQuiet = this.#isQuiet();
    if (this.#isRuled && this.#ruleDraws.below(50) === 0) this.#changeRules(1 + this.#ruleDraws.below(3));
    this.now += 1 + this.below(isQuiet ? 6 : 3);
    this.#deliverDue();
    // Storms of writes and crashes, and quiet hours in which a round can come to its end.
    if (isQuiet) this.#quietStep(this.below(100));
    else this.#stormyStep(this.below(100));
  }

  #quietStep(dice: number): void {
    if (dice < 1) this.#write();
    else if (dice < 8) this.#read();
    else if (dice < 18) this.#antiEntropy(this.below(5), this.below(5));
    else if (dice < 30) this.#deliverHints(this.below(5));
    else if (dice < 66) this.#lead();
    else if (dice < 78) this.#hear(this.below(5), this.below(5));
    else if (dice < 86) this.#sweep(this.below(5));
    else if (dice < 93) for (const at of NODES) this.start(at);
    else if (dice < 95) this.#backUp(this.below(5));
    else if (dice < 96) this.#restore();
    else if (dice < 97) this.#repeatOld(this.below(5));
    else if (dice < 98 && this.chance(0.15)) this.#crash(this.below(5));
    else if (dice < 99 && this.chance(0.2)) this.#move();
    else if (this.chance(0.3)) this.#setClock(this.below(5));
  }

  #stormyStep(dice: number): void {
    if (dice < 22) this.#write();
    else if (dice < 40) this.#read();
    else if (dice < 50) this.#antiEntropy(this.below(5), this.below(5));
    else if (dice < 56) this.#deliverHints(this.below(5));
    else if (dice < 66) this.#lead();
    else if (dice < 74) this.#hear(this.below(5), this.below(5));
    else if (dice < 80) this.#sweep(this.below(5));
    else if (dice < 84) this.#crash(this.below(5));
    else if (dice < 92) this.start(this.below(5));
    else if (dice < 95) this.#backUp(this.below(5));
    else if (dice < 97) this.#restore();
    else if (dice < 98) this.#move();
    else this.#repeatOld(this.below(5));
  }

  /** The trouble ends: all run, clocks are right, what is on its way arrives, everyone heals. */
  settle(): void {
    this.isCalm = true;
    for (const machine of this.machines) machine.skewMs = 0;
    for (const at of NODES) this.start(at);
    this.now += 10_000;
    for (let pass = 0; pass < 16; pass += 1) {
      this.now += 100;
      // once whoever was set back has caught up: of both at once nothing is promised
      if (this.#isRuled && pass === 6) this.#changeRules(3);
      this.#deliverDue();
      for (const at of NODES) this.#deliverHints(at);
      for (const at of NODES) for (const other of NODES) this.#antiEntropy(at, other);
      for (const at of NODES) for (const other of NODES) this.#hear(at, other);
      for (let some = 0; some < 8; some += 1) for (const at of NODES) this.#catchUpStep(at);
      this.#deliverDue();
      for (const at of NODES) this.#sweep(at);
    }
  }

  /** Leads rounds until nothing is left to collect, or too many were led. */
  collectAll(): void {
    for (let steps = 0; steps < 4_000 && this.tombstoneCount() > 0; steps += 1) {
      this.now += 5;
      this.#deliverDue();
      this.#lead();
      if (steps % 20 === 0) for (const at of NODES) for (const other of NODES) this.#hear(at, other);
      for (const at of NODES) this.#sweep(at);
      for (const at of NODES) this.#catchUpStep(at);
    }
  }

  /** Everything that was ever sent comes once more, everywhere. */
  repeatEverything(): void {
    for (const { key, object } of this.#sent) for (const at of this.holders()) this.#take(at, key, object, false);
  }

  holders(): readonly number[] {
    return NODES.filter((at) => (this.machines[at]?.disk.slot ?? -1) >= 0);
  }

  tombstoneCount(): number {
    const objects = this.holders().flatMap((at) => [...this.#at(at).disk.objects.values()]);
    return objects.filter((set) => set.siblings.length === 0).length;
  }

  /** What a holder has, as text. */
  contentOf(at: number): string {
    return this.#rootOf(at, 0);
  }

  /** What is wrong with what the holders have now. */
  judge(when: string): void {
    for (const op of this.ops) {
      if (op.kind === "delete") continue;
      const replacers = this.ops.filter((other) => other !== op && other.key === op.key && covers(other.given, op.dot));
      // What was in one place, and that place was set back, is as if it had never been.
      const isStanding = this.#stands(op);
      const held = this.holders().filter((at) => holds(this.#at(at).disk.objects.get(op.key) ?? EMPTY, op.dot));
      const name = `${op.key} ${op.dot.actor}.${op.dot.counter}`;
      if (isStanding && replacers.length === 0 && held.length < this.holders().length) {
        this.violations.push(`${when}: ${name} was applied, nobody replaced it, and only [${held.join()}] have it`);
      }
      if (replacers.some((other) => this.#stands(other)) && held.length > 0) {
        this.violations.push(`${when}: ${name} was replaced, and [${held.join()}] have it again`);
      }
    }
  }

  /** Applied, and somewhere still; where slots come and go for the key, at the one that always has it. */
  #stands({ key, isApplied, places }: Op): boolean {
    if (!this.#isRuled || key !== RULED) return isApplied && places.size > 0;
    return isApplied && [...places].some((place) => this.#at(place).disk.slot === 0);
  }

  start(at: number): void {
    const machine = this.#at(at);
    if (machine.life !== undefined) return;
    const floors = new CollectFloors(1);
    const head = restoreFloors(floors, machine.disk.marks);
    if (machine.disk.slot < 0) floors.forget(P);
    const core = new HolderCore(floors);
    const before = head?.rules ?? rulesFor(machine.disk.setting);
    const life: Life = {
      core,
      rules: this.#rulesAfter(core, before, machine.disk),
      floors,
      last: machine.disk.lease,
      actor: this.#newActor(),
      hintActor: this.#newActor(),
      peers: new Map(),
      leading: undefined,
      catchingUp: undefined,
    };
    machine.life = life;
    this.#promise(at, floors.highest());
    this.#persist(at);
    // A link comes up: marks are told before anything else is.
    for (const other of NODES) this.#hear(at, other);
    for (const other of NODES) this.#hear(other, at);
  }

  // ── settings ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #changeRules(n: number): void {
    const version = 1 + Math.max(...this.machines.map(({ disk }) => disk.setting.version));
    const at = NODES[this.#ruleDraws.below(NODES.length)] ?? 0;
    if (this.#at(at).life === undefined || (!this.isCalm && this.machines.some(({ isOld }) => isOld))) return;
    this.counts.rules += 1;
    for (const other of NODES) {
      // Some hear of it late, or when a link comes up.
      const learn = (): void => this.#learnRules(other, { n, version });
      if (other === at || this.isCalm || this.#ruleDraws.below(3) > 0) learn();
      else this.#messages.push({ to: other, dueAt: this.now + this.#ruleDraws.below(300), run: learn });
    }
  }

  #learnRules(at: number, setting: Setting): void {
    const { disk, life } = this.#at(at);
    if (life === undefined || setting.version <= disk.setting.version) return;
    disk.setting = setting;
    life.rules = this.#rulesAfter(life.core, life.rules, disk);
    this.#persist(at);
  }

  #rulesAfter(core: HolderCore, before: KnownRules, { setting, slot }: Disk): KnownRules {
    if (this.#plan.withoutDoubt === true) return rulesFor(setting);
    return core.rulesChanged(before, rulesFor(setting), () => slot);
  }

  /** Whether the slot should have the key, as the node believes. */
  #has(at: number, key: string, slot: number): boolean {
    return slot >= 0 && (key !== RULED || slot < this.#at(at).disk.setting.n);
  }

  /** What is held of the key is no answer to a read. */
  #isHidden(at: number, key: string): boolean {
    const { life, disk } = this.#at(at);
    if (life === undefined || this.#plan.readingAll === true) return false;
    if (life.floors.isHidden(P)) return true;
    const raised = life.rules.raised.find(([name]) => name === key);
    return life.floors.doubtOf(P) === "rules" && raised !== undefined && raised[1] <= disk.slot;
  }

  #isQuiet(): boolean {
    return this.now % 1_500 > 500;
  }

  #at(at: number): Machine {
    const machine = this.machines[at];
    if (machine === undefined) throw new Error(`no node ${at}`);
    return machine;
  }

  #newActor(): number {
    this.#actorCount += 1;
    return this.#actorCount;
  }

  #wallMicros(at: number): number {
    return (BASE_MS + this.now + this.#at(at).skewMs) * 1_000;
  }

  #later(to: number, run: () => void): void {
    // Most come soon, some long after everyone has given up.
    const delay = this.chance(this.#isQuiet() ? 0.99 : 0.85) ? this.below(12) : this.below(600);
    this.#messages.push({ to, dueAt: this.now + delay, run });
    if (this.chance(0.1)) this.#messages.push({ to, dueAt: this.now + this.below(1_000), run });
  }

  #deliverDue(): void {
    for (let at = 0; at < this.#messages.length; ) {
      const message = this.#messages[at];
      if (message === undefined || message.dueAt > this.now) {
        at += 1;
        continue;
      }
      this.#messages.splice(at, 1);
      const isLost = !this.isCalm && this.chance(this.#isQuiet() ? 0.005 : 0.05);
      if (!isLost && this.#at(message.to).life !== undefined) message.run();
    }
  }

  #mint(at: number, life: Life): number {
    life.last = Math.max(life.last + 1, this.#wallMicros(at));
    const { disk } = this.#at(at);
    disk.lease = Math.max(disk.lease, life.last + 1_000);
    return life.last;
  }

  #promise(at: number, floor: number): void {
    const { life, disk } = this.#at(at);
    if (life === undefined) return;
    if (this.#plan.withoutPromise !== true) {
      life.last = Math.max(life.last, floor);
      disk.lease = Math.max(disk.lease, floor);
    }
    life.core.hasPromised(floor);
  }

  #write(): void {
    const key = KEYS[this.below(KEYS.length)] ?? "k1";
    const at = this.below(5);
    const { life, disk } = this.#at(at);
    if (life === undefined || this.isCalm) return;
    const isHolder = this.#has(at, key, disk.slot);
    // who holds a slot that the key is left out of stands in for nobody
    if (!isHolder && disk.slot >= 0) return;
    const shelf = isHolder ? disk.objects : disk.hints;
    // Owners are asked first, if they can be reached.
    if (!isHolder && this.holders().some((one) => this.#at(one).life !== undefined) && this.chance(0.7)) return;
    const held = shelf.get(key) ?? EMPTY;
    const basis = this.below(3);
    const given = basis === 0 ? EMPTY_CONTEXT : basis === 1 ? held.clock : (this.#seen.get(key) ?? held.clock);
    const dot = { actor: isHolder ? life.actor : life.hintActor, counter: this.#mint(at, life) };
    const kind = this.chance(0.4) ? "delete" : "put";
    const sibling = { dot, expiresAtMs: 0, contentType: "", bytes: new Uint8Array(0) };
    const after = kind === "delete" ? remove(held, { context: given, dot }) : put(held, { context: given, sibling });
    const needed = 1 + this.below(2);
    const op: Op = {
      key,
      dot,
      kind,
      given,
      startedAt: this.now,
      needed,
      acks: new Set(),
      places: new Set(),
      isApplied: false,
    };
    this.ops.push(op);
    this.counts.writes += 1;
    if (kind === "delete") this.counts.deletes += 1;
    shelf.set(key, after);
    this.#acknowledge(op, { place: at, era: this.#at(at).era }, { by: at, life });
    this.#sent.push({ key, object: after });
    const others = this.holders().filter((one) => one !== at && this.#has(at, key, this.#at(one).disk.slot));
    for (const other of others) this.#storeAt(op, other, after, { by: at, life });
  }

  /** At an owner, or at a stand-in for it. */
  #storeAt(op: Op, owner: number, object: SiblingSet, from: { readonly by: number; readonly life: Life }): void {
    const isAway = this.#at(owner).life === undefined || this.chance(0.2);
    const to = isAway ? 3 + this.below(2) : owner;
    if (isAway && this.chance(0.2)) return;
    this.#later(to, () => {
      const { disk } = this.#at(to);
      if (isAway && disk.slot < 0) disk.hints.set(op.key, merge(disk.hints.get(op.key) ?? EMPTY, object));
      else if (disk.slot >= 0) this.#take(to, op.key, object, false);
      else return;
      const stored = { place: to, era: this.#at(to).era };
      this.#later(from.by, () => this.#acknowledge(op, stored, from));
    });
  }

  #acknowledge(
    op: Op,
    { place, era }: { readonly place: number; readonly era: number },
    { by, life }: { readonly by: number; readonly life: Life },
  ): void {
    if (this.#at(by).life !== life || this.now > op.startedAt + DEADLINE) return;
    op.acks.add(place);
    if (this.#at(place).era === era) op.places.add(place);
    if (op.acks.size >= op.needed && !op.isApplied) {
      op.isApplied = true;
      this.counts.applied += 1;
    }
  }

  /** A version comes in from another node. */
  #take(at: number, key: string, object: SiblingSet, isTrusted: boolean): void {
    const { disk, life } = this.#at(at);
    if (disk.slot < 0 || life === undefined) return;
    const line = isTrusted || this.#plan.withoutLine === true ? 0 : life.floors.lineOf(P);
    const held = disk.objects.get(key);
    const isCertain =
      (!life.floors.isBehind(P) && this.#has(at, key, disk.slot)) || this.#plan.droppingAnywhere === true;
    if (held === undefined) {
      const left = line === 0 ? object : decoded(leftOfStale(encodeSet(object), line));
      const isLess = left === undefined || left.siblings.length < object.siblings.length;
      if (isLess) this.counts.staleDropped += 1;
      if (left !== undefined && (!isLess || isCertain)) disk.objects.set(key, left);
    } else {
      const brought = line === 0 ? object : withoutStale(object, held, line);
      if (brought === object || isCertain) disk.objects.set(key, merge(held, brought));
    }
    const counter = greatestCounter(object.clock);
    if (counter <= this.#wallMicros(at) + 60_000_000) life.last = Math.max(life.last, counter);
  }

  #read(): void {
    const key = KEYS[this.below(KEYS.length)] ?? "k1";
    const up = this.holders().filter(
      (at) => this.#at(at).life !== undefined && this.#has(at, key, this.#at(at).disk.slot),
    );
    if (up.length < 2) return;
    const first = up[this.below(up.length)] ?? 0;
    const second = up.filter((at) => at !== first)[this.below(up.length - 1)] ?? 0;
    const set = merge(this.#at(first).disk.objects.get(key) ?? EMPTY, this.#at(second).disk.objects.get(key) ?? EMPTY);
    if ([first, second].some((at) => this.#isHidden(at, key))) return;
    this.#seen.set(key, set.clock);
    this.counts.reads += 1;
    // It has heard nobody since its disk was set back.
    if ([first, second].some((at) => this.#at(at).isOld && !this.#hasHeardAll(at))) return;
    for (const { dot } of set.siblings) {
      if (this.#gone.has(nameOf(key, dot))) {
        this.violations.push(
          `at ${this.now}: ${nameOf(key, dot)} is read at ${first} and ${second}, though its delete was collected`,
        );
      }
    }
    // Read repair, late or never.
    for (const at of [first, second])
      if (set.clock !== EMPTY_CONTEXT) this.#later(at, () => this.#take(at, key, set, false));
  }

  #antiEntropy(at: number, other: number): void {
    const here = this.#at(at);
    const there = this.#at(other);
    if (at === other || here.disk.slot < 0 || there.disk.slot < 0) return;
    if (here.life === undefined || there.life === undefined) return;
    const line = here.life.floors.lineOf(P);
    const isSameRules = fingerprintOf(here.life.rules) === fingerprintOf(there.life.rules);
    const isTrusted = this.#told(other).floor >= line && (isSameRules || this.#plan.trustingAnyRules === true);
    const higher = Math.max(here.disk.slot, there.disk.slot);
    const isShown = (key: string): boolean => this.#has(at, key, higher) && this.#has(other, key, higher);
    for (const [key, set] of there.disk.objects) if (isShown(key)) this.#take(at, key, set, line === 0 || isTrusted);
    for (const [key, set] of here.disk.objects) {
      if (!isShown(key)) continue;
      this.#sent.push({ key, object: set });
      this.#later(other, () => this.#take(other, key, set, false));
    }
  }

  /** To every owner; a hint that some owner could not take stays. */
  #deliverHints(at: number): void {
    const { disk, life } = this.#at(at);
    if (life === undefined) return;
    for (const [key, set] of disk.hints) {
      const owners = this.holders().filter((one) => this.#has(at, key, this.#at(one).disk.slot));
      const up = owners.filter((one) => this.#at(one).life !== undefined);
      for (const owner of up) this.#take(owner, key, set, false);
      if (up.length < owners.length) continue;
      disk.hints.delete(key);
      for (const op of this.ops) {
        if (op.key === key && op.places.has(at) && covers(set.clock, op.dot))
          for (const owner of up) op.places.add(owner);
      }
      this.#at(at).life = { ...life, hintActor: this.#newActor() };
      return;
    }
  }

  #sweep(at: number): void {
    const { disk, life } = this.#at(at);
    if (disk.slot < 0 || life === undefined) return;
    if (life.floors.isBehind(P) && this.#plan.byTimer !== true) return;
    const byTimer = (this.#wallMicros(at) / 1_000 - MIN_AGE) * 1_000;
    const floor = this.#plan.byTimer === true ? byTimer : life.floors.marksOf(P).reaped.floor;
    for (const [key, set] of disk.objects) {
      if (set.siblings.length > 0 || greatestCounter(set.clock) > floor) continue;
      disk.objects.delete(key);
      this.counts.collected += 1;
      this.#noteGone(key, set.clock);
    }
  }

  /** Whatever an applied write replaced and this tombstone covered is gone for good. */
  #noteGone(key: string, clock: CausalContext): void {
    for (const op of this.ops) {
      if (op.key !== key || !covers(clock, op.dot)) continue;
      const isReplaced = this.ops.some((other) => other.key === key && other.isApplied && covers(other.given, op.dot));
      if (isReplaced) this.#gone.add(nameOf(key, op.dot));
    }
  }

  #crash(at: number): void {
    this.#at(at).life = undefined;
  }

  /** An administrator turns the clock: right, or hours off. */
  #setClock(at: number): void {
    if (this.#plan.isCalm === true || !this.#isWild) return;
    this.#at(at).skewMs = [0, 0, 0, 0, 20, -20, 5_000, -5_000][this.below(8)] ?? 0;
  }

  #backUp(at: number): void {
    const { disk } = this.#at(at);
    if (this.#plan.isCalm === true) return;
    this.#backups.push({
      at,
      takenAt: this.now,
      disk: { ...disk, objects: new Map(disk.objects), hints: new Map(disk.hints) },
    });
  }

  /** A machine is set back: what it had since is gone there. One at a time: the others still have what it had. */
  #restore(): void {
    const fit = this.#backups.filter(({ at, disk }) => this.#at(at).disk.tenure === disk.tenure);
    const backup = fit[this.below(Math.max(1, fit.length))];
    if (backup === undefined || this.isCalm || this.counts.restores >= 3) return;
    if (this.machines.some(({ isOld }) => isOld)) return;
    // The only copy of a key is no copy to be set back, nor is the one that others are about to be compared with.
    const isOnly = this.machines.some(({ disk }) => disk.setting.n === 1) || !this.#areRulesSettled();
    if (this.#isRuled && backup.disk.slot === 0 && isOnly) return;
    const machine = this.#at(backup.at);
    this.#crash(backup.at);
    machine.disk = { ...backup.disk, objects: new Map(backup.disk.objects), hints: new Map(backup.disk.hints) };
    machine.isOld = true;
    machine.era += 1;
    for (const op of this.ops) if (op.startedAt >= backup.takenAt - DEADLINE) op.places.delete(backup.at);
    this.counts.restores += 1;
  }

  /** A slot goes to another node with all that is held, sealed and released. */
  #move(): void {
    if (this.isCalm) return;
    const from = this.below(5);
    const to = this.below(5);
    const giver = this.#at(from);
    const taker = this.#at(to);
    if (giver.disk.slot < 0 || taker.disk.slot >= 0) return;
    if (giver.life === undefined || taker.life === undefined || giver.isOld) return;
    // Of two such changes at once nothing is promised (docs/DELETES.md).
    if (this.#isRuled && giver.disk.slot === 0 && !this.#areRulesSettled()) return;
    taker.disk.objects = new Map(giver.disk.objects);
    taker.disk.slot = giver.disk.slot;
    giver.disk.slot = -1;
    giver.disk.objects = new Map();
    giver.era += 1;
    for (const machine of [giver, taker]) {
      machine.disk.tenure += 1;
      if (machine.life === undefined) continue;
      machine.life.core.slotChanged(P);
      this.#encode(machine.disk, machine.life);
      machine.life = { ...machine.life, actor: this.#newActor(), leading: undefined, catchingUp: undefined };
    }
    this.counts.moves += 1;
    for (const op of this.ops) if (op.places.delete(from)) op.places.add(to);
    // Whoever holds a slot compares marks with the other holders before it leads or looks.
    for (const other of NODES) this.#hear(to, other);
  }

  #repeatOld(at: number): void {
    const old = this.#sent[this.below(this.#sent.length)];
    // Only what is older than any write may take, and so is waited for by nobody.
    if (old !== undefined && this.#at(at).life !== undefined) this.#take(at, old.key, old.object, false);
  }

  // ── marks ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  #persist(at: number): void {
    const { disk, life } = this.#at(at);
    if (life !== undefined) this.#encode(disk, life);
  }

  #encode(disk: Disk, { core, floors, rules }: Life): void {
    disk.marks = encodeFloors(floors, { promised: core.promised, rules });
  }

  #areRulesSettled(): boolean {
    const isOne = new Set(this.machines.map(({ disk }) => disk.setting.version)).size === 1;
    return isOne && this.holders().every((at) => this.#at(at).life?.floors.doubtOf(P) === undefined);
  }

  #hasHeardAll(at: number): boolean {
    const { life } = this.#at(at);
    return this.holders().every((one) => one === at || life?.peers.has(one) === true);
  }

  /** What a running holder tells of its marks now. */
  #told(at: number): ToldMarks {
    const { life } = this.#at(at);
    if (life === undefined) return { floor: 0, reaped: undefined, rules: 0n };
    const { noted, reaped } = life.floors.marksOf(P);
    return {
      floor: life.floors.isBehind(P) ? 0 : noted.floor,
      reaped: life.floors.isMarked(P) ? reaped : undefined,
      rules: fingerprintOf(life.rules),
    };
  }

  #hear(at: number, other: number): void {
    const here = this.#at(at);
    const there = this.#at(other);
    if (at === other || here.life === undefined || there.life === undefined) return;
    this.#promise(at, there.life.core.promised);
    if (there.disk.slot < 0) here.life.peers.delete(other);
    if (here.disk.slot < 0 || there.disk.slot < 0) return;
    if (there.disk.setting.version > here.disk.setting.version) this.#learnRules(at, there.disk.setting);
    const told = this.#told(other);
    here.life.peers.set(other, told);
    const heard = here.life.floors.hear(P, told.reaped ?? NO_MARK);
    if (heard === "reap") here.life.floors.reap(P, told.reaped ?? NO_MARK);
    if (heard === "behind" && this.#plan.believingAll === true) {
      here.life.floors.catchUp(P, told.reaped ?? NO_MARK);
      here.isOld = false;
    }
    if (!here.life.floors.isBehind(P) && (told.reaped?.floor ?? 0) > 0 && !there.isOld) here.isOld = false;
    this.#persist(at);
    if (here.life.floors.isBehind(P)) this.#beginCatchUp(at, here.life);
    this.#catchUpStep(at);
  }

  #beginCatchUp(at: number, life: Life): void {
    if (life.catchingUp !== undefined) return;
    const { slot } = this.#at(at).disk;
    const rules = fingerprintOf(life.rules);
    const holders = this.holders().filter((one) => one !== at);
    const source = sourceOf(
      { slot, heard: life.floors.marksOf(P).heard, rules: life.rules },
      holders.map((one) => {
        const told = life.peers.get(one);
        const { id, disk } = this.#at(one);
        const marks = { floor: told?.floor ?? 0, reaped: told?.reaped };
        return {
          node: id,
          slot: disk.slot,
          isHeard: told !== undefined,
          hasSameRules: told?.rules === rules,
          ...marks,
        };
      }),
    );
    if (source === "nobody") {
      life.floors.unhear(P);
      this.#persist(at);
    }
    if (typeof source === "string") return;
    const peer = this.machines.findIndex(({ id }) => id === source.node);
    const keys = [...new Set([...this.#at(at).disk.objects.keys(), ...this.#at(peer).disk.objects.keys()])];
    life.catchingUp = { peer, line: source.mark.floor, mark: source.mark, rules, keys };
  }

  /** One key further. */
  #catchUpStep(at: number): void {
    const here = this.#at(at);
    const order = here.life?.catchingUp;
    if (here.life === undefined || order === undefined || here.disk.slot < 0) return;
    const there = this.#at(order.peer);
    const told = this.#told(order.peer);
    const isAble = there.disk.slot >= 0 && told.floor > 0 && told.floor >= order.line;
    const isSame = fingerprintOf(here.life.rules) === order.rules && told.rules === order.rules;
    if (!isAble || !isSame || here.life.floors.lineOf(P) > order.line) {
      here.life.catchingUp = undefined;
      return;
    }
    const key = order.keys.pop();
    if (key !== undefined && !this.#has(at, key, Math.max(here.disk.slot, there.disk.slot))) return;
    if (key !== undefined) {
      const their = there.disk.objects.get(key) ?? EMPTY;
      const settled = caughtUp(here.disk.objects.get(key) ?? EMPTY, their, order.line);
      if (settled.clock.vector.length + settled.clock.detached.length > 0) this.#take(at, key, settled, true);
      return;
    }
    here.life.floors.catchUp(P, order.mark);
    here.life.rules = here.life.core.withoutRaises(here.life.rules);
    this.#persist(at);
    here.life.catchingUp = undefined;
    here.isOld = false;
    this.counts.catchUps += 1;
  }

  // ── rounds ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #lead(): void {
    const at = NODES.find((one) => this.#at(one).disk.slot === 0);
    const life = at === undefined ? undefined : this.#at(at).life;
    if (at === undefined || life === undefined || this.#plan.byTimer === true) return;
    if (life.leading === undefined || life.leading.round.stage === "over") {
      life.leading = this.#newRound(at);
      return;
    }
    const { leading } = life;
    const { round } = leading;
    if (round.stage === "settle") {
      if (this.now < leading.settledAt) return;
    } else if (leading.pending > 0 && this.now < leading.asked + ANSWER_WITHIN) return;
    round.proceed();
    leading.settledAt = this.now + SETTLE;
    this.#ask(at, life, leading);
  }

  #newRound(at: number): Leading | undefined {
    const { disk, life } = this.#at(at);
    const floor = Math.floor(this.#wallMicros(at) - MIN_AGE * 1_000);
    const isReady = [...disk.objects.values()].some(
      (set) => set.siblings.length === 0 && greatestCounter(set.clock) <= floor,
    );
    if (!isReady || life === undefined || life.floors.isBehind(P)) return undefined;
    let holders = this.holders().map((one) => ({ node: this.#at(one).id, slot: this.#at(one).disk.slot }));
    if (this.#plan.withOneOther === true) holders = holders.filter(({ slot }) => slot < 2);
    const mark = { floor, expiryMs: 0 };
    const members = this.machines.map(({ id }) => id);
    const plan = { mark, self: this.#at(at).id, members, partitions: [{ partition: P, holders }] };
    this.counts.rounds += 1;
    const round = new CollectRound(plan, LOOKS);
    const leading: Leading = {
      round,
      mark,
      rules: fingerprintOf(life.rules),
      asked: this.now,
      pending: 0,
      settledAt: 0,
      attempt: 0,
    };
    this.#ask(at, life, leading);
    return leading;
  }

  #ask(at: number, life: Life, leading: Leading): void {
    const { round, mark, rules } = leading;
    leading.asked = this.now;
    leading.attempt += 1;
    const { attempt } = leading;
    const questions = round.questions();
    leading.pending = questions.size;
    for (const [node, question] of questions) {
      const to = this.machines.findIndex(({ id }) => id === node);
      const root = this.#rootOf(at, question.kind === "look" ? (question.pairs[0]?.peerSlot ?? 0) : 0);
      const answered = (answer: CollectAnswer): void => {
        const isThisLife = this.#at(at).life?.leading === leading && leading.attempt === attempt;
        if (!isThisLife) return;
        leading.pending -= 1;
        round.answered(node, answer);
      };
      const ask = (): void => {
        const answer = this.#answer(to, question, { mark, root, rules });
        if (to === at) answered(answer);
        else this.#later(at, () => answered(answer));
      };
      if (to === at) ask();
      else this.#later(to, ask);
    }
    void life;
  }

  #answer(
    at: number,
    question: CollectQuestion,
    asked: { readonly mark: CollectMark; readonly root: string; readonly rules: bigint },
  ): CollectAnswer {
    const { life, disk } = this.#at(at);
    const { mark } = asked;
    if (life === undefined) return { kind: "refused", reason: "is away" };
    const facts = { members: MEMBERS, rules: fingerprintOf(life.rules), wallMicros: this.#wallMicros(at) };
    const refusal = life.core.refusalOf(question.kind, { mark, members: MEMBERS, rules: asked.rules }, facts);
    if (refusal !== undefined) return { kind: "refused", reason: refusal };
    const here = { slot: disk.slot, isSuspect: false, isMoving: false };
    switch (question.kind) {
      case "promise":
        this.#promise(at, mark.floor);
        return { kind: "promised" };
      case "hints":
        return { kind: "hints", partitions: disk.hints.size > 0 && this.#plan.withoutHints !== true ? [P] : [] };
      case "look": {
        const slot = question.pairs[0]?.peerSlot ?? -1;
        const obstacle = life.core.obstacleTo({ partition: P, slot, floor: mark.floor }, here);
        if (obstacle !== undefined) return { kind: "looked", verdicts: [obstacle] };
        if (this.#rootOf(at, disk.slot) !== asked.root && this.#plan.withoutLook !== true)
          return { kind: "looked", verdicts: ["differs"] };
        life.core.wasEqual(P, mark.floor);
        return { kind: "looked", verdicts: ["equal"] };
      }
      case "note": {
        if (!life.core.note(P, mark, here)) return { kind: "noted", partitions: [] };
        this.#persist(at);
        return { kind: "noted", partitions: [P] };
      }
      case "reap": {
        if (!life.core.reap(P, mark, here)) return { kind: "reaped", partitions: [] };
        this.#persist(at);
        return { kind: "reaped", partitions: [P] };
      }
    }
  }

  /** Of what the holders of slot 0 and this one should both have. */
  #rootOf(at: number, slot: number): string {
    const shown = [...this.#at(at).disk.objects].filter(([key]) => this.#has(at, key, slot));
    const entries = shown.map(([key, set]) => `${key}:${digestOf(set).toString(16)}`);
    return entries.toSorted().join();
  }
}

function rulesFor({ n }: Setting): KnownRules {
  return rulesOf({ standard: 3, named: [[RULED, n]] }, 3);
}

function nameOf(key: string, dot: Dot): string {
  return `${key} ${dot.actor}.${dot.counter}`;
}

function decoded(bytes: Uint8Array | undefined): SiblingSet | undefined {
  if (bytes === undefined) return undefined;
  const read = decodeSet(bytes);
  if (read.kind === "corrupt") throw new Error(read.reason);
  return read.set;
}
