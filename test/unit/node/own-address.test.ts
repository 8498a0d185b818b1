import { expect, test } from "vitest";
import { OWN_NAME_RETRY_MS, OWN_NAME_TRIES } from "../../../services/base/limits.ts";
import type { LogFacts } from "../../../services/base/ports.ts";
import { ownAddressOf } from "../../../services/node/own-address.ts";
import { FakeClock } from "../../support/fake-clock.ts";

/** A name that DNS knows from its `knownFrom`-th question on; before, it fails or answers with nothing. */
function windowsWhere(knownFrom: number): {
  readonly clock: FakeClock;
  readonly warned: LogFacts[];
  readonly network: { resolve(address: string): Promise<readonly string[]> };
  readonly log: { warn(facts: LogFacts): void };
} {
  let asked = 0;
  const warned: LogFacts[] = [];
  const resolve = async (): Promise<readonly string[]> => {
    asked += 1;
    if (asked >= knownFrom) return ["10.0.0.7:4500", "10.0.0.8:4500"];
    if (asked % 2 === 0) return [];
    throw new Error("ENOTFOUND");
  };
  return { clock: new FakeClock(), warned, network: { resolve }, log: { warn: (facts) => void warned.push(facts) } };
}

test("a name that resolves is its first address, without a word", async () => {
  const windows = windowsWhere(1);
  expect(await ownAddressOf(windows, "gyre-0.gyre:4500")).toBe("10.0.0.7:4500");
  expect(windows.warned).toEqual([]);
});

test("a name that DNS does not know yet is waited for, and that is said once", async () => {
  const windows = windowsWhere(5);
  const found = ownAddressOf(windows, "gyre-0.gyre:4500");
  await windows.clock.advance(4 * OWN_NAME_RETRY_MS);
  expect(await found).toBe("10.0.0.7:4500");
  expect(windows.warned).toEqual([
    { event: "node.own-name-unknown", advertised: "gyre-0.gyre:4500", retryMs: OWN_NAME_RETRY_MS },
  ]);
});

test("a name that never resolves ends the start with what to do", async () => {
  const windows = windowsWhere(OWN_NAME_TRIES + 1);
  const found = ownAddressOf(windows, "nobody:4500").catch((error: unknown) => String(error));
  await windows.clock.advance((OWN_NAME_TRIES + 1) * OWN_NAME_RETRY_MS);
  expect(await found).toContain("GYRE_ADVERTISE=nobody:4500 names no address after 30 s");
});
