/**
 * What a crash may and may not leave, kept while a store is written to: which write of each key is acknowledged, which
 * are under way, which actors were in use, how far counters are leased. Compares a recovered store with it.
 * Must never look into the store's files: it knows only what a client was told.
 */
import type { KeyAddress, PutRequest, StorageEngine, StoredRecord } from "../../storage/engine.ts";
import { MerkleTree } from "../../storage/merkle-tree.ts";
import { digestOfWrite, scanAll, TEST_PARTITIONS } from "./storage-fixtures.ts";

/** One write as the client made it; `serial` 0 stands for "absent". */
export interface LedgerWrite {
  readonly serial: number;
  readonly request: PutRequest | undefined;
}

interface KeyLedger {
  readonly address: KeyAddress;
  /** the newest acknowledged write, then those that may have reached the disk since */
  readonly possible: readonly LedgerWrite[];
}

/** What must hold after a crash at one moment. */
export interface CrashExpectation {
  readonly keys: readonly KeyLedger[];
  readonly usedActors: readonly number[];
  readonly leasedThrough: number;
  /** whether a clean start is forbidden, allowed, or demanded */
  readonly clean: "never" | "maybe" | "surely";
  /** a partition whose drop is under way: all of it is there, or nothing */
  readonly dropping: number | undefined;
}

const ABSENT: LedgerWrite = { serial: 0, request: undefined };

/** The books of one store. */
export class CrashLedger {
  readonly #keys = new Map<string, { address: KeyAddress; possible: LedgerWrite[] }>();
  #usedActors: number[] = [];
  #leasedThrough = 0;
  #dropping: number | undefined;
  clean: CrashExpectation["clean"] = "never";

  /** A write is about to be made; the function returned notes its outcome. */
  begin(serial: number, request: PutRequest): (outcome: "applied" | "refused" | "unknown") => void {
    const name = nameOf(request.address);
    const entry = this.#keys.get(name) ?? { address: request.address, possible: [ABSENT] };
    this.#keys.set(name, entry);
    const write = { serial, request };
    entry.possible = [...entry.possible, write];
    return (outcome) => {
      if (outcome === "applied") entry.possible = entry.possible.slice(entry.possible.indexOf(write));
      if (outcome === "refused") entry.possible = entry.possible.filter((other) => other !== write);
    };
  }

  /** Makes a put and keeps the books of it. Rejects as the put does. */
  async put(engine: StorageEngine, serial: number, request: PutRequest): Promise<void> {
    const end = this.begin(serial, request);
    try {
      await engine.put(request);
      end("applied");
    } catch (error) {
      const isRefused = error instanceof Error && "code" in error && error.code !== "STORE_FAILED";
      end(isRefused ? "refused" : "unknown");
      throw error;
    }
  }

