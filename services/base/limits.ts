/**
 * Every bound of the house, by name and unit; relations between bounds are asserted at load. Limits of clients never
 * bind repair: data that was once accepted is never dropped for its size (Riak's limits on handoff lost data).
 */
import assert from "node:assert/strict";

const KIB = 1024;
const MIB = 1024 * KIB;

/** What a client may send. */
export const MAX_KEY_BYTES: number = 1 * KIB;
export const MAX_VALUE_BYTES: number = 1 * MIB;
export const MAX_OBJECT_BYTES: number = 16 * MIB;
export const MAX_SIBLINGS: number = 64;
export const MAX_CONTENT_TYPE_BYTES: number = 255;
export const MAX_BATCH_OPS: number = 128;
export const MAX_BATCH_BYTES: number = 4 * MIB;
export const MAX_LIST_LIMIT: number = 1_000;
export const DEFAULT_LIST_LIMIT: number = 100;
/** Entries of a causal context: actors plus detached dots. */
export const MAX_CONTEXT_ENTRIES: number = 256;
export const MAX_CONTEXT_TOKEN_CHARS: number = 8 * KIB;
export const MAX_BUCKETS: number = 10_000;
/** Longest time to live of a value: ten years. Whoever wants more wants none. */
export const MAX_TTL_SECONDS: number = 315_360_000;

/** Time that a request may take. */
export const DEFAULT_TIMEOUT_MS: number = 2_000;
export const MAX_TIMEOUT_MS: number = 30_000;
/** A replica slower than min(its p95, this) is hedged with the next one. */
export const HEDGE_DELAY_MAX_MS: number = 50;
export const HEDGE_BUDGET_RATIO: number = 0.05;

/** Hedges saved up for a stall: a burst of reads meets a silent replica before the ranking has learned of it. */
export const HEDGE_BURST: number = 64;
/** Grain of the coordinator's deadlines and hedges: a request may end this much late, never early. */
export const DEADLINE_TICK_MS: number = 5;

/** A peer that failed so many requests in a row, or owes answers and has been silent so long, is asked last. */
export const CIRCUIT_FAILURES: number = 3;
export const CIRCUIT_SILENCE_MS: number = 1_000;
/** How often one request is sent to such a peer as if all were well, to see whether it has recovered. */
export const CIRCUIT_PROBE_EVERY_MS: number = 250;

/** After so long, or half of its time, a write tells others to stand in for owners that are silent: above what disks stall. */
export const STAND_IN_DELAY_MS: number = 200;
/** Nodes that one request asks to stand in for its n owners, for each of them. */
export const STAND_INS_PER_OWNER: number = 2;

/** How often a request is told "moved, ask that one" for one seat before it waits and looks at the table again. */
export const MAX_MOVED_HOPS: number = 3;
/** How long it waits then: a slot in transit is nobody's for some milliseconds. */
export const HOLDER_LOOK_MIN_MS: number = 20;
export const HOLDER_LOOK_MAX_MS: number = 100;
/** How often one request looks again for the holders of slots; its deadline mostly comes first. */
export const MAX_HOLDER_LOOKS: number = 100;

/** One page of a listing looks at this many stored entries at most, and works for this long. */
export const LIST_SCAN_ENTRIES: number = 20_000;
export const LIST_SCAN_MS: number = 500;
/** Entries that one step of a listing's scan reads from the store. */
export const LIST_SCAN_STEP: number = 256;

/** Read repairs waiting and under way at one node; the oldest waiting one is dropped for a new one. */
export const MAX_QUEUED_REPAIRS: number = 1_024;
/** Encoded bytes of the read repairs that wait. */
export const MAX_QUEUED_REPAIR_BYTES: number = 32 * MIB;
export const MAX_RUNNING_REPAIRS: number = 4;
export const REPAIR_TIMEOUT_MS: number = 5_000;
/** Who says again that it has nothing is not given the same again within this; so many are remembered. */
export const REPAIR_REPEAT_MS: number = 10_000;
export const MAX_REMEMBERED_REPAIRS: number = 1_024;

