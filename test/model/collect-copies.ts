/**
 * Versions in the small world of tombstone collection: written, handed on, read, healed, kept for others, swept. Must never
 * take out a tombstone but by the marks, unless a bug is planted.
 */
import { fingerprintOf } from "../../services/repair/collect-rules-core.ts";
import { hasOld, leftOfStale, withoutStale } from "../../services/replica/stale-versions.ts";
import { covers, EMPTY_CONTEXT, greatestCounter } from "../../services/versioning/causal-context.ts";
import { decodeSet, digestOf, encodeSet } from "../../services/versioning/object-codec.ts";
import { EMPTY, merge, put, remove } from "../../services/versioning/sibling-set.ts";
import type { CausalContext, SiblingSet } from "../../services/versioning/types.ts";
import { DEADLINE, KEYS, type Life, MIN_AGE, nameOf, type Op, P, type ToldMarks } from "./collect-life.ts";
import { Machines } from "./collect-machines.ts";

/** What binds a version that comes in. */
interface Handing {
  /** it comes from a holder whose word counts here, and stands however old it is */
  readonly isBelieved?: boolean;
  /** digest of what it was made from */
  readonly base?: bigint;
}

/** Who coordinates a write, in which life, and what it made it from. */
interface Writer {
  readonly by: number;
  readonly life: Life;
  readonly base: bigint;
}

export class Copies extends Machines {
  write(): void {
    const key = KEYS[this.below(KEYS.length)] ?? "k1";
    const at = this.below(5);
    const { life, disk } = this.at(at);
    if (life === undefined || this.isCalm) return;
    const isHolder = this.has(at, key, disk.slot);
    // who holds a slot that the key is left out of stands in for nobody
    if (!isHolder && disk.slot >= 0) return;
    const shelf = isHolder ? disk.objects : disk.hints;
    // Owners are asked first, if they can be reached.
    if (!isHolder && this.holders().some((one) => this.at(one).life !== undefined) && this.chance(0.7)) return;
    const held = shelf.get(key) ?? EMPTY;
    const basis = this.below(3);
    const given = basis === 0 ? EMPTY_CONTEXT : basis === 1 ? held.clock : (this.seen.get(key) ?? held.clock);
    const dot = { actor: isHolder ? life.actor : life.hintActor, counter: this.mint(at, life) };
    const kind = this.chance(0.4) ? "delete" : "put";
    const sibling = { dot, expiresAtMs: 0, contentType: "", bytes: new Uint8Array(0) };
    const after = kind === "delete" ? remove(held, { context: given, dot }) : put(held, { context: given, sibling });
    const needed = 1 + this.below(2);
    const op: Op = {
      key,
      dot,
      kind,
      given,
      startedAt: this.now,
      needed,
      acks: new Set(),
      places: new Set(),
      isApplied: false,
    };
    this.ops.push(op);
    this.counts.writes += 1;
    if (kind === "delete") this.counts.deletes += 1;
    shelf.set(key, after);
    this.acknowledge(op, { place: at, era: this.at(at).era }, { by: at, life });
    this.sent.push({ key, object: after });
    const others = this.holders().filter((one) => one !== at && this.has(at, key, this.at(one).disk.slot));
    for (const other of others) this.storeAt(op, other, after, { by: at, life, base: digestOf(held) });
  }

  /** At an owner, or at a stand-in for it. */
  storeAt(op: Op, owner: number, object: SiblingSet, from: Writer): void {
    const isAway = this.at(owner).life === undefined || this.chance(0.2);
    const to = isAway ? 3 + this.below(2) : owner;
    if (isAway && this.chance(0.2)) return;
    this.later(to, () => {
      const { disk } = this.at(to);
      if (isAway && disk.slot < 0) disk.hints.set(op.key, merge(disk.hints.get(op.key) ?? EMPTY, object));
      else if (disk.slot < 0 || !this.take(to, op.key, object, { base: from.base })) return;
      const stored = { place: to, era: this.at(to).era };
      this.later(from.by, () => this.acknowledge(op, stored, from));
    });
  }

  acknowledge(
    op: Op,
    { place, era }: { readonly place: number; readonly era: number },
    { by, life }: { readonly by: number; readonly life: Life },
  ): void {
    if (this.at(by).life !== life || this.now > op.startedAt + DEADLINE) return;
    op.acks.add(place);
    if (this.at(place).era === era) op.places.add(place);
    if (op.acks.size >= op.needed && !op.isApplied) {
      op.isApplied = true;
      this.counts.applied += 1;
    }
  }

  /** A version comes in from another node; false: it is refused. */
  take(at: number, key: string, object: SiblingSet, handing: Handing = {}): boolean {
    const { disk, life } = this.at(at);
    if (disk.slot < 0 || life === undefined) return false;
    const taken = this.takenOf(at, key, object, handing);
    if (taken === undefined) return false;
    disk.objects.set(key, taken);
    const counter = greatestCounter(object.clock);
    if (counter <= this.wallMicros(at) + 60_000_000) life.last = Math.max(life.last, counter);
    return true;
  }

