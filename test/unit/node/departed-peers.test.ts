import { describe, expect, it } from "vitest";
import { DEPARTED_DIAL_MS } from "../../../services/base/limits.ts";
import { DepartedPeers } from "../../../services/node/departed-peers.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { nodeId } from "../cluster/bootstrap-world.ts";
import { KeptLog } from "../cluster/cluster-fixtures.ts";

const MINUTE_MS = 60_000;

/** Knows `peers`, of which some are linked and some are members. */
function watching(peers: readonly string[]) {
  const known = new Set(peers);
  const linked = new Set<string>();
  const members = new Set<string>();
  const world = { known, linked, members, isRingKnown: true };
  const clock = new FakeClock();
  const log = new KeptLog();
  const departed = new DepartedPeers({
    links: {
      knownPeers: () =>
        [...known].map((name) => ({
          nodeId: nodeId(name),
          address: `${name}:1`,
          identity: undefined,
          isReachable: linked.has(name),
          ringHash: undefined,
        })),
      isLinked: (node) => linked.has(node),
      removePeer: (node) => known.delete(node),
    },
    isMember: (node) => (world.isRingKnown ? members.has(node) : undefined),
    clock,
    log,
  });
  departed.start();
  return { ...world, world, clock, log, departed };
}

describe("a node that belongs no more", () => {
  it("is dialled for a while after its last link, then forgotten, and told of once", async () => {
    const { known, linked, clock, log } = watching(["gone"]);
    linked.add("gone");
    await clock.advance(10 * MINUTE_MS);
    expect([...known]).toEqual(["gone"]);
    linked.delete("gone");
    await clock.advance(DEPARTED_DIAL_MS - 1_000);
    expect([...known]).toEqual(["gone"]);
    await clock.advance(2 * DEPARTED_DIAL_MS);
    expect([...known]).toEqual([]);
    expect(log.lines).toMatchObject([{ level: "info", event: "peers.departed", peer: "gone" }]);
  });

  it("has all of that time again after each link", async () => {
    const { known, linked, clock } = watching(["gone"]);
    for (let round = 0; round < 5; round += 1) {
      await clock.advance(DEPARTED_DIAL_MS / 2);
      linked.add("gone");
      await clock.advance(DEPARTED_DIAL_MS / 2);
      linked.delete("gone");
    }
    expect([...known]).toEqual(["gone"]);
  });

  it("is dialled for ever as a member, however dead, and while nobody knows who belongs", async () => {
    const { known, members, clock, world } = watching(["dead"]);
    members.add("dead");
    await clock.advance(60 * MINUTE_MS);
    members.delete("dead");
    world.isRingKnown = false;
    await clock.advance(60 * MINUTE_MS);
    expect([...known]).toEqual(["dead"]);
  });

  it("is left alone once this node stops", async () => {
    const { known, departed, clock } = watching(["gone"]);
    departed.stop();
    await clock.advance(60 * MINUTE_MS);
    expect([...known]).toEqual(["gone"]);
  });
});
