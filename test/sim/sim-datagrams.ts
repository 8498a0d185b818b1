/**
 * The window on datagrams in virtual time, on the hosts and paths of the simulated network: what cuts, splits, clogs or
 * delays streams does it to datagrams, but that what streams would wait for is lost. On top: what only datagrams
 * suffer, doubles and stragglers. Must never be gentler than UDP.
 */
import type { DatagramSocket, Datagrams } from "../../gossip/index.ts";
import type { Scheduler, SimProcess } from "./scheduler.ts";
import type { SimNetwork } from "./sim-network.ts";
import type { SimPath } from "./sim-path.ts";
import type { SimRandom } from "./sim-random.ts";

const FIRST_FREE_PORT = 59_152;
/** What a kernel keeps for a process that does not read. */
const RECEIVE_BUFFER_DATAGRAMS = 256;

/** What one direction does to datagrams, beside what it does to everything. Probabilities are per datagram. */
export interface DatagramFaults {
  /** on top of the path's own, which hits streams too: here streams pass */
  readonly lossProbability: number;
  readonly duplicateProbability: number;
  /** a straggler: overtaken by what was sent later */
  readonly lateProbability: number;
  /** mean of how late stragglers are */
  readonly lateMs: number;
}

const CALM: DatagramFaults = { lossProbability: 0, duplicateProbability: 0, lateProbability: 0, lateMs: 50 };

type OnDatagram = Parameters<DatagramSocket["listen"]>[0];

interface Bound {
  readonly process: SimProcess;
  onDatagram: OnDatagram | undefined;
  isClosed: boolean;
  /** arrived, and not read yet */
  waitingCount: number;
}

interface Direction {
  readonly path: SimPath;
  readonly random: SimRandom;
}

/** The datagrams of all hosts of a simulated network. */
export class SimDatagrams {
  readonly #scheduler: Scheduler;
  readonly #random: SimRandom;
  readonly #network: SimNetwork;
  readonly #bound = new Map<string, Bound>();
  readonly #directions = new Map<string, Direction>();
  readonly #faults = new Map<string, DatagramFaults>();
  #defaults: DatagramFaults = CALM;
  #nextPort = FIRST_FREE_PORT;
  #sentCount = 0;
  #deliveredCount = 0;

  constructor(scheduler: Scheduler, random: SimRandom, network: SimNetwork) {
    this.#scheduler = scheduler;
    this.#random = random.fork("datagrams");
    this.#network = network;
  }

  /** The window of one process on a host. */
  windowOf(host: string, process: SimProcess): Datagrams {
    return {
      open: async (address) => this.#open(host, process, Number(address.slice(address.lastIndexOf(":") + 1))),
    };
  }

  /** Changes what one direction does to datagrams alone. */
  setFaults(from: string, to: string, faults: Partial<DatagramFaults>): void {
    const key = `${from}→${to}`;
    this.#faults.set(key, { ...(this.#faults.get(key) ?? this.#defaults), ...faults });
  }

  /** Changes every direction, those not used yet too. */
  setAllFaults(faults: Partial<DatagramFaults>): void {
    this.#defaults = { ...this.#defaults, ...faults };
    for (const [key, known] of this.#faults) this.#faults.set(key, { ...known, ...faults });
  }

  /** Datagrams sent so far by everybody, and those that a process has read. */
  get counts(): { readonly sent: number; readonly delivered: number } {
    return { sent: this.#sentCount, delivered: this.#deliveredCount };
  }

  #open(host: string, process: SimProcess, askedPort: number): DatagramSocket {
    const port = askedPort === 0 ? this.#nextPort : askedPort;
    if (askedPort === 0) this.#nextPort += 1;
    const address = `${host}:${port}`;
    const holder = this.#bound.get(address);
    if (holder !== undefined && !holder.process.isDead && !holder.isClosed) throw new Error(`EADDRINUSE ${address}`);
    const bound: Bound = { process, onDatagram: undefined, isClosed: false, waitingCount: 0 };
    this.#bound.set(address, bound);
    let sendErrorCount = 0;
    return {
      address,
      get sendErrorCount(): number {
        return sendErrorCount;
      },
      send: (bytes, to, onRefused) => {
        if (bound.isClosed) return;
        if (/^[^:]+:\d+$/.test(to)) return this.#send({ host, address }, to, bytes);
        sendErrorCount += 1;
        onRefused?.("EINVAL");
      },
      listen: (onDatagram) => {
        bound.onDatagram = onDatagram;
      },
      close: async () => {
        bound.isClosed = true;
      },
    };
  }

  #send(from: { readonly host: string; readonly address: string }, to: string, bytes: Uint8Array): void {
    this.#sentCount += 1;
    const toHost = to.slice(0, to.lastIndexOf(":"));
    const { path, random } = this.#direction(from.host, toHost);
    const faults = this.#faults.get(`${from.host}→${toHost}`) ?? this.#defaults;
    const isDoubled = random.chance(faults.duplicateProbability);
    for (let copy = 0; copy < (isDoubled ? 2 : 1); copy += 1) {
      // All draws are made, whatever becomes of them, so that changing a probability shifts nothing.
      const isLost = [random.chance(path.faults.lossProbability), random.chance(faults.lossProbability)].includes(true);
      const lateMs = [random.chance(faults.lateProbability), random.exponential(faults.lateMs)] as const;
      const { baseDelayMs, tailDelayMs, bytesPerMs } = path.faults;
      const delayMs = baseDelayMs + random.exponential(tailDelayMs) + (lateMs[0] ? lateMs[1] : 0);
      if (isLost || path.isBlocked) continue;
      const own = new Uint8Array(bytes);
      const arrive = (): void => this.#arrive(path, { to, from: from.address, bytes: own });
      this.#scheduler.after(delayMs + bytes.length / bytesPerMs, arrive);
    }
  }

  /** In the kernel of the receiver, whatever its process does. */
  #arrive(path: SimPath, datagram: { readonly to: string; readonly from: string; readonly bytes: Uint8Array }): void {
    if (path.isBlocked) return;
    if (!path.isOpenAt(this.#scheduler.nowMs)) return path.whenOpened(() => this.#arrive(path, datagram));
    const bound = this.#bound.get(datagram.to);
    if (bound === undefined || bound.isClosed || bound.process.isDead) return;
    if (bound.waitingCount >= RECEIVE_BUFFER_DATAGRAMS) return;
    bound.waitingCount += 1;
    this.#scheduler.defer(() => {
      bound.waitingCount -= 1;
      if (bound.isClosed) return;
      this.#deliveredCount += 1;
      bound.onDatagram?.(datagram.bytes, datagram.from);
    }, bound.process);
  }

  #direction(from: string, to: string): Direction {
    const key = `${from}→${to}`;
    const known = this.#directions.get(key);
    if (known !== undefined) return known;
    const direction = { path: this.#network.pathBetween(from, to), random: this.#random.fork(key) };
    this.#directions.set(key, direction);
    return direction;
  }
}
