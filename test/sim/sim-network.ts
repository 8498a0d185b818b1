/**
 * The network window in virtual time: hosts by name, streams between them, and the ways in which networks betray: delay,
 * loss, cuts, splits in one or both directions, clogs, half-open links, slow readers. Nothing happens but what the seed
 * and the control calls say. Must never be gentler than TCP where the port promises nothing.
 *
 * Source: reliability notes §2.4; FoundationDB's Sim2; TigerBeetle's packet simulator.
 */
import type { ByteLink, Listener, Network } from "../../services/base/ports.ts";
import type { Scheduler, SimProcess } from "./scheduler.ts";
import { SimLinkEnd } from "./sim-link.ts";
import { CALM, type PathFaults, SimPath } from "./sim-path.ts";
import type { SimRandom } from "./sim-random.ts";

const FIRST_FREE_PORT = 49_152;
const DIAL_RETRY_MS = 1_000;

interface OpenPort {
  readonly process: SimProcess;
  readonly accept: (link: ByteLink) => void;
}

/** All hosts and what lies between them. */
export class SimNetwork {
  readonly #scheduler: Scheduler;
  readonly #random: SimRandom;
  readonly #ports = new Map<string, OpenPort>();
  readonly #paths = new Map<string, SimPath>();
  readonly #names = new Map<string, readonly string[]>();
  readonly #ends = new Set<SimLinkEnd>();
  readonly #hostOf = new Map<SimProcess, string>();
  #defaults: PathFaults = CALM;
  #nextPort = FIRST_FREE_PORT;

  constructor(scheduler: Scheduler, random: SimRandom) {
    this.#scheduler = scheduler;
    this.#random = random.fork("network");
  }

  /** The window of one process on a host. A restart is another process on the same host. */
  windowOf(host: string, process: SimProcess): Network {
    this.#hostOf.set(process, host);
    return {
      listen: async (address, accept) => this.#listen(host, { process, accept }, portOf(address)),
      dial: (address, timeoutMs) => this.#dial({ host, process }, address, timeoutMs),
      resolve: async (address) => this.#resolve(address),
    };
  }

  /** Nothing passes between the two, in either direction, until healed. What is under way waits. */
  partition(a: string, b: string): void {
    this.block(a, b);
    this.block(b, a);
  }

  /** Nothing passes from one to the other; the way back is open. */
  block(from: string, to: string): void {
    this.#path(from, to).isBlocked = true;
  }

  /** Opens the way between two hosts again, or between all. */
  heal(a?: string, b?: string): void {
    for (const [key, path] of this.#paths) {
      if (a !== undefined && b !== undefined && key !== `${a}→${b}` && key !== `${b}→${a}`) continue;
      path.isBlocked = false;
      path.cloggedUntilMs = 0;
      path.opened();
    }
  }

