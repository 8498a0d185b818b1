/**
 * Clients that add to sets and merge siblings themselves: each reads, adds an element that nobody else adds to the union of what
 * it was shown, and writes that with the context of the read. Where nothing can be read, the element stands as a sibling of its own.
 * Must never try an element twice: its one answer says what may become of it.
 */
import type { SeededDraws } from "../support/seeded.ts";
import { pause, type RealCluster } from "./cluster.ts";
import { type Answer, tryAsk, valuesOf } from "./http.ts";

/** Who adds, to what, and through whom. */
export interface SetPlan {
  readonly bucket: string;
  readonly clientCount: number;
  readonly keyCount: number;
  readonly draws: SeededDraws;
  /** mean pause between two additions of a client, ms */
  readonly thinkMs: number;
  /** the nodes that a client may ask now */
  nodesOf(client: number): readonly number[];
}

/** One element, and what its client was told. */
export interface Addition {
  readonly element: string;
  readonly key: string;
  readonly client: number;
  readonly answeredAt: number;
  readonly outcome: "applied" | "not_applied" | "unknown";
}

/** Clients at work until `stop`. */
export class SetClients {
  readonly additions: Addition[] = [];
  readonly #cluster: RealCluster;
  readonly #plan: SetPlan;
  readonly #work: Promise<unknown>;
  #isStopped = false;

  constructor(cluster: RealCluster, plan: SetPlan) {
    this.#cluster = cluster;
    this.#plan = plan;
    this.#work = Promise.all(Array.from({ length: plan.clientCount }, (_, client) => this.#addAll(client)));
  }

  get keys(): readonly string[] {
    return Array.from({ length: this.#plan.keyCount }, (_, i) => `s${i}`);
  }

  /** Ends; resolves when the last addition has been answered. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#work;
  }

  /** A test that fails leaves no load behind. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** What is wrong with what a key is shown to hold, in words. */
  faultsOf(key: string, answer: Answer): readonly string[] {
    const held = answer.status === 200 ? elementsOf(answer) : new Set<string>();
    const own = this.additions.filter((one) => one.key === key);
    const faults = own.flatMap(({ element, outcome }) => {
      if (outcome === "applied" && !held.has(element)) return [`${key}: ${element} was acknowledged, and is lost`];
      return outcome === "not_applied" && held.has(element) ? [`${key}: ${element} was not applied, and is there`] : [];
    });
    const made = new Set(own.map(({ element }) => element));
    return [...faults, ...[...held].filter((each) => !made.has(each)).map((each) => `${key}: nobody added ${each}`)];
  }

  async #addAll(client: number): Promise<void> {
    const { draws, thinkMs, nodesOf } = this.#plan;
    for (let count = 0; !this.#isStopped; count += 1) {
      await pause(draws.below(2 * thinkMs));
      const nodes = nodesOf(client);
      const key = this.keys[draws.below(this.#plan.keyCount)] ?? "";
      const node = nodes[draws.below(nodes.length)] ?? 0;
      const element = `${client}-${count}`;
      const outcome = await this.#add(`${this.#cluster.url(node)}/v1/kv/${this.#plan.bucket}/${key}`, element);
      this.additions.push({ element, key, client, answeredAt: performance.now(), outcome });
    }
  }

  async #add(url: string, element: string): Promise<Addition["outcome"]> {
    const read = await tryAsk(url);
    const context = read?.headers.get("gyre-context");
    const isSeen = read?.status === 200 && typeof context === "string";
    const written = await tryAsk(isSeen ? url : `${url}?blind=sibling`, {
      method: "PUT",
      body: JSON.stringify([...(isSeen ? elementsOf(read) : []), element]),
      headers: isSeen ? { "gyre-context": context } : {},
    });
    if (written?.status === 200) return "applied";
    return written?.body["outcome"] === "not_applied" ? "not_applied" : "unknown";
  }
}

/** The union of all siblings. */
function elementsOf(answer: Answer): ReadonlySet<string> {
  return new Set(valuesOf(answer).flatMap((text) => JSON.parse(text) as readonly string[]));
}
