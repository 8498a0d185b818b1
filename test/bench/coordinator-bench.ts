/**
 * What the coordinator itself costs: whole GETs and PUTs of a healthy cluster of three over a replica and peers that answer
 * for nothing, 64 at a time. Prints CPU µs per operation, the lowest of so many rounds: the others were disturbed.
 * Usage: node test/bench/coordinator-bench.ts [rounds]
 */
import { createSystemClock } from "../../services/adapters/system-clock.ts";
import { type BucketName, type NodeId, parseBucketName, parseNodeId } from "../../services/base/ids.ts";
import type { Log } from "../../services/base/ports.ts";
import { QuorumCoordinator } from "../../services/coordinator/coordinator.ts";
import type { CallResult, PeerRequest } from "../../services/peers/messages.ts";
import type { PlacementTable } from "../../services/placement/types.ts";
import type { Minted } from "../../services/replica/contract.ts";
import { digestOf, encodeSet } from "../../services/versioning/object-codec.ts";
import { EMPTY, put } from "../../services/versioning/sibling-set.ts";

const ROUNDS = Number(process.argv[2] ?? 30);
const OPERATIONS = 20_000;
const IN_FLIGHT = 64;
const PARTITIONS = 256;
const KNOBS = { sloppy: true, timeoutMs: 2_000, explain: false };
const SILENT: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

function parsed<T>(value: T | undefined): T {
  if (value === undefined) throw new TypeError("no such name");
  return value;
}

const IDS: readonly NodeId[] = ["n1", "n2", "n3", "n4", "n5"].map((name) => parsed(parseNodeId(name)));
const BUCKET: BucketName = parsed(parseBucketName("bench"));
const SELF = parsed(IDS[0]);
const OWNERS = IDS.slice(0, 3).map((node, slot) => ({ node, slot }));

const TABLE = {
  version: 1,
  partitionCount: PARTITIONS,
  replicaCount: 3,
  ringHash: 0n,
  members: IDS.map((id) => ({ id, zone: "", host: id, weight: 1 })),
  ownersOf: () => OWNERS,
  preferenceList: () => IDS,
  walkOf: () => IDS,
} as unknown as PlacementTable;

const bytes = Buffer.alloc(100, 1);
const dot = { actor: 1, counter: 10 };
const set = put(EMPTY, { context: EMPTY.clock, sibling: { dot, expiresAtMs: 0, contentType: "text/plain", bytes } });
const digest = digestOf(set);
const minted: Minted = {
  dot,
  baseDigest: 0n,
  digest,
  object: encodeSet(set),
  siblingCount: 1,
  context: set.clock,
};
const held = { kind: "object", set } as const;
const stored = { kind: "stored", digest, isDurable: true } as const;

/** What peers still have to answer: they do so when those in flight have all been sent, as over links. */
let waiting: (() => void)[] = [];

function answerOf(request: PeerRequest, slot: number): CallResult {
  if (request.kind === "digest") return { kind: "digest", slot, isSuspect: false, digest };
  return { kind: "stored", slot, isDurable: true, digest };
}

const coordinator = new QuorumCoordinator({
  self: SELF,
  clock: createSystemClock(),
  placement: { table: () => TABLE },
  liveness: { stateOf: () => "alive" },
  buckets: { settingsOf: () => SETTINGS },
  local: {
    slotOf: () => 0,
    refusalOf: () => undefined,
    isSuspect: () => false,
    digestOf: () => digest,
    read: () => held,
    readEncoded: () => ({ kind: "object", object: minted.object }),
    write: async (_location, _intent, onMinted) => {
      onMinted(minted);
      return stored;
    },
    store: async () => stored,
  },
  peers: {
    isReachable: () => true,
    call: (to, request, _budgetMs, onResult) => {
      waiting.push(() => onResult(answerOf(request, IDS.indexOf(to))));
    },
  },
  collected: { collectedThrough: () => 0 },
  scan: { scan: async () => ({ entries: [], nextHash: undefined }) },
  repairs: { repair: () => undefined },
  handoff: { missed: () => undefined },
  log: SILENT,
});
const SETTINGS = { n: 3, r: 2, w: 2, conflicts: "siblings", blindWrites: "overwrite" } as const;

const keys = Array.from({ length: 1_024 }, (_, at) => ({ bucket: BUCKET, key: Buffer.from(`key-${at}`) }));

function begin(kind: "get" | "put", at: number): Promise<unknown> {
  const name = keys[at % keys.length] ?? parsed(keys[0]);
  if (kind === "get") return coordinator.get({ name, knobs: KNOBS });
  return coordinator.put({ name, knobs: KNOBS, contentType: "text/plain", bytes, context: undefined });
}

async function run(kind: "get" | "put"): Promise<number> {
  const before = process.cpuUsage();
  for (let done = 0; done < OPERATIONS; done += IN_FLIGHT) {
    const flight: Promise<unknown>[] = [];
    for (let at = 0; at < IN_FLIGHT; at += 1) flight.push(begin(kind, done + at));
    const due = waiting;
    waiting = [];
    for (const answer of due) answer();
    await Promise.all(flight);
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / OPERATIONS;
}

const lowest = { get: Number.POSITIVE_INFINITY, put: Number.POSITIVE_INFINITY };
for (let round = 0; round < ROUNDS; round += 1) {
  for (const kind of ["get", "put"] as const) lowest[kind] = Math.min(lowest[kind], await run(kind));
}
process.stdout.write(`GET ${lowest.get.toFixed(2)} µs, PUT ${lowest.put.toFixed(2)} µs of processor time\n`);
process.exit(coordinator.counters.readFailureCount + coordinator.counters.unknownCount === 0 ? 0 : 1);
