/**
 * The address under which other nodes find this one. Its name may not resolve yet: a pod's appears in DNS some moments after
 * the pod has started. Must never answer with an address that nobody else could use: the others would probe themselves.
 */
import { OWN_NAME_RETRY_MS, OWN_NAME_TRIES } from "../base/limits.ts";
import type { Clock, Log, Network } from "../base/ports.ts";

/** What is looked through for it. */
export interface OwnAddressWindows {
  readonly network: Pick<Network, "resolve">;
  readonly clock: Pick<Clock, "setTimer">;
  readonly log: Pick<Log, "warn">;
}

/** The first address behind `advertised` (`host:port`, host may be a name). Rejects in words when none came up in half a minute. */
export async function ownAddressOf(windows: OwnAddressWindows, advertised: string): Promise<string> {
  const { network, clock, log } = windows;
  for (let tries = 1; tries <= OWN_NAME_TRIES; tries += 1) {
    const [address] = await network.resolve(advertised).catch(() => []);
    if (address !== undefined) return address;
    if (tries === 1) log.warn({ event: "node.own-name-unknown", advertised, retryMs: OWN_NAME_RETRY_MS });
    await new Promise<void>((resolve) => {
      clock.setTimer(OWN_NAME_RETRY_MS, resolve);
    });
  }
  const seconds = (OWN_NAME_TRIES * OWN_NAME_RETRY_MS) / 1_000;
  throw new Error(
    `GYRE_ADVERTISE=${advertised} names no address after ${seconds} s: others could not find this node; give an address, or a name that resolves`,
  );
}
