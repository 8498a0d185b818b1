import { expect, it } from "vitest";
import { patientDocuments } from "../../../services/cluster/patient-writes.ts";
import { DiskFullError, StoreFailedError } from "../../../storage/errors.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { KeptLog, MemoryDocuments } from "./cluster-fixtures.ts";

const bytes = Buffer.from("x");

it("waits for space on a full disk, and then writes", async () => {
  const clock = new FakeClock();
  const kept = new MemoryDocuments();
  let fullCount = 3;
  const documents = {
    read: (name: string) => kept.read(name),
    write: (name: string, what: Uint8Array) => {
      fullCount -= 1;
      return fullCount >= 0 ? Promise.reject(new DiskFullError()) : kept.write(name, what);
    },
  };
  let isDone = false;
  const log = new KeptLog();
  void patientDocuments(documents, { clock, log })
    .write("member", bytes)
    .then(() => {
      isDone = true;
    });
  await clock.advance(2_500);
  expect([isDone, kept.read("member")]).toEqual([false, undefined]);
  await clock.advance(1_000);
  expect(isDone).toBe(true);
  expect(kept.read("member")).toEqual(bytes);
});

it("passes on every other failure: what is on disk is unknown", async () => {
  const documents = { read: () => undefined, write: () => Promise.reject(new StoreFailedError()) };
  const patient = patientDocuments(documents, { clock: new FakeClock(), log: new KeptLog() });
  await expect(patient.write("member", bytes)).rejects.toThrow(StoreFailedError);
});