/** Requests under way at one node. */
export const MAX_INFLIGHT_REQUESTS: number = 1_024;
export const MAX_INFLIGHT_BYTES: number = 64 * MIB;

/** The client listener: room for a context and a percent-encoded key, time to send a request, time to finish at a stop. */
export const MAX_HEADER_BYTES: number = 32 * KIB;
export const HEADERS_READ_TIMEOUT_MS: number = 5_000;
/** A batch of 4 MiB may come at 140 KB a second. */
export const REQUEST_READ_TIMEOUT_MS: number = 30_000;
/** How often connections are looked over for those that were too slow. */
export const CONNECTIONS_CHECK_MS: number = 2_000;
/** What still comes after what was no request is dropped: so much at most, and for so long after the answer to it. */
export const MAX_DROPPED_BYTES: number = 1 * MIB;
export const CLIENT_ERROR_LINGER_MS: number = 5_000;
export const MAX_CLIENT_CONNECTIONS: number = 4_096;
export const KEEP_ALIVE_TIMEOUT_MS: number = 72_000;
export const DRAIN_TIMEOUT_MS: number = 10_000;
export const BATCH_CONCURRENCY: number = 16;
/** After this much, further reads of a batch are answered `overloaded`. */
export const MAX_BATCH_ANSWER_BYTES: number = 32 * MIB;

/** Peer links. */
export const MAX_FRAME_BYTES: number = 20 * MIB;
export const MAX_LINK_QUEUE_BYTES: number = 16 * MIB;
export const MAX_PEER_QUEUE_BYTES: number = 32 * MIB;
export const MAX_ALL_PEERS_QUEUE_BYTES: number = 128 * MIB;
export const MAX_CALLS_PER_LINK: number = 16_384;
/** Requests of one peer that are being served, over all its links. */
export const MAX_SERVED_BYTES_PER_PEER: number = 64 * MIB;
/** How long a node that stops waits for its last replies to leave. */
export const LINK_DRAIN_MS: number = 250;
export const HANDSHAKE_TIMEOUT_MS: number = 2_000;
export const DIAL_TIMEOUT_MS: number = 1_000;
export const RECONNECT_MIN_MS: number = 50;
export const RECONNECT_MAX_MS: number = 2_000;
/** A node that belongs no more is dialled for so long after its last link; and how often that is looked at. */
export const DEPARTED_DIAL_MS: number = 60_000;
export const DEPARTED_LOOK_MS: number = 5_000;
/** A link that carries nothing for this long is probed; one that does not answer a probe within it is closed. */
export const LINK_IDLE_PROBE_MS: number = 1_000;

/** The cluster. */
export const MAX_MEMBERS: number = 1_024;
export const MIN_PARTITIONS: number = 64;
export const MAX_PARTITIONS: number = 4_096;
export const MAX_REPLICAS: number = 7;
export const MAX_NODE_WEIGHT: number = 64;
/** Membership changes in one plan. */
export const MAX_PLAN_CHANGES: number = 64;
/** How long a plan may be committed: whoever looked at it has forgotten what he saw. */
export const PLAN_LIFETIME_MS: number = 15 * 60_000;

/** How far ahead of the wall clock a merged counter may pull ours. */
export const MAX_CLOCK_SKEW_MICROS: number = 60_000_000;
/**
 * Counters leased at a time: five seconds of wall clock in microseconds. After a restart counters begin above the last
 * lease, and so up to this far ahead of the wall clock: where the last write wins, those dates beat later ones of other
 * nodes. Cost: a durable record every four seconds behind the writes; none while nothing is written, but then the first
 * write after the lease has run out waits for one.
 */
