/**
 * Answers to bytes that never became a request: written straight to the socket, in the same shape as every other error, after
 * the answers of the requests before them. Must never keep such a connection open longer than 5 s after they have left, nor read
 * more than a bound of it; never say of a request that was read whole that it was not applied; and let nothing become a request
 * that comes later. Source: Node's `clientError` event, lib/_http_server.js.
 */
import { CLIENT_ERROR_LINGER_MS, MAX_DROPPED_BYTES } from "../base/limits.ts";
import type { Clock } from "../base/ports.ts";
import type { Failure } from "../coordinator/contract.ts";
import { problemOf, refusal } from "./problem.ts";

/** What is needed of the connection. */
interface RawSocket {
  readonly writable: boolean;
  readonly destroyed: boolean;
  listeners(event: "data"): readonly unknown[];
  removeAllListeners(event: "data"): unknown;
  on(event: "data", listener: (bytes: Uint8Array) => void): unknown;
  once(event: "close", listener: () => void): unknown;
  pause(): unknown;
  end(text: string): unknown;
  destroy(): unknown;
}

/** What is needed of an answer that is due. */
interface DueAnswer {
  readonly req: { readonly complete: boolean; readonly method?: string | undefined };
  readonly writableEnded: boolean;
  once(event: "finish", listener: () => void): unknown;
}

/** What answering works with. */
export interface ErrorAnswering {
  readonly requestId: string;
  readonly clock: Pick<Clock, "setTimer">;
}

/** What Node says of it. */
export interface ClientError {
  readonly code?: string | undefined;
  /** a Buffer of what was read last, if that was wrong; it need not begin with a request */
  readonly rawPacket?: unknown;
}

/** Writes the problem document when its turn comes, and closes the connection; nothing when the other side is gone. */
export function answerClientError(error: ClientError, socket: RawSocket, how: ErrorAnswering): void {
  if (error.code === "ECONNRESET" || socket.destroyed || !socket.writable) socket.destroy();
  else if (!socket.listeners("data").some(isDropping)) {
    // Takes the connection from Node's parser, which after a timeout would go on, and have the rest of a late write applied.
    socket.removeAllListeners("data");
    socket.on("data", dropping(socket));
    answerInTurn(error, socket, how);
  }
}

/** The listeners of connections that have been taken from the parser. */
const DROPPING = new WeakSet();

function isDropping(listener: unknown): boolean {
  return typeof listener === "function" && DROPPING.has(listener);
}

/**
 * What still comes is no request; but a client that is cut off while it sends may never read what it was answered, and answers
 * may be due yet: beyond the bound it is left in the kernel, until the connection is closed.
 */
function dropping(socket: RawSocket): (bytes: Uint8Array) => void {
  let droppedBytes = 0;
  const drop = ({ length }: Uint8Array): void => {
    droppedBytes += length;
    if (droppedBytes > MAX_DROPPED_BYTES) socket.pause();
  };
  DROPPING.add(drop);
  return drop;
}

/**
 * A client takes the first answer for that of its first request: a request that was read whole gets its own. The last
 * that is waiting may be the one whose body is late or broken: the framework waits for it, and this is its answer.
 */
function answerInTurn(error: ClientError, socket: RawSocket, how: ErrorAnswering): void {
  const first = firstAnswerDue(socket);
  if (first === undefined || !(first.req.complete || first.writableEnded)) write(error, { socket, first }, how);
  // Node's own listener came before: it has put the next answer in the place of this one.
  else first.once("finish", () => answerInTurn(error, socket, how));
}

/** Node has no public name for it, and keeping count would cost every request something; a test sees it change. */
function firstAnswerDue(socket: RawSocket): DueAnswer | undefined {
  const answer: unknown = Reflect.get(socket, "_httpMessage");
  return isAnswer(answer) ? answer : undefined;
}

function isAnswer(answer: unknown): answer is DueAnswer {
  return typeof answer === "object" && answer !== null && "req" in answer && "writableEnded" in answer;
}

function write(
  error: ClientError,
  { socket, first }: { readonly socket: RawSocket; readonly first: DueAnswer | undefined },
  { requestId, clock }: ErrorAnswering,
): void {
  if (!socket.writable) return;
  const { line, status, failure } = answerOf(error.code);
  const body = JSON.stringify(problemOf(failure, status));
  const head = `HTTP/1.1 ${line}\r\ncontent-type: application/problem+json\r\ngyre-request-id: ${requestId}\r\nconnection: close`;
  // Without a length it is right for other methods, too: the body ends with the connection.
  if (isHead(error, first)) socket.end(`${head}\r\n\r\n`);
  else socket.end(`${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  const timer = clock.setTimer(CLIENT_ERROR_LINGER_MS, () => socket.destroy());
  socket.once("close", () => timer.cancel());
}

/** Of a head that is not whole Node tells no method: only what was read last shows it, if the head began there, and a timeout shows nothing. */
function isHead({ rawPacket }: ClientError, first: DueAnswer | undefined): boolean {
  if (first !== undefined) return first.req.method === "HEAD";
  return Buffer.isBuffer(rawPacket) && rawPacket.toString("latin1", 0, 5) === "HEAD ";
}

function answerOf(code: string | undefined): {
  readonly line: string;
  readonly status: number;
  readonly failure: Failure;
} {
  switch (code) {
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return {
        line: "408 Request Timeout",
        status: 408,
        failure: refusal("invalid_request", "the request was not sent to its end in time"),
      };
    case "HPE_HEADER_OVERFLOW":
      return {
        line: "431 Request Header Fields Too Large",
        status: 431,
        failure: refusal("invalid_request", "the request line and headers are over 32 KiB, or there are too many"),
      };
    case undefined:
    default:
      return {
        line: "400 Bad Request",
        status: 400,
        failure: refusal("invalid_request", "this is not an HTTP/1.1 request"),
      };
  }
}
