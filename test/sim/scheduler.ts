/**
 * Virtual time: a heap of events, run one at a time, each with all the promises it wakes before time moves on. Events of
 * the same instant run in an order drawn from the seed, deferrals in theirs. Must never wait for real time, and nothing
 * inside a simulation may: a real timer or file would finish whenever it likes.
 *
 * Why settling is complete: Node runs all ticks and microtasks between one immediate callback and the next (since
 * version 11), also within one turn of its loop. So each event is an immediate of its own, and many of them are queued
 * ahead: one turn of the loop carries hundreds of events, where a promise per event would cost a turn each.
 */
import { SimRandom } from "./sim-random.ts";

/** Taken before anything can arm the tripwires. */
const queueImmediate = setImmediate;
const IMMEDIATES_AHEAD = 256;

/** An operating system's process: what happens in it stops when it is paused or dead. */
export class SimProcess {
  readonly name: string;
  #state: "running" | "paused" | "dead" = "running";
  readonly #held: SimEvent[] = [];
  readonly #scheduler: Scheduler;

  constructor(name: string, scheduler: Scheduler) {
    this.name = name;
    this.#scheduler = scheduler;
  }

  get isDead(): boolean {
    return this.#state === "dead";
  }

  get isPaused(): boolean {
    return this.#state === "paused";
  }

  /** As SIGSTOP: from now on nothing runs in it, and what falls due is held. */
  pause(): void {
    if (this.#state === "running") this.#state = "paused";
  }

  /** As SIGCONT: all that fell due meanwhile happens now; like Node's loop, first the timers, then what has arrived. */
  resume(): void {
    if (this.#state !== "paused") return;
    this.#state = "running";
    const held = this.#held.splice(0);
    const inOrder = [...held.filter((event) => event.isTimer), ...held.filter((event) => !event.isTimer)];
    for (const event of inOrder) {
      // One of them may call off a later one: only the event itself knows when its turn comes.
      this.#scheduler.defer(() => {
        if (!event.isCancelled) event.run();
      }, this);
    }
  }

  /** As SIGKILL: nothing ever runs in it again. */
  kill(): void {
    this.#state = "dead";
    this.#held.length = 0;
  }

  /** Keeps an event of a paused process. */
  hold(event: SimEvent): void {
    this.#held.push(event);
  }
}

/** Something that will happen, once. */
export interface SimEvent {
  readonly atMs: number;
  /** deferrals (0) run before all else (1) of their instant */
  readonly rank: 0 | 1;
  readonly tie: number;
  readonly sequence: number;
  readonly process: SimProcess | undefined;
  /** a process's own timer, not something that reaches it */
  readonly isTimer: boolean;
  readonly run: () => void;
  isCancelled: boolean;
}

/** Why a run ended. */
export type RunEnd = "idle" | "time" | "condition" | "events";

/** When to stop; what is left out does not stop it. */
export interface RunLimit {
  readonly untilMs?: number;
  /** looked at after each event */
  readonly until?: () => boolean;
  readonly maxEvents?: number;
}

/** One simulation's time. */
export class Scheduler {
  readonly #heap: SimEvent[] = [];
  readonly #ties: SimRandom;
  #nowMs = 0;
  #sequence = 0;
  #eventCount = 0;
  #trace = 0x811c_9dc5;
  #isRunning = false;

