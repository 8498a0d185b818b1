import { describe, expect, it } from "vitest";
import { fallbacksFor, ownersFor, preferenceListOf } from "../../../services/placement/preference-list.ts";
import { membersIn, tableOf } from "./layouts.ts";

const table = tableOf(membersIn([5]));
const [first, second, third] = table.ownersOf(7);
const [fourth, fifth] = table.fallbacksOf(7);

describe("the preference list", () => {
  it("names the owners in slot order and everyone else as stand-ins when all can be reached", () => {
    const list = preferenceListOf(table, { partition: 7, replicaCount: 3 }, () => true);
    expect(list).toEqual({
      owners: [first, second, third],
      reachable: [first, second, third],
      fallbacks: [fourth, fifth],
    });
    expect(list.reachable).toBe(list.owners);
  });

  it("keeps an owner that cannot be reached an owner", () => {
    const list = preferenceListOf(table, { partition: 7, replicaCount: 3 }, (node) => node !== second?.node);
    expect(list.owners).toEqual([first, second, third]);
    expect(list.reachable).toEqual([first, third]);
  });

  it("passes over stand-ins that cannot be reached", () => {
    const list = preferenceListOf(table, { partition: 7, replicaCount: 3 }, (node) => node !== fourth);
    expect(list.fallbacks).toEqual([fifth]);
  });

  it("uses slots 0 … n − 1 for a bucket of fewer replicas, and lets the holders of the other slots stand in first", () => {
    expect(ownersFor(table, 7, 1)).toEqual([first]);
    expect(fallbacksFor(table, 7, 1)).toEqual([second?.node, third?.node, fourth, fifth]);
  });

  it("never names more owners than there are slots", () => {
    expect(ownersFor(table, 7, 7)).toEqual([first, second, third]);
  });
});
