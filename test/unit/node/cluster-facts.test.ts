/** Who holds a key and what this node knows of it, from records of a ring in which nobody holds everything. */
import { expect, it } from "vitest";
import type { NodeId } from "../../../services/base/ids.ts";
import type { KeyName } from "../../../services/coordinator/contract.ts";
import { ClusterFacts, type FactsParts } from "../../../services/node/cluster-facts.ts";
import { bucket } from "../../support/api-node.ts";
import { MembershipRig } from "../cluster/membership-rig.ts";

const NAMES = ["a", "b", "c", "d"];
const KEY: KeyName = { bucket: bucket("carts"), key: Buffer.from("alice") };

/** The facts of a member that has compared nothing yet. */
function factsAt(rig: MembershipRig, name: string): ClusterFacts {
  const { id, membership } = rig.node(name);
  const parts = {
    config: { nodeId: id },
    membership,
    healing: { verifiedMs: () => -1 },
    tombstonesWaitFor: () => undefined,
    monotonicMs: () => 0,
    wallMs: () => 0,
  };
  // a part of a node: what is read of it for one key
  return new ClusterFacts(parts as unknown as FactsParts);
}

it("of four members with three replicas one holds none of a key, and only that one cannot tell when it was compared", () => {
  const rig = new MembershipRig(NAMES, 3);
  const ids = NAMES.map((name): NodeId => rig.begin(name).id);
  const told = NAMES.map((name) => factsAt(rig, name).ringOf(KEY));
  const owners = told[0]?.owners ?? [];
  expect(owners.length).toBe(3);
  for (const [at, { healing }] of told.entries()) {
    const id = ids[at];
    const isOwner = owners.some((owner) => owner === id);
    expect([healing.isHeldHere, healing.verified.length]).toEqual(isOwner ? [true, 2] : [false, 3]);
  }
});