  constructor(seed: string) {
    this.#ties = new SimRandom(seed).fork("ties");
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events run so far. */
  get eventCount(): number {
    return this.#eventCount;
  }

  /** A number that is the same for two runs exactly when (as good as) the same happened in the same order. */
  get traceHash(): number {
    return this.#trace >>> 0;
  }

  /** Mixes a fact of its own into the trace. */
  note(fact: string): void {
    for (let i = 0; i < fact.length; i += 1) this.#mix(fact.charCodeAt(i));
  }

  /** A process whose events can be paused and killed. */
  newProcess(name: string): SimProcess {
    return new SimProcess(name, this);
  }

  /** Runs `run` after `delayMs` ≥ 0. */
  after(delayMs: number, run: () => void, process?: SimProcess): SimEvent {
    return this.#add({
      atMs: this.#nowMs + Math.max(0, delayMs),
      rank: 1,
      tie: this.#ties.u32(),
      isTimer: false,
      process,
      run,
    });
  }

  /** The same, as a timer that the process has set. */
  timer(delayMs: number, run: () => void, process: SimProcess): SimEvent {
    return this.#add({
      atMs: this.#nowMs + Math.max(0, delayMs),
      rank: 1,
      tie: this.#ties.u32(),
      isTimer: true,
      process,
      run,
    });
  }

  /** Runs `run` when this event is over, before anything else of this instant. */
  defer(run: () => void, process?: SimProcess): SimEvent {
    return this.#add({ atMs: this.#nowMs, rank: 0, tie: 0, isTimer: false, process, run });
  }

  /** Runs events until a limit is reached or none is left; rejects with what an event throws. */
  run(limit: RunLimit): Promise<RunEnd> {
    if (this.#isRunning) throw new Error("one run at a time");
    this.#isRunning = true;
    const lastEvent = this.#eventCount + (limit.maxEvents ?? Infinity);
    // Immediates queued ahead outlive their run: each run knows by itself that it is over.
    let isOver = false;
    return new Promise((fulfil, reject) => {
      const finish = (end: () => void): void => {
        isOver = true;
        this.#isRunning = false;
        end();
      };
      const pump = (): void => {
        if (isOver) return;
        try {
          const end = this.#step(limit, lastEvent);
          if (end !== undefined) finish(() => fulfil(end));
        } catch (error) {
          finish(() => reject(error));
        }
      };
      const fill = (): void => {
        if (isOver) return;
        for (let i = 0; i < IMMEDIATES_AHEAD; i += 1) queueImmediate(pump);
        queueImmediate(fill);
      };
      // The caller's own turn settles before the first event.
      queueImmediate(fill);
    });
  }

  #step(limit: RunLimit, lastEvent: number): RunEnd | undefined {
    if (limit.until?.() === true) return "condition";
    if (this.#eventCount >= lastEvent) return "events";
    const event = this.#heap[0];
    if (event === undefined || event.atMs > (limit.untilMs ?? Infinity)) {
      this.#nowMs = Math.max(this.#nowMs, limit.untilMs ?? 0);
      return event === undefined && limit.untilMs === undefined ? "idle" : "time";
    }
    this.#removeFirst();
    if (event.isCancelled || event.process?.isDead === true) return undefined;
    this.#nowMs = event.atMs;
    if (event.process?.isPaused === true) {
      event.process.hold(event);
      return undefined;
    }
    this.#eventCount += 1;
    this.#mix(event.sequence);
    this.#mix(Math.floor(event.atMs * 1_000));
    event.run();
    return undefined;
  }

  #mix(value: number): void {
    this.#trace = Math.imul(this.#trace ^ (value | 0), 0x0100_0193);
    this.#trace ^= this.#trace >>> 15;
  }

  #add(what: Omit<SimEvent, "sequence" | "isCancelled">): SimEvent {
    this.#sequence += 1;
    const event: SimEvent = { ...what, sequence: this.#sequence, isCancelled: false };
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !isBefore(event, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = event;
    return event;
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const child = smallerChild(heap, at);
      const below = heap[child];
      if (below === undefined || !isBefore(below, last)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
  }
}

function smallerChild(heap: readonly SimEvent[], at: number): number {
  const left = 2 * at + 1;
  const [a, b] = [heap[left], heap[left + 1]];
  return a !== undefined && b !== undefined && isBefore(b, a) ? left + 1 : left;
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
  if (a.atMs !== b.atMs) return a.atMs < b.atMs;
  if (a.rank !== b.rank) return a.rank < b.rank;
  if (a.tie !== b.tie) return a.tie < b.tie;
  return a.sequence < b.sequence;
}
