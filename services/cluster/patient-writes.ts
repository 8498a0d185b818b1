/**
 * PatientDocuments: documents whose writes wait for space on a full disk instead of failing. What is written here is said
 * to nobody before it is durable, so waiting is safe, and a node with a full disk still answers reads. Every other failure
 * passes through: what is on disk is then unknown.
 */
import type { Clock, Log } from "../base/ports.ts";
import type { Documents } from "./own-record.ts";

const RETRY_MS = 1_000;
/** How often a write that waits is told in the log. */
const TELL_EVERY = 10;

/** The same documents; writes resolve when they are durable, however long the disk is full. */
export function patientDocuments(
  documents: Documents,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Documents {
  return {
    read: (name) => documents.read(name),
    write: async (name, bytes) => {
      for (let tries = 0; ; tries += 1) {
        try {
          await documents.write(name, bytes);
          return;
        } catch (error) {
          if (!(error instanceof Error && "code" in error && error.code === "DISK_FULL")) throw error;
          if (tries % TELL_EVERY === 0)
            log.error({ event: "membership.disk-full", document: name, waitedMs: tries * RETRY_MS });
          await new Promise<void>((resolve) => {
            clock.setTimer(RETRY_MS, resolve);
          });
        }
      }
    },
  };
}
