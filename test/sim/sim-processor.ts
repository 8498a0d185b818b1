/**
 * A processor for a simulated node: whatever reaches it waits its turn, and each thing takes its time, as on an event loop that
 * has one core. Nodes of other simulations do all in no time; those that have one of these can be asked for more than they can
 * do. Clients' requests go through the gate that production has, in the same order: looked at, let in or refused, answered.
 * Gossip's datagrams and timers are not among what waits: in production they come first. Must never decide who is let in.
 */
import { Admission } from "../../services/api/admission.ts";
import { FrontGate, NOBODYS } from "../../services/api/front-gate.ts";
import { crowdPlaceOf } from "../../services/api/key-crowd.ts";
import type { ByteLink, LoadMeter, Network } from "../../services/base/ports.ts";
import type { Knobs } from "../../services/coordinator/contract.ts";
import type { GyreNode } from "../../services/node/node.ts";
import { keyBytesOf, SIM_BUCKET } from "./sim-values.ts";

/** What a thing costs a real node, milliseconds: a request at its door, a refusal, what a link brings at a time. */
const REQUEST_MS = 0.1;
const REFUSAL_MS = 0.01;
const FRAMES_MS = 0.02;

/** The world's time, as a processor needs it. */
export interface ProcessorClock {
  nowMs(): number;
  after(delayMs: number, run: () => void): void;
}

/** One core. */
export class SimProcessor {
  /** virtual milliseconds in which it does what a real one does in one: what is simulated must be few */
  readonly slowness: number;
  readonly #clock: ProcessorClock;
  #queue: { readonly run: () => number; readonly sinceMs: number }[] = [];
  #at = 0;
  #isBusy = false;
  #busyMs = 0;
  #readMs = 0;
  #longestWaitMs = 0;
  #life = 0;

  constructor(clock: ProcessorClock, slowness: number) {
    this.#clock = clock;
    this.slowness = slowness;
  }

  /** Runs `run` in its turn; it answers how long it took. */
  add(run: () => number): void {
    this.#queue.push({ run, sinceMs: this.#clock.nowMs() });
    if (!this.#isBusy) this.#next();
  }

  /** The process is gone, and all that waited with it. */
  clear(): void {
    this.#life += 1;
    this.#queue = [];
    this.#at = 0;
    this.#isBusy = false;
  }

  /** What the node's own meter says: how long the last to come waited, and how busy the core was. */
  readonly meter: LoadMeter = {
    memoryLimitBytes: 1e9,
    heapLimitBytes: 1e9,
    read: () => {
      const nowMs = this.#clock.nowMs();
      const utilisation = Math.min(1, this.#busyMs / Math.max(1, nowMs - this.#readMs));
      const loopDelayMs = this.#longestWaitMs;
      this.#busyMs = 0;
      this.#longestWaitMs = 0;
      this.#readMs = nowMs;
      return { loopDelayMs, utilisation };
    },
    memory: () => ({ residentBytes: 1e6, heapBytes: 1e6 }),
  };

  /** The network as a node with this processor meets it: what arrives waits its turn. */
  slowed(network: Network): Network {
    const slowed = (link: ByteLink): ByteLink => this.#slowedLink(link);
    return {
      listen: (address, accept) => network.listen(address, (link) => accept(slowed(link))),
      dial: async (address, timeoutMs) => slowed(await network.dial(address, timeoutMs)),
      resolve: (address) => network.resolve(address),
    };
  }

  #slowedLink(link: ByteLink): ByteLink {
    return {
      remote: link.remote,
      get queuedBytes() {
        return link.queuedBytes;
      },
      write: (bytes) => link.write(bytes),
      close: (reason) => link.close(reason),
      listen: ({ onBytes, onClose }) =>
        link.listen({
          onBytes: (bytes) => this.add(() => took(FRAMES_MS * this.slowness, () => onBytes(bytes))),
          onClose: (reason) => this.add(() => took(0, () => onClose(reason))),
        }),
    };
  }

  #next(): void {
    const first = this.#queue[this.#at];
    this.#isBusy = first !== undefined;
    if (first === undefined) {
      this.#queue = [];
      this.#at = 0;
      return;
    }
    this.#at += 1;
    this.#longestWaitMs = Math.max(this.#longestWaitMs, this.#clock.nowMs() - first.sinceMs);
    const tookMs = first.run();
    this.#busyMs += tookMs;
    const life = this.#life;
    this.#clock.after(tookMs, () => {
      if (life === this.#life) this.#next();
    });
  }
}

