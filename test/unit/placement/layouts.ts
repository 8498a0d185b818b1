/** Clusters for placement tests: members by zone sizes, and what a table made of them looks like. No tests here. */
import assert from "node:assert/strict";
import { type NodeId, parseNodeId } from "../../../services/base/ids.ts";
import { buildPlacementTable } from "../../../services/placement/placement-table.ts";
import type { PlacementTable, RingMember } from "../../../services/placement/types.ts";

/** A node id that is known to be good. */
export function nodeId(text: string): NodeId {
  const id = parseNodeId(text);
  assert.ok(id !== undefined, `${text} is a node id`);
  return id;
}

/** `zoneSizes[z]` members in zone z, each on a host of its own. Seeds give other ids and so other rings. */
export function membersIn(zoneSizes: readonly number[], seed = 0): readonly RingMember[] {
  return zoneSizes.flatMap((size, zone) =>
    Array.from({ length: size }, (_, index) => ({
      id: nodeId(`s${seed}-z${zone}-${index}`),
      zone: `zone-${zone}`,
      host: `host-${zone}-${index}`,
      weight: 1,
    })),
  );
}

/** A table with Q = 1024 and N = 3. */
export function tableOf(members: readonly RingMember[]): PlacementTable {
  return buildPlacementTable({ members, partitionCount: 1024, replicaCount: 3 });
}

/** Slots that each member holds. */
export function loadsOf(table: PlacementTable): ReadonlyMap<NodeId, number> {
  const loads = new Map<NodeId, number>(table.members.map((member) => [member.id, 0]));
  for (let partition = 0; partition < table.partitionCount; partition += 1) {
    for (const { node } of table.ownersOf(partition)) loads.set(node, (loads.get(node) ?? 0) + 1);
  }
  return loads;
}

/** Copies of partitions that some node must newly receive to go from one table to the next. */
export function copiesMoved(before: PlacementTable, after: PlacementTable): number {
  let moved = 0;
  for (let partition = 0; partition < after.partitionCount; partition += 1) {
    for (const { node } of after.ownersOf(partition)) if (before.slotOf(partition, node) === -1) moved += 1;
  }
  return moved;
}

/** Partitions whose replicas use fewer zones (or hosts) than the cluster has to offer. */
export function crowdedPartitions(table: PlacementTable): { readonly zones: number; readonly hosts: number } {
  const memberOf = new Map(table.members.map((member) => [member.id, member]));
  const zoneGoal = Math.min(3, new Set(table.members.map((member) => member.zone)).size);
  const hostGoal = Math.min(3, new Set(table.members.map((member) => `${member.zone}/${member.host}`)).size);
  let zones = 0;
  let hosts = 0;
  for (let partition = 0; partition < table.partitionCount; partition += 1) {
    const held = table.ownersOf(partition).flatMap(({ node }) => memberOf.get(node) ?? []);
    if (new Set(held.map((member) => member.zone)).size < zoneGoal) zones += 1;
    if (new Set(held.map((member) => `${member.zone}/${member.host}`)).size < hostGoal) hosts += 1;
  }
  return { zones, hosts };
}
