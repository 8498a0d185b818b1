/**
 * The bounds of overload and of gray failure, by name and unit: how much is admitted, when background work yields, what counts
 * as a slow disk. What they mean together is in docs/OVERLOAD.md. Source: reliability notes §4.2.
 */
import assert from "node:assert/strict";
import { MAX_OBJECT_BYTES, MAX_SIBLINGS } from "./limits.ts";

/** The least that works behind the scenes get of their full pace, however busy clients keep the node. */
export const BACKGROUND_SHARE_FLOOR: number = 1 / 64;
/**
 * What they begin with at a start, and the least that they get for so long after it: what clients bear is not known yet, the
 * runtime compiles what it runs, and others have kept all that was missed.
 */
export const BACKGROUND_SHARE_AT_START: number = 1 / 256;
export const GOVERNOR_START_MS: number = 15_000;
/**
 * Bytes a second that anti-entropy takes in at least, however small the share is: a 64th. Each key costs a durable
 * write, and counts as so many.
 */
export const MIN_PULLED_BYTES_PER_SECOND: number = 384 * 1024;
export const PULLED_KEY_COST_BYTES: number = 512;
/** How often that share is looked at, and how many latencies a look needs (or it waits for more, this long at most). */
export const GOVERNOR_LOOK_MS: number = 500;
export const GOVERNOR_MIN_SAMPLES: number = 20;
export const GOVERNOR_PATIENCE_MS: number = 5_000;
/** What p99 of clients' requests may come to before background work yields: 1.5 × the quiet one, within these. */
export const FOREGROUND_TARGET_MIN_MS: number = 5;
export const FOREGROUND_TARGET_MAX_MS: number = 100;
/** The most that it may be until two minutes of clients' reads, or of their writes, are known to a node that has started. */
export const FOREGROUND_TARGET_UNKNOWN_MS: number = 20;
/** For how long the quiet p99 is remembered. */
export const BASELINE_MEMORY_MS: number = 1_800_000;
/** Delay of the event loop, and its utilisation, from which background work yields. */
export const PRESSING_LOOP_DELAY_MS: number = 50;
export const PRESSING_UTILISATION: number = 0.95;
/** How often the process's load is read. */
export const LOAD_SAMPLE_MS: number = 100;

/** Of each class, reads and writes: never fewer under way than this, however long they take. */
export const CONCURRENCY_FLOOR: number = 64;
/**
 * What the typical request may wait in a node beyond what it takes on a quiet one: up to the target more are let in freely, from
 * the limit on fewer are. Measured: a limit of 20 ms costs throughput wherever processes wait for processors.
 */
export const SOJOURN_TARGET_MS: number = 20;
export const SOJOURN_LIMIT_MS: number = 100;
export const CONCURRENCY_INTERVAL_MS: number = 100;
/** For how long it is remembered what the typical request takes on a quiet node. */
export const QUIET_LATENCY_MEMORY_MS: number = 60_000;
/** From this part of a class's limit on, one key may have this part of it under way, and at least so many requests. */
export const CROWDED_FROM: number = 1 / 2;
export const CROWD_SHARE: number = 1 / 4;
export const CROWD_MIN_REQUESTS: number = 8;
/** Reads in one turn of the event loop from which those of one key are made together. */
export const SHARED_READS_FROM: number = 8;
/** Requests under way from which a node counts as busy with clients. */
export const BUSY_REQUESTS: number = 32;
/** Delay of the event loop, met again and again, from which listings are shed, and from which clients' data is. */
export const LOOP_DELAY_SHED_LIST_MS: number = 100;
export const LOOP_DELAY_SHED_DATA_MS: number = 250;
/** A refusal for overload asks to come back after 1 … this many seconds. */
export const RETRY_AFTER_MAX_SECONDS: number = 3;
/**
 * New connections that the kernel may keep for a node, oldest first: while there are too many, their number is what each of them waits.
 * What comes beyond them in one moment is taken in when its kernel asks again, a second later.
 */
export const LISTEN_BACKLOG: number = 256;
/** Once each turn has taken one in for so long, a client may have gone before its connection was taken in. */
export const NEWCOMER_DOUBTFUL_MS: number = 100;
/** What has waited for room for longer is let in no more, whatever room there is: a quarter of the usual deadline. */
export const QUEUE_USEFUL_MS: number = 500;
/**
 * Refusing it begins when it has waited for so long for each that waits, at the latest after the time that follows: to refuse somebody
 * on a connection that was not touched for a while costs half of what serving him does, and asks him to send the next request.
 */
export const QUEUE_REFUSE_EACH_MS: number = 2;
export const QUEUE_MAX_MS: number = 3_000;
/**
 * How often it is looked who has waited for too long; and from how many refused in one look on it ends: 700 a second, a tenth of two
 * cores where three nodes and their clients share them, and more where more are due: such a part of them as the look is of this time.
 */
