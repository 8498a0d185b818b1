/**
 * Clients of real nodes whose clocks are moved: of a bucket where the last write wins, and of values with a time to live. Must never
 * look at a clock of a node: what that may have shown is `MovedClocks`' to say.
 */
import type { Dot } from "../../services/versioning/types.ts";
import { type LwwEnd, LwwJudge, type LwwValue } from "../sim/lww-judge.ts";
import { pause, until } from "./cluster.ts";
import { type Answer, ask, tryAsk } from "./http.ts";
import type { MovedClocks } from "./moved-clocks.ts";
import { answered } from "./patient-ask.ts";

const ALL_NODES: readonly number[] = [0, 1, 2];
/** A busy machine makes nodes refuse for a while. */
const LWW_KEYS: readonly string[] = ["a", "b", "c"];

interface Dated {
  readonly id: number;
  /** the end that the answer named */
  readonly dateMs: number;
}

/** What the readers of values with an end met; `lateMs`, `earlyMs`: by the true time, how far from its end one was shown, or gone. */
export interface DatedCounts {
  shown: number;
  gone: number;
  lateMs: number;
  earlyMs: number;
}

/** The clients and what they know. */
export class ClockLoad {
  readonly newest: LwwJudge = new LwwJudge();
  readonly dated: DatedCounts = { shown: 0, gone: 0, lateMs: 0, earlyMs: 0 };
  /** broken promises about values with an end, in words */
  readonly violations: string[] = [];
  readonly #clocks: MovedClocks;
  readonly #written: Dated[] = [];
  /** never given twice: what was not answered may stand all the same */
  #nextId = 0;
  #clients: readonly Promise<void>[] = [];
  #isOver = false;

  constructor(clocks: MovedClocks) {
    this.#clocks = clocks;
  }

  /** Makes the bucket and begins. */
  async start(): Promise<void> {
    const body = JSON.stringify({ conflicts: "lww" });
    const urls = ALL_NODES.map((node) => `${this.#clocks.nodes.url(node)}/v1/buckets/newest`);
    await answered(urls[1] ?? "", { method: "PUT", body });
    const isLww = async (url: string): Promise<boolean> => (await ask(url)).body["conflicts"] === "lww";
    for (const url of urls) await until("a node knows the bucket", () => isLww(url));
    this.#clients = [this.#writeNewest(), this.#writeNewest(), this.#writeNewest(), this.#meetDated()];
  }

  /** Resolves when the last request has been answered. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#clients);
  }

  /** A test that fails leaves no load behind. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Reads each key of the bucket from each node alone, and has it judged; answers those that are not the same everywhere. */
  async unequalKeys(): Promise<readonly string[]> {
    const unequal: string[] = [];
    for (const key of LWW_KEYS) {
      const dots = new Set<unknown>();
      for (const node of ALL_NODES) {
        const answer = await answered(this.#newestUrl(node, key, "?r=1&sloppy=false"));
        this.#look(key, answer, { where: `n${node + 1}`, beganAt: Number.POSITIVE_INFINITY });
        dots.add(answer.body["dot"] ?? answer.status);
      }
      if (dots.size > 1) unequal.push(`${key}: ${[...dots].join(", ")}`);
    }
    return unequal;
  }

  /** Reads every value with an end through every node. */
  async readDated(): Promise<void> {
    for (const value of this.#written) await Promise.all(ALL_NODES.map((node) => this.#readOne(node, value)));
  }

  /** Writes a new value through the node. */
  async writeDated(node: number, ttlSeconds: number): Promise<void> {
    const id = this.#nextId;
    this.#nextId += 1;
    const fromMs = Date.now();
    const answer = await tryAsk(this.#datedUrl(node, id), {
      method: "PUT",
      body: JSON.stringify({ id }),
      headers: { "gyre-ttl": String(ttlSeconds) },
    });
    if (answer?.status !== 200) return;
    const dateMs = Date.parse(String(answer.body["expires"]));
    this.#written.push({ id, dateMs });
    const { least, most } = this.#clocks.shown(ALL_NODES, fromMs, Date.now());
    const madeMs = dateMs - ttlSeconds * 1_000;
    if (!(madeMs >= least && madeMs <= most)) this.violations.push(`${ttlSeconds} s end at ${answer.text}`);
  }

  async #writeNewest(): Promise<void> {
    while (!this.#isOver) {
      await pause(Math.random() * 20);
      const key = LWW_KEYS[Math.floor(Math.random() * LWW_KEYS.length)] ?? "a";
      const beganAt = performance.now();
      const read = await tryAsk(this.#newestUrl(anyNode(), key, "?sloppy=false"));
      const value = read === undefined ? undefined : this.#look(key, read, { where: "a read", beganAt });
      const context = read?.headers.get("gyre-context") ?? undefined;
      const isBlind = context === undefined || Math.random() < 0.5;
      const write = this.newest.begin(key, "put", {
        saw: isBlind ? undefined : value?.id,
        invokedAt: performance.now(),
      });
      const blind = Math.random() < 0.5 ? "sibling" : "overwrite";
      const answer = await tryAsk(this.#newestUrl(anyNode(), key, `?sloppy=false${isBlind ? `&blind=${blind}` : ""}`), {
        method: "PUT",
        body: JSON.stringify({ id: write.id }),
        headers: isBlind ? {} : { "gyre-context": context },
      });
      write.end = endOf(answer);
    }
  }

