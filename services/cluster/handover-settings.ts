/** The numbers of the hand-over that follow from the cluster's size. No state. */
import {
  HANDOVER_IDLE_MS,
  HANDOVER_RETRY_MAX_MS,
  HANDOVER_RETRY_MIN_MS,
  MINT_QUIET_MS,
  SEAL_MS,
} from "../base/limits.ts";
import type { MintSettings } from "./handover-mint-core.ts";

/** What the cluster's size says of it. */
export interface HandoverSettings {
  readonly partitionCount: number;
  readonly replicaCount: number;
  /** default `MINT_QUIET_MS`; 0 when every coordinator discounts removed members at the moment in which it decides */
  readonly mintQuietMs?: number;
}

/** Times, and how many sources a minting needs: N − W + 1, W a majority. */
export function mintSettingsOf({ replicaCount, mintQuietMs }: HandoverSettings): MintSettings {
  const majority = Math.floor(replicaCount / 2) + 1;
  return {
    times: {
      sealMs: SEAL_MS,
      idleMs: HANDOVER_IDLE_MS,
      retryMinMs: HANDOVER_RETRY_MIN_MS,
      retryMaxMs: HANDOVER_RETRY_MAX_MS,
      mintQuietMs: mintQuietMs ?? MINT_QUIET_MS,
    },
    sourceCount: Math.max(1, replicaCount - majority + 1),
    otherSlotCount: replicaCount - 1,
  };
}