  takenOf(
    at: number,
    key: string,
    object: SiblingSet,
    { isBelieved = false, base = 0n }: Handing,
  ): SiblingSet | undefined {
    const { disk, life } = this.at(at);
    if (life === undefined) return undefined;
    const line = isBelieved || this.plan.withoutLine === true ? 0 : life.floors.lineOf(P);
    const isCertain = (!life.floors.isBehind(P) && this.has(at, key, disk.slot)) || this.plan.droppingAnywhere === true;
    const held = disk.objects.get(key);
    if (held === undefined) {
      const left = line === 0 ? object : decoded(leftOfStale(encodeSet(object), line));
      const isLess = left === undefined || left.siblings.length < object.siblings.length;
      if (isLess) this.counts.staleDropped += 1;
      return isLess && !isCertain ? undefined : left;
    }
    const isOld = this.plan.appending !== true && hasOld(encodeSet(object), line);
    if (digestOf(held) === base && !isOld) return object;
    const brought = line === 0 ? object : withoutStale(object, held, line);
    return brought === object || isCertain ? merge(held, brought) : undefined;
  }

  read(): void {
    const key = KEYS[this.below(KEYS.length)] ?? "k1";
    const up = this.holders().filter(
      (at) => this.at(at).life !== undefined && this.has(at, key, this.at(at).disk.slot),
    );
    if (up.length < 2) return;
    const first = up[this.below(up.length)] ?? 0;
    const second = up.filter((at) => at !== first)[this.below(up.length - 1)] ?? 0;
    const set = merge(this.at(first).disk.objects.get(key) ?? EMPTY, this.at(second).disk.objects.get(key) ?? EMPTY);
    if ([first, second].some((at) => this.isHidden(at, key))) return;
    this.seen.set(key, set.clock);
    this.counts.reads += 1;
    // It has heard nobody since its disk was set back.
    if ([first, second].some((at) => this.at(at).isOld && !this.hasHeardAll(at))) return;
    for (const { dot } of set.siblings) {
      if (this.gone.has(nameOf(key, dot))) {
        this.violations.push(
          `at ${this.now}: ${nameOf(key, dot)} is read at ${first} and ${second}, though its delete was collected`,
        );
      }
    }
    // Read repair, late or never.
    for (const at of [first, second]) {
      const base = digestOf(this.at(at).disk.objects.get(key) ?? EMPTY);
      if (set.clock !== EMPTY_CONTEXT) this.later(at, () => this.take(at, key, set, { base }));
    }
  }

  /** What a running holder tells of its marks now. */
  told(at: number): ToldMarks {
    const { life } = this.at(at);
    if (life === undefined) return { floor: 0, reaped: undefined, rules: 0n };
    const { noted, reaped } = life.floors.marksOf(P);
    return {
      floor: life.floors.isBehind(P) ? 0 : noted.floor,
      reaped: life.floors.isMarked(P) ? reaped : undefined,
      rules: fingerprintOf(life.rules),
    };
  }

  /** To every owner; a hint that some owner could not take stays. */
  deliverHints(at: number): void {
    const { disk, life } = this.at(at);
    if (life === undefined) return;
    for (const [key, set] of disk.hints) {
      const owners = this.holders().filter((one) => this.has(at, key, this.at(one).disk.slot));
      const up = owners.filter((one) => this.at(one).life !== undefined);
      for (const owner of up) this.take(owner, key, set);
      if (up.length < owners.length) continue;
      disk.hints.delete(key);
      for (const op of this.ops) {
        if (op.key === key && op.places.has(at) && covers(set.clock, op.dot))
          for (const owner of up) op.places.add(owner);
      }
      this.at(at).life = { ...life, hintActor: this.newActor() };
      return;
    }
  }

  sweep(at: number): void {
    const { disk, life } = this.at(at);
    if (disk.slot < 0 || life === undefined) return;
    if (life.floors.isBehind(P) && this.plan.byTimer !== true) return;
    const byTimer = (this.wallMicros(at) / 1_000 - MIN_AGE) * 1_000;
    const floor = this.plan.byTimer === true ? byTimer : life.floors.marksOf(P).reaped.floor;
    for (const [key, set] of disk.objects) {
      if (set.siblings.length > 0 || greatestCounter(set.clock) > floor) continue;
      disk.objects.delete(key);
      this.counts.collected += 1;
      this.noteGone(key, set.clock);
    }
  }

  /** Whatever an applied write replaced and this tombstone covered is gone for good. */
  noteGone(key: string, clock: CausalContext): void {
    for (const op of this.ops) {
      if (op.key !== key || !covers(clock, op.dot)) continue;
      const isReplaced = this.ops.some((other) => other.key === key && other.isApplied && covers(other.given, op.dot));
      if (isReplaced) this.gone.add(nameOf(key, op.dot));
    }
  }

  repeatOld(at: number): void {
    const old = this.sent[this.below(this.sent.length)];
    // Only what is older than any write may take, and so is waited for by nobody.
    if (old !== undefined && this.at(at).life !== undefined) this.take(at, old.key, old.object);
  }

  /** Everything that was ever sent comes once more, everywhere. */
  repeatEverything(): void {
    for (const { key, object } of this.sent) for (const at of this.holders()) this.take(at, key, object);
  }

  /** Of what the holders of slot 0 and this one should both have. */
  rootOf(at: number, slot: number): string {
    const shown = [...this.at(at).disk.objects].filter(([key]) => this.has(at, key, slot));
    const entries = shown.map(([key, set]) => `${key}:${digestOf(set).toString(16)}`);
    return entries.toSorted().join();
  }
}

function decoded(bytes: Uint8Array | undefined): SiblingSet | undefined {
  if (bytes === undefined) return undefined;
  const read = decodeSet(bytes);
  if (read.kind === "corrupt") throw new Error(read.reason);
  return read.set;
}
