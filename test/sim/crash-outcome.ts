/**
 * What a power loss does to the part of a simulated disk that was not durable. Must never touch what was.
 *
 * Source: reliability notes §2.4, §3.8.
 */
import type { CrashChance, FileCrash, PageFate } from "./sim-file.ts";

/** What a power loss does to what is not durable. */
export interface CrashOutcome {
  /**
   * fate of un-synced pages: "random" draws applied or dropped, "torn" tears each, "garbage" fills empty sectors with
   * noise, "zeros" drops the pages but keeps the grown size, "mixed" draws among all
   */
  readonly pages: "applied" | "dropped" | "random" | "torn" | "garbage" | "zeros" | "mixed";
  /** fate of creations, renames and removals whose directory was not fsynced */
  readonly names: "applied" | "dropped" | "random";
}

const MIXED_FATES: readonly PageFate[] = ["applied", "dropped", "torn", "garbage"];
/** How the outcome treats the files of a disk. */
export function fileCrashOf(outcome: CrashOutcome, chance: CrashChance): FileCrash {
  const { pages } = outcome;
  const keepsSize = pages === "applied" || pages === "zeros";
  return {
    fateOf: () => pageFate(pages, chance),
    size: keepsSize ? "applied" : pages === "dropped" ? "dropped" : "random",
    chance,
  };
}

/** Whether the next change of a name survives. */
export function nameSurvives(outcome: CrashOutcome, chance: CrashChance): boolean {
  return outcome.names === "applied" || (outcome.names === "random" && chance.u32() % 2 === 0);
}

function pageFate(pages: CrashOutcome["pages"], random: CrashChance): PageFate {
  if (pages === "zeros") return "dropped";
  if (pages === "random") return random.u32() % 2 === 0 ? "applied" : "dropped";
  if (pages === "mixed") return MIXED_FATES[random.u32() % MIXED_FATES.length] ?? "dropped";
  return pages;
}
