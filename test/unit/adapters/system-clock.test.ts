/** Timers of a process that was kept from its processor: what arrived meanwhile is heard before they run. */
import { connect, createServer, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createSystemClock } from "../../../services/adapters/system-clock.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

/** This process does nothing else for so long, as if it were stopped. */
function stopFor(ms: number): void {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs);
}

describe("a timer that comes late", () => {
  let here: Socket;
  let there: Socket;

  beforeEach(async () => {
    const server = createServer();
    const came = new Promise<Socket>((resolve) => server.once("connection", resolve));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    here = connect(typeof address === "object" ? (address?.port ?? 0) : 0, "127.0.0.1");
    there = await came;
    ends.push(() => new Promise((resolve) => server.close(resolve)));
    ends.push(() => there.destroy());
    ends.push(() => here.destroy());
  });

  it("runs after what arrived before it was heard, and what is done with that at the end of its turn", async () => {
    const clock = createSystemClock();
    const heard: string[] = [];
    here.on("data", () => {
      heard.push("data");
      clock.defer(() => heard.push("done with it"));
    });
    const over = new Promise<void>((resolve) => {
      clock.setTimer(20, () => {
        heard.push("timer");
        resolve();
      });
    });
    there.write("x");
    stopFor(60);
    await over;
    expect(heard).toEqual(["data", "done with it", "timer"]);
  });

  it("may be called off by that", async () => {
    const clock = createSystemClock();
    let hasRun = false;
    const timer = clock.setTimer(20, () => {
      hasRun = true;
    });
    const heard = new Promise<void>((resolve) => {
      here.on("data", () => {
        timer.cancel();
        resolve();
      });
    });
    there.write("x");
    stopFor(60);
    await heard;
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(hasRun).toBe(false);
  });

  it("may be called off by what one before it resolves", async () => {
    const clock = createSystemClock();
    const ran: string[] = [];
    const first = new Promise<void>((resolve) => void clock.setTimer(5, resolve));
    const second = clock.setTimer(6, () => ran.push("second"));
    const third = new Promise<void>((resolve) => void clock.setTimer(7, resolve));
    const calledOff = first.then(() => second.cancel());
    stopFor(40);
    await Promise.all([calledOff, third]);
    expect(ran).toEqual([]);
  });

  it("is not overtaken by one that was due after it and is not late", async () => {
    const clock = createSystemClock();
    const order: number[] = [];
    const over = new Promise<void>((resolve) => {
      clock.setTimer(1, () => order.push(1));
      clock.setTimer(58, () => {
        order.push(2);
        resolve();
      });
    });
    stopFor(60);
    await over;
    // where this process is kept waiting once more both are late, and that says nothing
    expect(order).toEqual([1, 2]);
  });
});