  /** Drops a partition and keeps the books of it: until that is done its keys are all as they were, or all absent. */
  async drop(engine: StorageEngine, partition: number): Promise<void> {
    const entries = [...this.#keys.values()].filter(({ address }) => address.partition === partition);
    this.#dropping = partition;
    for (const entry of entries) entry.possible = [...entry.possible, ABSENT];
    await engine.dropPartition(partition);
    this.#dropping = undefined;
    for (const entry of entries) entry.possible = [ABSENT];
  }

  /** Reaps what the store holds of a key: until that is done it is as it was or absent, and absent afterwards. */
  async reap(engine: StorageEngine, address: KeyAddress): Promise<void> {
    const entry = this.#keys.get(nameOf(address));
    const digest = engine.digestOf(address);
    if (entry === undefined || digest === 0n) return;
    entry.possible = [...entry.possible, ABSENT];
    const count = await engine.reap(address.partition, [{ hash: address.hash, digest }]);
    if (count !== 1) throw new Error("what the store held was not reaped");
    entry.possible = [ABSENT];
  }

  /** The actor that the store now writes as. */
  useActor(actor: number): void {
    this.#usedActors = [...this.#usedActors.filter((other) => other !== actor), actor];
  }

  /** A lease was acknowledged. */
  lease(through: number): void {
    this.#leasedThrough = Math.max(this.#leasedThrough, through);
  }

  /** What must hold if the power failed now. */
  now(): CrashExpectation {
    return {
      keys: [...this.#keys.values()].map(({ address, possible }) => ({ address, possible })),
      usedActors: this.#usedActors,
      leasedThrough: this.#leasedThrough,
      clean: this.clean,
      dropping: this.#dropping,
    };
  }

  /** Goes on from another store's books. */
  static from(expectation: CrashExpectation): CrashLedger {
    const ledger = new CrashLedger();
    for (const { address, possible } of expectation.keys) {
      const name = nameOf(address);
      ledger.#keys.set(name, { address, possible: [...possible] });
    }
    ledger.#usedActors = [...expectation.usedActors];
    ledger.#leasedThrough = expectation.leasedThrough;
    ledger.clean = expectation.clean;
    ledger.#dropping = expectation.dropping;
    return ledger;
  }
}

/** Why a recovered store breaks its promises; empty when it does not. `seen` is what it must show from now on. */
export interface CrashVerdict {
  readonly problems: readonly string[];
  readonly seen: CrashExpectation;
}

/** Compares an opened store with what must hold. A tombstone may also be gone: compaction may drop it. */
export async function judgeRecovery(engine: StorageEngine, expected: CrashExpectation): Promise<CrashVerdict> {
  const problems: string[] = [];
  const keys: KeyLedger[] = [];
  const listed = new Map<string, bigint>();
  for (const { address, possible } of expected.keys) {
    const record = await engine.get(address);
    const write = writeOfRecord(record, possible);
    if (write === undefined) problems.push(`${nameOf(address)} is ${serialOf(record)}, must be ${serialsOf(possible)}`);
    else if (record !== undefined && !isWhole(record, write)) {
      problems.push(`${nameOf(address)} holds write ${write.serial} in part`);
    }
    keys.push({ address, possible: [write ?? ABSENT] });
    if (record !== undefined) listed.set(nameOf(address), record.digest);
  }
  if (isDroppedInPart(keys, expected)) problems.push(`partition ${expected.dropping} is dropped in part`);
  problems.push(...(await listingProblems(engine, listed)), ...identityProblems(engine, expected));
  if (engine.suspectPartitions().length > 0)
    problems.push(`suspects ${engine.suspectPartitions().join()} without a loss`);
  const { identity } = engine;
  return {
    problems,
    seen: {
      keys,
      usedActors: [...expected.usedActors.filter((actor) => actor !== identity.actor), identity.actor],
      leasedThrough: expected.leasedThrough,
      clean: "never",
      dropping: undefined,
    },
  };
}

/** The write that a record shows; for an absent one "absent", or the tombstone that was dropped; undefined: none may be shown. */
function writeOfRecord(record: StoredRecord | undefined, possible: readonly LedgerWrite[]): LedgerWrite | undefined {
  if (record !== undefined) return possible.find(({ request }) => request?.digest === record.digest);
  return (
    possible.find(({ request }) => request === undefined) ??
    possible.findLast(({ request }) => request?.isTombstone === true)
  );
}

/** Looks at the keys that hold a value unless the drop has taken it. */
function isDroppedInPart(seen: readonly KeyLedger[], expected: CrashExpectation): boolean {
  if (expected.dropping === undefined) return false;
  const isGone = new Set<boolean>();
  for (const [at, { address, possible }] of expected.keys.entries()) {
    const [before, ...rest] = possible;
    const isSure = before?.request?.isTombstone === false && rest.length === 1 && rest[0] === ABSENT;
    if (address.partition === expected.dropping && isSure) isGone.add(seen[at]?.possible[0] === ABSENT);
  }
  return isGone.size > 1;
}

function isWhole(record: StoredRecord, { request }: LedgerWrite): boolean {
  if (request === undefined) return false;
  return Buffer.compare(record.value, request.value) === 0 && record.isTombstone === request.isTombstone;
}

async function listingProblems(engine: StorageEngine, listed: ReadonlyMap<string, bigint>): Promise<string[]> {
  const problems: string[] = [];
  let count = 0;
  for (let partition = 0; partition < TEST_PARTITIONS; partition += 1) {
    const tree = new MerkleTree(Math.log2(TEST_PARTITIONS));
    const scanned = await scanAll(engine, partition, 3);
    count += scanned.length;
    for (const entry of scanned) {
      tree.toggle(entry.hash, entry.digest);
      if (listed.get(nameOf(entry)) !== entry.digest)
        problems.push(`a scan shows what a get does not: ${nameOf(entry)}`);
    }
    if (tree.root() !== engine.merkleRoot(partition)) problems.push(`the tree of ${partition} is not that of its keys`);
  }
  if (count !== listed.size) problems.push(`a scan shows ${count} keys, gets show ${listed.size}`);
  return problems;
}

function identityProblems(engine: StorageEngine, expected: CrashExpectation): string[] {
  const problems: string[] = [];
  const { identity, recovery } = engine;
  const last = expected.usedActors.at(-1);
  const isClean = recovery.mode === "clean";
  if (isClean && expected.clean === "never") problems.push("the start calls itself clean after a crash");
  if (!isClean && expected.clean === "surely") problems.push(`the start is ${recovery.mode} after a clean stop`);
  if (last !== undefined && recovery.mode === "fresh") problems.push("the store takes itself for a new one");
  if (isClean && identity.actor !== last) problems.push("a clean start changed the actor");
  if (!isClean && expected.usedActors.includes(identity.actor)) problems.push("an actor is used again after a crash");
  const known = [...identity.pastActors, identity.actor];
  if (expected.usedActors.some((actor) => !known.includes(actor))) problems.push("an actor of the past is forgotten");
  if (identity.leasedThrough < expected.leasedThrough) problems.push("a lease is forgotten");
  return problems;
}

function nameOf({ hash, key }: { readonly hash: bigint; readonly key: Uint8Array }): string {
  return `${hash}:${Buffer.from(key).toString("latin1")}`;
}

function serialOf(record: StoredRecord | undefined): string {
  if (record === undefined) return "absent";
  for (let serial = 0; serial < 1000; serial += 1) {
    if (digestOfWrite(serial) === record.digest) return `write ${serial}`;
  }
  return `of digest ${record.digest}`;
}

function serialsOf(possible: readonly LedgerWrite[]): string {
  return possible.map(({ serial }) => (serial === 0 ? "absent" : String(serial))).join(" or ");
}
