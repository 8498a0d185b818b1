import { describe, expect, it } from "vitest";
import type { NodeId } from "../../../services/base/ids.ts";
import type { OrderProgress } from "../../../services/repair/anti-entropy-reasons.ts";
import { ORDER_REPAIR_TOPIC, RepairOrders } from "../../../services/repair/repair-orders.ts";
import { nodeIdOf } from "../../support/sim-peers.ts";
import { carried, WaitClock } from "../../support/transfer-fixture.ts";

const [N1, N2, N3] = [nodeIdOf("n1"), nodeIdOf("n2"), nodeIdOf("n3")];

interface Member {
  left: number;
  repaired: number;
  readonly orders: string[];
  isAlive: boolean;
}

/** Three members that are asked through n1; each has one comparison less to do whenever it is asked. */
function members(left: readonly [number, number, number]): {
  readonly orders: RepairOrders;
  readonly of: (node: NodeId) => Member;
} {
  const clock = new WaitClock();
  const all = new Map(
    [N1, N2, N3].map((id, at): [NodeId, Member] => [
      id,
      { left: left[at] ?? 0, repaired: 100, orders: [], isAlive: true },
    ]),
  );
  const of = (node: NodeId): Member => {
    const member = all.get(node);
    if (member === undefined) throw new Error(`no ${node}`);
    return member;
  };
  const rooms = new Map<NodeId, RepairOrders>();
  for (const self of all.keys()) {
    const member = of(self);
    const order = (name: string, partition: number | undefined): OrderProgress => {
      member.orders.push(`${name} ${partition}`);
      const leftCount = member.left;
      if (member.left > 0) {
        member.left -= 1;
        member.repaired += 2;
      }
      return { pairCount: 4, leftCount, waitingFor: leftCount === 0 ? {} : { [N3]: leftCount } };
    };
    const status = (): { readonly pulledKeys: number; readonly pushedKeys: number } => ({
      pulledKeys: member.repaired,
      pushedKeys: 0,
    });
    rooms.set(
      self,
      new RepairOrders({
        self,
        antiEntropy: { order, status },
        clock,
        nonce: () => "nonce",
        members: () => [...all.keys()],
        isAlive: (node) => of(node).isAlive,
        ask: async (to, topic, body) => {
          expect(topic).toBe(ORDER_REPAIR_TOPIC);
          return carried(await rooms.get(to)?.handler(self, carried(body), 1_000));
        },
        pause: (ms) => new Promise((resolve) => clock.setTimer(ms, resolve)),
      }),
    );
  }
  const orders = rooms.get(N1);
  if (orders === undefined) throw new Error("no n1");
  return { orders, of };
}

describe("a repair by order", () => {
  it("asks every member until all are through, and tells what was repaired", async () => {
    const { orders, of } = members([0, 2, 3]);
    const report = await orders.run(5, 60_000);
    expect(report).toMatchObject({
      isDone: true,
      pairs: 12,
      left: 0,
      waitingFor: {},
      unreachable: [],
      repairedKeys: 10,
    });
    expect(of(N2).orders).toEqual(Array.from({ length: 4 }, () => "n1:nonce 5"));
    expect(report.durationMs).toBe(750);
  });

  it("ends when the time is up, with whom it waits for", async () => {
    const { orders } = members([0, 1_000, 0]);
    const report = await orders.run(undefined, 2_000);
    expect(report).toMatchObject({ isDone: false, unreachable: [] });
    expect(Object.keys(report.waitingFor)).toEqual([N3]);
    expect(report.durationMs).toBe(2_000);
  });

  it("is not done while a member cannot be asked", async () => {
    const { orders, of } = members([0, 0, 0]);
    of(N2).isAlive = false;
    expect(await orders.run(undefined, 1_000)).toMatchObject({ isDone: false, left: 0, unreachable: [N2] });
  });

  it("is not begun by what is no order", async () => {
    const { orders, of } = members([0, 0, 0]);
    for (const body of [null, {}, { name: 7 }, { name: "x".repeat(129) }, { name: "a", partition: -1 }]) {
      expect(await orders.handler(N2, body, 1_000)).toBeNull();
    }
    expect(of(N1).orders).toEqual([]);
  });
});
