import nodeCrypto, { randomBytes } from "node:crypto";
import { setTimeout as timersSetTimeout } from "node:timers";
import { expect, test } from "vitest";
import { Scheduler } from "../../sim/scheduler.ts";
import { armTripwires } from "../../sim/tripwire.ts";

const WIRES: Readonly<Record<string, () => unknown>> = {
  "Date.now": () => Date.now(),
  "new Date()": () => new Date(),
  "Date()": () => Date(),
  "Math.random": () => Math.random(),
  setTimeout: () => setTimeout(() => {}, 0),
  setInterval: () => setInterval(() => {}, 1_000_000),
  setImmediate: () => setImmediate(() => {}),
  "timers.setTimeout": () => timersSetTimeout(() => {}, 0),
  "performance.now": () => performance.now(),
  "process.hrtime": () => process.hrtime(),
  "crypto.randomUUID": () => crypto.randomUUID(),
  "crypto.getRandomValues": () => crypto.getRandomValues(new Uint8Array(1)),
  "crypto.randomBytes": () => nodeCrypto.randomBytes(1),
  "AbortSignal.timeout": () => AbortSignal.timeout(1),
};

test.each(Object.entries(WIRES))("%s throws while armed, naming itself, and works again afterwards", (name, touch) => {
  {
    using _armed = armTripwires();
    expect(touch).toThrow(`${name} reached inside a simulation`);
  }
  const made = touch();
  if (name === "setInterval") clearInterval(made as NodeJS.Timeout);
  expect(made).toBeDefined();
});

test("an import by name is caught too", () => {
  using _armed = armTripwires();
  expect(() => randomBytes(1)).toThrow("crypto.randomBytes reached");
});

test("dates of a given time are calculation and stay allowed", () => {
  using _armed = armTripwires();
  expect(new Date(0).toISOString()).toBe("1970-01-01T00:00:00.000Z");
  expect(Date.UTC(2030, 0, 1)).toBe(1_893_456_000_000);
});

test("the scheduler itself runs under armed wires", async () => {
  using _armed = armTripwires();
  const scheduler = new Scheduler("armed");
  let ran = 0;
  for (let i = 0; i < 1_000; i += 1) scheduler.after(i, () => (ran += 1));
  await scheduler.run({});
  expect(ran).toBe(1_000);
});
