/**
 * A load generator over raw sockets, cheap enough to share two cores with the servers that it loads: open loop (requests come
 * at their rate, whatever becomes of those before) or closed loop (so many at a time). Latencies count from the moment at
 * which a request was due. Must never retry, and never wait for an answer to send the next request.
 */
import { connect, type Socket } from "node:net";

/** One request, and what its answer is to be counted as. */
export interface Shot {
  readonly bytes: Buffer;
  /** ≥ 0: a write whose acknowledgement is remembered by this number; −1: none */
  readonly writeId: number;
  /** of the key that everybody asks for: counted apart */
  readonly isHot: boolean;
}

/** What to send, to which ports of loopback. */
export interface GeneratorPlan {
  readonly ports: readonly number[];
  readonly connectionsPerTarget: number;
  /** requests that a connection may have outstanding, open loop; 1: no pipelining. Default 8 */
  readonly depth?: number;
  readonly durationMs: number;
  /** requests a second over all targets; undefined: closed loop, one at a time for each connection */
  readonly rate: number | undefined;
  /** a request that is answered later than this is of no use to anybody */
  readonly deadlineMs: number;
  readonly next: () => Shot;
  readonly onAck: (writeId: number) => void;
  /** open loop: a request goes out so many ms after it was due, for this process was not sooner */
  readonly onSent?: (lateMs: number) => void;
  /** the first request is due */
  readonly onBegin?: () => void;
}

/** A request that was of no use to its client. */
export interface WrongOne {
  readonly isHot: boolean;
  /** from due to its answer, or to the moment at which none could come any more */
  readonly tookMs: number;
  /** since the beginning */
  readonly atMs: number;
}

/** What became of the requests to one target. */
export interface TargetResult {
  sentCount: number;
  /** 2xx within the deadline */
  readonly goodMs: number[];
  /** when each of them came, ms since the beginning */
  readonly goodAtMs: number[];
  /** the same of the hot key, which is in neither of them */
  readonly hotMs: number[];
  /** of both: answered after the end of the load, when nothing comes any more */
  goodAfterCount: number;
  /** 2xx after the deadline, those of the hot key too */
  readonly late: WrongOne[];
  readonly refusedByStatus: Record<number, number>;
  /** of these: of the hot key */
  refusedHotCount: number;
  /** refusals: from due to refused */
  readonly refusedMs: number[];
  /** never answered: the connection ended, or the grace after the load did */
  readonly lost: WrongOne[];
  /** due, but the connections had more outstanding than they may */
  unsentCount: number;
  /** where each request has a connection of its own: no kernel took it in before the deadline */
  unconnectedCount: number;
  /** where each request has a connection of its own: from when this process learnt that the node's kernel took it in to its 2xx */
  readonly sinceConnectedMs: number[];
}

const MAX_DEPTH = 8;
const GRACE_MS = 3_000;
const OPENED_AT_ONCE = 64;
const HEADER_END = Buffer.from("\r\n\r\n");
const LENGTH = Buffer.from("content-length: ");

interface Waiting {
  readonly dueMs: number;
  readonly writeId: number;
  readonly isHot: boolean;
}

type OnAnswer = (connection: Connection, waiting: Waiting, status: number) => void;

interface ConnectionEvents {
  readonly open?: () => void;
  readonly answer: OnAnswer;
  readonly end: () => void;
}

/** One connection to a target. */
export class Connection {
  readonly #socket: Socket;
  readonly #onAnswer: OnAnswer;
  readonly target: number;
  readonly waiting: Waiting[] = [];
  isOpen = false;
  /** when it was */
  openedMs: number | undefined;
  #rest: Buffer | undefined;

