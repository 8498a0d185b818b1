/**
 * Keys that are written once and deleted once, and others that stay; read through any node, many in a request. Must never take
 * a failed read for an absence.
 */
import { pause, type RealCluster } from "./cluster.ts";
import { tryAsk } from "./http.ts";

/** What a sweep over all keys has seen. */
export interface Sweep {
  /** deleted keys that show a value */
  readonly back: readonly string[];
  /** keys that stay and are not there */
  readonly lostCount: number;
  /** keys that no answer came for, though it was asked for again and again */
  readonly unreadCount: number;
}

interface Result {
  readonly status: number;
  readonly context?: string;
}

type Op = Readonly<Record<string, unknown>>;

const BATCH_OPS = 64;
const LANES = 4;
const ATTEMPTS = 40;
const RETRY_MS = 250;

/** `goneCount` keys to be deleted and `keptCount` that stay. */
export class DeletedKeys {
  readonly #cluster: RealCluster;
  readonly #gone: readonly string[];
  readonly #kept: readonly string[];

  constructor(cluster: RealCluster, counts: { readonly goneCount: number; readonly keptCount: number }) {
    this.#cluster = cluster;
    this.#gone = Array.from({ length: counts.goneCount }, (_, i) => `gone-${i}`);
    this.#kept = Array.from({ length: counts.keptCount }, (_, i) => `kept-${i}`);
  }

  /** Writes all of them on all their owners, first those that will go. Throws when one is not taken. */
  async write(doors: readonly number[], padBytes: number): Promise<void> {
    const pad = "p".repeat(padBytes);
    const put = (key: string): Op => ({ op: "put", key, value: { key, pad } });
    await this.#all(this.#gone, async (keys, lane) => this.#untilDone(doorOf(doors, lane), "w=all", keys.map(put)));
    await this.#all(this.#kept, async (keys, lane) => this.#untilDone(doorOf(doors, lane), "w=all", keys.map(put)));
  }

  /** Deletes them, every other batch with the context of a read before. Throws when one is not applied. */
  async remove(doors: readonly number[]): Promise<void> {
    let batchCount = 0;
    await this.#all(this.#gone, async (keys, lane) => {
      const door = doorOf(doors, lane);
      batchCount += 1;
      const isBlind = batchCount % 2 === 0;
      const read = isBlind ? [] : await this.#untilRead(door, "", keys);
      const contexts = read.map((one) => (one?.context === undefined ? {} : { context: one.context }));
      const ops = keys.map((key, at) => ({ op: "delete", key, ...contexts[at] }));
      await this.#untilDone(door, "", ops);
    });
  }

  /** Reads all of them through one node, `query` as in a URL: `r=1`. */
  async sweep(door: number, query: string, share = 1): Promise<Sweep> {
    const back: string[] = [];
    let lostCount = 0;
    let unreadCount = 0;
    const some = (keys: readonly string[]): readonly string[] => keys.slice(0, Math.ceil(keys.length * share));
    await this.#all([...some(this.#gone), ...some(this.#kept)], async (keys) => {
      const results = await this.#untilRead(door, query, keys);
      for (const [at, key] of keys.entries()) {
        const status = results[at]?.status;
        const isGone = key.startsWith("gone-");
        if (status === undefined) unreadCount += 1;
        else if (isGone && status !== 404) back.push(key);
        else if (!isGone && status !== 200) lostCount += 1;
      }
    });
    return { back, lostCount, unreadCount };
  }

  async #untilDone(door: number, query: string, ops: readonly Op[]): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const results = await this.#batch(door, query, ops);
      if (results?.every(({ status }) => status === 200) === true) return;
      await pause(RETRY_MS);
    }
    throw new Error(`n${door + 1} did not take a batch of ${ops.length} ${String(ops[0]?.["op"])}s`);
  }

  /** What was read of each key: 200, 300 or 404; undefined: nothing after many attempts. */
  async #untilRead(door: number, query: string, keys: readonly string[]): Promise<readonly (Result | undefined)[]> {
    const read = new Map<string, Result>();
    for (let attempt = 0; attempt < ATTEMPTS && read.size < keys.length; attempt += 1) {
      if (attempt > 0) await pause(RETRY_MS);
      const asked = keys.filter((key) => !read.has(key));
      const results = await this.#batch(
        door,
        query,
        asked.map((key) => ({ op: "get", key })),
      );
      for (const [at, key] of asked.entries()) {
        const result = results?.[at];
        if (result !== undefined && [200, 300, 404].includes(result.status)) read.set(key, result);
      }
    }
    return keys.map((key) => read.get(key));
  }

  async #batch(door: number, query: string, ops: readonly Op[]): Promise<readonly Result[] | undefined> {
    const url = `${this.#cluster.url(door)}/v1/kv/deletes:batch${query === "" ? "" : `?${query}`}`;
    const answer = await tryAsk(url, { method: "POST", body: JSON.stringify({ ops }) });
    const results = answer?.body["results"];
    return answer?.status === 200 && Array.isArray(results) ? results : undefined;
  }

  async #all(keys: readonly string[], work: (keys: readonly string[], lane: number) => Promise<void>): Promise<void> {
    let next = 0;
    const run = async (lane: number): Promise<void> => {
      for (let from = next; from < keys.length; from = next) {
        next += BATCH_OPS;
        await work(keys.slice(from, from + BATCH_OPS), lane);
      }
    };
    await Promise.all(Array.from({ length: LANES }, (_, lane) => run(lane)));
  }
}

function doorOf(doors: readonly number[], lane: number): number {
  return doors[lane % doors.length] ?? 0;
}
