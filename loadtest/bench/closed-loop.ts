/**
 * A closed-loop HTTP/1.1 client over raw sockets: each connection sends one request, waits for its answer, sends the
 * next. Raw, because a full client would cost more processor time than the servers it measures and share their cores.
 * Must never be used for anything but benchmarks: it knows only as much HTTP as servers under test speak.
 */
import { connect, type Socket } from "node:net";

/** One request, ready to be sent, to one of the targets. */
export interface BenchRequest {
  readonly target: { readonly host: string; readonly port: number };
  readonly bytes: Buffer;
}

/** What to load, from how many connections, for how long. */
export interface LoadPlan {
  readonly connectionsPerTarget: number;
  readonly targets: readonly { readonly host: string; readonly port: number }[];
  readonly durationMs: number;
  /** The request to send next on a connection to that target; called once per operation. */
  readonly nextRequest: (target: number) => Buffer;
}

/** What a load measured. */
export interface LoadResult {
  readonly operationCount: number;
  readonly errorCount: number;
  readonly durationMs: number;
  /** sorted, in milliseconds */
  readonly latenciesMs: Float64Array;
  /** status code → count, of answers other than 2xx */
  readonly otherStatuses: ReadonlyMap<number, number>;
}

const HEADER_END = Buffer.from("\r\n\r\n");
const CHUNKED_END = Buffer.from("0\r\n\r\n");

/** Parses as much of an answer as is there; returns undefined until it is whole. */
export function parseAnswer(bytes: Buffer): { readonly status: number; readonly sizeBytes: number } | undefined {
  const headerEnd = bytes.indexOf(HEADER_END);
  if (headerEnd < 0) return undefined;
  const status = Number(bytes.toString("latin1", 9, 12));
  const head = bytes.toString("latin1", 0, headerEnd).toLowerCase();
  const bodyStart = headerEnd + HEADER_END.length;
  const at = head.indexOf("\r\ncontent-length:");
  if (at >= 0) {
    const sizeBytes = bodyStart + Number.parseInt(head.slice(at + 17), 10);
    return bytes.length >= sizeBytes ? { status, sizeBytes } : undefined;
  }
  if (!head.includes("transfer-encoding: chunked")) return { status, sizeBytes: bodyStart };
  const end = bytes.indexOf(CHUNKED_END, bodyStart);
  return end < 0 ? undefined : { status, sizeBytes: end + CHUNKED_END.length };
}

/** Runs the plan and resolves when every connection has ended. Bounded by `durationMs` and 5 s for the last answers. */
export async function runClosedLoop(plan: LoadPlan): Promise<LoadResult> {
  const startedAt = performance.now();
  const endsAt = startedAt + plan.durationMs;
  const latencies: number[] = [];
  const otherStatuses = new Map<number, number>();
  let errorCount = 0;

  const runConnection = (target: number): Promise<void> =>
    new Promise((resolve) => {
      const address = plan.targets[target] ?? { host: "127.0.0.1", port: 0 };
      const socket: Socket = connect({ host: address.host, port: address.port, noDelay: true });
      const giveUp = setTimeout(() => socket.destroy(), plan.durationMs + 5_000);
      let sentAt = 0;
      let pending: Buffer | undefined;
      const send = (): void => {
        sentAt = performance.now();
        socket.write(plan.nextRequest(target));
      };
      socket.on("connect", send);
      socket.on("data", (chunk: Buffer) => {
        const bytes = pending === undefined ? chunk : Buffer.concat([pending, chunk]);
        const answer = parseAnswer(bytes);
        pending = answer === undefined ? bytes : undefined;
        if (answer === undefined) return;
        const now = performance.now();
        latencies.push(now - sentAt);
        if (answer.status < 200 || answer.status > 299) {
          otherStatuses.set(answer.status, (otherStatuses.get(answer.status) ?? 0) + 1);
        }
        if (now >= endsAt) socket.destroy();
        else send();
      });
      socket.on("error", () => {
        errorCount += 1;
      });
      socket.on("close", () => {
        clearTimeout(giveUp);
        resolve();
      });
    });

  const connections: Promise<void>[] = [];
  for (let target = 0; target < plan.targets.length; target += 1) {
    for (let i = 0; i < plan.connectionsPerTarget; i += 1) connections.push(runConnection(target));
  }
  await Promise.all(connections);
  return {
    operationCount: latencies.length,
    errorCount,
    durationMs: performance.now() - startedAt,
    latenciesMs: Float64Array.from(latencies).sort(),
    otherStatuses,
  };
}

/** The latency below which the share `quantile` (0 … 1) of the operations lie; 0 when there were none. */
export function quantileMs(result: LoadResult, quantile: number): number {
  const last = result.latenciesMs.length - 1;
  return result.latenciesMs[Math.min(last, Math.floor(quantile * result.latenciesMs.length))] ?? 0;
}
