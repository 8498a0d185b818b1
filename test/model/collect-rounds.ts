/**
 * Rounds of tombstone collection in the small world: the holder of slot 0 leads, all answer by their cores. Must never answer
 * otherwise than the core says, unless a bug is planted.
 */
import { type CollectAnswer, type CollectQuestion, CollectRound } from "../../services/repair/collect-core.ts";
import type { CollectMark } from "../../services/repair/collect-floors-core.ts";
import { fingerprintOf } from "../../services/repair/collect-rules-core.ts";
import { greatestCounter } from "../../services/versioning/causal-context.ts";
import { ANSWER_WITHIN, type Leading, LOOKS, MEMBERS, MIN_AGE, NODES, P, SETTLE } from "./collect-life.ts";
import { Marks } from "./collect-marks.ts";

export class Rounds extends Marks {
  lead(): void {
    const at = NODES.find((one) => this.at(one).disk.slot === 0);
    const life = at === undefined ? undefined : this.at(at).life;
    if (at === undefined || life === undefined || this.plan.byTimer === true) return;
    if (life.leading === undefined || life.leading.round.stage === "over") {
      life.leading = this.newRound(at);
      return;
    }
    const { leading } = life;
    const { round } = leading;
    if (round.stage === "settle") {
      if (this.now < leading.settledAt) return;
    } else if (leading.pending > 0 && this.now < leading.asked + ANSWER_WITHIN) return;
    round.proceed();
    leading.settledAt = this.now + SETTLE;
    this.ask(at, leading);
  }

  newRound(at: number): Leading | undefined {
    const { disk, life } = this.at(at);
    const floor = Math.floor(this.wallMicros(at) - MIN_AGE * 1_000);
    const isReady = [...disk.objects.values()].some(
      (set) => set.siblings.length === 0 && greatestCounter(set.clock) <= floor,
    );
    if (!isReady || life === undefined || life.floors.isBehind(P)) return undefined;
    let holders = this.holders().map((one) => ({ node: this.at(one).id, slot: this.at(one).disk.slot }));
    if (this.plan.withOneOther === true) holders = holders.filter(({ slot }) => slot < 2);
    const mark = { floor, expiryMs: 0 };
    const members = this.machines.map(({ id }) => id);
    const plan = { mark, self: this.at(at).id, members, partitions: [{ partition: P, holders }] };
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
    this.ask(at, leading);
    return leading;
  }

  ask(at: number, leading: Leading): void {
    const { round, mark, rules } = leading;
    leading.asked = this.now;
    leading.attempt += 1;
    const { attempt } = leading;
    const questions = round.questions();
    leading.pending = questions.size;
    for (const [node, question] of questions) {
      const to = this.machines.findIndex(({ id }) => id === node);
      const root = this.rootOf(at, question.kind === "look" ? (question.pairs[0]?.peerSlot ?? 0) : 0);
      const answered = (answer: CollectAnswer): void => {
        const isThisLife = this.at(at).life?.leading === leading && leading.attempt === attempt;
        if (!isThisLife) return;
        leading.pending -= 1;
        round.answered(node, answer);
      };
      const ask = (): void => {
        const answer = this.answer(to, question, { mark, root, rules });
        if (to === at) answered(answer);
        else this.later(at, () => answered(answer));
      };
      if (to === at) ask();
      else this.later(to, ask);
    }
  }

  answer(
    at: number,
    question: CollectQuestion,
    asked: { readonly mark: CollectMark; readonly root: string; readonly rules: bigint },
  ): CollectAnswer {
    const { life, disk } = this.at(at);
    const { mark } = asked;
    if (life === undefined) return { kind: "refused", reason: "is away" };
    const facts = { members: MEMBERS, rules: fingerprintOf(life.rules), wallMicros: this.wallMicros(at) };
    const refusal = life.core.refusalOf(question.kind, { mark, members: MEMBERS, rules: asked.rules }, facts);
    if (refusal !== undefined) return { kind: "refused", reason: refusal };
    const here = { slot: disk.slot, isSuspect: false, isMoving: false };
    switch (question.kind) {
      case "promise":
        this.promise(at, mark.floor);
        return { kind: "promised" };
      case "hints":
        return { kind: "hints", partitions: disk.hints.size > 0 && this.plan.withoutHints !== true ? [P] : [] };
      case "look": {
        const slot = question.pairs[0]?.peerSlot ?? -1;
        const obstacle = life.core.obstacleTo({ partition: P, slot, floor: mark.floor }, here);
        if (obstacle !== undefined) return { kind: "looked", verdicts: [obstacle] };
        if (this.rootOf(at, disk.slot) !== asked.root && this.plan.withoutLook !== true)
          return { kind: "looked", verdicts: ["differs"] };
        life.core.wasEqual(P, mark.floor);
        return { kind: "looked", verdicts: ["equal"] };
      }
      case "note": {
        if (!life.core.note(P, mark, here)) return { kind: "noted", partitions: [] };
        this.persist(at);
        return { kind: "noted", partitions: [P] };
      }
      case "reap": {
        if (!life.core.reap(P, mark, here)) return { kind: "reaped", partitions: [] };
        this.persist(at);
        return { kind: "reaped", partitions: [P] };
      }
    }
  }
}
