/**
 * Before the load and after it: puts the records there, and at the end reads every key back and judges it against the ledger. The
 * reads at the end are those of any client, with the bucket's own quorum; what they do not show is looked for again for a while and
 * with all replicas, so that late is told from lost. Must never believe the store's own account.
 */
import { setTimeout as pause } from "node:timers/promises";
import { byKey, judgeKey } from "./driver/judge.ts";
import { keyName } from "./driver/keys.ts";
import { Ledger, type WriteRecord } from "./driver/ledger.ts";
import type { ClientAnswer, NodeClient } from "./driver/node-client.ts";
import { valuesOf } from "./driver/operations.ts";
import { Values } from "./driver/values.ts";
import type { RunPlan } from "./plan.ts";

const WORKERS = 16;
const LOAD_ATTEMPTS = 50;
const READ_AGAIN_FOR_MS = 20_000;
const READ_AGAIN_EVERY_MS = 500;
/** All keys together, as a multiple of the patience with one: where nothing can be read the check ends all the same. */
const MOST_PATIENCES = 6;
const SHOWN_EXAMPLES = 5;

/** What the end of a run shows of its writes. */
export interface DataVerdict {
  readonly keyCount: number;
  readonly appliedCount: number;
  readonly unknownCount: number;
  readonly refusedCount: number;
  readonly lostCount: number;
  /** not shown by the first read at the end, and shown later */
  readonly lateCount: number;
  readonly undeadCount: number;
  readonly foreignCount: number;
  readonly damagedCount: number;
  readonly unreadKeyCount: number;
  readonly mostSiblings: number;
  /** a few of what is wrong, in words */
  readonly examples: readonly string[];
}

/** The client, and the plan of the run whose data it is. */
export interface DataTools {
  readonly client: NodeClient;
  readonly plan: RunPlan;
}

async function inParallel<Item>(items: readonly Item[], run: (item: Item) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await run(item);
  };
  await Promise.all(Array.from({ length: WORKERS }, worker));
}

function told(answer: ClientAnswer): string {
  if (answer.kind !== "answered") return `${answer.kind}: ${answer.reason}`;
  return `${answer.status} ${JSON.stringify(answer.json).slice(0, 300)}`;
}

/** Writes every record of the plan once; answers the ledger of it. Throws when a record cannot be written. */
export async function loadRecords({ client, plan }: DataTools): Promise<readonly WriteRecord[]> {
  const ledger = new Ledger("l");
  const values = new Values(plan.valueBytes);
  const records = Array.from({ length: plan.recordCount }, (_, record) => record);
  await inParallel(records, async (record) => {
    const key = keyName(record);
    const open = ledger.begin(key, "overwrite", []);
    let answer: ClientAnswer = { kind: "unsent", reason: "", attemptCount: 0 };
    for (let attempt = 0; attempt < LOAD_ATTEMPTS; attempt += 1) {
      const path = `/v1/kv/${plan.bucket}/${key}?blind=overwrite`;
      answer = await client.ask({ method: "PUT", path, body: values.bodyOf(open.id) });
      if (answer.kind === "answered" && answer.status === 200) {
        ledger.end(open, "applied");
        return;
      }
      if (answer.kind === "answered" && answer.status >= 400 && answer.status < 500 && answer.status !== 429) break;
      await pause(100);
    }
    throw new Error(`the records could not be loaded: ${told(answer)}`);
  });
  return ledger.records;
}

interface Shown {
  readonly isRead: boolean;
  readonly ids: readonly string[];
  readonly damagedCount: number;
  readonly why: string;
}

async function readKey({ client, plan }: DataTools, key: string, query: string): Promise<Shown> {
  const values = new Values(plan.valueBytes);
  const answer = await client.ask({ method: "GET", path: `/v1/kv/${plan.bucket}/${key}${query}` });
  const isRead = answer.kind === "answered" && (answer.status === 200 || answer.status === 404);
  const ids = answer.kind === "answered" && isRead ? valuesOf(answer.json).map((value) => values.idOf(value)) : [];
  const whole = ids.filter((id) => id !== undefined);
  return { isRead, ids: whole, damagedCount: ids.length - whole.length, why: told(answer) };
}

/** Reads every key that was written and compares. Takes up to `patienceMs` more for each key that is not there at once. */
export async function checkData(
  tools: DataTools,
  writes: readonly WriteRecord[],
  patienceMs: number = READ_AGAIN_FOR_MS,
): Promise<DataVerdict> {
  const keys = byKey(writes);
  const counts = {
    lostCount: 0,
    lateCount: 0,
    undeadCount: 0,
    foreignCount: 0,
    damagedCount: 0,
    unreadKeyCount: 0,
    mostSiblings: 0,
  };
  const examples: string[] = [];
  const endMs = performance.now() + patienceMs * MOST_PATIENCES;
  await inParallel([...keys], async ([key, ofKey]) => {
    const giveUpAtMs = Math.min(endMs, performance.now() + patienceMs);
    let shown = await readKey(tools, key, "");
    let verdict = judgeKey(ofKey, shown.ids);
    const firstLost = verdict.lost.length;
    while ((!shown.isRead || verdict.lost.length > 0) && performance.now() < giveUpAtMs) {
      await pause(READ_AGAIN_EVERY_MS);
      shown = await readKey(tools, key, "?r=all");
      verdict = judgeKey(ofKey, shown.ids);
    }
    counts.unreadKeyCount += shown.isRead ? 0 : 1;
    counts.lostCount += shown.isRead ? verdict.lost.length : 0;
    counts.lateCount += shown.isRead ? Math.max(0, firstLost - verdict.lost.length) : 0;
    counts.undeadCount += verdict.undead.length;
    counts.foreignCount += verdict.foreign.length;
    counts.damagedCount += shown.damagedCount;
    counts.mostSiblings = Math.max(counts.mostSiblings, shown.ids.length);
    if (!shown.isRead) examples.push(`${key} unread: ${shown.why}`);
    for (const lost of verdict.lost)
      examples.push(`${key} lost ${JSON.stringify(lost)}; shown: ${shown.ids.join(", ")}`);
    for (const id of verdict.undead) examples.push(`${key} shows ${id}, which was refused`);
    for (const id of verdict.foreign) examples.push(`${key} shows ${id}, which nobody wrote`);
  });
  const outcomes = Map.groupBy(writes, ({ outcome }) => outcome);
  return {
    keyCount: keys.size,
    appliedCount: outcomes.get("applied")?.length ?? 0,
    unknownCount: outcomes.get("unknown")?.length ?? 0,
    refusedCount: outcomes.get("not_applied")?.length ?? 0,
    ...counts,
    examples: examples.slice(0, SHOWN_EXAMPLES),
  };
}
