/**
 * Reads every record back through every node and compares it byte by byte. A key that is on several lines has the value of
 * its last one: what differs at first is compared again with that.
 */
import { MAX_VALUE_BYTES } from "../../base/limits.ts";
import { backoffMs } from "../../client/backoff.ts";
import { failureOf, keyPath } from "../../client/client.ts";
import { askNode, type NodeAnswer } from "../../client/http-node.ts";
import { linesOf } from "./lines.ts";
import { type KeyRule, keyOf } from "./record-key.ts";
import type { StorePlan } from "./store-record.ts";

/** What is compared. */
export interface VerifyJob {
  readonly path: string;
  readonly rule: KeyRule;
  readonly plan: StorePlan;
  readonly concurrency: number;
}

/** A key that did not read back as it should, at one node. */
export interface Mismatch {
  readonly key: string;
  readonly node: string;
  readonly reason: string;
}

/** What was found. */
export interface VerifyResult {
  readonly records: number;
  readonly reads: number;
  readonly mismatches: readonly Mismatch[];
  /** there were more mismatches than are listed */
  readonly isCutShort: boolean;
}

const MAX_MISMATCHES = 10_000;
const READ_PATIENCE_MS = 30_000;

/** A verification under way. */
export class Verifier {
  readonly #job: VerifyJob;
  readonly #underWay = new Set<Promise<void>>();
  #mismatches: Mismatch[] = [];
  #records = 0;
  #reads = 0;
  #offset = 0;

  constructor(job: VerifyJob) {
    this.#job = job;
  }

  /** Records begun so far. */
  get records(): number {
    return this.#records;
  }

  /** Bytes of the input gone through so far. */
  get offset(): number {
    return this.#offset;
  }

  /** Compares all records, or as many as there is time for until it is stopped. */
  async run(): Promise<VerifyResult> {
    await this.#pass(() => true);
    const suspects = new Set(this.#mismatches.map((one) => one.key));
    if (suspects.size > 0 && suspects.size < MAX_MISMATCHES) await this.#compareLastLines(suspects);
    const isCutShort = this.#mismatches.length >= MAX_MISMATCHES;
    return { records: this.#records, reads: this.#reads, mismatches: this.#mismatches, isCutShort };
  }

  async #pass(isWanted: (key: string) => boolean): Promise<void> {
    for await (const line of linesOf(this.#job.path, { startOffset: 0, maxBytes: MAX_VALUE_BYTES })) {
      if (this.#job.plan.isStopping()) break;
      this.#offset = line.endOffset;
      const { bytes } = line;
      const key = bytes === undefined || bytes.length === 0 ? undefined : keyOf(bytes, this.#job.rule);
      if (bytes === undefined || key?.kind !== "key" || !isWanted(key.key)) continue;
      this.#records += 1;
      while (this.#underWay.size >= this.#job.concurrency) await Promise.race(this.#underWay);
      const work = this.#compare(key.key, bytes).then(() => {
        this.#underWay.delete(work);
      });
      this.#underWay.add(work);
    }
    await Promise.all(this.#underWay);
  }

  async #compareLastLines(suspects: ReadonlySet<string>): Promise<void> {
    const last = new Map<string, Uint8Array>();
    for await (const line of linesOf(this.#job.path, { startOffset: 0, maxBytes: MAX_VALUE_BYTES })) {
      const key = line.bytes === undefined || line.bytes.length === 0 ? undefined : keyOf(line.bytes, this.#job.rule);
      if (line.bytes !== undefined && key?.kind === "key" && suspects.has(key.key)) last.set(key.key, line.bytes);
    }
    this.#mismatches = [];
    for (const [key, bytes] of last) await this.#compare(key, bytes);
  }

  async #compare(key: string, bytes: Uint8Array): Promise<void> {
    await Promise.all(
      this.#job.plan.nodes.map(async (node) => {
        const answer = await this.#read(node, key);
        const reason = differenceOf(answer, bytes);
        if (reason !== undefined && this.#mismatches.length < MAX_MISMATCHES)
          this.#mismatches.push({ key, node, reason });
      }),
    );
  }

  async #read(node: string, key: string): Promise<NodeAnswer> {
    const { bucket, timeoutMs, fetch, nowMs, pause, random, isStopping } = this.#job.plan;
    const endsMs = nowMs() + READ_PATIENCE_MS;
    for (let attempt = 0; ; attempt += 1) {
      this.#reads += 1;
      const answer = await askNode(fetch, node, {
        method: "GET",
        path: `${keyPath(bucket, key)}?raw=true&r=quorum`,
        timeoutMs,
      });
      const isAnswer = answer.kind === "answered" && answer.status < 500 && answer.status !== 429;
      if (isAnswer || nowMs() > endsMs || isStopping()) return answer;
      await pause(backoffMs(attempt + 1, random));
    }
  }
}

function differenceOf(answer: NodeAnswer, bytes: Uint8Array): string | undefined {
  if (answer.kind !== "answered" || answer.status !== 200) return failureOf(answer, 1).detail;
  if (Buffer.compare(answer.bytes, bytes) === 0) return undefined;
  return `${answer.bytes.length} bytes came back that differ from the ${bytes.length} of the record`;
}
