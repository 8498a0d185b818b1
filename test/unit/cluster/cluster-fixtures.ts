/** Nodes of cluster tests: documents in memory, a log that is kept, links that a test makes and breaks. No tests here. */
import type { NodeId } from "../../../services/base/ids.ts";
import type { Log, LogFacts, Random } from "../../../services/base/ports.ts";
import type { Documents } from "../../../services/cluster/own-record.ts";
import { decodeBody, encodeBody } from "../../../services/peers/binary-json.ts";
import type { CallResult, PeerRequest } from "../../../services/peers/messages.ts";
import { type TopicHandler, TopicRefusal } from "../../../services/peers/peer-handler.ts";
import { seededDraws } from "../../support/seeded.ts";

/** Documents that can fail, and that remember every version written. */
export class MemoryDocuments implements Documents {
  readonly files: Map<string, Uint8Array> = new Map();
  writeCount = 0;
  failure: Error | undefined;

  read(name: string): Uint8Array | undefined {
    return this.files.get(name);
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    await Promise.resolve();
    if (this.failure !== undefined) throw this.failure;
    this.writeCount += 1;
    this.files.set(name, bytes.slice());
  }
}

/** A log that keeps what it is told. */
export class KeptLog implements Log {
  readonly lines: (LogFacts & { readonly level: string })[] = [];

  debug(facts: LogFacts): void {
    this.lines.push({ ...facts, level: "debug" });
  }
  info(facts: LogFacts): void {
    this.lines.push({ ...facts, level: "info" });
  }
  warn(facts: LogFacts): void {
    this.lines.push({ ...facts, level: "warn" });
  }
  error(facts: LogFacts): void {
    this.lines.push({ ...facts, level: "error" });
  }
}

/** Seeded chance in the shape of the port. */
export function seededRandom(seed: number): Random {
  const draws = seededDraws(seed);
  return {
    u32: () => draws.u32(),
    float: () => draws.u32() / 2 ** 32,
    bytes: (count) => draws.bytes(count),
    fork: (label) => seededRandom(seed * 31 + label.length),
  };
}

/** All links of a test: who answers which topic, and which ways are cut. Bodies pass through the real codec. */
export class TestLinks {
  readonly handlers: Map<NodeId, ReadonlyMap<string, TopicHandler>> = new Map();
  readonly cut: Set<string> = new Set();
  callCount = 0;

  /** The calls of one node. */
  from(from: NodeId): {
    call(to: NodeId, request: PeerRequest, budgetMs: number, onResult: (result: CallResult) => void): void;
  } {
    return {
      call: (to, request, budgetMs, onResult) => {
        void this.#answer({ from, to, budgetMs }, request).then(onResult);
      },
    };
  }

  async #answer(
    way: { readonly from: NodeId; readonly to: NodeId; readonly budgetMs: number },
    request: PeerRequest,
  ): Promise<CallResult> {
    this.callCount += 1;
    if (this.cut.has(`${way.from}>${way.to}`)) return { kind: "lost", reason: "timeout" };
    if (request.kind !== "ask") return { kind: "refused", reason: "bad_request", detail: "asks only" };
    const handler = this.handlers.get(way.to)?.get(request.topic);
    if (handler === undefined) return { kind: "refused", reason: "unknown_topic", detail: request.topic };
    const answer = await handler(way.from, passed(request.body), way.budgetMs);
    if (answer instanceof TopicRefusal) return { kind: "refused", reason: answer.reason, detail: answer.detail };
    return { kind: "answer", body: passed(answer) };
  }
}

function passed(body: unknown): unknown {
  const decoded = decodeBody(encodeBody(body));
  if (decoded.kind === "corrupt") throw new Error(decoded.reason);
  return decoded.body;
}
