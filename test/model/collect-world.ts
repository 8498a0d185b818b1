/**
 * A small cluster around the cores of tombstone collection: three holders and two stand-ins, one partition, two keys, messages
 * that come late or twice, machines that crash, clocks hours apart, a disk that is set back to an older copy, slots that
 * move. Everything durable is durable at once: what is checked is the protocol. One step is about a millisecond. Here: which
 * step comes next, how the trouble ends, and what must hold then.
 */
import { covers } from "../../services/versioning/causal-context.ts";
import { EMPTY, holds } from "../../services/versioning/sibling-set.ts";
import { type CollectPlan, NODES, type Op, RULED } from "./collect-life.ts";
import { Troubles } from "./collect-troubles.ts";

/** One life of the cluster. */
export class CollectWorld extends Troubles {
  constructor(seed: number, plan: CollectPlan) {
    super(seed, plan);
    for (const at of NODES) this.start(at);
  }

  /** One step of chaos. */
  step(): void {
    const isQuiet = this.isQuiet();
    if (this.isRuled && this.ruleDraws.below(50) === 0) this.changeRules(1 + this.ruleDraws.below(3));
    this.now += 1 + this.below(isQuiet ? 6 : 3);
    this.deliverDue();
    // Storms of writes and crashes, and quiet hours in which a round can come to its end.
    if (isQuiet) this.quietStep(this.below(100));
    else this.stormyStep(this.below(100));
  }

  quietStep(dice: number): void {
    if (dice < 1) this.write();
    else if (dice < 8) this.read();
    else if (dice < 18) this.compareSome();
    else if (dice < 30) this.deliverHints(this.below(5));
    else if (dice < 66) this.lead();
    else if (dice < 78) this.hear(this.below(5), this.below(5));
    else if (dice < 86) this.sweep(this.below(5));
    else if (dice < 93) for (const at of NODES) this.start(at);
    else if (dice < 95) this.backUp(this.below(5));
    else if (dice < 96) this.restore();
    else if (dice < 97) this.repeatOld(this.below(5));
    else if (dice < 98 && this.chance(0.15)) this.crash(this.below(5));
    else if (dice < 99 && this.chance(0.2)) this.move();
    else if (this.chance(0.3)) this.setClock(this.below(5));
  }

  stormyStep(dice: number): void {
    if (dice < 22) this.write();
    else if (dice < 40) this.read();
    else if (dice < 50) this.compareSome();
    else if (dice < 56) this.deliverHints(this.below(5));
    else if (dice < 66) this.lead();
    else if (dice < 74) this.hear(this.below(5), this.below(5));
    else if (dice < 80) this.sweep(this.below(5));
    else if (dice < 84) this.crash(this.below(5));
    else if (dice < 92) this.start(this.below(5));
    else if (dice < 95) this.backUp(this.below(5));
    else if (dice < 97) this.restore();
    else if (dice < 98) this.move();
    else this.repeatOld(this.below(5));
  }

  /** The trouble ends: all run, clocks are right, what is on its way arrives, everyone heals. */
  settle(): void {
    this.isCalm = true;
    for (const machine of this.machines) machine.skewMs = 0;
    for (const at of NODES) this.start(at);
    this.now += 10_000;
    for (let pass = 0; pass < 16; pass += 1) {
      for (let hops = 0; hops < 4; hops += 1) {
        this.now += 25;
        this.deliverDue();
      }
      // once whoever was set back has caught up: of both at once nothing is promised
      if (this.isRuled && pass === 6) this.changeRules(3);
      this.deliverDue();
      for (const at of NODES) this.deliverHints(at);
      for (const at of NODES) for (const other of NODES) this.antiEntropy(at, other);
      for (const at of NODES) for (const other of NODES) this.hear(at, other);
      for (let some = 0; some < 8; some += 1) for (const at of NODES) this.catchUpStep(at);
      this.deliverDue();
      for (const at of NODES) this.sweep(at);
    }
  }

  /** Leads rounds until nothing is left to collect, or too many were led. */
  collectAll(): void {
    for (let steps = 0; steps < 4_000 && this.tombstoneCount() > 0; steps += 1) {
      this.now += 5;
      this.deliverDue();
      this.lead();
      if (steps % 20 === 0) for (const at of NODES) for (const other of NODES) this.hear(at, other);
      for (const at of NODES) this.sweep(at);
      for (const at of NODES) this.catchUpStep(at);
    }
  }

  tombstoneCount(): number {
    const objects = this.holders().flatMap((at) => [...this.at(at).disk.objects.values()]);
    return objects.filter((set) => set.siblings.length === 0).length;
  }

  /** What a holder has, as text. */
  contentOf(at: number): string {
    return this.rootOf(at, 0);
  }

  /** What is wrong with what the holders have now. */
  judge(when: string): void {
    for (const op of this.ops) {
      if (op.kind === "delete") continue;
      const replacers = this.ops.filter((other) => other !== op && other.key === op.key && covers(other.given, op.dot));
      // What was in one place, and that place was set back, is as if it had never been.
      const isStanding = this.stands(op);
      const held = this.holders().filter((at) => holds(this.at(at).disk.objects.get(op.key) ?? EMPTY, op.dot));
      const name = `${op.key} ${op.dot.actor}.${op.dot.counter}`;
      if (isStanding && replacers.length === 0 && held.length < this.holders().length) {
        this.violations.push(`${when}: ${name} was applied, nobody replaced it, and only [${held.join()}] have it`);
      }
      if (replacers.some((other) => this.stands(other)) && held.length > 0) {
        this.violations.push(`${when}: ${name} was replaced, and [${held.join()}] have it again`);
      }
    }
  }

  /** Applied, and somewhere still; where slots come and go for the key, at the one that always has it. */
  stands({ key, isApplied, places }: Op): boolean {
    if (!this.isRuled || key !== RULED) return isApplied && places.size > 0;
    return isApplied && [...places].some((place) => this.at(place).disk.slot === 0);
  }
}
