/**
 * Reads of one key that meet in one turn of the event loop share one read of the replicas: a hot key costs a node two reads a
 * turn however many ask. Must never let a request share a read that began before it came: a client that has seen its write
 * acknowledged would be shown what was before. So the first of a turn goes at once and alone, and those that come after it
 * wait for the end of the turn, which none of them precedes, and go together. Cost while nothing is hot: a counter.
 * Source: single-flight (Go's x/sync, Facebook's leases for thundering herds, Nishtala et al. 2013); reliability notes §4 O8.
 */
import { SHARED_READS_FROM } from "../base/load-limits.ts";
import type { Clock } from "../base/ports.ts";
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

/** Those who wait for the end of the turn to read one key together. */
interface Party {
  readonly knobs: Knobs;
  readonly answer: Promise<GetAnswer>;
}

/** A coordinator whose reads are shared. */
export class SharedReads implements Coordinator {
  /** reads that were answered by another request's, since the start */
  sharedCount = 0;
  readonly #inner: Coordinator;
  readonly #clock: Pick<Clock, "defer">;
  /** reads of this turn so far */
  #turnCount = 0;
  /** by key: undefined while one read of it has gone in this turn, then those who follow */
  readonly #parties = new Map<string, Party | undefined>();

  constructor(inner: Coordinator, clock: Pick<Clock, "defer">) {
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
      return party.answer;
    }
    if (!this.#parties.has(key)) {
      this.#parties.set(key, undefined);
      return this.#inner.get(request);
    }
    const answer = new Promise<GetAnswer>((resolve, reject) => {
      this.#clock.defer(() => {
        this.#inner.get(request).then(resolve, reject);
      });
    });
    this.#parties.set(key, { knobs: request.knobs, answer });
    return answer;
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

function isAlike(left: Knobs, right: Knobs): boolean {
  return (
    left.r === right.r &&
    left.pr === right.pr &&
    left.sloppy === right.sloppy &&
    left.timeoutMs === right.timeoutMs &&
    left.explain === right.explain &&
    left.trace === right.trace
  );
}
