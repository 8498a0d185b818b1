/**
 * Both ends of one simulated stream. Order is kept; bytes take time, may stop for good at any byte, and may still arrive
 * when the process that sent them is long dead. Must never deliver within the turn that wrote.
 */
import type { ByteLink } from "../../services/base/ports.ts";
import type { Scheduler, SimProcess } from "./scheduler.ts";
import type { SimPath } from "./sim-path.ts";

/** Sums of virtual times may miss by a rounding. */
const ROUNDING_MS = 1e-6;
/** What an operating system's buffers take before bytes count as queued in the process. */
const KERNEL_BUFFER_BYTES = 256 * 1_024;

type Listeners = Parameters<ByteLink["listen"]>[0];

/** What one end needs of the world. */
export interface LinkWorld {
  readonly scheduler: Scheduler;
  /** where the end lives */
  readonly process: SimProcess;
  readonly remote: string;
  /** the direction in which this end's bytes go */
  readonly path: SimPath;
  /** called once, when the end is closed */
  readonly onClosed: (end: SimLinkEnd) => void;
  /** some process runs on the other end's host: its kernel answers what it does not know with a reset */
  readonly isRemoteUp: () => boolean;
}

/** Something under way to the other end: bytes, or the news of the end. */
interface Parcel {
  readonly bytes: Uint8Array | undefined;
  readonly reason: string;
  readonly dueMs: number;
}

/** One end of a stream. */
export class SimLinkEnd implements ByteLink {
  readonly remote: string;
  readonly #world: LinkWorld;
  #other: SimLinkEnd | undefined;
  #listeners: Listeners | undefined;
  #early: Uint8Array[] = [];
  #earlyBytes = 0;
  #onListening: (() => void)[] = [];
  #parcels: Parcel[] = [];
  #parcelBytes = 0;
  #lastDueMs = 0;
  #closeReason: string | undefined;
  #isClosedByUs = false;
  #isCloseTold = false;

  constructor(world: LinkWorld) {
    this.remote = world.remote;
    this.#world = world;
  }

  /** Joins two ends; before that nothing may be written. */
  static join(a: SimLinkEnd, b: SimLinkEnd): void {
    a.#other = b;
    b.#other = a;
  }

