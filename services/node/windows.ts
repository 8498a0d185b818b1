/** The windows that a node looks out of, all in one hand: production passes adapters, the simulator its own. */
import type { Datagrams } from "../../gossip/index.ts";
import type { Disk } from "../../storage/ports.ts";
import type { Clock, LoadMeter, Log, Network, Random } from "../base/ports.ts";

/** Everything of the world that a node may touch. */
export interface NodeWindows {
  readonly clock: Clock;
  readonly random: Random;
  readonly network: Network;
  readonly datagrams: Datagrams;
  readonly disk: Disk;
  readonly log: Log;
  /** p99 of how late the event loop ran timers since the last call, milliseconds; 0 where nobody measures */
  readonly loopDelayMs: () => number;
  /** absent where nobody measures: then nothing is slowed down or refused for it */
  readonly load?: LoadMeter;
}
