/**
 * The end of a removal of segment files that no manifest names any more. Must never be used for names that are to stay: whoever
 * waits for those must hear that they are not durable.
 */
import type { LogSettings } from "./log-options.ts";
import { isOutOfHandles } from "./ports.ts";
import { SEGMENTS_DIRECTORY } from "./store-paths.ts";

/** Makes removals durable; without a handle for it they may come undone, and the next start removes the files again. Throws `DiskError`. */
export async function endRemoval({ disk, log }: Pick<LogSettings, "disk" | "log">): Promise<void> {
  try {
    await disk.fsyncDirectory(SEGMENTS_DIRECTORY);
  } catch (error) {
    if (!isOutOfHandles(error)) throw error;
    log.warn({ event: "storage.removal-not-durable", cause: String(error) });
  }
}
