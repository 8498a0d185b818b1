/**
 * How scarce space is, and what is refused because of it. Pure. Shares of the disk on small disks, bytes on large ones:
 * a laptop that is nine tenths full has room for a node, a disk of 64 MiB has not when 60 of them are taken.
 * Thresholds: reliability notes §3.6 (80, 85, 90, 95, 97 %). Must never flap: a level is left later than it is entered.
 */
import type { DiskLevel } from "./engine.ts";

/** Free and usable space of the disk, bytes. */
export interface DiskSpace {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** puts are refused below this free share: the reserve is the free space at that point */
const RESERVE_SHARE = 0.1;
const WARN_SHARE = 0.2;
/** The free share below which a level begins, and the same in units of the reserve; the scarcest first. */
const STEPS: readonly { readonly level: DiskLevel; readonly share: number }[] = [
  { level: "compaction_only", share: 0.05 },
  { level: "no_puts", share: RESERVE_SHARE },
  { level: "no_growth", share: 0.15 },
  { level: "warn", share: WARN_SHARE },
];
const LEVELS: readonly DiskLevel[] = ["ok", "warn", "no_growth", "no_puts", "compaction_only"];
/** the free share below which the ballast is thrown off */
const BALLAST_SHARE = 0.03;
/** so much more must be free for a level to be left than for it to be entered */
const HYSTERESIS = 1.1;

/** The level now, after `before`. `reserveBytes` 0: levels are off. */
export function diskLevelOf(space: DiskSpace, reserveBytes: number, before: DiskLevel): DiskLevel {
  for (const { level, share } of STEPS) {
    const isEntered = rankOf(before) >= rankOf(level);
    if (space.freeBytes < limitOf(space, reserveBytes, share) * (isEntered ? HYSTERESIS : 1)) return level;
  }
  return "ok";
}

/** How far it is from the first level to where puts are refused, 0 … 1; 0 where levels are off. */
export function scarcityOf(space: DiskSpace, reserveBytes: number): number {
  const [fromBytes, toBytes] = [limitOf(space, reserveBytes, WARN_SHARE), limitOf(space, reserveBytes, RESERVE_SHARE)];
  if (fromBytes <= toBytes) return 0;
  return Math.min(1, Math.max(0, (fromBytes - space.freeBytes) / (fromBytes - toBytes)));
}

/** Whether so little is left that the ballast must go. */
export function needsBallastSpace(space: DiskSpace, reserveBytes: number): boolean {
  return space.freeBytes < limitOf(space, reserveBytes, BALLAST_SHARE);
}

/** Whether `level` is at least as scarce as `other`. */
export function isAtLeast(level: DiskLevel, other: DiskLevel): boolean {
  return rankOf(level) >= rankOf(other);
}

/** The smaller of the share and of what is in proportion to the reserve. */
function limitOf({ totalBytes }: DiskSpace, reserveBytes: number, share: number): number {
  return share * Math.min(totalBytes, reserveBytes / RESERVE_SHARE);
}

function rankOf(level: DiskLevel): number {
  return LEVELS.indexOf(level);
}
