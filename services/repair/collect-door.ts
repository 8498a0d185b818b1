/**
 * What the replica knows of collecting: the line of each partition, what of it is hidden from reads, and the gate before the
 * first dot. Made before collecting is, and joined to it later. Must cost next to nothing while nothing is in doubt.
 */
import type { KeyLocation } from "../replica/contract.ts";
import { MintGate } from "../replica/mint-gate.ts";
import type { CollectedLines } from "../replica/needs.ts";
import { CollectFloors } from "./collect-floors-core.ts";

/** Whether what is held of a key may be older than what was collected; key undefined: of any key. */
export type Hides = (partition: number, key: Uint8Array | undefined) => boolean;

/** One node's. */
export class CollectDoor implements CollectedLines {
  readonly floors: CollectFloors;
  readonly gate: MintGate = new MintGate();
  /** asked where something may be hidden */
  hides: Hides = () => false;
  /** the bucket of the key leaves out the slot that is held here */
  leavesOut: (location: KeyLocation) => boolean = () => false;
  /** not all who must be heard at first have been */
  isHearing = true;

  constructor(partitionCount: number) {
    this.floors = new CollectFloors(partitionCount);
  }

  lineOf(partition: number): number {
    return this.floors.lineOf(partition);
  }

  isCertain(location: KeyLocation, isSuspect: boolean): boolean {
    return !isSuspect && !this.floors.isBehind(location.partition) && !this.leavesOut(location);
  }

  isHidden(partition: number, key: Uint8Array | undefined, isSuspect: boolean): boolean {
    return (isSuspect || this.isHearing || this.floors.isBehind(partition)) && this.hides(partition, key);
  }
}
