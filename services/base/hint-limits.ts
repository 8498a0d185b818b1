/**
 * The bounds of hinted handoff, by name and unit; relations between bounds are asserted at load. All others are in `limits.ts`.
 */
import assert from "node:assert";
import { MAX_FRAME_BYTES } from "./limits.ts";
import { BACKGROUND_SHARE_AT_START } from "./load-limits.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** Hints: what a node keeps for others at most, unless it is told; of the disk, and in all. */
export const HINTS_DISK_SHARE: number = 0.1;
export const DEFAULT_HINTS_MAX_BYTES: number = 1024 * MIB;
/** Records in the index of the hint store: some forty bytes of memory each. */
export const MAX_HINT_RECORDS: number = 4_000_000;
/** A hint that is older is given up as soon as an owner of the key confirms that it holds the version. */
export const DEFAULT_HINTS_WINDOW_MS: number = 3 * 60 * 60 * 1_000;
/** Notes of missed writes are gathered for so long, and so many at most; beyond, their partitions are flagged. */
export const MARKER_GATHER_MS: number = 100;
export const MAX_PENDING_MARKERS: number = 16_384;
/** Missed writes that are being kept whole, or looked at, at a time; beyond, their partitions are flagged. */
export const MAX_MISSED_WRITES: number = 512;
export const MAX_MISSED_BYTES: number = 32 * MIB;
export const MISSED_WRITE_TIMEOUT_MS: number = 10_000;
/** What one offer names and one delivery carries; a larger object goes alone. */
export const HINT_OFFER_KEYS: number = 512;
export const HINT_TAKE_KEYS: number = 256;
export const HINT_TAKE_BYTES: number = 1 * MIB;
/** An object above this does not fit into a frame beside its key: it stays, and its partition is flagged. */
export const MAX_HINT_OBJECT_BYTES: number = MAX_FRAME_BYTES - 64 * KIB;
/** Answers of a receiver are waited for so long. */
export const HINT_ASK_MS: number = 10_000;
/** Bytes a second that a node takes in of all hints for it, and what is left of them just after a start that clients feel. */
export const HINT_INTAKE_BYTES_PER_SECOND: number = 16 * MIB;
export const MIN_HINT_INTAKE_BYTES_PER_SECOND: number = HINT_INTAKE_BYTES_PER_SECOND * BACKGROUND_SHARE_AT_START;
/** A key counts as so many bytes at least: each is a durable write. */
export const HINT_KEY_COST_BYTES: number = 512;
/** A sender that was not heard for so long shares the receiver's intake no more. */
export const HINT_SENDER_IDLE_MS: number = 3_000;
/** Targets that a node delivers to at a time. */
export const MAX_HINT_DELIVERIES: number = 4;
/** A node that comes back is met by its hints within this, each sender at a time of its own. */
export const HINT_JITTER_MS: number = 2_000;
/** A delivery that failed is tried again after this, twice as long each time. */
export const HINT_RETRY_MIN_MS: number = 1_000;
export const HINT_RETRY_MAX_MS: number = 60_000;
/** A hint that cannot be read is tried so often, a second apart at least, before it counts as lost; so many at a time. */
export const HINT_READ_TRIES: number = 4;
export const MAX_UNREADABLE_HINTS: number = 1_024;
/** How often a node that keeps hints looks whom they are for, and what has grown too old. */
export const HINT_REVIEW_MS: number = 1_000;
export const HINT_UPKEEP_MS: number = 5_000;
/** A budget that is full is summed up anew so often at most. */
export const HINT_ROOM_REFRESH_MS: number = 100;
/** Since when hints are kept is written down so often, while it changes: what a crash takes of their age. */
export const HINT_AGES_MS: number = 60_000;
/** Removal marks of a partition that are swept when nothing else is left of it. */
export const HINT_SWEEP_MARKS: number = 128;
/** A member that is asked what is left first ends its missed writes, each of which may wait for its own store and then for the hints'. */
export const HINT_FLUSH_ASK_MS: number = 2 * MISSED_WRITE_TIMEOUT_MS + 5_000;
/** How often whoever waits for hints to be delivered asks the members. */
export const HINT_FLUSH_POLL_MS: number = 250;

assert.ok(HINT_TAKE_BYTES <= MAX_HINT_OBJECT_BYTES, "a delivery fits into a frame");
