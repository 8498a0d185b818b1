/** When the client asks again, whom, and after which pause: over nodes of its own making, on time that only moves when it pauses. */
import { describe, expect, test } from "vitest";
import { type ClientOptions, GyreClient } from "../../../services/client/client.ts";
import { Retries, retryAfterMsOf } from "../../../services/client/retries.ts";

/** What a node does with a request: serves it, cannot be reached, breaks off, or answers 503 with a code and `Retry-After`. */
type Deed =
  | "serves"
  | "gone"
  | "breaks"
  | { readonly code: string; readonly retryAfter?: string; readonly outcome?: string };

const OVERLOADED: Deed = { code: "overloaded", retryAfter: "2" };
const A = "http://a:1";
const B = "http://b:1";
const C = "http://c:1";

class Rig {
  nowMs = 0;
  /** who was asked, and when */
  readonly asked: string[] = [];
  readonly pauses: number[] = [];
  readonly client: GyreClient;
  #deedOf: (node: string, nth: number) => Deed = () => "serves";

  constructor(nodes: readonly string[], options: Partial<ClientOptions> = {}) {
    this.client = new GyreClient({
      nodes,
      timeoutMs: 5_000,
      random: () => 0.5,
      fetch: async (url) => this.#answer(url),
      pause: async (ms) => {
        this.pauses.push(ms);
        this.nowMs += ms;
      },
      nowMs: () => this.nowMs,
      ...options,
    });
  }

  /** From now on; `nth` counts all requests from then on, from 0. */
  does(deedOf: (node: string, nth: number) => Deed): this {
    const before = this.asked.length;
    this.#deedOf = (node, nth) => deedOf(node, nth - before);
    return this;
  }

  async read(query: Readonly<Record<string, string>> = {}): Promise<string> {
    const read = await this.client.get("b", "k", { query });
    return read.kind === "failed" ? `${read.code} of ${read.node} after ${read.attemptCount}` : read.kind;
  }

  async write(): Promise<string> {
    const done = await this.client.put(
      { bucket: "b", key: "k" },
      { bytes: Buffer.from("1"), contentType: "text/plain" },
    );
    return done.kind === "failed" ? `${done.outcome} of ${done.node} after ${done.attemptCount}` : done.kind;
  }

  /** The nodes that were asked since the last time, by their letters. */
  takeAsked(): string {
    return this.asked.splice(0).join("");
  }

  #answer(url: string): Response {
    const node = new URL(url).origin;
    this.asked.push(new URL(url).hostname);
    const deed = this.#deedOf(node, this.asked.length - 1);
    if (deed === "serves") return new Response("1", { headers: { "content-type": "text/plain", "gyre-context": "c" } });
    if (typeof deed === "string") {
      const code = deed === "gone" ? "ECONNREFUSED" : "ECONNRESET";
      throw Object.assign(new Error(code), { code });
    }
    const { code, retryAfter, outcome = "not_applied" } = deed;
    const headers = retryAfter === undefined ? {} : { "retry-after": retryAfter };
    return Response.json({ code, outcome, retryable: true, detail: code }, { status: 503, headers });
  }
}

