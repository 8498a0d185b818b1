/**
 * One operation of a workload on one key, from its first request to its last, with what the ledger must know of it. Must never
 * repeat a write whose effect is unknown.
 */
import type { OperationKind } from "../plan.ts";
import type { Ledger, OpenWrite, WriteMode, WriteOutcome } from "./ledger.ts";
import type { ClientAnswer, Json, NodeClient } from "./node-client.ts";
import type { Values } from "./values.ts";

/** What an operation came to. */
export interface OperationEnd {
  /** why it failed; undefined: it did not */
  readonly failure: string | undefined;
  readonly retryCount: number;
  readonly siblingCount: number;
  readonly isStale: boolean;
  readonly isByStandIn: boolean;
  readonly damagedCount: number;
}

/** What operations need. */
export interface OperationTools {
  readonly client: NodeClient;
  readonly ledger: Ledger;
  readonly values: Values;
  readonly bucket: string;
}

interface Seen {
  readonly answer: ClientAnswer;
  readonly context: string | undefined;
  readonly ids: readonly string[];
  readonly damagedCount: number;
  readonly isStale: boolean;
}

const FINE: OperationEnd = {
  failure: undefined,
  retryCount: 0,
  siblingCount: 0,
  isStale: false,
  isByStandIn: false,
  damagedCount: 0,
};

/** The values of an answer to a GET: one, or those of all siblings. */
export function valuesOf(json: Json): readonly unknown[] {
  const siblings = json["siblings"];
  if (!Array.isArray(siblings)) return "value" in json ? [json["value"]] : [];
  return siblings.map((one: unknown) =>
    typeof one === "object" && one !== null && "value" in one ? one.value : undefined,
  );
}

/** Why an answer is a failure; undefined when it is none. */
function failureOf(answer: ClientAnswer, expected: readonly number[]): string | undefined {
  if (answer.kind !== "answered") return `${answer.kind} ${answer.reason}`;
  if (expected.includes(answer.status)) return undefined;
  const { code } = answer.json;
  return `${answer.status}${typeof code === "string" ? ` ${code}` : ""}`;
}

function outcomeOf(answer: ClientAnswer): WriteOutcome {
  if (answer.kind === "unsent") return "not_applied";
  if (answer.kind === "lost") return "unknown";
  if (answer.status === 200) return "applied";
  const { outcome } = answer.json;
  if (outcome === "not_applied") return "not_applied";
  return answer.status >= 400 && answer.status < 500 ? "not_applied" : "unknown";
}

/** Operations on the keys of one bucket. */
export class Operations {
  readonly #tools: OperationTools;

  constructor(tools: OperationTools) {
    this.#tools = tools;
  }

  /** Runs one operation to its end. Never throws for what a node or a network can do. */
  async run(kind: OperationKind, key: string): Promise<OperationEnd> {
    switch (kind) {
      case "read":
        return this.#endOfRead(await this.#read(key));
      case "update":
      case "insert":
        return this.#write(key, "overwrite");
      case "append":
        return this.#write(key, "sibling");
      case "modify":
        return this.#modify(key);
    }
  }

  async #read(key: string): Promise<Seen> {
    const { client, ledger, values } = this.#tools;
    const expected = ledger.newestOf(key);
    const answer = await client.ask({ method: "GET", path: this.#path(key) });
    const isFound = answer.kind === "answered" && answer.status === 200;
    const ids = isFound ? valuesOf(answer.json).map((value) => values.idOf(value)) : [];
    const whole = ids.filter((id) => id !== undefined);
    const isKnown = isFound || (answer.kind === "answered" && answer.status === 404);
    const context = answer.kind === "answered" ? answer.json["context"] : undefined;
    return {
      answer,
      context: typeof context === "string" ? context : undefined,
      ids: whole,
      damagedCount: ids.length - whole.length,
      isStale: isKnown && ids.length === whole.length && ledger.isStale(expected, whole),
    };
  }

  #endOfRead({ answer, ids, damagedCount, isStale }: Seen): OperationEnd {
    return {
      ...FINE,
      failure: failureOf(answer, [200, 404]),
      retryCount: answer.attemptCount - 1,
      siblingCount: ids.length,
      isStale,
      damagedCount,
    };
  }

  async #modify(key: string): Promise<OperationEnd> {
    const seen = await this.#read(key);
    const read = this.#endOfRead(seen);
    if (read.failure !== undefined) return read;
    const written = await this.#write(key, seen.context === undefined ? "overwrite" : "context", seen);
    const { siblingCount, isStale, damagedCount } = read;
    return { ...written, retryCount: written.retryCount + read.retryCount, siblingCount, isStale, damagedCount };
  }

  async #write(key: string, mode: WriteMode, seen?: Seen): Promise<OperationEnd> {
    const { client, ledger, values } = this.#tools;
    const open: OpenWrite = ledger.begin(key, mode, mode === "context" ? (seen?.ids ?? []) : []);
    const headers = mode === "context" && seen?.context !== undefined ? { "gyre-context": seen.context } : {};
    const query = mode === "context" ? "" : `?blind=${mode}`;
    const path = `${this.#path(key)}${query}`;
    const answer = await client.ask({ method: "PUT", path, headers, body: values.bodyOf(open.id) });
    ledger.end(open, outcomeOf(answer));
    const acks = answer.kind === "answered" ? answer.json["acks"] : undefined;
    const isByStandIn = typeof acks === "object" && acks !== null && "fallbacks" in acks && Number(acks.fallbacks) > 0;
    return {
      ...FINE,
      failure: failureOf(answer, [200]),
      retryCount: Math.max(0, answer.attemptCount - 1),
      isByStandIn,
    };
  }

  #path(key: string): string {
    return `/v1/kv/${this.#tools.bucket}/${key}`;
  }
}
