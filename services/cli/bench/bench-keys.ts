/**
 * The keys of a bench: written before it reads them, removed after it, and gone by themselves should it be killed. Must never name
 * a key that the bench did not make.
 */
import { failureOf, keyPath } from "../../client/client.ts";
import { askNode, type Fetch, type NodeAnswer } from "../../client/http-node.ts";

/** What all requests of a bench have in common. */
export interface BenchTarget {
  readonly nodes: readonly string[];
  readonly bucket: string;
  /** names the keys of this run apart from all others of the bucket */
  readonly runId: string;
  readonly keyCount: number;
  readonly value: Uint8Array;
  /** what is left behind goes after so long */
  readonly ttlSeconds: number;
  /** bound of one request */
  readonly timeoutMs: number;
  readonly connectionCount: number;
  readonly fetch: Fetch;
  readonly nowMs: () => number;
  readonly isStopping: () => boolean;
}

const OPAQUE = "application/octet-stream";

function send(
  target: BenchTarget,
  turn: number,
  what: { method: "GET" | "PUT" | "DELETE"; key: number },
): Promise<NodeAnswer> {
  const { nodes, bucket, runId, value, ttlSeconds, timeoutMs, fetch } = target;
  const node = nodes[turn % nodes.length] ?? "";
  const path = keyPath(bucket, `gyre-bench/${runId}/${what.key}`);
  if (what.method !== "PUT") return askNode(fetch, node, { method: what.method, path, timeoutMs });
  const headers = { "content-type": OPAQUE, "gyre-ttl": String(ttlSeconds) };
  return askNode(fetch, node, { method: "PUT", path, headers, body: value, timeoutMs });
}

/** Writes a key through the node whose turn it is. */
export function writeKey(target: BenchTarget, turn: number, key: number): Promise<NodeAnswer> {
  return send(target, turn, { method: "PUT", key });
}

/** Reads a key through the node whose turn it is; concurrent versions are an answer, too. */
export function readKey(target: BenchTarget, turn: number, key: number): Promise<NodeAnswer> {
  return send(target, turn, { method: "GET", key });
}

/** How many keys it worked for, and why not for the last one that it did not. */
export interface KeysDone {
  readonly count: number;
  readonly flaw: string | undefined;
}

/** Writes every key once. No longer than `boundMs`. */
export function makeKeys(target: BenchTarget, boundMs: number): Promise<KeysDone> {
  return eachKey(target, boundMs, (key) => writeKey(target, key, key));
}

/** Deletes every key. No longer than `boundMs`. */
export function removeKeys(target: BenchTarget, boundMs: number): Promise<KeysDone> {
  return eachKey(target, boundMs, (key) => send(target, key, { method: "DELETE", key }));
}

/** Does something with each key, as many at a time as there are connections. */
async function eachKey(
  target: BenchTarget,
  boundMs: number,
  ask: (key: number) => Promise<NodeAnswer>,
): Promise<KeysDone> {
  const endsMs = target.nowMs() + boundMs;
  let next = 0;
  let count = 0;
  let flaw: string | undefined;
  const worker = async (): Promise<void> => {
    while (next < target.keyCount && target.nowMs() < endsMs && !target.isStopping()) {
      const key = next;
      next += 1;
      const answer = await ask(key);
      if (answer.kind === "answered" && answer.status < 300) count += 1;
      else flaw = failureOf(answer, 1).detail;
    }
  };
  await Promise.all(Array.from({ length: target.connectionCount }, worker));
  return { count, flaw };
}
