/**
 * One coarse timer for all requests under way: deadlines and hedges are entries of a hashed wheel, armed and disarmed
 * in O(1) without garbage. Must never fire early; may fire one tick late. Idle, it holds no timer.
 * Source: Varghese & Lauck 1987, hashed timing wheels.
 */
import type { Clock } from "../base/ports.ts";

const SLOT_COUNT = 512;

/** Something that can be armed; extend it and arm it on a wheel. Only the wheel changes the fields. */
export abstract class WheelEntry {
  /** tick at which it is due; −1 = not armed */
  dueTick = -1;
  previous: WheelEntry | undefined;
  next: WheelEntry | undefined;
  /** Called once per arming, at or up to one tick after the due time. */
  abstract onDue(nowMs: number): void;
}

/** A function that is called when its time has come, once per arming. */
export class WheelCall extends WheelEntry {
  readonly onDue: (nowMs: number) => void;
  constructor(onDue: (nowMs: number) => void) {
    super();
    this.onDue = onDue;
  }
}

/** The wheel. */
export class TimerWheel {
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #heads: (WheelEntry | undefined)[] = Array.from({ length: SLOT_COUNT });
  #currentTick = 0;
  #armedCount = 0;
  #isTicking = false;
  readonly #onTick = (): void => this.#tick();

  constructor(clock: Clock, tickMs: number) {
    this.#clock = clock;
    this.#tickMs = tickMs;
  }

  /** Entries armed now. */
  get armedCount(): number {
    return this.#armedCount;
  }

  /** Arms the entry for a time of the monotonic clock; armed again, the later call holds. */
  arm(entry: WheelEntry, dueMs: number): void {
    this.disarm(entry);
    if (!this.#isTicking) {
      this.#currentTick = Math.floor(this.#clock.monotonicMs() / this.#tickMs);
      this.#isTicking = true;
      this.#clock.setTimer(this.#tickMs, this.#onTick);
    }
    entry.dueTick = Math.max(this.#currentTick + 1, Math.ceil(dueMs / this.#tickMs));
    const at = entry.dueTick % SLOT_COUNT;
    const head = this.#heads[at];
    entry.next = head;
    if (head !== undefined) head.previous = entry;
    this.#heads[at] = entry;
    this.#armedCount += 1;
  }

  /** Calls the entry off; does nothing when it is not armed. */
  disarm(entry: WheelEntry): void {
    if (entry.dueTick < 0) return;
    if (entry.previous === undefined) this.#heads[entry.dueTick % SLOT_COUNT] = entry.next;
    else entry.previous.next = entry.next;
    if (entry.next !== undefined) entry.next.previous = entry.previous;
    entry.previous = undefined;
    entry.next = undefined;
    entry.dueTick = -1;
    this.#armedCount -= 1;
  }

  #tick(): void {
    const nowMs = this.#clock.monotonicMs();
    const target = Math.floor(nowMs / this.#tickMs);
    // After a stall longer than a turn of the wheel, one turn visits every slot.
    const from = Math.max(this.#currentTick + 1, target - SLOT_COUNT + 1);
    this.#currentTick = Math.max(this.#currentTick, target);
    for (let tick = from; tick <= target; tick += 1) this.#fireSlot(tick % SLOT_COUNT, nowMs);
    this.#isTicking = this.#armedCount > 0;
    if (this.#isTicking) this.#clock.setTimer(this.#tickMs, this.#onTick);
  }

  #fireSlot(at: number, nowMs: number): void {
    // From the head after each firing: what fires may arm and disarm others, and whatever is armed now is due later.
    for (let entry = this.#firstDue(at); entry !== undefined; entry = this.#firstDue(at)) {
      this.disarm(entry);
      entry.onDue(nowMs);
    }
  }

  #firstDue(at: number): WheelEntry | undefined {
    let entry = this.#heads[at];
    while (entry !== undefined && entry.dueTick > this.#currentTick) entry = entry.next;
    return entry;
  }
}