  constructor(target: number, port: number, on: ConnectionEvents) {
    this.target = target;
    this.#onAnswer = on.answer;
    this.#socket = connect({ host: "127.0.0.1", port, noDelay: true });
    this.#socket.on("connect", () => {
      this.isOpen = true;
      this.openedMs = performance.now();
      on.open?.();
    });
    this.#socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    this.#socket.on("error", () => undefined);
    this.#socket.on("close", () => {
      this.isOpen = false;
      on.end();
    });
  }

  send(shot: Shot, dueMs: number): void {
    this.waiting.push({ dueMs, writeId: shot.writeId, isHot: shot.isHot });
    this.#socket.write(shot.bytes);
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #onData(chunk: Buffer): void {
    let bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = undefined;
    while (bytes.length > 0) {
      const headEnd = bytes.indexOf(HEADER_END);
      if (headEnd < 0) break;
      const status = (bytes[9] ?? 48) * 100 + (bytes[10] ?? 48) * 10 + (bytes[11] ?? 48) - 48 * 111;
      const at = bytes.indexOf(LENGTH);
      const bodyBytes = at < 0 || at > headEnd ? 0 : Number.parseInt(bytes.toString("latin1", at + 16, at + 24), 10);
      const sizeBytes = headEnd + 4 + bodyBytes;
      if (bytes.length < sizeBytes) break;
      const waiting = this.waiting.shift();
      if (waiting !== undefined) this.#onAnswer(this, waiting, status);
      bytes = bytes.subarray(sizeBytes);
    }
    if (bytes.length > 0) this.#rest = bytes;
  }
}

/** Runs the plan; resolves when its time is over and the last answers have come, or three seconds later. */
export async function generate(plan: GeneratorPlan): Promise<readonly TargetResult[]> {
  const results = plan.ports.map(newResult);
  const idle: Connection[][] = plan.ports.map(() => []);
  const all: Connection[][] = plan.ports.map(() => []);
  let beginMs = performance.now();
  let isOver = false;
  const onAnswer = (connection: Connection, waiting: Waiting, status: number): void => {
    const nowMs = performance.now();
    const result = results[connection.target];
    if (result === undefined) return;
    const { dueMs, isHot } = waiting;
    count(result, plan, { status, isHot, tookMs: nowMs - dueMs, atMs: nowMs - beginMs });
    if (status === 200 && waiting.writeId >= 0) plan.onAck(waiting.writeId);
    if (connection.waiting.length > 0) return;
    if (plan.rate === undefined && !isOver) fire(connection, nowMs);
    else idle[connection.target]?.push(connection);
  };
  const fire = (connection: Connection, dueMs: number): void => {
    const result = results[connection.target];
    if (result === undefined) return;
    result.sentCount += 1;
    connection.send(plan.next(), dueMs);
  };
  const open = (target: number, port: number): void => {
    const connection = new Connection(target, port, {
      answer: onAnswer,
      end: () => {
        const nowMs = performance.now();
        for (const { isHot, dueMs } of connection.waiting.splice(0)) {
          results[target]?.lost.push({ isHot, tookMs: nowMs - dueMs, atMs: nowMs - beginMs });
        }
        const list = all[target] ?? [];
        list.splice(list.indexOf(connection), 1);
        if (!isOver) setTimeout(() => open(target, port), 100);
      },
    });
    all[target]?.push(connection);
  };
  let isTakenIn = true;
  for (let opened = 0; opened < plan.connectionsPerTarget; ) {
    // some after the other: how thousands that come in one moment are taken in is another question
    const until = Math.min(opened + OPENED_AT_ONCE, plan.connectionsPerTarget);
    for (; opened < until; opened += 1) for (const [target, port] of plan.ports.entries()) open(target, port);
    // a node that takes no more in is not waited for again and again
    isTakenIn &&= await untilOpen(all, until);
  }
  for (const [target, list] of all.entries()) idle[target]?.push(...list);

  beginMs = performance.now();
  plan.onBegin?.();
  if (plan.rate === undefined) {
    for (const list of idle) for (const connection of list.splice(0)) fire(connection, performance.now());
    await pauseUntil(beginMs + plan.durationMs);
  } else {
    await openLoop(plan, beginMs, (target, dueMs) => {
      const connection = takeIdle(idle[target]) ?? shallowest(all[target] ?? [], plan.depth ?? MAX_DEPTH);
      const result = results[target];
      if (connection === undefined) {
        if (result !== undefined) result.unsentCount += 1;
      } else fire(connection, dueMs);
    });
  }
  isOver = true;
  const graceMs = performance.now() + GRACE_MS;
  while (performance.now() < graceMs && all.some((list) => list.some((one) => one.waiting.length > 0))) {
    await pauseUntil(performance.now() + 20);
  }
  for (const list of all) for (const connection of [...list]) connection.destroy();
  await pauseUntil(performance.now() + 20);
  return results;
}