function took(costMs: number, run: () => void): number {
  run();
  return costMs;
}

/** One request of one key. */
export interface FrontRequest {
  readonly work: "read" | "write";
  readonly key: string;
  readonly timeoutMs: number;
}

/** What a client hears; whoever hears nothing within its time has given up. */
export type FrontAnswer = "good" | "refused" | "failed";

/** The door of one node for clients: its gate, and behind it its coordinator. One life long. */
export class SimFront {
  readonly #admission: Admission = new Admission();
  readonly #gate: FrontGate;
  readonly #processor: SimProcessor;
  readonly #node: GyreNode;
  readonly #nowMs: () => number;
  readonly #isGated: boolean;
  readonly #refused = { read: 0, write: 0 };

  /** `isGated` false: everybody is let in, as if nothing of overload had been built. */
  constructor(
    node: GyreNode,
    processor: SimProcessor,
    world: { readonly nowMs: () => number; readonly isGated: boolean },
  ) {
    this.#node = node;
    this.#processor = processor;
    this.#nowMs = world.nowMs;
    this.#isGated = world.isGated;
    this.#gate = new FrontGate(this.#admission, {
      calm: node.calm,
      clock: { monotonicMs: world.nowMs, wallMicros: world.nowMs },
    });
    node.calm.follow({
      inflightOf: (work) => this.#admission.inflightOf(work),
      refusedOf: (work) => (work === "read" || work === "write" ? this.#refused[work] : 0),
    });
  }

  /** Asks; `onAnswer` may never be called, when the process ends. */
  ask(request: FrontRequest, onAnswer: (answer: FrontAnswer) => void): void {
    this.#processor.add(() => {
      const { work } = request;
      const bytes = work === "write" ? 100 : 0;
      if (this.#isGated && !this.#letIn(request, bytes)) {
        this.#refused[work] += 1;
        onAnswer("refused");
        return REFUSAL_MS * this.#processor.slowness;
      }
      const startedMs = this.#nowMs();
      void this.#coordinate(request).then((isGood) => {
        if (this.#isGated) this.#leave(request, bytes);
        this.#node.calm.answered(work, this.#nowMs() - startedMs);
        onAnswer(isGood ? "good" : "failed");
      });
      return REQUEST_MS * this.#processor.slowness;
    });
  }

  #letIn({ work, key }: FrontRequest, bytes: number): boolean {
    const { crowd } = this.#gate;
    if (this.#gate.reasonNow(work, { ...NOBODYS, target: key }, bytes) !== undefined) return false;
    if (!this.#admission.tryEnter(work, bytes, this.#node.calm.limitOf(work))) return false;
    crowd.enter(crowdPlaceOf(key));
    return true;
  }

  #leave({ work, key }: FrontRequest, bytes: number): void {
    this.#gate.crowd.leave(crowdPlaceOf(key));
    this.#admission.leave(work, bytes);
  }

  async #coordinate({ work, key, timeoutMs }: FrontRequest): Promise<boolean> {
    const { coordinator } = this.#node;
    const name = { bucket: SIM_BUCKET, key: keyBytesOf(key) };
    const knobs: Knobs = { sloppy: true, timeoutMs, explain: false };
    if (work === "read") return (await coordinator.get({ name, knobs })).kind !== "failed";
    const value = {
      contentType: "text/plain",
      bytes: new Uint8Array(100),
      context: undefined,
      blind: "overwrite",
    } as const;
    return (await coordinator.put({ name, knobs, ...value })).kind === "applied";
  }
}
