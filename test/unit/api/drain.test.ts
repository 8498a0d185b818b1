/** The end of a listener: it looks for idle connections until it has closed, however that ends. */
import { expect, it } from "vitest";
import { drain } from "../../../services/api/drain.ts";
import { FakeClock } from "../../support/fake-clock.ts";

it.each(["resolves", "rejects"])("looks no more once closing %s", async (how) => {
  const clock = new FakeClock();
  let looks = 0;
  const look = (): void => {
    looks += 1;
  };
  const server = { closeIdleConnections: look, closeAllConnections: look };
  const quiet = (): void => undefined;
  const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };
  const closed = Promise.withResolvers<void>();
  const drained = drain({ clock, log, server, requestCount: () => 0, close: () => closed.promise });
  await clock.advance(100);
  expect([looks > 0, clock.plannedCount]).toEqual([true, 1]);
  if (how === "resolves") closed.resolve();
  else closed.reject(new Error("it cannot be closed"));
  expect((await Promise.allSettled([drained]))[0].status).toBe(how === "resolves" ? "fulfilled" : "rejected");
  expect(clock.plannedCount).toBe(0);
});