describe("a client that is refused", () => {
  interface Case {
    readonly title: string;
    readonly nodes: readonly string[];
    readonly deeds: readonly Deed[];
    readonly asked: string;
    readonly pauses: readonly number[];
    readonly end: string;
  }
  const refused = (code: string): Deed => ({ code });
  const cases: readonly Case[] = [
    {
      title: "asks another node after a pause, and does not wait there for what the first one asked for",
      nodes: [A, B, C],
      deeds: [OVERLOADED],
      asked: "ab",
      pauses: [25],
      end: "found",
    },
    {
      title: "waits as long as a node asked for before it asks the same one, and a while of its own",
      nodes: [A],
      deeds: [OVERLOADED],
      asked: "aa",
      pauses: [2_025],
      end: "found",
    },
    {
      title: "counts that time from the refusal: what passed with the others is part of it",
      nodes: [A, B, C],
      deeds: [OVERLOADED, OVERLOADED, OVERLOADED],
      asked: "abca",
      pauses: [25, 50, 2_000 - 75 + 100],
      end: "found",
    },
    {
      title: "does not wait for longer than its time: the refusal is its answer, at once",
      nodes: [A],
      deeds: [{ code: "overloaded", retryAfter: "6" }],
      asked: "a",
      pauses: [],
      end: "overloaded of http://a:1 after 1",
    },
    {
      title: "counts all its pauses against that time",
      nodes: [A],
      deeds: [OVERLOADED, OVERLOADED, OVERLOADED],
      asked: "aaa",
      pauses: [2_025, 2_050],
      end: "overloaded of http://a:1 after 3",
    },
    {
      title: "goes on at once where nobody took the request, to each other node once",
      nodes: [A, B, C],
      deeds: ["gone", "gone"],
      asked: "abc",
      pauses: [],
      end: "found",
    },
    {
      title: "pauses before it asks those again that could not be reached",
      nodes: [A, B],
      deeds: ["gone", "gone", "gone"],
      asked: "abab",
      pauses: [25, 50],
      end: "found",
    },
    {
      title: "goes on at once where a node says that it takes no part",
      nodes: [A, B, C],
      deeds: [refused("not_ready"), refused("shutting_down")],
      asked: "abc",
      pauses: [],
      end: "found",
    },
    {
      title: "pauses after a connection that broke: the node may have done the work",
      nodes: [A, B],
      deeds: ["breaks"],
      asked: "ab",
      pauses: [25],
      end: "found",
    },
    {
      title: "pauses for longer each time, and gives up after its attempts with the last one's words",
      nodes: [A, B, C],
      deeds: Array.from({ length: 6 }, () => refused("quorum_not_met")),
      asked: "abcabc",
      pauses: [25, 50, 100, 200, 400],
      end: "quorum_not_met of http://c:1 after 6",
    },
  ];
  test.each(cases)("$title", async ({ nodes, deeds, asked, pauses, end }) => {
    const rig = new Rig(nodes).does((_, nth) => deeds[nth] ?? "serves");
    expect(await rig.read()).toBe(end);
    expect([rig.takeAsked(), rig.pauses]).toEqual([asked, pauses]);
  });

  test("pauses for no longer than its caller lets a node take", async () => {
    const rig = new Rig([A, B]).does(() => OVERLOADED);
    expect(await rig.read({ timeout: "60" })).toBe("overloaded of http://b:1 after 2");
    expect(rig.pauses).toEqual([25]);
  });

  test("repeats no write that may have had an effect, whatever the node asks for", async () => {
    for (const deed of ["breaks", { ...OVERLOADED, outcome: "unknown" }] as const) {
      const rig = new Rig([A, B]).does(() => deed);
      expect(await rig.write()).toBe("unknown of http://a:1 after 1");
      expect([rig.takeAsked(), rig.pauses]).toEqual(["a", []]);
    }
  });

  test("waits with full jitter: a client may come back at once, and another one late", async () => {
    const pauses = await Promise.all(
      [0, 0.25, 0.999].map(async (chance) => {
        const rig = new Rig([A], { random: () => chance }).does((_, nth) => (nth === 0 ? OVERLOADED : "serves"));
        await rig.read();
        return rig.pauses[0];
      }),
    );
    expect(pauses).toEqual([2_000, 2_012.5, 2_049.95]);
  });
});

describe("the retry budget of a client", () => {
  const refusing = (): Deed => ({ code: "overloaded" });

  test("lets retries be ten at once and a tenth of the requests, whatever the nodes refuse", async () => {
    const rig = new Rig([A, B, C]).does(refusing);
    for (let n = 0; n < 1_000; n += 1) await rig.read();
    const attemptCount = rig.takeAsked().length;
    expect(attemptCount).toBeGreaterThanOrEqual(1_105);
    expect(attemptCount).toBeLessThanOrEqual(1_110);
  });

  test("empty, leaves the caller with the refusal as it came, at once", async () => {
    const rig = new Rig([A]).does(refusing);
    for (let n = 0; n < 3; n += 1) await rig.read();
    rig.pauses.length = 0;
    rig.takeAsked();
    expect(await rig.client.get("b", "k")).toMatchObject({
      kind: "failed",
      status: 503,
      code: "overloaded",
      outcome: "not_applied",
      isRetryable: true,
      attemptCount: 1,
      problem: { code: "overloaded", detail: "overloaded" },
    });
    expect([rig.takeAsked(), rig.pauses]).toEqual(["a", []]);
  });

  test("is not asked by who goes round a node that is gone", async () => {
    const rig = new Rig([A, B]).does((node) => (node === A ? "gone" : "serves"));
    const ends = new Set<string>();
    for (let n = 0; n < 100; n += 1) {
      rig.nowMs += 60_000;
      ends.add(await rig.read());
    }
    expect([...ends]).toEqual(["found"]);
    // none of that was a retry: the ten at once are there still, and five of them are one request's
    rig.takeAsked();
    rig.does(refusing);
    await rig.read();
    expect(rig.takeAsked()).toHaveLength(6);
  });

  test("grows again with requests that are served", async () => {
    const rig = new Rig([A]).does(refusing);
    for (let n = 0; n < 20; n += 1) await rig.read();
    rig.does(() => "serves");
    for (let n = 0; n < 20; n += 1) await rig.read();
    rig.takeAsked();
    rig.does(refusing);
    await rig.read();
    expect(rig.takeAsked().length).toBeGreaterThanOrEqual(3);
  });

  test("is never more than ten, however long all was well", async () => {
    const rig = new Rig([A, B], { maxAttempts: 50, timeoutMs: 60_000 });
    for (let n = 0; n < 500; n += 1) await rig.read();
    rig.takeAsked();
    rig.does(refusing);
    await rig.read();
    expect(rig.takeAsked()).toHaveLength(11);
  });
});

