/** Faults beside a load: what was planned and what happened are told apart. */
import { expect, test } from "vitest";
import { FaultSchedule } from "../../../loadtest/cluster/fault-schedule.ts";

const tell = (): void => undefined;

test("a fault that the load did not wait for was planned, and did not happen", async () => {
  const schedule = FaultSchedule.ofCommand({ command: "true", atSeconds: 3_600 });
  schedule.start(Date.now(), tell);
  schedule.cancel();
  await schedule.end();
  expect([schedule.plannedCount, schedule.marks]).toEqual([1, []]);
});

test("a fault that happened has a mark; one whose command fails has none, and fails the run", async () => {
  const done = FaultSchedule.ofCommand({ command: "true", atSeconds: 0 });
  done.start(Date.now(), tell);
  await done.end();
  expect([done.plannedCount, done.marks.length]).toEqual([1, 1]);
  const failed = FaultSchedule.ofCommand({ command: "exit 3", atSeconds: 0 });
  failed.start(Date.now(), tell);
  await expect(failed.end()).rejects.toThrow("exit code 3");
  expect(failed.marks).toEqual([]);
});
