/**
 * Fair shares: how many slots each member should hold, by weight, given that no zone, host or node may hold more of a
 * partition than the placement rule lets it. Water-filling (everyone gets level × weight, within bounds, and the level
 * rises until all slots are given), from zones to hosts to nodes. Must be the same number on every node: only + − × ÷ on
 * members in sorted order. Source: gossip-ring notes §B.3 "Zones".
 */
import type { RingMember } from "./types.ts";

/** A part of the cluster to be filled: `least` and `most` are slots. */
interface Basin {
  readonly weight: number;
  readonly least: number;
  readonly most: number;
}

/** A host is its label within its zone: two zones may both have an `h1`. */
interface HostGroup {
  weight: number;
  readonly nodes: number[];
}

interface ZoneGroup {
  weight: number;
  nodeCount: number;
  readonly hosts: Map<string, HostGroup>;
}

/** What bounds a share: partitions, replicas really placed (≤ members), zones and hosts in all. */
interface Bounds {
  readonly partitionCount: number;
  readonly placed: number;
  readonly zoneCount: number;
  readonly hostCount: number;
}

/** Halvings of the water level: more than a double has bits. */
const LEVEL_STEPS = 64;

/** Slots each member (in the given, sorted order) should hold; they add up to partitions × replicas really placed. */
export function fairShares(members: readonly RingMember[], partitionCount: number, replicaCount: number): Float64Array {
  const zones = groupByZone(members);
  let hostCount = 0;
  for (const zone of zones) hostCount += zone.hosts.size;
  const placed = Math.min(replicaCount, members.length);
  const bounds: Bounds = { partitionCount, placed, zoneCount: zones.length, hostCount };
  const shares = new Float64Array(members.length);
  const zoneShares = fill(
    zones.map((zone) => zoneBasin(zone, bounds)),
    partitionCount * placed,
  );
  for (const [at, zone] of zones.entries()) {
    const hosts = [...zone.hosts.values()];
    const hostShares = fill(
      hosts.map((host) => hostBasin(host, bounds)),
      zoneShares[at] ?? 0,
    );
    for (const [hostAt, host] of hosts.entries()) {
      const basins = host.nodes.map((node) => ({ weight: members[node]?.weight ?? 0, least: 0, most: partitionCount }));
      const nodeShares = fill(basins, hostShares[hostAt] ?? 0);
      for (const [nodeAt, node] of host.nodes.entries()) shares[node] = nodeShares[nodeAt] ?? 0;
    }
  }
  return shares;
}

function groupByZone(members: readonly RingMember[]): readonly ZoneGroup[] {
  const zones = new Map<string, ZoneGroup>();
  for (const [index, member] of members.entries()) {
    const zone = zones.get(member.zone) ?? { weight: 0, nodeCount: 0, hosts: new Map<string, HostGroup>() };
    zones.set(member.zone, zone);
    const host = zone.hosts.get(member.host) ?? { weight: 0, nodes: [] };
    zone.hosts.set(member.host, host);
    zone.weight += member.weight;
    zone.nodeCount += 1;
    host.weight += member.weight;
    host.nodes.push(index);
  }
  return [...zones.values()];
}

/**
 * With enough zones, one slot of a partition per zone at most. With fewer, each zone has one for sure, and the rest go to
 * hosts not used yet; with too few hosts as well, each host has one for sure, and the rest go to any node.
 */
function zoneBasin(zone: ZoneGroup, bounds: Bounds): Basin {
  const { partitionCount, placed, zoneCount, hostCount } = bounds;
  const { weight } = zone;
  if (zoneCount >= placed) return { weight, least: 0, most: partitionCount };
  if (hostCount >= placed) {
    const most = Math.min(zone.hosts.size, placed - zoneCount + 1);
    return { weight, least: partitionCount, most: partitionCount * most };
  }
  const most = Math.min(zone.nodeCount, zone.hosts.size + placed - hostCount);
  return { weight, least: partitionCount * zone.hosts.size, most: partitionCount * most };
}

function hostBasin(host: HostGroup, bounds: Bounds): Basin {
  const { partitionCount, placed, hostCount } = bounds;
  if (hostCount >= placed) return { weight: host.weight, least: 0, most: partitionCount };
  const most = Math.min(host.nodes.length, 1 + placed - hostCount);
  return { weight: host.weight, least: partitionCount, most: partitionCount * most };
}

function fill(basins: readonly Basin[], total: number): readonly number[] {
  const heldAt = (level: number): number => basins.reduce((sum, basin) => sum + clamped(basin, level), 0);
  let low = 0;
  let high = 1;
  while (heldAt(high) < total && high < Number.MAX_SAFE_INTEGER) high *= 2;
  for (let step = 0; step < LEVEL_STEPS; step += 1) {
    const middle = (low + high) / 2;
    if (heldAt(middle) < total) low = middle;
    else high = middle;
  }
  return basins.map((basin) => clamped(basin, high));
}

function clamped(basin: Basin, level: number): number {
  return Math.min(basin.most, Math.max(basin.least, level * basin.weight));
}