  /** Bytes are accepted and arrive only after `forMs`. */
  clog(from: string, to: string, forMs: number): void {
    const path = this.#path(from, to);
    path.cloggedUntilMs = Math.max(path.cloggedUntilMs, this.#scheduler.nowMs + forMs);
    this.#scheduler.after(path.cloggedUntilMs - this.#scheduler.nowMs, () => {
      if (path.isOpenAt(this.#scheduler.nowMs)) path.opened();
    });
  }

  /** Changes what one direction does to bytes. */
  setFaults(from: string, to: string, faults: Partial<PathFaults>): void {
    const path = this.#path(from, to);
    path.faults = { ...path.faults, ...faults };
  }

  /** Changes every direction, those not used yet too. */
  setAllFaults(faults: Partial<PathFaults>): void {
    this.#defaults = { ...this.#defaults, ...faults };
    for (const path of this.#paths.values()) path.faults = { ...path.faults, ...faults };
  }

  /** Breaks every link between two hosts. */
  cutLinks(a: string, b: string): void {
    for (const end of [...this.#ends]) {
      const here = this.#hostOf.get(end.process);
      const there = hostOf(end.remote);
      if ((here === a && there === b) || (here === b && there === a)) end.cut("ECONNRESET");
    }
  }

  /**
   * Kills a process. Its links break with a reset; with `isSilent` (the machine lost power) the others hear nothing,
   * until they write to the host after it is back. What it had sent arrives all the same.
   */
  crash(process: SimProcess, isSilent = false): void {
    process.kill();
    for (const [address, open] of this.#ports) if (open.process === process) this.#ports.delete(address);
    for (const end of [...this.#ends]) {
      if (end.process !== process) continue;
      this.#ends.delete(end);
      end.abandon(isSilent);
    }
  }

  /** Lets a DNS name stand for addresses without port; a name that is not set stands for itself. */
  setName(name: string, hosts: readonly string[]): void {
    this.#names.set(name, hosts);
  }

  /** The way from one host to another, for what else travels on it: datagrams. */
  pathBetween(from: string, to: string): SimPath {
    return this.#path(from, to);
  }

  /** Links open now, counted once per end. */
  get openEndCount(): number {
    return this.#ends.size;
  }

  #listen(host: string, open: OpenPort, askedPort: number): Listener {
    const port = askedPort === 0 ? this.#nextPort : askedPort;
    if (askedPort === 0) this.#nextPort += 1;
    const address = `${host}:${port}`;
    if (this.#ports.has(address)) throw new Error(`EADDRINUSE ${address}`);
    this.#ports.set(address, open);
    return {
      address,
      close: async () => {
        if (this.#ports.get(address) === open) this.#ports.delete(address);
      },
    };
  }

  #dial(
    from: { readonly host: string; readonly process: SimProcess },
    address: string,
    timeoutMs: number,
  ): Promise<ByteLink> {
    const there = this.#path(from.host, hostOf(address));
    const back = this.#path(hostOf(address), from.host);
    return new Promise((fulfil, reject) => {
      let isOver = false;
      const timeout = this.#scheduler.after(
        timeoutMs,
        () => {
          isOver = true;
          reject(new Error(`ETIMEDOUT ${address}`));
        },
        from.process,
      );
      const answer = (run: () => void, giveUp: () => void): void => {
        const arrive = (): void => {
          if (isOver) return giveUp();
          if (!back.isOpenAt(this.#scheduler.nowMs)) return back.whenOpened(arrive);
          isOver = true;
          timeout.isCancelled = true;
          run();
        };
        this.#scheduler.after(back.drawDelayMs(), arrive, from.process);
      };
      const knock = (): void => {
        if (isOver) return;
        if (!there.isOpenAt(this.#scheduler.nowMs)) {
          this.#scheduler.after(DIAL_RETRY_MS, knock);
          return;
        }
        const open = this.#ports.get(address);
        if (open === undefined)
          return answer(
            () => reject(new Error(`ECONNREFUSED ${address}`)),
            () => {},
          );
        if (open.process.isDead) return;
        const near = this.#connect(from, address, open);
        answer(
          () => fulfil(near),
          () => near.close("dial_given_up"),
        );
      };
      this.#scheduler.after(there.drawDelayMs(), knock);
    });
  }

  /** Makes both ends and gives the far one to the listener. The dialling side may never hear of it: half open. */
  #connect(from: { readonly host: string; readonly process: SimProcess }, address: string, open: OpenPort): SimLinkEnd {
    const forget = (end: SimLinkEnd): void => {
      this.#ends.delete(end);
    };
    const to = hostOf(address);
    const end = (process: SimProcess, remote: string, hosts: { readonly here: string; readonly there: string }) =>
      new SimLinkEnd({
        scheduler: this.#scheduler,
        process,
        remote,
        path: this.#path(hosts.here, hosts.there),
        onClosed: forget,
        isRemoteUp: () => this.#isUp(hosts.there),
      });
    const near = end(from.process, address, { here: from.host, there: to });
    const remote = `${from.host}:${this.#nextPort}`;
    this.#nextPort += 1;
    const far = end(open.process, remote, { here: to, there: from.host });
    SimLinkEnd.join(near, far);
    this.#ends.add(near);
    this.#ends.add(far);
    this.#scheduler.defer(() => open.accept(far), open.process);
    return near;
  }

  #isUp(host: string): boolean {
    return [...this.#hostOf].some(([process, on]) => on === host && !process.isDead);
  }

  #resolve(address: string): readonly string[] {
    const hosts = this.#names.get(hostOf(address));
    return hosts === undefined ? [address] : hosts.map((host) => `${host}:${portOf(address)}`).sort();
  }

  #path(from: string, to: string): SimPath {
    const key = `${from}→${to}`;
    const known = this.#paths.get(key);
    if (known !== undefined) return known;
    const path = new SimPath(this.#random.fork(key), this.#defaults);
    this.#paths.set(key, path);
    return path;
  }
}

function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(":"));
}

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(":") + 1));
}