export const QUEUE_LOOK_MS: number = 20;
export const QUEUE_REFUSALS_A_LOOK: number = 14;
export const QUEUE_DUE_MS: number = 1_000;
/** So many are let in, or found not to be for it, in one turn of the event loop. */
export const QUEUE_DEALT_A_TURN: number = 64;
/** While others came within so long, one token may have this part of a class's limit under way, from the same part of it on. */
export const CALLER_MEMORY_MS: number = 1_000;
export const CALLER_SHARE: number = 1 / 2;
/** What answers of a route hold is the mean of about so many; more than this is never expected of the next one. */
export const ANSWERS_REMEMBERED: number = 32;
export const ANSWER_GUESS_MAX_BYTES: number = 8 * 1024 * 1024;
/** From so many connections on, half of what the listener takes, whoever has waited longest gives way to a new one. */
export const QUEUE_CROWDED_ROWS: number = 2_048;
/** Who sent so much while he was not read may have sent more: a reading takes 64 KiB, with TLS what is in as much of its records. */
export const UNREAD_MORE_BYTES: number = 32 * 1024;
/** What comes behind so much is not taken for as old as that any more. */
export const UNREAD_MAX_BYTES: number = 1024 * 1024;
/** Of those that wait so many are looked at for one that brings no more bytes than there is room for. */
export const QUEUE_LOOKED_AT: number = 8;
/** Of a connection so many requests may wait, and behind the first ones of all connections so many; and their bytes. */
export const QUEUE_MAX_OF_ONE: number = 16;
export const QUEUE_MAX_BEHIND: number = 4_096;
export const QUEUE_MAX_BYTES: number = 48 * 1024 * 1024;
/** What a request that waits takes itself; and of a body that nobody reads at most: what was read at once, and what its stream takes. */
export const QUEUE_REQUEST_BYTES: number = 2 * 1024;
export const QUEUE_BODY_BYTES: number = 128 * 1024;
/** Utilisation of the event loop, for a second, from which listings are shed. */
export const LOOP_UTILISATION_SHED_LIST: number = 0.95;
/** What is taken at a time of each class while the loop cannot bear clients' data. */
export const STRAINED_REQUESTS: number = 32;
/** A node sheds for so long after the last request of a key that it turned away for want of room, or had wait: nothing extra is asked then. */
export const SHEDDING_MS: number = 1_000;
/** Memory in use, as a share of what the process may have: less is taken, nothing is written; and the room that ends it. */
export const MEMORY_SHED_SHARE: number = 0.85;
export const MEMORY_READ_ONLY_SHARE: number = 0.95;
export const MEMORY_RELIEF_SHARE: number = 0.03;
/** Without memory no value is taken, and so many deletes at a time: they are the way out. */
export const FULL_MEMORY_DELETES: number = 16;
/** How often memory is looked at. */
export const MEMORY_LOOK_MS: number = 1_000;
/** The disk's pulse: how often it is looked at, and after how long without clients' writes one of its own is made. */
export const DISK_LOOK_MS: number = 1_000;
export const CANARY_IDLE_MS: number = 5_000;
/** The disk is slow when a typical write takes so long, or nothing becomes durable for so long while something waits. */
export const DISK_SLOW_PUT_MS: number = 300;
export const DISK_STALL_MS: number = 1_000;
/** A loop later than this says nothing of the disk. */
export const PULSE_LATE_LOOP_MS: number = 250;
/** Looks in a row after which a node with a slow disk asks to be asked last, and after which it takes that back. */
export const DISK_BAD_LOOKS: number = 4;
export const DISK_GOOD_LOOKS: number = 5;
/** After a start a node admits this share of its limits, and all of them after this time, while there are other members. */
export const SLOW_START_FIRST_SHARE: number = 0.1;
export const SLOW_START_MS: number = 30_000;
/** A rehearsal before a restart: for how long at most, how much is asked over how many connections, and what its disks may take. */
export const REHEARSAL_MS: number = 2_000;
export const REHEARSAL_REQUESTS: number = 1_500;
export const REHEARSAL_CONNECTIONS: number = 16;
export const REHEARSAL_DISK_BYTES: number = 32 * 1024 * 1024;
export const REHEARSAL_SEGMENT_BYTES: number = 1024 * 1024;
/** A node that starts again is not ready for so long at most while others keep its event loop busier than this: 0 … 1. */
export const WARM_UP_MS: number = 3_000;
export const WARM_UP_IDLE_UTILISATION: number = 0.2;
/** A request that takes so long gets a line in the log, and so does one that fails here: so many lines in so long at most. */
export const SLOW_REQUEST_MS: number = 1_000;
export const MAX_REQUEST_LINES: number = 20;
export const REQUEST_LINES_EVERY_MS: number = 5_000;
/** A replica tells of another node's request that belongs to a sampled trace when it takes so long. */
export const SLOW_TRACED_CALL_MS: number = 200;
/** Writes after which their key has more than this are counted, long before one is refused. */
export const MANY_SIBLINGS: number = 10;
export const MANY_OBJECT_BYTES: number = 4 * 1024 * 1024;

assert.ok(
  QUEUE_USEFUL_MS <= QUEUE_MAX_MS && QUEUE_MAX_MS <= RETRY_AFTER_MAX_SECONDS * 1_000,
  "refusing begins before the end of the wait that a refusal asks for",
);
assert.ok(
  BACKGROUND_SHARE_AT_START > 0 && BACKGROUND_SHARE_AT_START <= BACKGROUND_SHARE_FLOOR && BACKGROUND_SHARE_FLOOR < 1,
  "a share is above nothing and at most all",
);
assert.ok(
  FOREGROUND_TARGET_MIN_MS <= FOREGROUND_TARGET_UNKNOWN_MS && FOREGROUND_TARGET_UNKNOWN_MS <= FOREGROUND_TARGET_MAX_MS,
  "what clients bear while nothing is known of them is within what they ever do",
);
assert.ok(MANY_SIBLINGS < MAX_SIBLINGS && MANY_OBJECT_BYTES < MAX_OBJECT_BYTES, "seen before it is refused");
