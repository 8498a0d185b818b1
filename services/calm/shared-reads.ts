/**
 * Reads of one key that meet in one turn of the event loop share one read of the replicas: a hot key costs a node two reads a
 * turn however many ask. Must never let a request share a read that began before it came: a client that has seen its write
 * acknowledged would be shown what was before. So the first of a turn goes at once and alone, and those that come after it
 * wait for the end of the turn, which none of them precedes, and go together: for as long as the most patient of them has
 * time. Whoever has less is told so at its own time, or a full node, on which each has waited for another while, would share
 * nothing. Must never keep a request waiting past its own deadline. Cost while nothing is hot: a counter.
 * Source: single-flight (Go's x/sync, Facebook's leases for thundering herds, Nishtala et al. 2013); reliability notes §4 O8.
 */
import { DEADLINE_TICK_MS } from "../base/limits.ts";
import { SHARED_READS_FROM } from "../base/load-limits.ts";
import type { Clock, Timer } from "../base/ports.ts";
import type {
  Coordinator,
  DeleteRequest,
  GetAnswer,
  GetRequest,
  Knobs,
  ListAnswer,
  ListRequest,
  PutRequest,
  WriteAnswer,
} from "../coordinator/contract.ts";
import { refused } from "../coordinator/failures.ts";

type PartyClock = Pick<Clock, "defer" | "monotonicMs" | "setTimer">;
type Settle = PromiseWithResolvers<GetAnswer>;

/**
 * Those who wait for the end of the turn to read one key together. Each is a guest until its own deadline, by the ticks of the
 * coordinator's wheel: those whose reads would have ended in one tick are one.
 */
class Party {
  readonly knobs: Knobs;
  readonly #clock: PartyClock;
  /** by the tick in which their time is up */
  readonly #guests = new Map<number, Settle>();
  /** monotonic: when the most patient gives up */
  #lastMs = 0;
  /** the ticks before that one, the next one last */
  #earlier: number[] = [];
  #timer: Timer | undefined;

  constructor(knobs: Knobs, clock: PartyClock) {
    this.knobs = knobs;
    this.#clock = clock;
  }

  /** One more, whose time begins now; only before the read has begun. */
  join(timeoutMs: number): Promise<GetAnswer> {
    const dueMs = this.#clock.monotonicMs() + timeoutMs;
    this.#lastMs = Math.max(this.#lastMs, dueMs);
    const tick = Math.ceil(dueMs / DEADLINE_TICK_MS);
    const known = this.#guests.get(tick);
    if (known !== undefined) return known.promise;
    const settle = Promise.withResolvers<GetAnswer>();
    this.#guests.set(tick, settle);
    return settle.promise;
  }

  /** Begins the read for all. Whose time is up with the read's is told by it, with all that it knows. */
  begin(read: (timeoutMs: number) => Promise<GetAnswer>): void {
    const ticks = [...this.#guests.keys()].sort((left, right) => right - left);
    this.#earlier = ticks.slice(1);
    // However late it is by now, what is asked is asked: a replica here may answer at once.
    read(Math.max(1, this.#lastMs - this.#clock.monotonicMs())).then(
      (answer) => this.#end(({ resolve }) => resolve(answer)),
      (error: unknown) => this.#end(({ reject }) => reject(error)),
    );
    this.#awaitNext();
  }

  #awaitNext(): void {
    const next = this.#earlier.at(-1);
    if (next === undefined) return;
    const delayMs = Math.max(0, next * DEADLINE_TICK_MS - this.#clock.monotonicMs());
    this.#timer = this.#clock.setTimer(delayMs, this.#onTick);
  }

  readonly #onTick = (): void => {
    const nowMs = this.#clock.monotonicMs();
    for (let at = this.#earlier.length - 1; at >= 0; at -= 1) {
      const tick = this.#earlier[at] ?? 0;
      if (tick * DEADLINE_TICK_MS > nowMs) break;
      this.#earlier.pop();
      this.#guests.get(tick)?.resolve(timeIsUp());
      this.#guests.delete(tick);
    }
    this.#awaitNext();
  };

  #end(tell: (guest: Settle) => void): void {
    this.#timer?.cancel();
    for (const guest of this.#guests.values()) tell(guest);
  }
}

/** A coordinator whose reads are shared. */
export class SharedReads implements Coordinator {
  /** reads that were answered by another request's, since the start */
  sharedCount = 0;
  readonly #inner: Coordinator;
  readonly #clock: PartyClock;
  /** reads of this turn so far */
  #turnCount = 0;
  /** by key: undefined while one read of it has gone in this turn, then those who follow */
  readonly #parties = new Map<string, Party | undefined>();

  constructor(inner: Coordinator, clock: PartyClock) {
    this.#inner = inner;
    this.#clock = clock;
  }

  /** Reads a key, perhaps together with others. */
  get(request: GetRequest): Promise<GetAnswer> {
    if (this.#turnCount === 0) this.#clock.defer(this.#endTurn);
    this.#turnCount += 1;
    // Few reads in a turn: even if they are all of one key, telling them apart costs more than it saves.
    if (this.#turnCount < SHARED_READS_FROM || request.atLeast !== undefined) return this.#inner.get(request);
    const key = textOf(request);
    const party = this.#parties.get(key);
    if (party !== undefined) {
      if (!isAlike(party.knobs, request.knobs)) return this.#inner.get(request);
      this.sharedCount += 1;
      return party.join(request.knobs.timeoutMs);
    }
    if (!this.#parties.has(key)) {
      this.#parties.set(key, undefined);
      return this.#inner.get(request);
    }
    const founded = new Party(request.knobs, this.#clock);
    this.#parties.set(key, founded);
    // of nobody in particular: whoever founded it may go, and the others stay
    const { name, knobs } = request;
    this.#clock.defer(() => {
      founded.begin((timeoutMs) => this.#inner.get({ name, knobs: { ...knobs, timeoutMs } }));
    });
    return founded.join(request.knobs.timeoutMs);
  }

  put(request: PutRequest): Promise<WriteAnswer> {
    return this.#inner.put(request);
  }

  delete(request: DeleteRequest): Promise<WriteAnswer> {
    return this.#inner.delete(request);
  }

  list(request: ListRequest): Promise<ListAnswer> {
    return this.#inner.list(request);
  }

  readonly #endTurn = (): void => {
    this.#turnCount = 0;
    this.#parties.clear();
  };
}

/** Bucket and key; a bucket's name has no NUL. */
function textOf({ name }: GetRequest): string {
  const { buffer, byteOffset, byteLength } = name.key;
  return `${name.bucket}\0${Buffer.from(buffer, byteOffset, byteLength).toString("latin1")}`;
}

/** All but their deadlines: each keeps its own. Who asks to be told of its read is to be told at its end, too. */
function isAlike(left: Knobs, right: Knobs): boolean {
  return (
    left.r === right.r &&
    left.pr === right.pr &&
    left.sloppy === right.sloppy &&
    left.explain === right.explain &&
    left.trace === right.trace &&
    (left.timeoutMs === right.timeoutMs || !left.explain)
  );
}

/** What a read that goes on for others has come to, for one whose time is up. */
function timeIsUp(): GetAnswer {
  const detail = "The request's time was over before enough replicas had answered the read that it shares with others.";
  return refused("quorum_not_met", detail, { retryable: true });
}
