/** How calm and the disk's pulse are made out of a node's windows and store. Must never start them: `node.ts` does. */
import type { StorageEngine } from "../../storage/engine.ts";
import { Calm } from "../calm/calm.ts";
import { DiskPulse } from "../calm/disk-pulse.ts";
import type { DiskState } from "../calm/disk-pulse-core.ts";
import type { NodeWindows } from "./windows.ts";

/** Name of the small document that is written when nobody else writes. */
const CANARY_DOCUMENT = "canary";

/** How busy the node is, and how its disk fares. */
export interface CalmRooms {
  readonly calm: Calm;
  readonly pulse: DiskPulse;
}

/** Makes both. */
export function makeCalm(
  { clock, load, log }: NodeWindows,
  engine: StorageEngine,
  parts: { readonly hasOthers: () => boolean; readonly onDiskState: (state: DiskState) => void },
): CalmRooms {
  const isDiskSlow = (): boolean => pulse.state !== "well";
  const calm = new Calm({ clock, log, load, hasOthers: parts.hasOthers, isDiskSlow });
  const pulse = new DiskPulse({
    clock,
    log,
    writeCanary: () => engine.writeDocument(CANARY_DOCUMENT, new Uint8Array(1)),
    loopDelayMs: () => calm.view().loopDelayMs,
    onState: parts.onDiskState,
  });
  return { calm, pulse };
}
