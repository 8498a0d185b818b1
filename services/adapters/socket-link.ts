/**
 * A `ByteLink` on a TCP socket that has been through its HTTP upgrade. Must never copy or keep bytes that arrive:
 * Node allocates a buffer of its own per read, so each one is handed on and belongs to the receiver for ever.
 */
import type { Duplex } from "node:stream";
import type { ByteLink } from "../base/ports.ts";

/** How long a link that was closed with nothing queued waits for the other side's end. */
const LINGER_MS = 100;

type Listeners = Parameters<ByteLink["listen"]>[0];

/** The link on `socket`; `head` holds bytes that came right behind the upgrade and are delivered first. */
export function createSocketLink(socket: Duplex, remote: string, head: Uint8Array): ByteLink {
  let listeners: Listeners | undefined;
  let closeReason: string | undefined;
  let isClosed = false;
  let isCorked = false;

  socket.pause();
  if (head.length > 0) socket.unshift(head);

  const uncork = (): void => {
    isCorked = false;
    socket.uncork();
  };
  const close = (reason: string): void => {
    closeReason ??= reason;
    if (socket.writableLength > 0 || socket.writableEnded || socket.readableEnded) {
      socket.destroy();
      return;
    }
    // A socket destroyed before all that came was read is reset, and the reset may overtake what it has sent last.
    socket.end();
    setTimeout(() => socket.destroy(), LINGER_MS).unref();
  };

  socket.on("error", (error: NodeJS.ErrnoException) => {
    closeReason ??= error.code ?? "socket_error";
  });
  socket.on("end", () => close("ended_by_peer"));
  socket.on("close", () => {
    isClosed = true;
    closeReason ??= "ended_by_peer";
    listeners?.onClose(closeReason);
  });

  return {
    remote,
    get queuedBytes(): number {
      return socket.writableLength;
    },
    write: (bytes) => {
      if (closeReason !== undefined) return;
      // All that one turn writes leaves in one system call.
      if (!isCorked) {
        isCorked = true;
        socket.cork();
        process.nextTick(uncork);
      }
      socket.write(bytes);
    },
    listen: (added) => {
      listeners = added;
      if (isClosed) {
        const reason = closeReason ?? "ended_by_peer";
        setImmediate(() => added.onClose(reason));
        return;
      }
      socket.on("data", (bytes: Uint8Array) => {
        if (closeReason === undefined) added.onBytes(bytes);
      });
      socket.resume();
    },
    close,
  };
}