  get queuedBytes(): number {
    return Math.max(0, this.#parcelBytes - KERNEL_BUFFER_BYTES);
  }

  get isClosed(): boolean {
    return this.#closeReason !== undefined;
  }

  get process(): SimProcess {
    return this.#world.process;
  }

  write(bytes: Uint8Array): void {
    if (this.isClosed || bytes.length === 0) return;
    const { path } = this.#world;
    // A copy: with a shared array, one side that changes what it must not would change it for both, and hide itself.
    this.#send({ bytes: new Uint8Array(bytes), reason: "" });
    if (path.random.chance(path.faults.cutProbability)) this.cut("ECONNRESET");
  }

  listen(listeners: Listeners): void {
    this.#world.scheduler.defer(() => {
      this.#listeners = listeners;
      for (const bytes of this.#early.splice(0)) if (!this.#isClosedByUs) listeners.onBytes(bytes);
      for (const run of this.#onListening.splice(0)) run();
      if (this.isClosed) this.#tellClosed();
    }, this.#world.process);
  }

  close(reason: string): void {
    if (this.isClosed) return;
    this.#isClosedByUs = true;
    this.#loseTail();
    this.#send({ bytes: undefined, reason: "ended_by_peer" });
    this.#closeHere(reason);
  }

  /** Breaks the connection for both ends; each still gets some of what is under way to it. */
  cut(reason: string): void {
    for (const end of [this, this.#other]) {
      if (end === undefined || end.isClosed) continue;
      end.#loseTail();
      end.#send({ bytes: undefined, reason });
    }
    // Each end hears of it when the news reaches it; until then it may go on writing into nothing.
  }

  /** The process of this end is gone. With `isSilent` (the machine too) the other end hears nothing. */
  abandon(isSilent: boolean): void {
    if (this.isClosed) return;
    this.#closeReason = "process_dead";
    if (!isSilent) this.#send({ bytes: undefined, reason: "ECONNRESET" });
  }

  #send(what: { readonly bytes: Uint8Array | undefined; readonly reason: string }): void {
    const { path, scheduler } = this.#world;
    const sizeBytes = what.bytes?.length ?? 0;
    const earliestMs = Math.max(this.#lastDueMs, scheduler.nowMs + path.drawDelayMs());
    const dueMs = earliestMs + sizeBytes / path.faults.bytesPerMs;
    this.#lastDueMs = dueMs;
    this.#parcels.push({ ...what, dueMs });
    this.#parcelBytes += sizeBytes;
    scheduler.after(dueMs - scheduler.nowMs, this.#arrive, this.#receiver);
  }

  /** Where arrivals happen: in the other end's process, or, when that is dead, in its kernel. */
  get #receiver(): SimProcess | undefined {
    return this.#other?.process.isDead === true ? undefined : this.#other?.process;
  }

  /** Lets the oldest parcel arrive if it is due; runs where the other end is. */
  readonly #arrive = (): void => {
    const { path, scheduler } = this.#world;
    const parcel = this.#parcels[0];
    const other = this.#other;
    if (other === undefined || parcel === undefined || parcel.dueMs > scheduler.nowMs + ROUNDING_MS) return;
    if (!path.isOpenAt(scheduler.nowMs)) {
      path.whenOpened(() => scheduler.after(path.drawDelayMs(), this.#arrive, this.#receiver));
      return;
    }
    if (other.#listeners === undefined && other.#earlyBytes >= KERNEL_BUFFER_BYTES && !other.isClosed) {
      // Nobody reads: what the receiving kernel cannot take stays with the sender.
      other.#onListening.push(this.#arrive);
      return;
    }
    this.#parcels.shift();
    this.#parcelBytes -= parcel.bytes?.length ?? 0;
    if (other.isClosed) {
      const isAnswered = !other.process.isDead || this.#world.isRemoteUp();
      if (parcel.bytes !== undefined && !this.isClosed && isAnswered) other.refuse();
      return;
    }
    if (parcel.bytes === undefined) return other.#closeHere(parcel.reason);
    this.#deliver(parcel.bytes, other);
  };

  /** Tells the other end that nobody is here any more. */
  refuse(): void {
    this.#send({ bytes: undefined, reason: "ECONNRESET" });
  }

  #deliver(bytes: Uint8Array, other: SimLinkEnd): void {
    const { path, scheduler } = this.#world;
    if (bytes.length < 2 || !path.random.chance(path.faults.splitProbability)) return other.#tellBytes(bytes);
    const at = 1 + path.random.below(bytes.length - 1);
    other.#tellBytes(bytes.slice(0, at));
    this.#parcels.unshift({ bytes: bytes.slice(at), reason: "", dueMs: scheduler.nowMs });
    this.#parcelBytes += bytes.length - at;
    scheduler.defer(this.#arrive, this.#receiver);
  }

  /** Forgets a random part of what is under way, from some byte on. */
  #loseTail(): void {
    const { random } = this.#world.path;
    if (this.#parcels.length === 0 || random.chance(0.5)) return;
    const keptCount = random.below(this.#parcels.length);
    const torn = this.#parcels[keptCount];
    this.#parcels = this.#parcels.slice(0, keptCount);
    const tornBytes = torn?.bytes === undefined ? undefined : torn.bytes.slice(0, random.below(torn.bytes.length));
    if (torn !== undefined && tornBytes !== undefined && tornBytes.length > 0) {
      this.#parcels.push({ ...torn, bytes: tornBytes });
    }
    this.#parcelBytes = this.#parcels.reduce((sum, parcel) => sum + (parcel.bytes?.length ?? 0), 0);
  }

  #tellBytes(bytes: Uint8Array): void {
    if (this.isClosed) return;
    if (this.#listeners !== undefined) return this.#listeners.onBytes(bytes);
    this.#early.push(bytes);
    this.#earlyBytes += bytes.length;
  }

  #closeHere(reason: string): void {
    if (this.isClosed) return;
    this.#closeReason = reason;
    this.#world.onClosed(this);
    this.#world.scheduler.defer(() => this.#tellClosed(), this.#world.process);
  }

  #tellClosed(): void {
    if (this.#isCloseTold || this.#listeners === undefined) return;
    this.#isCloseTold = true;
    this.#listeners.onClose(this.#closeReason ?? "closed");
  }
}
