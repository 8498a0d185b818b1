/**
 * Short programs over the log engine, with a picture of the disk taken in the middle of every call that changes it.
 * Each picture, under each way a power loss can go, is a case: recover, check, recover again, check the same.
 *
 * Source: "Finding Crash-Consistency Bugs with Bounded Black-Box Crash Testing" (OSDI 2018).
 */
import type { LogEngine } from "../../storage/log-engine.ts";
import type { CrashOutcome } from "../sim/crash-outcome.ts";
import { isMutation, type SimDisk } from "../sim/sim-disk.ts";
import { type CrashExpectation, CrashLedger, judgeRecovery } from "./crash-ledger.ts";
import { openTiny, TINY_GARBAGE } from "./log-store.ts";
import { seededDraws } from "./seeded.ts";
import { nthAddress, settle, tombstoneOf, writeOf } from "./storage-fixtures.ts";

/** The steps of a program. "close" when closed and "open" do what their name says, "open" when open is kill and restart. */
export const STEPS = [
  "new",
  "overwrite",
  "delete",
  "roll",
  "compact",
  "lease",
  "drop",
  "reap",
  "close",
  "open",
] as const;
export type CrashStep = (typeof STEPS)[number];

/** The ways a power loss can go. */
export const OUTCOMES: Readonly<Record<string, CrashOutcome>> = {
  "all un-synced lost": { pages: "dropped", names: "dropped" },
  "all kept": { pages: "applied", names: "applied" },
  "a random subset of pages": { pages: "random", names: "random" },
  "torn sectors": { pages: "torn", names: "random" },
  "zero-filled tails": { pages: "zeros", names: "applied" },
  "lost directory entries": { pages: "applied", names: "dropped" },
  "garbage in empty sectors": { pages: "garbage", names: "random" },
  "a mixture": { pages: "mixed", names: "random" },
};

/** A disk as a crash left it, and what must hold on it. */
export interface CrashCase {
  readonly label: string;
  readonly disk: SimDisk;
  readonly expected: CrashExpectation;
}

/** A store to start a program on. */
export interface CrashBase {
  readonly disk: SimDisk;
  readonly expected: CrashExpectation;
}

let nextSeed = 1;

/** Opens with a chance of its own (actors drawn by two starts must differ); compaction may drop tombstones. */
export function openAnew(disk: SimDisk): Promise<LogEngine> {
  nextSeed += 1;
  return openTiny(disk, { random: seededDraws(nextSeed * 7919), mayDropTombstone: () => true });
}

const OVERWRITTEN = nthAddress(0);

/** One program under way. */
export class CrashProgram {
  readonly ledger: CrashLedger;
  readonly #cases: CrashCase[] = [];
  readonly #seen = new Set<string>();
  #caseCount = 0;
  #disk: SimDisk;
  #engine: LogEngine | undefined;
  #serial = 100;
  #label = "";
  #isWatching = false;

  constructor(base: CrashBase) {
    this.ledger = CrashLedger.from(base.expected);
    this.#disk = base.disk.copy();
  }

  /** Distinct cases met so far. */
  get cases(): readonly CrashCase[] {
    return this.#cases;
  }

  /** Cases met so far, those included that equal an earlier one. */
  get caseCount(): number {
    return this.#caseCount;
  }

  get base(): CrashBase {
    return { disk: this.#disk, expected: this.ledger.now() };
  }

  /** Runs the steps; pictures are taken during the last one only, for the others belong to shorter programs. */
  async run(steps: readonly CrashStep[]): Promise<void> {
    for (const [at, step] of steps.entries()) {
      if (at === steps.length - 1) this.#watch(steps.join(", "));
      await this.#step(step);
      await settle(1);
    }
    if (this.#isWatching) this.#takePicture("at the end");
  }

  async #step(step: CrashStep): Promise<void> {
    if (step === "close") return this.#close();
    if (step === "open" && this.#engine !== undefined) this.#kill();
    const engine = this.#engine ?? (await this.#open());
    this.#serial += 1;
    const serial = this.#serial;
    if (step === "new") await this.ledger.put(engine, serial, writeOf(nthAddress(serial), serial, 60));
    if (step === "overwrite") await this.ledger.put(engine, serial, writeOf(OVERWRITTEN, serial, 90));
    if (step === "delete") await this.ledger.put(engine, serial, tombstoneOf(OVERWRITTEN, serial));
    if (step === "roll") await this.ledger.put(engine, serial, writeOf(nthAddress(1), serial, 800));
    if (step === "compact") await engine.compact(TINY_GARBAGE);
    if (step === "drop") await this.ledger.drop(engine, OVERWRITTEN.partition);
    if (step === "reap") await this.ledger.reap(engine, OVERWRITTEN);
    if (step === "lease") {
      await engine.leaseCounters(serial * 1000);
      this.ledger.lease(serial * 1000);
    }
    if (this.#isWatching) this.#takePicture("at the answer");
    return undefined;
  }

  async #open(): Promise<LogEngine> {
    const engine = await openAnew(this.#disk);
    this.#engine = engine;
    this.ledger.useActor(engine.identity.actor);
    this.ledger.clean = "never";
    return engine;
  }

  async #close(): Promise<void> {
    if (this.#engine === undefined) return;
    this.ledger.clean = "maybe";
    await this.#engine.close();
    this.#engine = undefined;
    this.ledger.clean = "surely";
  }

  #kill(): void {
    const label = this.#isWatching ? this.#label : undefined;
    this.#disk = this.#disk.kill();
    this.#engine = undefined;
    if (label !== undefined) this.#watch(label);
  }

  #watch(label: string): void {
    this.#label = label;
    this.#isWatching = true;
    this.#disk.duringOperation = (n, name, path) => {
      if (name === "unlink" || name === "create" || isMutation(name)) this.#takePicture(`${name} ${path} (call ${n})`);
    };
  }