export const COUNTER_LEASE_BLOCK: number = 5_000_000;
/** Counters leased at a time while ours run ahead of the wall clock, and so grow by one a write, not one a microsecond. */
export const COUNTER_LEASE_AHEAD: number = 1_000_000;
/** Operations of one node that wait for another one on the same key. */
export const MAX_KEY_WAITERS: number = 16_384;
/**
 * Of one key: clients' writes that wait at the node that coordinates them, and all operations, those handed in by other
 * replicas included. Every owner may coordinate: what N ≤ 4 of them take in for a key still fits into the queue of each.
 */
export const MAX_KEY_WRITES: number = 64;
export const MAX_KEY_QUEUE: number = 256;
/** Writes and stores that wait at the closed gate of one partition. */
export const MAX_GATE_WAITERS: number = 1_024;
/** Hashes that a tracker of one partition's changes remembers; beyond, what has changed is found by comparing trees. */
export const MAX_TRACKED_CHANGES: number = 100_000;

/** Copying a partition to its next holder: bytes and objects of a page; a larger object goes in parts. */
export const TRANSFER_PAGE_BYTES: number = 256 * KIB;
export const TRANSFER_PAGE_OBJECTS: number = 1_024;
/** What an object may come to in parts: whatever the store takes. */
export const MAX_TRANSFER_OBJECT_BYTES: number = 64 * MIB;
/** Keys that a page reads at a time: listed, and fetched from the store beside each other. */
export const TRANSFER_SCAN_KEYS: number = 64;
export const TRANSFER_READS: number = 8;
/** Bytes a second that leave a node for all its transfers, and what is left of them while clients feel it. */
export const TRANSFER_BYTES_PER_SECOND: number = 24 * MIB;
export const MIN_TRANSFER_BYTES_PER_SECOND: number = 1 * MIB;
/** How often the pace is looked at again. */
export const TRANSFER_PACE_MS: number = 500;
/** Pages that a node makes at a time, and those that wait for it; more are refused. */
export const MAX_TRANSFER_PAGES: number = 4;
export const MAX_WAITING_TRANSFER_PAGES: number = 64;
/** Work of a transfer before the event loop gets its turn. */
export const TRANSFER_SLICE_MS: number = 2;
/** Changed keys that are taken together while catching up. */
export const TRANSFER_BATCH_KEYS: number = 256;
/** Little enough is left to hold up writes for it. */
export const TRANSFER_REST_KEYS: number = 256;
export const TRANSFER_REST_BYTES: number = 1 * MIB;
/** Rounds of catching up, and comparisons from the beginning, before a transfer is given up. */
export const MAX_TRANSFER_BATCHES: number = 4_096;
export const MAX_TRANSFER_ROUNDS: number = 4;

/** Partitions whose slot comes to, or leaves, a node at a time; between two nodes it is one. */
export const MAX_INCOMING_HANDOVERS: number = 2;
export const MAX_OUTGOING_HANDOVERS: number = 2;
/** Lost slots that a node asks for at a time; it copies for `MAX_INCOMING_HANDOVERS` of them. */
export const MAX_OPEN_MINTS: number = 256;
/** Old copies that a node compares with today's holders at a time. */
export const MAX_OLD_COPY_PROOFS: number = 2;
/** Writes of a partition are held up for its hand-over at most so long. */
export const SEAL_MS: number = 5_000;
/** An attempt whose receiver is silent for so long is closed. */
export const HANDOVER_IDLE_MS: number = 30_000;
export const HANDOVER_RETRY_MIN_MS: number = 100;
export const HANDOVER_RETRY_MAX_MS: number = 5_000;
export const HANDOVER_ASK_MS: number = 2_000;
export const HANDOVER_PAGE_MS: number = 15_000;
/** How often a node looks for slots to fetch, when nothing else makes it look. */
export const HANDOVER_REVIEW_MS: number = 1_000;
/** A slot that nobody claims for so long is asked about: it may be lost, where others are only on their way. */
export const HANDOVER_LOST_MS: number = 10_000;
/** From the last member's word to the first copy of a minting: every operation that knew the removed member has ended. */
export const MINT_QUIET_MS: number = MAX_TIMEOUT_MS + 5_000;

