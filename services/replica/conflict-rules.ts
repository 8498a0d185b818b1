/** Which keys let the last write win, by the settings of their buckets. Must never guess: an unknown bucket has the defaults. */
import type { BucketSettings } from "../base/bucket-settings.ts";
import { type BucketName, parseBucketName } from "../base/ids.ts";
import type { ConflictRules } from "./needs.ts";

/** What a bucket was told; the defaults for one that nobody made. */
export interface SettingsLookup {
  settingsOf(bucket: BucketName): BucketSettings;
}

/** The conflict rules that follow from bucket settings; the bucket is what stands before the first zero byte of a key. */
export function conflictRulesOf(buckets: SettingsLookup): ConflictRules {
  return {
    isLastWriteWins(location) {
      const { key } = location;
      const end = key.indexOf(0);
      if (end < 0) return false;
      const bucket = parseBucketName(Buffer.from(key.buffer, key.byteOffset, end).toString("latin1"));
      return bucket !== undefined && buckets.settingsOf(bucket).conflicts === "lww";
    },
  };
}
