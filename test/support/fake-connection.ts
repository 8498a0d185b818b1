/** A client's connection without a socket: what the door needs of one. For unit tests. */
import { EventEmitter } from "node:events";
import type { NewLine } from "../../services/api/newcomers.ts";
import type { Line } from "../../services/api/unread-lines.ts";

/** A connection that only ends, and tells whether it is read. */
export class FakeConnection extends EventEmitter implements Line, NewLine {
  destroyed: boolean = false;
  readableEnded: boolean = false;
  isRead: boolean = true;
  bytesRead: number = 0;

  pause(): void {
    this.isRead = false;
  }

  resume(): void {
    this.isRead = true;
    this.emit("resume");
  }

  isPaused(): boolean {
    return !this.isRead;
  }

  end(): void {
    this.destroyed = true;
    this.emit("close");
  }
}