/** Anti-entropy: how often each partition is compared with each other holder of it, and by whom when the other one does not. */
export const ANTI_ENTROPY_EVERY_MS: number = 10 * 60_000;
export const ANTI_ENTROPY_BACKUP_FACTOR: number = 1.5;
/**
 * The first comparisons after a start are spread over this time, those after an unclean one over this: what was written last
 * may be missing without a sign. Those of suspect partitions begin within a second.
 */
export const ANTI_ENTROPY_FIRST_MS: number = 60_000;
export const ANTI_ENTROPY_FIRST_UNCLEAN_MS: number = 2_000;
/** How often a node looks for what is due, in the mean: at random from half to one and a half of it. */
export const ANTI_ENTROPY_LOOK_MS: number = 1_000;
/** What differs is compared again after this time, and once more key by key: writes under way look like differences. */
export const ANTI_ENTROPY_CONFIRM_MS: number = 1_000;
export const ANTI_ENTROPY_SETTLE_MS: number = 100;
/** A pair that could not be compared to the end is tried again after this time, at random up to twice as long. */
export const ANTI_ENTROPY_RETRY_MS: number = 5_000;
/** A partition with records that nobody could replace is compared again after this time. */
export const ANTI_ENTROPY_UNREADABLE_MS: number = 60_000;
/** After so many whole rounds without anyone who has them they count as lost; the log names so many of their hashes. */
export const ANTI_ENTROPY_UNREADABLE_ROUNDS: number = 3;
export const MAX_LOST_HASHES_TOLD: number = 16;
/** Other holders that a node compares with at a time; partitions that it exchanges with each of them beside each other at most. */
export const MAX_EXCHANGE_LANES: number = 4;
export const MAX_EXCHANGES_PER_LANE: number = 4;
/** Roots in one message; few of them where keys must be read to leave out those that a slot does not hold. */
export const MAX_EXCHANGE_ROOTS: number = 256;
export const MAX_FILTERED_ROOTS: number = 16;
/** (hash, state) pairs in one message, and differing hashes of one step. */
export const MAX_LISTED_STATES: number = 4_096;
export const EXCHANGE_STEP_HASHES: number = 1_024;
/** Hashes that one exchange of a partition moves before others have their turn, and comparisons from its beginning. */
export const MAX_EXCHANGE_HASHES: number = 65_536;
export const MAX_EXCHANGE_PASSES: number = 3;
/** Objects that an exchange sends beside each other, and their bytes. */
export const EXCHANGE_PUSHES: number = 16;
export const EXCHANGE_PUSH_BYTES: number = 4 * MIB;
/** Larger objects are pulled, in parts: no frame takes them. */
export const MAX_PUSHED_OBJECT_BYTES: number = MAX_FRAME_BYTES - 64 * KIB;
/** How long an answer may take: a page, or keys read for a filtered view. */
export const EXCHANGE_ASK_MS: number = 15_000;
/** A partition that is compared with one holder is not compared with another for so long after its last question. */
export const EXCHANGE_CLAIM_MS: number = 10_000;
/** Repairs that people asked for and that are remembered, and for how long. */
export const MAX_REPAIR_ORDERS: number = 16;
export const REPAIR_ORDER_MS: number = 10 * 60_000;
/** How often whoever asked for a repair asks the members how far it is. */
export const REPAIR_POLL_MS: number = 250;

/** Free space at which puts are refused, on disks of which it is less than a tenth. */
export const DEFAULT_DISK_RESERVE_BYTES: number = 8 * 1024 * MIB;

/** How long somebody waits for a repair, unless told; and at most. */
export const DEFAULT_REPAIR_WAIT_MS: number = 60_000;
export const MAX_REPAIR_WAIT_MS: number = 24 * 60 * 60 * 1_000;