  /** Lives that end at once, or while the test runs by one clock or another. */
  async #meetDated(): Promise<void> {
    while (!this.#isOver) {
      await pause(Math.random() * 20);
      const span = Math.floor(Math.random() * 3) * 288;
      if (Math.random() < 0.3) await this.writeDated(anyNode(), span + 1 + Math.floor(Math.random() * 8));
      const value = this.#written[Math.floor(Math.random() * this.#written.length)];
      if (value !== undefined) await this.#readOne(anyNode(), value);
    }
  }

  async #readOne(node: number, { id, dateMs }: Dated): Promise<void> {
    const fromMs = Date.now();
    const answer = await tryAsk(this.#datedUrl(node, id));
    const toMs = Date.now();
    if (answer?.status !== 200 && answer?.status !== 404) return;
    const { least, most } = this.#clocks.shown([node], fromMs, toMs);
    const isShown = answer.status === 200;
    if (isShown) this.dated.shown += 1;
    else this.dated.gone += 1;
    if (isShown) this.dated.lateMs = Math.max(this.dated.lateMs, fromMs - dateMs);
    else this.dated.earlyMs = Math.max(this.dated.earlyMs, dateMs - toMs);
    const isRight = isShown ? least < dateMs : most >= dateMs && answer.body["code"] === "deleted";
    if (!isRight) this.violations.push(`to end at ${dateMs}, by a clock from ${least} to ${most}: ${answer.text}`);
  }

  #look(key: string, answer: Answer, when: { readonly where: string; readonly beganAt: number }): LwwValue | undefined {
    if (answer.status !== 200 && answer.status !== 404) return undefined;
    const { siblings } = answer.body;
    const shown: readonly unknown[] = answer.status === 404 ? [] : Array.isArray(siblings) ? siblings : [answer.body];
    const values = shown.map(valueOf);
    this.newest.onLook({ key, values, ...when });
    return values[0];
  }

  #newestUrl(node: number, key: string, query: string): string {
    return `${this.#clocks.nodes.url(node)}/v1/kv/newest/${key}${query}`;
  }

  #datedUrl(node: number, id: number): string {
    return `${this.#clocks.nodes.url(node)}/v1/kv/dated/${id}?sloppy=false`;
  }
}

function anyNode(): number {
  return Math.floor(Math.random() * 3);
}

function endOf(answer: Answer | undefined): LwwEnd {
  if (answer?.status === 200) {
    return { outcome: "applied", dot: dotOf(answer.body["dot"]), returnedAt: performance.now() };
  }
  return { outcome: answer?.body["outcome"] === "not_applied" ? "not_applied" : "unknown" };
}

function valueOf(shown: unknown): LwwValue {
  const { value, dot } = shown as { readonly value: { readonly id: number }; readonly dot: string };
  return { id: value.id, dot: dotOf(dot) };
}

/** Twelve hex digits of the actor, `-`, the counter. */
function dotOf(text: unknown): Dot {
  const [actor = "", counter = ""] = String(text).split("-");
  return { actor: Number.parseInt(actor, 16), counter: Number(counter) };
}