describe("a node that could not serve the last request", () => {
  test("is asked after the others for a while, so that it costs a retry now and then and not each time", async () => {
    const rig = new Rig([A, B]).does((node) => (node === A ? { code: "quorum_not_met" } : "serves"));
    for (let n = 0; n < 200; n += 1) {
      expect(await rig.read()).toBe("found");
      rig.nowMs += 10;
    }
    // at 0, and after rests of 0.75 s and 1.5 s by this chance
    expect(rig.takeAsked().match(/a/g)).toHaveLength(2);
  });

  test("is tried by one request after its rest, and has its place back when that is served", async () => {
    const rig = new Rig([A, B]).does((node, nth) => (node === A && nth === 0 ? { code: "quorum_not_met" } : "serves"));
    await rig.read();
    rig.nowMs += 100;
    await rig.read();
    rig.nowMs += 1_000;
    await rig.read();
    await rig.read();
    expect(rig.takeAsked()).toBe("abbaa");
  });

  test("is tried by one request at a time", async () => {
    const rig = new Rig([A, B]).does((node) => (node === A ? { code: "quorum_not_met" } : "serves"));
    await rig.read();
    rig.takeAsked();
    rig.nowMs += 1_000;
    await Promise.all([rig.read(), rig.read(), rig.read()]);
    expect(rig.takeAsked().match(/a/g)).toHaveLength(1);
  });

  test("rests once for one mishap, however many requests it met", async () => {
    const rig = new Rig([A, B]).does((node) => (node === A ? { code: "quorum_not_met" } : "serves"));
    await Promise.all(Array.from({ length: 8 }, () => rig.read()));
    rig.takeAsked();
    rig.nowMs += 1_000;
    await rig.read();
    expect(rig.takeAsked()).toBe("ab");
  });

  test("rests no longer for being asked meanwhile, where the others rest, too", async () => {
    const rig = new Rig([A, B], { maxAttempts: 1 }).does(() => ({ code: "quorum_not_met" }));
    for (let n = 0; n < 3; n += 1) await rig.read();
    expect(rig.takeAsked()).toBe("aba");
    rig.nowMs += 1_000;
    await rig.read();
    expect(rig.takeAsked()).toBe("a");
  });

  test("rests for as long as it asks for", async () => {
    const rig = new Rig([A, B]).does((node) => (node === A ? { code: "overloaded", retryAfter: "20" } : "serves"));
    await rig.read();
    rig.takeAsked();
    rig.nowMs += 15_000;
    await rig.read();
    expect(rig.takeAsked()).toBe("b");
  });

  test("is asked all the same where no other one is better, and not round by round at once", async () => {
    const rig = new Rig([A, B]).does(() => ({ code: "not_ready" }));
    expect(await rig.read()).toBe("not_ready of http://b:1 after 6");
    expect(rig.pauses).toHaveLength(4);
    rig.pauses.length = 0;
    await rig.read();
    expect(rig.pauses).toHaveLength(5);
  });

  test("does not keep others from going round a node that is not ready, where it refused what was asked of it alone", async () => {
    // what asks for all is refused everywhere, and a is not ready for anything
    const refusal = { code: "quorum_not_met" };
    const rig = new Rig([A, B, C]);
    const ends = new Set<string>();
    for (let n = 0; n < 300; n += 1) {
      const isForAll = n % 3 === 0;
      rig.does((node) => (node === A ? { code: "not_ready" } : isForAll ? refusal : "serves"));
      const end = await rig.read();
      if (!isForAll) ends.add(end);
      rig.nowMs += 20;
    }
    expect([...ends]).toEqual(["found"]);
  });

  test("has what it asked for forgotten once it serves", async () => {
    const rig = new Rig([A], { timeoutMs: 1_000 }).does(() => ({ code: "overloaded", retryAfter: "3" }));
    await rig.read();
    rig.does(() => "serves");
    rig.nowMs += 100;
    expect(await rig.read()).toBe("found");
    rig.does((_, nth) => (nth === 0 ? { code: "overloaded" } : "serves"));
    expect(await rig.read()).toBe("found");
  });

  test("is passed over for one that may be asked sooner", () => {
    const retries = new Retries([A, B, C], { maxAttempts: 6, random: () => 0.5 });
    const refusal = { isUnsent: false, code: "quorum_not_met", retryAfterMs: 0, nowMs: 0 };
    const [first, other] = [retries.begin(0, 1_000), retries.begin(0, 1_000)];
    other.onUnable(refusal);
    other.again(refusal);
    // while the first one is under way at a
    other.onUnable({ ...refusal, retryAfterMs: 3_000 });
    first.onUnable(refusal);
    expect([other.url, first.again(refusal), first.url]).toEqual([B, 25, C]);
  });
});

test.each([
  ["3", 3_000],
  ["0", 0],
  ["-1", 0],
  ["1.5", 0],
  ["Fri, 20 Nov 2026 10:00:00 GMT", 0],
  [undefined, 0],
])("Retry-After: %s is %s ms", (text, ms) => {
  expect(retryAfterMsOf(new Headers(text === undefined ? {} : { "retry-after": text }))).toBe(ms);
});