/** Tombstones: least age before they may be collected unless told otherwise; the least that may be told, without a warning and at all. */
export const TOMBSTONE_MIN_AGE_MS: number = 3_600_000;
export const TOMBSTONE_AGE_WARNED_MS: number = 600_000;
export const MIN_TOMBSTONE_AGE_MS: number = 10_000;
/** How long a round waits so that no older write is under way. */
export const COLLECT_SETTLE_MS: number = 60_000;
/** How often a node looks for tombstones to collect, and compares its marks with its peers': at most, where they go early more often. */
export const COLLECT_EVERY_MS: number = 300_000;
export const COLLECT_HEAR_MS: number = 60_000;
export const COLLECT_LEAST_EVERY_MS: number = 5_000;
/** While a node is behind it hears its peers so often. */
export const COLLECT_AGAIN_MS: number = 2_000;
/** At its start a node hears its peers so often until it knows enough to mint, and for so long at most. */
export const COLLECT_HEAR_SOON_MS: number = 100;
export const COLLECT_FIRST_HEARING_MS: number = 3_000;
/** Partitions of one round; looks at one whose copies differ, and the pause between; a question's time. */
export const MAX_COLLECT_PARTITIONS: number = 512;
export const COLLECT_LOOKS: number = 5;
export const COLLECT_LOOK_AGAIN_MS: number = 200;
export const COLLECT_ASK_MS: number = 5_000;
/** Records read or taken out in one step. */
export const COLLECT_STEP: number = 256;
/** Keys, hashes of lost ones, and bytes of objects in one answer to a holder that catches up; keys without proof that it remembers; its pause after silence. */
export const CATCH_UP_KEYS: number = 1_024;
export const CATCH_UP_BYTES: number = 1_048_576;
export const MAX_UNPROVED_KEYS: number = 65_536;
export const CATCH_UP_LOST_MS: number = 60_000;

/** A node waits so long for its own name to appear in DNS before it gives up its start. */
export const OWN_NAME_TRIES: number = 60;
export const OWN_NAME_RETRY_MS: number = 500;

assert.ok(4 * MAX_KEY_WRITES <= MAX_KEY_QUEUE, "what owners take in for a hot key fits into each one's queue");
assert.ok(HEADERS_READ_TIMEOUT_MS < REQUEST_READ_TIMEOUT_MS, "headers are read before the rest");
assert.ok(2 * HANDOVER_ASK_MS < SEAL_MS, "an answer under the seal can be asked for again");
assert.ok(TRANSFER_PAGE_BYTES + 64 * KIB <= MAX_FRAME_BYTES, "a page of a transfer fits into a frame");
assert.ok(EXCHANGE_STEP_HASHES <= MAX_LISTED_STATES, "whatever differs in one step can be told in one message");
assert.ok(MAX_OBJECT_BYTES <= MAX_TRANSFER_OBJECT_BYTES, "whatever clients write can be transferred");
assert.ok(TRANSFER_REST_KEYS <= MAX_TRACKED_CHANGES, "the rest is remembered");
assert.ok(MAX_OBJECT_BYTES + 64 * KIB <= MAX_FRAME_BYTES, "the largest object fits into a frame");
assert.ok(MAX_OBJECT_BYTES <= MAX_QUEUED_REPAIR_BYTES, "the largest object can wait to be repaired");
assert.ok(MAX_FRAME_BYTES <= MAX_PEER_QUEUE_BYTES, "a peer can queue the largest frame");
assert.ok(MAX_FRAME_BYTES <= MAX_SERVED_BYTES_PER_PEER, "the largest frame can be served");
assert.ok(MAX_VALUE_BYTES <= MAX_BATCH_BYTES && MAX_BATCH_BYTES <= MAX_OBJECT_BYTES, "client limits nest");
assert.ok(DEFAULT_TIMEOUT_MS <= MAX_TIMEOUT_MS, "the default timeout is allowed");
assert.ok(MAX_CONTEXT_TOKEN_CHARS + 3 * MAX_KEY_BYTES <= MAX_HEADER_BYTES / 2, "a context and a key fit in");
assert.ok(2 * MAX_TIMEOUT_MS <= COLLECT_SETTLE_MS, "no write outlives the wait before a look");
