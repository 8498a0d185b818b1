/** A trace on its way to another node, through its log, and past nodes that know nothing of traces. */
import { describe, expect, test } from "vitest";
import { MAX_REQUEST_LINES, REQUEST_LINES_EVERY_MS, SLOW_TRACED_CALL_MS } from "../../../services/base/load-limits.ts";
import type { ByteLink, Clock, Log, LogFacts } from "../../../services/base/ports.ts";
import { parseTraceId, type TraceId } from "../../../services/base/trace.ts";
import { CallLink } from "../../../services/peers/call-link.ts";
import { FrameReader } from "../../../services/peers/frame-reader.ts";
import { FramedLink } from "../../../services/peers/framed-link.ts";
import { newLinkStats } from "../../../services/peers/link-stats.ts";
import type { PeerReply, PeerRequest } from "../../../services/peers/messages.ts";
import { QueueAccount } from "../../../services/peers/queue-account.ts";
import { decodeRequest, type WireRequest } from "../../../services/peers/request-codec.ts";
import { TracedRequests, traceOf } from "../../../services/peers/traced-requests.ts";
import { TurnGatherer } from "../../../services/peers/turn-gatherer.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { ANSWER_ALL, nodeIdOf, SimPeers, storeOf } from "../../support/sim-peers.ts";

const TRACE = traceId("4bf92f3577b34da6a3ce929d0e0e4736");
const FROM = nodeIdOf("a");
const NAME = new TextEncoder().encode("b\0secret-key");
const FETCH: PeerRequest = { kind: "fetch", key: { partition: 3, hash: 7n, key: NAME } };
const OBJECT: PeerReply = { kind: "object", slot: 1, object: undefined, isSuspect: false };
const OVERLOADED: PeerReply = { kind: "refused", reason: "overloaded", detail: "" };

function traceId(text: string): TraceId {
  const id = parseTraceId(text);
  if (id === undefined) throw new TypeError(`no trace id: ${text}`);
  return id;
}

/** What the far side of a link reads that is called with these, when its welcome said this of traces. */
async function readThere(takesTraces: boolean, requests: readonly PeerRequest[]): Promise<readonly unknown[]> {
  const read: (WireRequest | undefined)[] = [];
  const reader = new FrameReader(
    () => true,
    (frame) => read.push(decodeRequest(frame)),
  );
  const bytes: ByteLink = {
    remote: "b:1",
    queuedBytes: 0,
    write: (chunk) => void reader.push(chunk),
    listen: () => undefined,
    close: () => undefined,
  };
  const clock: Clock = new FakeClock();
  const context = { clock, gatherer: new TurnGatherer(clock), stats: newLinkStats() };
  const idle = { accepts: () => true, onFrame: () => undefined, onFlush: () => undefined, onClose: () => undefined };
  const account = new QueueAccount(1_000_000);
  const link = new FramedLink(bytes, context, { sink: idle, account });
  const owner = { ringHash: { high: 0, low: 0 }, takesTraces, onLatency: () => undefined, onClose: () => undefined };
  const call = new CallLink(link, context, owner);
  link.handOver(call, account);
  for (const request of requests) call.call(request, 1_000, () => undefined);
  link.flush();
  link.close("over");
  return read;
}

describe("a request with a trace", () => {
  test("reaches a node of this version with it, and its neighbours without", async () => {
    const world = new SimPeers("traced");
    const seen: PeerRequest[] = [];
    const { a, b } = await world.pair({
      handler: (from, request, budgetMs, reply) => {
        seen.push(request);
        ANSWER_ALL(from, request, budgetMs, reply);
      },
    });
    const outcomes = [{ ...FETCH, trace: TRACE }, FETCH, { ...storeOf(3), trace: TRACE }].map((request) =>
      world.call(a, b.id, request),
    );
    await world.until(() => outcomes.every(({ result }) => result !== undefined));
    const told = seen.map((request) => `${request.kind} ${traceOf(request) ?? "without"}`);
    expect(told.toSorted()).toEqual([`fetch ${TRACE}`, "fetch without", `store ${TRACE}`]);
    expect(outcomes.map(({ result }) => result?.kind)).toEqual(["object", "object", "stored"]);
  });

  test("reaches a node whose welcome did not speak of traces as the request that it knows", async () => {
    const traced: PeerRequest = { ...FETCH, trace: TRACE };
    expect(await readThere(false, [traced, FETCH])).toEqual([FETCH, FETCH]);
    expect(await readThere(true, [traced, FETCH])).toEqual([traced, FETCH]);
  });
});

describe("a replica's log", () => {
  const lines: LogFacts[] = [];
  const say = (facts: LogFacts): void => void lines.push(facts);
  const log: Log = { debug: say, info: say, warn: say, error: say };

  async function told(request: PeerRequest, answer: PeerReply, tookMs: number): Promise<readonly LogFacts[]> {
    lines.splice(0);
    const clock = new FakeClock();
    const replies: PeerReply[] = [];
    const reply = new TracedRequests({ log, clock }).watched(FROM, request, (one) => replies.push(one));
    await clock.advance(tookMs);
    reply(answer);
    expect(replies).toEqual([answer]);
    return lines.slice();
  }

  test("names the trace of what failed or was slow, and never a key", async () => {
    const traced: PeerRequest = { ...FETCH, trace: TRACE };
    const about = { kind: "fetch", from: FROM, traceId: TRACE };
    expect(await told(traced, OVERLOADED, 3)).toEqual([
      { event: "peers.request-refused", ...about, reason: "overloaded", durationMs: 3 },
    ]);
    expect(await told(traced, { kind: "failed", detail: "" }, 3)).toMatchObject([{ ...about, reason: "failed" }]);
    expect(await told(traced, OBJECT, SLOW_TRACED_CALL_MS)).toEqual([
      { event: "peers.request-slow", ...about, reason: undefined, durationMs: SLOW_TRACED_CALL_MS },
    ]);
    expect(JSON.stringify(lines)).not.toContain("secret");
  });

  test("names that of a write which another node handed over, from its body", async () => {
    const ask: PeerRequest = { kind: "ask", topic: "coordinate", body: { trace: TRACE } };
    expect(await told(ask, OVERLOADED, 1)).toMatchObject([{ kind: "ask", traceId: TRACE }]);
    for (const body of [null, "text", { trace: 7 }, { trace: "none" }, {}]) {
      expect(await told({ ...ask, body }, OVERLOADED, 1)).toEqual([]);
    }
  });

  test("is silent about what went well, about slots that moved, and about whatever has no trace", async () => {
    const traced: PeerRequest = { ...FETCH, trace: TRACE };
    expect(await told(traced, OBJECT, SLOW_TRACED_CALL_MS - 1)).toEqual([]);
    expect(await told(traced, { kind: "refused", reason: "moved", detail: "" }, 1)).toEqual([]);
    expect(await told(FETCH, OVERLOADED, 10_000)).toEqual([]);
  });

  test("gets a bounded number of lines, and hears how many were left out", async () => {
    lines.splice(0);
    const clock = new FakeClock();
    const traced = new TracedRequests({ log, clock });
    const fail = (): void => traced.watched(FROM, { ...FETCH, trace: TRACE }, () => undefined)(OVERLOADED);
    for (let i = 0; i < MAX_REQUEST_LINES + 5; i += 1) fail();
    expect(lines).toHaveLength(MAX_REQUEST_LINES);
    await clock.advance(REQUEST_LINES_EVERY_MS);
    fail();
    expect(lines.at(-1)).toMatchObject({ leftOutCount: 5 });
  });
});
