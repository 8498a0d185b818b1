/** A connection that only tells whether it is read. For unit tests of whoever pauses connections. */
import { EventEmitter } from "node:events";

/** Read from the start; `resume` tells its listeners, as a socket does. */
export class FakeLine extends EventEmitter {
  destroyed = false;
  isRead = true;
  /** times that it was paused while it was read */
  pauses = 0;

  pause(): void {
    if (this.isRead) this.pauses += 1;
    this.isRead = false;
  }

  resume(): void {
    if (this.isRead) return;
    this.isRead = true;
    this.emit("resume");
  }
}