/** Fires at the plan's rate, whatever becomes of what was fired before; late only as this process is. */
export async function openLoop(
  { rate = 1, durationMs, ports, onSent }: GeneratorPlan,
  beginMs: number,
  fire: (target: number, dueMs: number) => void,
): Promise<void> {
  const total = Math.floor((rate * durationMs) / 1_000);
  for (let sent = 0; sent < total; ) {
    const due = Math.min(total, Math.floor(((performance.now() - beginMs) * rate) / 1_000));
    for (; sent < due; sent += 1) {
      const dueMs = beginMs + (sent * 1_000) / rate;
      onSent?.(performance.now() - dueMs);
      fire(sent % ports.length, dueMs);
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

function takeIdle(idle: Connection[] | undefined): Connection | undefined {
  for (let one = idle?.pop(); one !== undefined; one = idle?.pop()) {
    if (one.isOpen && one.waiting.length === 0) return one;
  }
  return undefined;
}

/** A few looks at random: the one with the fewest outstanding, if it may have more. */
function shallowest(list: readonly Connection[], depth: number): Connection | undefined {
  let best: Connection | undefined;
  for (let look = 0; look < 3; look += 1) {
    const one = list[Math.floor(Math.random() * list.length)];
    if (one?.isOpen === true && one.waiting.length < (best?.waiting.length ?? depth)) best = one;
  }
  return best;
}

async function untilOpen(all: readonly (readonly Connection[])[], perTarget: number): Promise<boolean> {
  const endMs = performance.now() + 5_000;
  const isOpen = (): boolean => all.every((list) => list.filter((one) => one.isOpen).length >= perTarget);
  while (!isOpen() && performance.now() < endMs) await pauseUntil(performance.now() + 10);
  return isOpen();
}

/** Resolves at that moment, by this process's clock. */
export function pauseUntil(atMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, atMs - performance.now())));
}

/** Nothing sent, nothing heard. */
export function newResult(): TargetResult {
  return {
    sentCount: 0,
    goodMs: [],
    goodAtMs: [],
    hotMs: [],
    goodAfterCount: 0,
    late: [],
    refusedByStatus: {},
    refusedHotCount: 0,
    refusedMs: [],
    lost: [],
    unsentCount: 0,
    unconnectedCount: 0,
    sinceConnectedMs: [],
  };
}

interface Counted {
  readonly status: number;
  readonly isHot: boolean;
  readonly tookMs: number;
  readonly atMs: number;
}

/** Counts an answer. */
export function count(
  result: TargetResult,
  { deadlineMs, durationMs }: Pick<GeneratorPlan, "deadlineMs" | "durationMs">,
  { status, isHot, tookMs, atMs }: Counted,
): void {
  if (status !== 200) {
    if (isHot) result.refusedHotCount += 1;
    result.refusedByStatus[status] = (result.refusedByStatus[status] ?? 0) + 1;
    result.refusedMs.push(tookMs);
  } else if (tookMs > deadlineMs) result.late.push({ isHot, tookMs, atMs });
  else {
    if (atMs > durationMs) result.goodAfterCount += 1;
    if (isHot) result.hotMs.push(tookMs);
    else {
      result.goodMs.push(tookMs);
      result.goodAtMs.push(atMs);
    }
  }
}
