/** What joining the rooms owes to those that are handed in; the rooms' own share of it is in `test/sim/scenarios/one-budget.test.ts`. */
import { expect, test } from "vitest";
import { readConfig } from "../../../services/base/config.ts";
import { hintPartitionsOf } from "../../../services/handoff/hint-engine.ts";
import { joinRooms } from "../../../services/node/rooms.ts";
import type { NodeWindows } from "../../../services/node/windows.ts";
import type { StorageEngine } from "../../../storage/engine.ts";
import { openMemoryEngine } from "../../../storage/memory-engine.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { simDisk } from "../../support/log-store.ts";
import { seededDraws } from "../../support/seeded.ts";
import { KeptLog, seededRandom } from "../cluster/cluster-fixtures.ts";

const PARTITIONS = 64;

/** An engine that keeps what it is paced by. */
function pacedEngine(
  partitionCount: number,
  seed: number,
): { readonly engine: StorageEngine; readonly paces: (() => number)[] } {
  const paces: (() => number)[] = [];
  const paceBackgroundBy = (share: () => number): void => void paces.push(share);
  const engine = openMemoryEngine({ partitionCount, random: seededDraws(seed) });
  return { engine: Object.assign(engine, { paceBackgroundBy }), paces };
}

/** Windows that nobody looks out of while rooms are joined. */
function closedWindows(): NodeWindows {
  const nobody = (): Promise<never> => Promise.reject(new Error("nothing is started"));
  return {
    clock: new FakeClock(),
    random: seededRandom(1),
    network: { listen: nobody, dial: nobody, resolve: nobody },
    datagrams: { open: nobody },
    disk: simDisk(),
    log: new KeptLog(),
    loopDelayMs: () => 0,
  };
}

test("the store and the store of the hints are both paced by the node's share of background work", () => {
  const read = readConfig({ argv: [], env: {}, readText: () => ({ kind: "unreadable", reason: "" }), hostname: "n1" });
  if (read.kind !== "config") throw new Error(read.problems.join("\n"));
  const main = pacedEngine(PARTITIONS, 1);
  const hints = pacedEngine(hintPartitionsOf(PARTITIONS), 2);
  const options = {
    config: read.config,
    windows: closedWindows(),
    openStore: async () => main.engine,
    openHints: async () => hints.engine,
    onFatal: (error: Error) => {
      throw error;
    },
  };
  const { calm } = joinRooms(options, main.engine, { engine: hints.engine, maxBytes: 1_024 });
  expect(main.paces).toEqual([calm.backgroundShare]);
  expect(hints.paces).toEqual([calm.backgroundShare]);
});
