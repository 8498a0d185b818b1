/**
 * What a crash may and may not leave, kept while a store is written to: which write of each key is acknowledged, which
 * are under way, which actors were in use, how far counters are leased. Compares a recovered store with it.
 * Must never look into the store's files: it knows only what a client was told.
 */
import type { KeyAddress, PutRequest, StorageEngine } from "../../storage/engine.ts";
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
}

const ABSENT: LedgerWrite = { serial: 0, request: undefined };

/** The books of one store. */
export class CrashLedger {
  readonly #keys = new Map<string, { address: KeyAddress; possible: LedgerWrite[] }>();
  #usedActors: number[] = [];
  #leasedThrough = 0;
  clean: CrashExpectation["clean"] = "never";

  /** A write is about to be made; the function returned notes its outcome. */
  begin(serial: number, request: PutRequest): (outcome: "applied" | "refused" | "unknown") => void {
    const name = `${request.address.hash}:${Buffer.from(request.address.key).toString("latin1")}`;
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
    };
  }

  /** Goes on from another store's books. */
  static from(expectation: CrashExpectation): CrashLedger {
    const ledger = new CrashLedger();
    for (const { address, possible } of expectation.keys) {
      const name = `${address.hash}:${Buffer.from(address.key).toString("latin1")}`;
      ledger.#keys.set(name, { address, possible: [...possible] });
    }
    ledger.#usedActors = [...expectation.usedActors];
    ledger.#leasedThrough = expectation.leasedThrough;
    ledger.clean = expectation.clean;
    return ledger;
  }
}

/** Why a recovered store breaks its promises; empty when it does not. `seen` is what it must show from now on. */
export interface CrashVerdict {
  readonly problems: readonly string[];
  readonly seen: CrashExpectation;
}

/** Compares an opened store with what must hold. */
export async function judgeRecovery(engine: StorageEngine, expected: CrashExpectation): Promise<CrashVerdict> {
  const problems: string[] = [];
  const keys: KeyLedger[] = [];
  const listed = new Map<string, bigint>();
  for (const { address, possible } of expected.keys) {
    const found = await foundWrite(engine, address, possible);
    if (found.problem !== undefined) problems.push(found.problem);
    keys.push({ address, possible: [found.write] });
    if (found.write.request !== undefined) listed.set(nameOf(address), found.write.request.digest);
  }
  problems.push(...(await listingProblems(engine, listed)), ...identityProblems(engine, expected));
  const { identity } = engine;
  return {
    problems,
    seen: {
      keys,
      usedActors: [...expected.usedActors.filter((actor) => actor !== identity.actor), identity.actor],
      leasedThrough: expected.leasedThrough,
      clean: "never",
    },
  };
}

async function foundWrite(
  engine: StorageEngine,
  address: KeyAddress,
  possible: readonly LedgerWrite[],
): Promise<{ readonly write: LedgerWrite; readonly problem: string | undefined }> {
  const name = Buffer.from(address.key).toString("latin1");
  const record = await engine.get(address);
  const allowed = possible.map((write) => write.serial).join(" or ");
  const write = possible.find((candidate) => candidate.request?.digest === record?.digest);
  if (write === undefined) {
    const what = record === undefined ? "absent" : `write ${serialOf(record.digest)}`;
    return { write: possible[0] ?? ABSENT, problem: `${name} is ${what}, must be ${allowed}` };
  }
  const { request } = write;
  if (request === undefined || record === undefined) return { write, problem: undefined };
  const isWhole = Buffer.compare(record.value, request.value) === 0 && record.isTombstone === request.isTombstone;
  return { write, problem: isWhole ? undefined : `${name} holds write ${write.serial} in part` };
}

async function listingProblems(engine: StorageEngine, listed: ReadonlyMap<string, bigint>): Promise<string[]> {
  const problems: string[] = [];
  let count = 0;
  for (let partition = 0; partition < TEST_PARTITIONS; partition += 1) {
    const scanned = await scanAll(engine, partition, 3);
    count += scanned.length;
    for (const entry of scanned) {
      if (listed.get(nameOf(entry)) !== entry.digest)
        problems.push(`a scan shows what a get does not: ${nameOf(entry)}`);
    }
    const leaves = scanned.length === 0 ? 0n : engine.merkleRoot(partition);
    if (leaves !== engine.merkleRoot(partition)) problems.push(`partition ${partition} is empty, its tree is not`);
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

function serialOf(digest: bigint): string {
  for (let serial = 0; serial < 1000; serial += 1) if (digestOfWrite(serial) === digest) return String(serial);
  return `of digest ${digest}`;
}
