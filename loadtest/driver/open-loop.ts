/**
 * The load itself: an open loop. Every operation has a planned start that no answer can push back, and its latency counts from
 * there: a server that stands still for a second is seen by all that should have been asked in it (no coordinated omission; Tene,
 * wrk2). Artillery starts a virtual user for every slice of 100 ms; the slice sends its operations when they are due.
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { type OperationKind, operationCount, type RunFiles, type RunPlan, SLICE_MS, sliceCount } from "../plan.ts";
import { seeded } from "./chance.ts";
import { HealthWatch } from "./generator-health.ts";
import { keyName, recordDraw } from "./keys.ts";
import { Ledger, ledgerNow } from "./ledger.ts";
import { NodeClient } from "./node-client.ts";
import { Operations } from "./operations.ts";
import { Recorder } from "./recorder.ts";
import { Values } from "./values.ts";

/** From the first virtual user to the first operation: so that no slice begins late. */
const LEAD_MS = 300;
/** More than so many unanswered: operations are not sent, and count as failed. */
const MAX_IN_FLIGHT = 20_000;

interface Drawn {
  readonly kind: OperationKind;
  readonly key: string;
  readonly record: number;
}

/** Artillery's channel for its own counters. */
export interface Events {
  emit(type: "histogram" | "counter", name: string, value: number): void;
}

function kindDraw(mix: RunPlan["mix"], chance: () => number): () => OperationKind {
  const kinds: readonly OperationKind[] = ["read", "update", "insert", "modify", "append"];
  const shares = kinds.map((kind) => [kind, mix[kind] ?? 0] as const).filter(([, share]) => share > 0);
  return () => {
    let point = chance();
    for (const [kind, share] of shares) {
      if (point < share) return kind;
      point -= share;
    }
    return shares.at(-1)?.[0] ?? "read";
  };
}

/** The run of one plan in one worker. */
export class OpenLoop {
  readonly #plan: RunPlan;
  readonly #files: RunFiles;
  readonly #client: NodeClient;
  readonly #ledger = new Ledger("w");
  readonly #operations: Operations;
  readonly #recorder = new Recorder();
  readonly #health = new HealthWatch();
  readonly #draw: () => Drawn;
  readonly #loaded: number[] = [];
  #recordCount: number;
  #slicesBegun = 0;
  #slicesEnded = 0;
  #inFlight = 0;
  /** of the first planned operation, by `performance.now()` */
  #originMs = 0;

  constructor(files: RunFiles, token: string | undefined) {
    const plan = JSON.parse(readFileSync(files.plan, "utf8")) as RunPlan;
    this.#plan = plan;
    this.#files = files;
    this.#recordCount = plan.recordCount;
    this.#client = new NodeClient(plan.targets, plan.timeoutMs, token);
    const values = new Values(plan.valueBytes);
    this.#operations = new Operations({ client: this.#client, ledger: this.#ledger, values, bucket: plan.bucket });
    const chance = seeded(plan.seed);
    const kindOf = kindDraw(plan.mix, chance);
    const recordOf = recordDraw(plan.draw, plan.recordCount, chance);
    this.#draw = () => {
      const kind = kindOf();
      const record =
        kind === "insert" ? this.#recordCount++ : this.#known(recordOf(plan.recordCount + this.#loaded.length));
      return { kind, record, key: keyName(record) };
    };
  }

  /** One virtual user: all operations of the next slice. Resolves when the last of them is over. */
  async slice(events: Events): Promise<void> {
    if (this.#slicesBegun === 0) this.#start();
    const index = this.#slicesBegun;
    this.#slicesBegun += 1;
    const { rate } = this.#plan;
    const first = Math.ceil((index * SLICE_MS * rate) / 1_000);
    const end = Math.min(operationCount(this.#plan), Math.ceil(((index + 1) * SLICE_MS * rate) / 1_000));
    const running: Promise<void>[] = [];
    for (let number = first; number < end; number += 1) {
      const dueMs = this.#originMs + (number * 1_000) / rate;
      const waitMs = dueMs - performance.now();
      if (waitMs > 0) await pause(waitMs);
      running.push(this.#send(dueMs, events));
    }
    await Promise.all(running);
    this.#slicesEnded += 1;
    if (this.#slicesEnded === sliceCount(this.#plan)) this.finish();
  }

  /** Writes down what was measured; again when it is called again. */
  finish(): void {
    const generator = this.#health.health(Math.floor(this.#plan.seconds * this.#plan.rate));
    const lines = this.#ledger.records.map((record) => JSON.stringify(record));
    writeFileSync(this.#files.ledger, `${lines.join("\n")}\n`);
    writeFileSync(this.#files.result, JSON.stringify({ ...this.#recorder.result(), generator }));
  }

  /** Ends its connections. */
  async close(): Promise<void> {
    await this.#client.close();
  }

  #start(): void {
    this.#originMs = performance.now() + LEAD_MS;
    const measuredAtMs = ledgerNow() + LEAD_MS + this.#plan.warmUpSeconds * 1_000;
    // Under another name first: whoever waits for it must find it whole.
    writeFileSync(`${this.#files.started}.new`, JSON.stringify({ measuredAtMs }));
    renameSync(`${this.#files.started}.new`, this.#files.started);
    setTimeout(() => this.#health.start(), LEAD_MS + this.#plan.warmUpSeconds * 1_000);
  }

  /** A record that is there: one that was loaded, or inserted and acknowledged. */
  #known(drawn: number): number {
    return drawn < this.#plan.recordCount ? drawn : (this.#loaded[drawn - this.#plan.recordCount] ?? 0);
  }

  async #send(dueMs: number, events: Events): Promise<void> {
    const { kind, key, record } = this.#draw();
    const measuredFromMs = this.#originMs + this.#plan.warmUpSeconds * 1_000;
    const sentMs = performance.now();
    this.#health.sent(sentMs - dueMs, dueMs >= measuredFromMs);
    this.#inFlight += 1;
    const end =
      this.#inFlight > MAX_IN_FLIGHT
        ? {
            failure: "not sent: too many unanswered",
            retryCount: 0,
            siblingCount: 0,
            isStale: false,
            isByStandIn: false,
            damagedCount: 0,
          }
        : await this.#operations.run(kind, key);
    this.#inFlight -= 1;
    this.#health.done();
    const doneMs = performance.now();
    if (kind === "insert" && end.failure === undefined) this.#loaded.push(record);
    const times = {
      plannedMs: dueMs - measuredFromMs,
      sentMs: sentMs - measuredFromMs,
      doneMs: doneMs - measuredFromMs,
    };
    this.#recorder.add(kind, times, end);
    events.emit("histogram", `gyre.${kind}.planned_ms`, doneMs - dueMs);
    if (end.failure !== undefined) events.emit("counter", `gyre.${kind}.failed`, 1);
  }
}
