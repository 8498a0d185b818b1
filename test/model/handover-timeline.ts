/** Time, chance and the network of the hand-over's world: messages are lost, doubled, late, or cut off for long; nodes pause. */
import type { HandoverReply, HandoverRequest } from "../../services/cluster/handover-messages.ts";
import { drawsOf } from "./handover-draws.ts";
import { type Counts, LIVES, type Life, noCounts, type PlantedWorld, type WorldSettings } from "./handover-life.ts";

export const OP_STEPS = 400;
const SPLIT_STEPS = 1_200;
const PAUSE_STEPS = 250;

export abstract class Timeline {
  readonly settings: WorldSettings;
  readonly float: () => number;
  readonly lives: Life[] = [];
  readonly violations: string[] = [];
  readonly counts: Counts = noCounts();
  /** ways that nothing passes, by indices: `from>to` */
  readonly cuts: Set<string> = new Set();
  now = 0;
  isCalm = false;
  #queue: ((() => void)[] | undefined)[] = [];

  constructor(settings: WorldSettings) {
    this.settings = settings;
    this.float = drawsOf(settings.seed);
  }

  abstract get planted(): PlantedWorld;
  abstract serve(at: Life, request: HandoverRequest, reply: (reply: HandoverReply) => void): void;

  below(bound: number): number {
    return Math.floor(this.float() * bound);
  }

  life(index: number): Life {
    const found = this.lives[index];
    if (found === undefined) throw new Error(`no life ${index}`);
    return found;
  }

  at(delay: number, run: () => void): void {
    const due = this.now + Math.max(1, Math.ceil(delay));
    (this.#queue[due] ??= []).push(run);
  }

  /** As `at`, but only while the node has not crashed since. */
  atNode(life: Life, delay: number, run: () => void): void {
    const { epoch } = life;
    this.at(delay, () =>
      this.#awake(life, () => {
        if (life.isUp && life.epoch === epoch) run();
      }),
    );
  }

  /** Now, or when its pause is over. */
  #awake(life: Life, run: () => void): void {
    if (!life.isUp || life.pausedUntil <= this.now) run();
    else this.at(life.pausedUntil - this.now + this.below(8), () => this.#awake(life, run));
  }

  pause(life: Life): void {
    this.counts.pauses += 1;
    life.pausedUntil = this.now + 20 + this.below(PAUSE_STEPS);
  }

  isCut(from: Life, to: Life): boolean {
    return this.cuts.has(`${from.index}>${to.index}`);
  }

  /** Two sides that do not hear each other for long, or one that does not hear the other. */
  split(): void {
    if (this.cuts.size > 0) return;
    this.counts.splits += 1;
    const isOneWay = this.float() < 0.3;
    const sides = Array.from({ length: LIVES }, () => this.float() < 0.5);
    for (const [from, side] of sides.entries()) {
      for (const [to, other] of sides.entries()) {
        if (side !== other && (side || !isOneWay)) this.cuts.add(`${from}>${to}`);
      }
    }
    this.at(100 + this.below(SPLIT_STEPS), () => this.cuts.clear());
  }

  /** One step of time: what is due happens in random order. */
  tick(): void {
    this.now += 1;
    const due = this.#queue[this.now];
    this.#queue[this.now] = undefined;
    if (due === undefined) return;
    for (let last = due.length - 1; last > 0; last -= 1) {
      const other = this.below(last + 1);
      [due[last], due[other]] = [due[other] as () => void, due[last] as () => void];
    }
    for (const run of due) run();
  }

  /** A message: all lost where a way is cut, else 5 % lost, 5 % doubled with four times the delay; of clients' ones, some that dawdle. */
  send([from, to]: readonly [Life, Life], deliver: () => void, slowRate = 0): void {
    const { lossRate } = this.settings;
    const arrive = (): void => {
      if (this.isCut(from, to)) return;
      this.#awake(to, () => {
        if (to.isUp) deliver();
      });
    };
    const mostSteps = slowRate > 0 && this.float() < slowRate ? OP_STEPS / 2 : 12;
    if (this.float() >= lossRate) this.at(1 + this.below(mostSteps), arrive);
    if (this.float() < lossRate) this.at(1 + this.below(48), arrive);
  }

  /** A question with an answer or `undefined` after a while; late and doubled answers are handed on when asked for. */
  ask(from: Life, to: Life, request: HandoverRequest, onReply: (reply: HandoverReply | undefined) => void): void {
    const { epoch } = from;
    let isDone = false;
    const isPage = "body" in request;
    const take = (reply: HandoverReply | undefined): void => {
      if (!from.isUp || from.epoch !== epoch) return;
      if (isDone && (isPage || reply === undefined)) return;
      isDone = true;
      onReply(reply);
    };
    const { seams } = this.settings;
    this.send([from, to], () => {
      this.serve(to, seams.onRequest?.(this.planted, to, request) ?? request, (reply) =>
        this.send([to, from], () => take(seams.onReply?.(this.planted, from, request, reply) ?? reply)),
      );
    });
    this.at(60, () => this.#awake(from, () => take(undefined)));
  }
}
