import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { createSystemClock } from "../../../services/adapters/system-clock.ts";
import { createSystemRandom } from "../../../services/adapters/system-random.ts";

describe("the clock of the system", () => {
  test("the wall clock agrees with the system's within 5 ms, in whole microseconds, finer than milliseconds", () => {
    const clock = createSystemClock();
    // between two looks at the other clock: however long this process is kept waiting meanwhile
    const readings = Array.from({ length: 5_000 }, () => {
      const fromMs = Date.now();
      const micros = clock.wallMicros();
      const untilMs = Date.now() + 1;
      return { micros, offMs: Math.max(0, fromMs - micros / 1_000, micros / 1_000 - untilMs) };
    });
    expect(readings.every(({ micros }) => Number.isSafeInteger(micros))).toBe(true);
    expect(Math.max(...readings.map(({ offMs }) => offMs))).toBeLessThan(5);
    expect(readings.some(({ micros }) => micros % 1_000 !== 0)).toBe(true);
  });

  test("deferred work runs in its order before a timer set earlier with the shortest delay, a cancelled timer never", async () => {
    const clock = createSystemClock();
    const ran: string[] = [];
    await new Promise<void>((fulfil) => {
      setImmediate(() => {
        clock.setTimer(5, () => {
          ran.push("timer");
          fulfil();
        });
        clock.setTimer(1, () => ran.push("cancelled")).cancel();
        clock.defer(() => ran.push("first"));
        clock.defer(() => ran.push("second"));
      });
    });
    expect(ran).toEqual(["first", "second", "timer"]);
  });

  test("monotonic time never goes back", () => {
    const clock = createSystemClock();
    const readings = Array.from({ length: 5_000 }, () => clock.monotonicMs());
    expect(readings).toEqual(readings.toSorted((a, b) => a - b));
  });
});

describe("chance of the system", () => {
  test("numbers stay in their range and fill it, over many refills of the pool", () => {
    const random = createSystemRandom();
    const counts = new Uint32Array(16);
    for (let i = 0; i < 16_000; i += 1) {
      const [word, float] = [random.u32(), random.float()];
      expect(Number.isInteger(word) && word >= 0 && word < 2 ** 32 && float >= 0 && float < 1).toBe(true);
      counts[word >>> 28] = (counts[word >>> 28] ?? 0) + 1;
    }
    for (const count of counts) expect(Math.abs(count - 1_000)).toBeLessThan(250);
  });

  test("bytes come in the number asked for, and never the same twice", () => {
    const random = createSystemRandom();
    expect(random.bytes(16)).toHaveLength(16);
    expect(random.bytes(16)).not.toEqual(random.fork("x").bytes(16));
  });
});

describe("the log on pino", () => {
  const run = async (isPretty: boolean): Promise<string> => {
    const door = new URL("../../../services/adapters/pino-log.ts", import.meta.url).href;
    const script = `
      const { createPinoLog } = await import(${JSON.stringify(door)});
      const log = createPinoLog({ level: "info", isPretty: ${isPretty}, facts: { node: "n1" } });
      log.debug({ event: "too.low" });
      log.info({ event: "peers.link-up", peer: "n2" });
      log.error({ event: "it.broke", error: new Error("planted", { cause: new Error("deeper") }) });
    `;
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
    return stdout;
  };

  test("writes one JSON line per event, with level as a word, time, the process's facts, and errors with their cause", async () => {
    const lines = (await run(false)).trimEnd().split("\n");
    expect(lines).toHaveLength(2);
    const [up, broke] = lines.map((line): unknown => JSON.parse(line));
    expect(up).toMatchObject({ level: "info", node: "n1", event: "peers.link-up", peer: "n2" });
    expect(up).toHaveProperty("time", expect.stringMatching(/^\d{4}-\d\d-\d\dT/));
    expect(broke).toMatchObject({
      level: "error",
      event: "it.broke",
      error: { message: expect.stringMatching(/planted.*deeper/) },
    });
  });

  test("writes for people when asked", async () => {
    expect(await run(true)).toMatch(/INFO.*peers\.link-up/);
  });
});
