/**
 * What befalls the machines of the small world of tombstone collection: starts and crashes, clocks that are turned, disks that are set
 * back, slots that move, buckets that get fewer replicas and more.
 */
import { CollectFloors } from "../../services/repair/collect-floors-core.ts";
import { HolderCore } from "../../services/repair/collect-holder-core.ts";
import { restoreFloors } from "../../services/repair/collect-marks-codec.ts";
import { DEADLINE, type Life, type Machine, NODES, P, rulesFor } from "./collect-life.ts";
import { Rounds } from "./collect-rounds.ts";

export class Troubles extends Rounds {
  start(at: number): void {
    const machine = this.at(at);
    if (machine.life !== undefined) return;
    const floors = new CollectFloors(1);
    const head = this.marksOf(machine, floors);
    if (machine.disk.slot < 0) floors.forget(P);
    const core = new HolderCore(floors);
    const before = head?.rules ?? rulesFor(machine.disk.setting);
    const life: Life = {
      core,
      rules: this.rulesAfter(core, before, machine.disk),
      floors,
      last: machine.disk.lease,
      actor: this.newActor(),
      hintActor: this.newActor(),
      peers: new Map(),
      leading: undefined,
      catchingUp: undefined,
    };
    machine.life = life;
    this.promise(at, floors.highest());
    this.persist(at);
    // A link comes up: marks are told before anything else is.
    for (const other of NODES) this.hear(at, other);
    for (const other of NODES) this.hear(other, at);
  }

  /** What the disk gives back of the marks; undefined: they are lost. */
  marksOf(machine: Machine, floors: CollectFloors): ReturnType<typeof restoreFloors> {
    if (!this.mayRot(machine) || this.ruleDraws.below(2) > 0) return restoreFloors(floors, machine.disk.marks);
    if (this.plan.forgettingMarks !== true) floors.lose(P);
    return undefined;
  }

  /** One at a time: the others still know what it knew. */
  mayRot({ disk }: Machine): boolean {
    if (this.plan.isRotten !== true || this.isCalm || disk.slot < 0) return false;
    const isOnly = this.machines.some((one) => one.disk.setting.n === 1) || !this.areRulesSettled();
    if (this.isRuled && disk.slot === 0 && isOnly) return false;
    return this.machines.every((other) => {
      return other.disk === disk || other.disk.slot < 0 || (!other.isOld && !this.durable(other).isBehind(P));
    });
  }

  /** A holder has lost its marks, and was not compared since: of another trouble with them at once nothing is promised. */
  isAnyoneLost(): boolean {
    return this.machines.some((machine) => this.durable(machine).doubtOf(P) === "records");
  }

  /** It took part in the last proof there was, and knows it: where nobody is left who did, values may come back (docs/DELETES.md). */
  isWitness(at: number): boolean {
    const known = this.machines.map((machine) => machine.life?.floors ?? this.durable(machine));
    const last = Math.max(...known.map((floors) => floors.marksOf(P).reaped.floor));
    const floors = known[at];
    if (floors === undefined || this.at(at).isOld) return false;
    return !floors.isBehind(P) && floors.marksOf(P).noted.floor >= last;
  }

  isWitnessedBeside(at: number): boolean {
    return this.holders().some((one) => one !== at && this.isWitness(one));
  }

  crash(at: number): void {
    this.at(at).life = undefined;
  }

  /** An administrator turns the clock: right, or hours off. */
  setClock(at: number): void {
    if (this.plan.isCalm === true || !this.isWild) return;
    this.at(at).skewMs = [0, 0, 0, 0, 20, -20, 5_000, -5_000][this.below(8)] ?? 0;
  }

  backUp(at: number): void {
    const { disk } = this.at(at);
    if (this.plan.isCalm === true) return;
    this.backups.push({
      at,
      takenAt: this.now,
      disk: { ...disk, objects: new Map(disk.objects), hints: new Map(disk.hints) },
    });
  }

  /** A machine is set back: what it had since is gone there. One at a time: the others still have what it had. */
  restore(): void {
    const fit = this.backups.filter(({ at, disk }) => this.at(at).disk.tenure === disk.tenure);
    const backup = fit[this.below(Math.max(1, fit.length))];
    if (backup === undefined || this.isCalm || this.counts.restores >= 3) return;
    if (this.machines.some(({ isOld }) => isOld) || this.isAnyoneLost()) return;
    // The only copy of a key is no copy to be set back, nor is the one that others are about to be compared with.
    const isOnly = this.machines.some(({ disk }) => disk.setting.n === 1) || !this.areRulesSettled();
    if (this.isRuled && backup.disk.slot === 0 && isOnly) return;
    if (!this.isWitnessedBeside(backup.at)) return;
    const machine = this.at(backup.at);
    this.crash(backup.at);
    machine.disk = { ...backup.disk, objects: new Map(backup.disk.objects), hints: new Map(backup.disk.hints) };
    machine.isOld = true;
    machine.era += 1;
    for (const op of this.ops) if (op.startedAt >= backup.takenAt - DEADLINE) op.places.delete(backup.at);
    this.counts.restores += 1;
  }

  /** A slot goes to another node with all that is held, sealed and released. */
  move(): void {
    if (this.isCalm) return;
    const from = this.below(5);
    const to = this.below(5);
    const giver = this.at(from);
    const taker = this.at(to);
    if (giver.disk.slot < 0 || taker.disk.slot >= 0) return;
    if (giver.life === undefined || taker.life === undefined || giver.isOld || !this.isWitnessedBeside(from)) return;
    // Of two such changes at once nothing is promised (docs/DELETES.md).
    if (this.isRuled && giver.disk.slot === 0 && !this.areRulesSettled()) return;
    taker.disk.objects = new Map(giver.disk.objects);
    taker.disk.slot = giver.disk.slot;
    giver.disk.slot = -1;
    giver.disk.objects = new Map();
    giver.era += 1;
    for (const machine of [giver, taker]) {
      machine.disk.tenure += 1;
      if (machine.life === undefined) continue;
      machine.life.core.slotChanged(P);
      this.encode(machine.disk, machine.life);
      machine.life = { ...machine.life, actor: this.newActor(), leading: undefined, catchingUp: undefined };
    }
    this.counts.moves += 1;
    for (const op of this.ops) if (op.places.delete(from)) op.places.add(to);
    // Whoever holds a slot compares marks with the other holders before it leads or looks.
    for (const other of NODES) this.hear(to, other);
  }

  changeRules(n: number): void {
    const version = 1 + Math.max(...this.machines.map(({ disk }) => disk.setting.version));
    const at = NODES[this.ruleDraws.below(NODES.length)] ?? 0;
    // Who has more keys then is compared with the first slot's holder.
    const isRaised = this.machines.some(({ disk }) => disk.setting.n < n);
    const isFirstOpen = this.holders().some((one) => this.at(one).disk.slot === 0 && !this.isWitness(one));
    const isLost = this.isAnyoneLost() || (isRaised && isFirstOpen);
    const isTroubled = this.machines.some(({ isOld }) => isOld) || isLost;
    if (this.at(at).life === undefined || (!this.isCalm && isTroubled)) return;
    this.counts.rules += 1;
    for (const other of NODES) {
      // Some hear of it late, or when a link comes up.
      const learn = (): void => this.learnRules(other, { n, version });
      if (other === at || this.isCalm || this.ruleDraws.below(3) > 0) learn();
      else this.messages.push({ to: other, dueAt: this.now + this.ruleDraws.below(300), run: learn });
    }
  }
}
