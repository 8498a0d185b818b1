/**
 * Answers to bytes that never became a request: written straight to the socket, in the same shape as every other error.
 * Must never keep such a connection open. Source: Node's `clientError` event.
 */
import type { Failure } from "../coordinator/contract.ts";
import { problemOf, refusal } from "./problem.ts";

/** What is needed of the connection. */
interface RawSocket {
  readonly writable: boolean;
  readonly destroyed: boolean;
  end(text: string): unknown;
  destroy(): unknown;
}

/** Writes the problem document and closes the connection; nothing when the other side is gone. */
export function answerClientError(
  error: { readonly code?: string | undefined },
  socket: RawSocket,
  requestId: string,
): void {
  if (error.code === "ECONNRESET" || socket.destroyed || !socket.writable) {
    socket.destroy();
    return;
  }
  const { line, status, failure } = answerOf(error.code);
  const body = JSON.stringify(problemOf(failure, status));
  const head = `HTTP/1.1 ${line}\r\ncontent-type: application/problem+json\r\ncontent-length: ${Buffer.byteLength(body)}`;
  socket.end(`${head}\r\ngyre-request-id: ${requestId}\r\nconnection: close\r\n\r\n${body}`);
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
