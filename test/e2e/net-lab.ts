/**
 * A small network of its own for end-to-end tests: one host for each node as a network namespace, a bridge between them in
 * another, and a cable from this process to the bridge, so that its requests meet no cut. Needs root and `ip`. What one host
 * sends to another can be made to vanish, each direction by itself, as a broken switch does: it goes to a hardware address
 * that nobody has, and whoever sends is told nothing (a blackhole route would tell it at once). Must never touch an interface
 * or a namespace that it did not make.
 */
import { execFileSync } from "node:child_process";
import { networkInterfaces } from "node:os";
import type { Place } from "./cluster.ts";

/** Names of namespaces begin so, and go on with the number of the process that made them. */
const NAME = "gyre-lab-";
const NET = "10.213";
/** This process on the bridge, and the first node. */
const OWN = 1;
const FIRST = 11;
const HARDWARE = "02:67:79:72:65";
/** No call of `ip` takes so long, and this process stands still meanwhile. */
const IP_LIMIT_MS = 10_000;
/** Nobody's. */
const NOWHERE = `${HARDWARE}:ff`;

/** Runs `ip`. Throws with its own words. */
function ip(...words: readonly string[]): string {
  try {
    return execFileSync("ip", words, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: IP_LIMIT_MS });
  } catch (error) {
    const { stderr, message } = error as { readonly stderr?: string; readonly message: string };
    throw new Error(`ip ${words.join(" ")}: ${stderr?.trim() || message}`, { cause: error });
  }
}

