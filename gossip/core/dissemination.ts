/**
 * What is to be told, and how often it was: news ride on every datagram until they were sent often enough. News of membership
 * go before the ring's, those before users'; among equals the least told. Must never hold more than its cap, and never let
 * users' news crowd out membership. Source: SWIM §4.1; memberlist's transmit-limited queue (gossip-ring notes §A.1, §A.10).
 */

import { messageBytes } from "./message-size.ts";
import type { Message } from "./messages.ts";

/** Which news goes first: 0 membership, 1 the ring, 2 users. */
export type NewsClass = 0 | 1 | 2;

const CLASS_COUNT = 3;
/** No frame is smaller. */
const SMALLEST_BYTES = 14;

interface News {
  readonly key: string;
  readonly message: Message;
  readonly sizeBytes: number;
  readonly newsClass: NewsClass;
  /** how often it was told, plus one: tier 0 is for what must go first of all */
  tier: number;
}

/** The queue of news. */
export class Dissemination {
  readonly #cap: number;
  readonly #byKey = new Map<string, News>();
  /** class → tier → news, in the order in which they came */
  readonly #tiers: readonly Set<News>[][] = Array.from({ length: CLASS_COUNT }, () => []);
  readonly #taken: News[] = [];
  #droppedCount = 0;

  constructor(cap: number) {
    this.#cap = cap;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** News given up because the queue was full. */
  get droppedCount(): number {
    return this.#droppedCount;
  }

  has(newsClass: NewsClass, subject: string): boolean {
    return this.#byKey.has(`${newsClass}/${subject}`);
  }

  /** Queues news; older news of the same class and subject is dropped. `isFirst` puts it before all others of its class. */
  put(
    message: Message,
    at: { readonly newsClass: NewsClass; readonly subject: string; readonly isFirst?: boolean },
  ): void {
    const key = `${at.newsClass}/${at.subject}`;
    const older = this.#byKey.get(key);
    if (older !== undefined) this.#remove(older);
    else if (this.#byKey.size >= this.#cap && !this.#makeRoom(at.newsClass)) return;
    const tier = at.isFirst === true ? 0 : 1;
    const news = { key, message, sizeBytes: messageBytes(message), newsClass: at.newsClass, tier };
    this.#byKey.set(key, news);
    this.#tierOf(news).add(news);
  }

  /** Gives up news of a subject. */
  drop(newsClass: NewsClass, subject: string): void {
    const news = this.#byKey.get(`${newsClass}/${subject}`);
    if (news !== undefined) this.#remove(news);
  }

  /**
   * Appends to a datagram what fits into `roomBytes`, at most `limit` tellings each. Not counted when it goes to one who may
   * not hear it: in small clusters the dead would use up what the living need.
   */
  addTo(into: Message[], roomBytes: number, by: { readonly limit: number; readonly isCounted: boolean }): void {
    if (this.#byKey.size === 0) return;
    this.#take(roomBytes);
    for (const news of this.#taken) {
      into.push(news.message);
      if (!by.isCounted) continue;
      this.#tierOf(news).delete(news);
      news.tier += 1;
      if (news.tier > by.limit) this.#byKey.delete(news.key);
      else this.#tierOf(news).add(news);
    }
    this.#taken.length = 0;
  }

  /** Collects before anything moves: what moves up a tier must not be met again in the same datagram. */
  #take(roomBytes: number): void {
    let room = roomBytes;
    for (const tiers of this.#tiers) {
      for (const tier of tiers) {
        if (room < SMALLEST_BYTES) return;
        if (tier.size > 0) room = this.#takeFrom(tier, room);
      }
    }
  }

  #takeFrom(tier: ReadonlySet<News>, roomBytes: number): number {
    let room = roomBytes;
    for (const news of tier) {
      if (room < SMALLEST_BYTES) break;
      if (news.sizeBytes > room) continue;
      this.#taken.push(news);
      room -= news.sizeBytes;
    }
    return room;
  }

  /** Gives up the most told news of the least class, unless all are of a better class than the newcomer's. */
  #makeRoom(forClass: NewsClass): boolean {
    this.#droppedCount += 1;
    for (let newsClass = CLASS_COUNT - 1; newsClass >= forClass; newsClass -= 1) {
      const victim = this.#tiers[newsClass]
        ?.findLast((tier) => tier.size > 0)
        ?.values()
        .next().value;
      if (victim === undefined) continue;
      this.#remove(victim);
      return true;
    }
    return false;
  }

  #remove(news: News): void {
    this.#tierOf(news).delete(news);
    this.#byKey.delete(news.key);
  }

  #tierOf(news: News): Set<News> {
    const tiers = this.#tiers[news.newsClass] ?? [];
    while (tiers.length <= news.tier) tiers.push(new Set());
    return tiers[news.tier] ?? new Set();
  }
}