  #takePicture(at: string): void {
    // a close that has begun to open again is no longer certain to be taken for clean
    const now = this.ledger.now();
    const expected: CrashExpectation =
      now.clean === "surely" && !at.startsWith("at the") ? { ...now, clean: "maybe" } : now;
    for (const [name, outcome] of Object.entries(OUTCOMES)) {
      this.#caseCount += 1;
      const image = this.#disk.imageAfter(outcome, seededDraws(this.#caseCount));
      const possible = expected.keys.map((key) => key.possible.map((write) => write.serial).join("|")).join();
      const key = `${image.fingerprint()}#${possible}#${expected.clean}#${expected.leasedThrough}#${expected.dropping}`;
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      this.#cases.push({ label: `[${this.#label}] ${at}, ${name}`, disk: image, expected });
    }
  }
}

/** What a run of many programs has found. */
export interface CutReport {
  readonly problems: readonly string[];
  /** pictures times outcomes */
  readonly caseCount: number;
  readonly distinctCount: number;
}

const THOROUGH_EVERY = 10;
const ENOUGH_PROBLEMS = 20;

/** All programs of one to three steps that begin with this one, each cut everywhere; gives up after twenty problems. */
export async function cutEverywhere(base: CrashBase, first: CrashStep): Promise<CutReport> {
  const problems: string[] = [];
  let caseCount = 0;
  let distinctCount = 0;
  for (const steps of programsFrom(first)) {
    const program = new CrashProgram(base);
    await program.run(steps);
    caseCount += program.caseCount;
    for (const crash of program.cases) {
      distinctCount += 1;
      problems.push(...(await problemsOf(crash, distinctCount % THOROUGH_EVERY === 0)));
      if (problems.length > ENOUGH_PROBLEMS) return { problems, caseCount, distinctCount };
    }
  }
  return { problems, caseCount, distinctCount };
}

function programsFrom(first: CrashStep): CrashStep[][] {
  const two = STEPS.map((second) => [first, second]);
  return [[first], ...two, ...two.flatMap((program) => STEPS.map((third) => [...program, third]))];
}

/** Recover, check, lose what the recovery did not make durable, recover again, check that all is as it was seen. */
export async function problemsOf(crash: CrashCase, isThorough: boolean): Promise<string[]> {
  const problems: string[] = [];
  const note = (when: string, found: readonly string[]): void => {
    for (const problem of found) problems.push(`${crash.label}: ${when}: ${problem}`);
  };
  try {
    const first = await openAnew(crash.disk);
    const afterFirst = await judgeRecovery(first, crash.expected);
    note("first recovery", afterFirst.problems);
    const lost = crash.disk.crash({ pages: "dropped", names: "dropped" });
    const second = await openAnew(lost);
    const afterSecond = await judgeRecovery(second, afterFirst.seen);
    note("second recovery", afterSecond.problems);
    if (isThorough) note("afterwards", await laterProblems({ disk: lost, engine: second, seen: afterSecond.seen }));
  } catch (error) {
    note("recovery", [
      error instanceof Error ? `${error.message} ${error.stack?.split("\n")[1] ?? ""}` : String(error),
    ]);
  }
  return problems;
}

/** A recovered store must also take writes, keep them over a crash, and stop cleanly. */
async function laterProblems(at: {
  readonly disk: SimDisk;
  readonly engine: LogEngine;
  readonly seen: CrashExpectation;
}): Promise<string[]> {
  const ledger = CrashLedger.from(at.seen);
  await ledger.put(at.engine, 900, writeOf(OVERWRITTEN, 900, 300));
  await at.engine.compact(TINY_GARBAGE);
  await ledger.put(at.engine, 901, writeOf(nthAddress(901), 901, 700));
  const crashed = at.disk.crash({ pages: "dropped", names: "dropped" });
  const engine = await openAnew(crashed);
  const verdict = await judgeRecovery(engine, ledger.now());
  await engine.close();
  const last = await judgeRecovery(await openAnew(crashed), { ...verdict.seen, clean: "surely" });
  return [...verdict.problems, ...last.problems];
}
