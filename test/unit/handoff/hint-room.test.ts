import { expect, test } from "vitest";
import { HintRoom } from "../../../services/handoff/hint-room.ts";
import { openMemoryEngine } from "../../../storage/memory-engine.ts";
import { seededDraws } from "../../support/seeded.ts";
import { HandClock } from "../../support/storage-fixtures.ts";

test("a full budget refuses without summing up the store each time, and sees within a tenth of a second that there is room", () => {
  const whole = openMemoryEngine({ partitionCount: 2, random: seededDraws(1) }).stats();
  let liveBytes = 10_000;
  let sumCount = 0;
  const clock = new HandClock();
  const engine = {
    stats: () => {
      sumCount += 1;
      return { ...whole, liveBytes };
    },
  };
  const room = new HintRoom(engine, 10_000, clock);
  for (let n = 0; n < 1_000; n += 1) expect(room.takes(100)).toBe(false);
  expect(sumCount).toBe(1);
  liveBytes = 0;
  expect(room.takes(100)).toBe(false);
  clock.advance(100);
  expect(room.takes(100)).toBe(true);
  expect(sumCount).toBe(2);
});
