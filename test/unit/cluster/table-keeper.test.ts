import { expect, it } from "vitest";
import { TableKeeper } from "../../../services/cluster/table-keeper.ts";
import { RecordSet } from "../../../services/placement/record-set.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { nodeId } from "./bootstrap-world.ts";

function ringOf(memberCount: number, partitionCount: number): { readonly set: RecordSet; change(): void } {
  const set = new RecordSet(partitionCount, 3);
  const record = (at: number, version: number): void => {
    const name = `n${at}`;
    const labels = { zone: "z", host: name, weight: 1, address: `${name}:4500`, position: name, replaces: undefined };
    const slots = new Int8Array(partitionCount).fill(-1);
    const key = at.toString(16).padStart(16, "0");
    set.mergeRecord({ key, nodeId: nodeId(name), version, status: "normal", ...labels, slots });
  };
  for (let at = 0; at < memberCount; at += 1) record(at, 1);
  let version = 1;
  return {
    set,
    change: () => {
      version += 1;
      record(1, version);
    },
  };
}

async function tablesOfOneSecond(memberCount: number): Promise<number> {
  const clock = new FakeClock();
  const { set, change } = ringOf(memberCount, 1024);
  let tableCount = 0;
  const keeper = new TableKeeper({ set, replicaCount: 3, clock, onTable: () => (tableCount += 1) });
  for (let at = 0; at < 200; at += 1) {
    change();
    keeper.changed(false);
    await clock.advance(5);
  }
  keeper.stop();
  await clock.advance(1_000);
  expect(clock.plannedCount).toBe(0);
  return tableCount;
}

it("follows a change within 20 ms in a small ring", async () => {
  const clock = new FakeClock();
  const { set, change } = ringOf(3, 1024);
  const keeper = new TableKeeper({ set, replicaCount: 3, clock, onTable: () => {} });
  const before = keeper.table;
  change();
  keeper.changed(false);
  await clock.advance(20);
  expect(keeper.table).not.toBe(before);
});

it("makes fewer tables the larger the ring is, however many records change", async () => {
  expect(await tablesOfOneSecond(3)).toBeGreaterThan(30);
  expect(await tablesOfOneSecond(16)).toBeLessThan(25);
});

it("an urgent change is in the table at once, and makes the one that was due unneeded", async () => {
  const clock = new FakeClock();
  const { set, change } = ringOf(3, 64);
  let tableCount = 0;
  const keeper = new TableKeeper({ set, replicaCount: 3, clock, onTable: () => (tableCount += 1) });
  change();
  keeper.changed(false);
  keeper.changed(true);
  expect(tableCount).toBe(1);
  await clock.advance(1_000);
  expect(tableCount).toBe(1);
});

it("makes no table after it was stopped", async () => {
  const clock = new FakeClock();
  const { set, change } = ringOf(3, 64);
  let tableCount = 0;
  const keeper = new TableKeeper({ set, replicaCount: 3, clock, onTable: () => (tableCount += 1) });
  keeper.stop();
  change();
  keeper.changed(true);
  keeper.changed(false);
  await clock.advance(1_000);
  expect(tableCount).toBe(0);
});