/** Why this machine can have no such network, in words; undefined when it can. */
export function whyNoLab(): string | undefined {
  try {
    new NetLab(1).end();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** A third number of addresses that no interface here uses. */
function freeNumber(): number {
  const used = Object.values(networkInterfaces()).flatMap((each) => each?.map(({ address }) => address) ?? []);
  for (let tries = 0; tries < 256; tries += 1) {
    const number = (process.pid + tries) % 256;
    if (!used.some((address) => address.startsWith(`${NET}.${number}.`))) return number;
  }
  throw new Error(`every network of ${NET}.0.0/16 is in use`);
}

/** Namespaces of tests that were ended before they could clean up. */
function removeLeftovers(): void {
  for (const line of ip("netns", "list").split("\n")) {
    const [name = ""] = line.split(" ");
    if (!name.startsWith(NAME) || isAlive(Number.parseInt(name.slice(NAME.length), 10))) continue;
    try {
      ip("netns", "del", name);
    } catch {
      // another test removes it, too
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // one of another user lives, too
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

/** Hosts on one bridge, from 0; whole when made. */
export class NetLab implements Place {
  readonly #count: number;
  readonly #number: number;
  readonly #made: string[] = [];
  /** the cable's end at this process */
  readonly #own: string = `gyre${process.pid}`;
  #isPlugged = false;
  readonly #cuts = new Set<string>();
  readonly #endAtExit = (): void => this.end();

  /** Throws with the reason where there can be none; nothing is left then. */
  constructor(count: number) {
    this.#count = count;
    this.#number = freeNumber();
    // a test that fails does not come to its end, its process does
    process.once("exit", this.#endAtExit);
    try {
      this.#make();
    } catch (error) {
      const left = this.#failuresOfEnd();
      if (left.length === 0) throw error;
      throw new AggregateError([error, ...left], [error, ...left].map(String).join("; "), { cause: error });
    }
  }

  /** All hosts, by number. */
  get hosts(): readonly number[] {
    return Array.from({ length: this.#count }, (_, node) => node);
  }

  /** Each direction of each link. */
  get directions(): readonly (readonly [number, number])[] {
    const { hosts } = this;
    return hosts.flatMap((from) =>
      hosts.filter((to) => to !== from).map((to): readonly [number, number] => [from, to]),
    );
  }

  /** Directions that are cut now. */
  get cutCount(): number {
    return this.#cuts.size;
  }

  hostOf(node: number): string {
    return this.#address(FIRST + node);
  }

  commandAt(node: number, command: readonly string[]): readonly string[] {
    return ["ip", "netns", "exec", this.#namespace(String(node)), ...command];
  }

  /** What `from` sends to `to` vanishes from now on, what answers the other's packets included; the other direction stays as it is. */
  cut(from: number, to: number): void {
    this.#cuts.add(`${from} ${to}`);
    this.#setNeighbour(from, to, NOWHERE);
  }

  /** Undoes one cut. */
  join(from: number, to: number): void {
    this.#cuts.delete(`${from} ${to}`);
    this.#setNeighbour(from, to, hardwareOf(to));
  }

  /** Cuts two groups from each other, both ways. */
  split(some: readonly number[], others: readonly number[]): void {
    for (const one of some) {
      for (const other of others) {
        this.cut(one, other);
        this.cut(other, one);
      }
    }
  }

  /** Undoes all cuts. */
  heal(): void {
    for (const [from = 0, to = 0] of [...this.#cuts].map((pair) => pair.split(" ").map(Number))) this.join(from, to);
  }

  /** Removes everything; the processes in it must have ended. Throws at the end what could not be removed. */
  end(): void {
    const failures = this.#failuresOfEnd();
    if (failures.length > 0) throw new AggregateError(failures, failures.map(String).join("; "));
  }

  #failuresOfEnd(): readonly unknown[] {
    process.removeListener("exit", this.#endAtExit);
    const failures: unknown[] = [];
    const remove = (...words: readonly string[]): void => {
      try {
        ip(...words);
      } catch (error) {
        failures.push(error);
      }
    };
    // a namespace is emptied some time after it is deleted: the cable is removed by itself, for its name may be wanted again at once
    if (this.#isPlugged) remove("link", "del", "dev", this.#own);
    this.#isPlugged = false;
    for (const name of this.#made.splice(0)) remove("netns", "del", name);
    return failures;
  }

  #make(): void {
    const bridge = this.#addNamespace("bridge");
    removeLeftovers();
    ip("-n", bridge, "link", "add", "name", "bridge", "type", "bridge");
    ip("-n", bridge, "link", "set", "dev", "bridge", "up");
    const own = this.#own;
    ip("link", "add", "name", own, "type", "veth", "peer", "name", "own", "netns", bridge);
    this.#isPlugged = true;
    ip("-n", bridge, "link", "set", "dev", "own", "master", "bridge", "up");
    ip("address", "add", `${this.#address(OWN)}/24`, "dev", own);
    ip("link", "set", "dev", own, "up");
    for (const node of this.hosts) this.#addHost(node, bridge);
    for (const [from, to] of this.directions) this.#setNeighbour(from, to, hardwareOf(to));
  }

  #addHost(node: number, bridge: string): void {
    const host = this.#addNamespace(String(node));
    const port = `port${node}`;
    ip("-n", bridge, "link", "add", "name", port, "type", "veth", "peer", "name", "eth0", "netns", host);
    ip("-n", bridge, "link", "set", "dev", port, "master", "bridge", "up");
    ip("-n", host, "link", "set", "dev", "eth0", "address", hardwareOf(node), "up");
    ip("-n", host, "link", "set", "dev", "lo", "up");
    ip("-n", host, "address", "add", `${this.hostOf(node)}/24`, "dev", "eth0");
  }

  /** Where frames from one host to another go; nothing is asked or learned, so that a cut is one of data alone. */
  #setNeighbour(from: number, to: number, hardware: string): void {
    const words = ["neigh", "replace", this.hostOf(to), "lladdr", hardware, "dev", "eth0", "nud", "permanent"];
    ip("-n", this.#namespace(String(from)), ...words);
  }

  #addNamespace(which: string): string {
    const name = this.#namespace(which);
    ip("netns", "add", name);
    this.#made.push(name);
    return name;
  }

  #namespace(which: string): string {
    return `${NAME}${process.pid}-${which}`;
  }

  #address(last: number): string {
    return `${NET}.${this.#number}.${last}`;
  }
}

function hardwareOf(node: number): string {
  return `${HARDWARE}:${String(node).padStart(2, "0")}`;
}
