/**
 * Whether the store still takes writes. A failed write or fsync is final: what the disk holds is unknown from then on,
 * and a second fsync would lie (Rebello et al., "Can applications recover from fsync failures?", ATC 2020).
 * Must never become healthy again.
 */
import { StoreFailedError } from "./errors.ts";
import type { StorageLog } from "./ports.ts";

/** The one-way switch from working to failed. */
export class StoreHealth {
  readonly #log: StorageLog;
  readonly #listeners: ((error: Error) => void)[] = [];
  #failure: StoreFailedError | undefined;

  constructor(log: StorageLog) {
    this.#log = log;
  }

  /** Why the store failed; undefined while it works. */
  get failure(): StoreFailedError | undefined {
    return this.#failure;
  }

  /** Calls `listen` once when the store fails; at once when it has already. */
  onFailure(listen: (error: Error) => void): void {
    if (this.#failure === undefined) this.#listeners.push(listen);
    else listen(this.#failure);
  }

  /** Declares the store failed because of `cause`; returns the error that all waiters get. Only the first cause counts. */
  fail(cause: unknown): StoreFailedError {
    if (this.#failure !== undefined) return this.#failure;
    const failure = new StoreFailedError({ cause });
    this.#failure = failure;
    this.#log.error({ event: "storage.failed", cause: cause instanceof Error ? cause.message : String(cause) });
    for (const listen of this.#listeners.splice(0)) listen(failure);
    return failure;
  }
}
