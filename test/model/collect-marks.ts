/**
 * Marks that holders tell each other in the small world of tombstone collection, and the one that is behind and catches up, key by
 * key, with another that it believes.
 */
import { NO_MARK } from "../../services/repair/collect-floors-core.ts";
import { fingerprintOf } from "../../services/repair/collect-rules-core.ts";
import { sourcesOf } from "../../services/repair/collect-sources-core.ts";
import { caughtUp } from "../../services/replica/stale-versions.ts";
import { EMPTY } from "../../services/versioning/sibling-set.ts";
import { Exchanges } from "./collect-exchanges.ts";
import { type Life, P } from "./collect-life.ts";

export class Marks extends Exchanges {
  hear(at: number, other: number): void {
    const here = this.at(at);
    const there = this.at(other);
    if (at === other || here.life === undefined || there.life === undefined) return;
    this.promise(at, there.life.core.promised);
    if (there.disk.slot < 0) here.life.peers.delete(other);
    if (here.disk.slot < 0 || there.disk.slot < 0) return;
    if (there.disk.setting.version > here.disk.setting.version) this.learnRules(at, there.disk.setting);
    const told = this.told(other);
    here.life.peers.set(other, told);
    const heard = here.life.floors.hear(P, told.reaped ?? NO_MARK);
    if (heard === "reap") here.life.floors.reap(P, told.reaped ?? NO_MARK);
    if (heard === "behind" && this.plan.believingAll === true) {
      here.life.floors.catchUp(P, told.reaped ?? NO_MARK);
      here.isOld = false;
    }
    if (!here.life.floors.isBehind(P) && (told.reaped?.floor ?? 0) > 0 && !there.isOld) here.isOld = false;
    this.persist(at);
    if (here.life.floors.isBehind(P)) this.beginCatchUp(at, here.life);
    this.catchUpStep(at);
  }

  planFor(at: number, life: Life): ReturnType<typeof sourcesOf> {
    const { slot } = this.at(at).disk;
    const rules = fingerprintOf(life.rules);
    const holders = this.holders().filter((one) => one !== at);
    return sourcesOf(
      { slot, heard: life.floors.marksOf(P).heard, rules: life.rules },
      holders.map((one) => {
        const told = life.peers.get(one);
        const { id, disk } = this.at(one);
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
  }

  /** All other holders tell their marks now. */
  haveAllTold(at: number, life: Life): boolean {
    const others = this.holders().filter((one) => one !== at);
    for (const one of others) if (this.at(one).life !== undefined) life.peers.set(one, this.told(one));
    return others.every((one) => this.at(one).life !== undefined);
  }

  beginCatchUp(at: number, life: Life): void {
    if (life.catchingUp !== undefined) return;
    const plan = this.planFor(at, life);
    if (plan === "nobody" && (!this.haveAllTold(at, life) || this.planFor(at, life) !== "nobody")) return;
    const rules = fingerprintOf(life.rules);
    if (plan === "nobody") {
      life.floors.unhear(P);
      this.persist(at);
    }
    const source = typeof plan === "string" ? undefined : plan.bases[0];
    if (source === undefined) return;
    const peer = this.machines.findIndex(({ id }) => id === source.node);
    const keys = [...new Set([...this.at(at).disk.objects.keys(), ...this.at(peer).disk.objects.keys()])];
    life.catchingUp = { peer, line: source.mark.floor, mark: source.mark, rules, keys };
  }

  /** One key further. */
  catchUpStep(at: number): void {
    const here = this.at(at);
    const order = here.life?.catchingUp;
    if (here.life === undefined || order === undefined || here.disk.slot < 0) return;
    const there = this.at(order.peer);
    const told = this.told(order.peer);
    const isAble = there.disk.slot >= 0 && told.floor > 0 && told.floor >= order.line;
    const isSame = fingerprintOf(here.life.rules) === order.rules && told.rules === order.rules;
    if (!isAble || !isSame || here.life.floors.lineOf(P) > order.line) {
      here.life.catchingUp = undefined;
      return;
    }
    const key = order.keys.pop();
    if (key !== undefined && !this.has(at, key, Math.max(here.disk.slot, there.disk.slot))) return;
    if (key !== undefined) {
      const their = there.disk.objects.get(key) ?? EMPTY;
      const settled = caughtUp(here.disk.objects.get(key) ?? EMPTY, their, order.line);
      if (settled.clock.vector.length + settled.clock.detached.length > 0)
        this.take(at, key, settled, { isBelieved: true });
      return;
    }
    here.life.floors.catchUp(P, order.mark);
    here.life.rules = here.life.core.withoutRaises(here.life.rules);
    this.persist(at);
    here.life.catchingUp = undefined;
    here.isOld = false;
    this.counts.catchUps += 1;
  }
}
