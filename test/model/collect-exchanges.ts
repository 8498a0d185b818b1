/**
 * Anti-entropy in the small world: one holder reads a page key by key and says what holds for it, another takes it in, and pushes what it
 * has then. Every step comes late, twice or never. Must never judge otherwise than the cores do, unless a bug is planted.
 */

import { fingerprintOf } from "../../services/repair/collect-rules-core.ts";
import { type CollectWord, isBelieved, wordOver } from "../../services/repair/collect-word-core.ts";
import { digestOf } from "../../services/versioning/object-codec.ts";
import type { SiblingSet } from "../../services/versioning/types.ts";
import { Copies } from "./collect-copies.ts";
import { KEYS, P } from "./collect-life.ts";

/** Who asks whom for what both should have. */
interface Exchange {
  readonly at: number;
  readonly other: number;
  readonly isShown: (key: string) => boolean;
  /** what the other one had of each key when that was read */
  readonly page: Map<string, SiblingSet>;
}

export class Exchanges extends Copies {
  /** One holder, if there are two, with another. */
  compareSome(): void {
    if (this.isLazy && !this.chance(0.1)) return;
    const holders = this.holders();
    const at = holders[this.below(holders.length)] ?? 0;
    const others = holders.filter((one) => one !== at);
    if (others.length > 0) this.antiEntropy(at, others[this.below(others.length)] ?? 0);
  }

  antiEntropy(at: number, other: number): void {
    const here = this.at(at);
    const there = this.at(other);
    if (at === other || here.disk.slot < 0 || there.disk.slot < 0) return;
    if (here.life === undefined || there.life === undefined) return;
    const higher = Math.max(here.disk.slot, there.disk.slot);
    const isShown = (key: string): boolean => this.has(at, key, higher) && this.has(other, key, higher);
    const exchange = { at, other, isShown, page: new Map<string, SiblingSet>() };
    const [first = "", ...rest] = this.chance(0.5) ? KEYS : KEYS.toReversed();
    const { life } = there;
    const before = this.told(other);
    this.readInto(exchange, [first]);
    this.later(other, () => {
      if (there.life !== life || there.disk.slot < 0) return;
      this.readInto(exchange, rest);
      const after = this.told(other);
      const word = this.plan.sayingAfterwards === true ? after : wordOver(before, after);
      this.later(at, () => this.takePage(exchange, word));
    });
  }

  readInto({ other, isShown, page }: Exchange, keys: readonly string[]): void {
    for (const key of keys) {
      const set = this.at(other).disk.objects.get(key);
      if (set !== undefined && isShown(key)) page.set(key, set);
    }
  }

  takePage({ at, other, isShown, page }: Exchange, said: CollectWord | undefined): void {
    const { life, disk } = this.at(at);
    if (life === undefined || disk.slot < 0) return;
    const word = this.plan.askingAfterwards === true ? this.told(other) : said;
    const stands = isBelieved(word, life.floors.lineOf(P), fingerprintOf(life.rules));
    // a tombstone that was collected here is not taken back from one who has not swept yet
    const bases = new Map<string, bigint>();
    for (const [key, set] of page) {
      const isTaken = this.take(at, key, set, { isBelieved: stands && set.siblings.length > 0 });
      // what was refused here is not what a push is made from
      if (isTaken) bases.set(key, digestOf(set));
    }
    for (const [key, set] of disk.objects) {
      if (!isShown(key)) continue;
      const base = bases.get(key) ?? 0n;
      this.sent.push({ key, object: set });
      this.later(other, () => this.take(other, key, set, { base }));
    }
  }
}
