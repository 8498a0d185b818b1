/**
 * RingWalk: in which order the members stand around each partition. The one door to `hashring` 3.2.0, which gives the
 * points of the members (md5 ketama) and nothing else; must never be used for anything that a request waits for.
 *
 * A partition's walk begins where its equal slice of the ring ends (Dynamo §6.2, strategy 3), not at a hash of its
 * number: evenly spaced points meet members more evenly, so that caps bind less and a newcomer moves less (16 → 17: 1.00
 * of the least instead of 1.03; 50: hottest before caps 1.20 instead of 1.34, gossip-ring notes §B.3).
 *
 * What 3.2.0 gets wrong, and how it is kept from mattering (gossip-ring notes §B.2):
 * - A server's point count goes through `floor(1/n · v · n)`, which loses one for n = 7, 14, 28 …; and weights change
 *   everybody's count. Explicit `vnodes` skip that sum, but only when they differ from the 'vnode count' option: it is
 *   set to 0, which no member can have.
 * - Points of equal value stay in order of insertion there: here they are sorted again, by value and then by position.
 * - The cache serves `get`, which is never called; with size 0 it would throw, so its size is 1.
 */
import assert from "node:assert/strict";
import HashRing from "hashring";
import { MAX_MEMBERS } from "../base/limits.ts";
import type { RingMember } from "./types.ts";

/** md5 digests per unit of weight; each gives four points. */
const VNODES_PER_WEIGHT = 64;

/** Points of the ring are unsigned 32-bit numbers. */
const RING_SIZE = 2 ** 32;

/** For partition p, `order[p * memberCount … ]` are indexes into the sorted members, nearest first, each once. */
export interface RingWalks {
  readonly memberCount: number;
  readonly order: Uint16Array;
}

/** The points-giving digests of a member of this weight, at least 1. */
export function vnodesOf(weight: number): number {
  return Math.max(1, Math.round(VNODES_PER_WEIGHT * weight));
}

/** Where a member stands: its position, by default its id. */
export function positionOf(member: RingMember): string {
  return member.position ?? member.id;
}

/**
 * The walks of all partitions over members sorted by position. Costs about 4 ms for 16 members and 20 ms for 100 at 1024
 * partitions, mostly md5: once per change of membership, never per request.
 */
export function walkRing(members: readonly RingMember[], partitionCount: number): RingWalks {
  const memberCount = members.length;
  const order = new Uint16Array(partitionCount * memberCount);
  const points = sortedPoints(members);
  // Whom a walk meets, and in which order: one step back on the ring only brings that point's member to the front.
  const walk = firstWalk(points, memberCount);
  let at = points.length - 1;
  for (let partition = partitionCount - 1; partition >= 0; partition -= 1) {
    const start = ((partition + 1) * RING_SIZE) / partitionCount - 1;
    for (; at >= 0 && valueOf(points[at] ?? 0) >= start; at -= 1) bringToFront(walk, memberOf(points[at] ?? 0));
    order.set(walk, partition * memberCount);
  }
  return { memberCount, order };
}

/** The points of all members in the order of the ring; of equal ones, the member's that is first by position. */
function sortedPoints(members: readonly RingMember[]): Float64Array {
  if (members.length === 0) return new Float64Array();
  const servers = Object.fromEntries(members.map((one) => [positionOf(one), { vnodes: vnodesOf(one.weight) }]));
  const ring = new HashRing(servers, "md5", { "vnode count": 0, "max cache size": 1 });
  const names = members.map(positionOf);
  const values = parsePoints(ring.points(names));
  return Float64Array.from(
    names.flatMap((name, index) => {
      const own = values[name];
      assert.ok(own !== undefined && own.length > 0, "every member has points");
      return own.map((value) => value * MAX_MEMBERS + index);
    }),
  ).sort();
}

/** The library's types call it a list of single points: it is all points by name. */
function parsePoints(points: unknown): Readonly<Record<string, readonly number[]>> {
  return points as Readonly<Record<string, readonly number[]>>;
}

/** The order in which a walk from the beginning of the ring meets the members, each once. */
function firstWalk(points: Float64Array, memberCount: number): Uint16Array {
  const met = new Set<number>();
  for (const point of points) if (met.size < memberCount) met.add(memberOf(point));
  assert.equal(met.size, memberCount, "a walk meets everyone");
  return Uint16Array.from(met);
}

function bringToFront(walk: Uint16Array, member: number): void {
  const at = walk.indexOf(member);
  walk.copyWithin(1, 0, at);
  walk[0] = member;
}

function valueOf(point: number): number {
  return Math.floor(point / MAX_MEMBERS);
}

function memberOf(point: number): number {
  return point % MAX_MEMBERS;
}
