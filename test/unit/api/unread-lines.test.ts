/** Connections that are left unread: for how long what they bring then counts as old. */
import { describe, expect, it } from "vitest";
import { UnreadLines } from "../../../services/api/unread-lines.ts";
import { UNREAD_MAX_BYTES, UNREAD_MORE_BYTES } from "../../../services/base/load-limits.ts";
import { FakeConnection } from "../../support/fake-connection.ts";
import { TurnClock } from "../../support/turn-clock.ts";

interface Rig {
  readonly clock: TurnClock;
  readonly lines: UnreadLines;
  readonly line: FakeConnection;
}

/** A connection that was left unread at 0, and is read on at 100 ms. */
async function readOn(): Promise<Rig> {
  const [clock, line] = [new TurnClock(), new FakeConnection()];
  const lines = new UnreadLines(clock);
  lines.leave(line);
  clock.endTurn();
  expect(line.isRead).toBe(false);
  await clock.advance(100);
  lines.readOn(line);
  return { clock, lines, line };
}

describe("what comes over a connection that is read again", () => {
  it("is as old as that in the turn in which it comes, the first or the second, and new after it", async () => {
    const { clock, lines, line } = await readOn();
    const old = [lines.unreadMs(line)];
    clock.endTurn();
    line.bytesRead = 100;
    old.push(lines.unreadMs(line));
    clock.endTurn();
    expect([old, lines.unreadMs(line), lines.cameMs(line)]).toEqual([[100, 100], 0, 100]);
  });

  it("is new after two turns in which nothing came", async () => {
    const { clock, lines, line } = await readOn();
    clock.endTurn();
    expect(lines.unreadMs(line)).toBe(100);
    clock.endTurn();
    expect(lines.unreadMs(line)).toBe(0);
  });

  it("is old as long as it does not pause, once it is as much as there may be more behind, up to a bound", async () => {
    const { clock, lines, line } = await readOn();
    for (line.bytesRead = UNREAD_MORE_BYTES; line.bytesRead < UNREAD_MAX_BYTES; line.bytesRead += 50_000) {
      clock.endTurn();
      expect(lines.unreadMs(line)).toBe(100);
    }
    clock.endTurn();
    expect(lines.unreadMs(line)).toBe(0);
  });

  it("is new once it paused for two turns, however much it was", async () => {
    const { clock, lines, line } = await readOn();
    line.bytesRead = UNREAD_MORE_BYTES;
    clock.endTurn();
    clock.endTurn();
    expect(lines.unreadMs(line)).toBe(100);
    clock.endTurn();
    expect(lines.unreadMs(line)).toBe(0);
  });

  it.each([100, UNREAD_MORE_BYTES])(
    "is as old as before when it was left and read on again in one turn, after %i bytes",
    async (bytes) => {
      const { clock, lines, line } = await readOn();
      line.bytesRead = bytes;
      lines.leave(line);
      lines.readOn(line);
      clock.endTurn();
      await clock.advance(7);
      expect([line.isRead, lines.unreadMs(line)]).toEqual([true, 107]);
      clock.endTurn();
      expect(lines.unreadMs(line)).toBe(0);
    },
  );

  it("is as old as before while the connection is not read for its client's sake, and does not pause by that", async () => {
    const { clock, lines, line } = await readOn();
    line.bytesRead = UNREAD_MORE_BYTES;
    line.pause();
    for (let turn = 0; turn < 5; turn += 1) clock.endTurn();
    await clock.advance(900);
    line.resume();
    const old = [lines.unreadMs(line)];
    clock.endTurn();
    line.bytesRead += 1;
    clock.endTurn();
    old.push(lines.unreadMs(line));
    for (let turn = 0; turn < 3; turn += 1) clock.endTurn();
    expect([old, lines.unreadMs(line)]).toEqual([[1_000, 1_000], 0]);
  });

  it("is forgotten with its connection, read or not", async () => {
    const { lines, line } = await readOn();
    lines.forget(line);
    expect(lines.unreadMs(line)).toBe(0);
    lines.leave(line);
    lines.forget(line);
    line.isRead = false;
    lines.readOn(line);
    expect(line.isRead).toBe(false);
  });

  it("is as old as the connection is unread, if it is given though nobody reads it", async () => {
    const { clock, lines, line } = await readOn();
    line.bytesRead = 100;
    clock.endTurn();
    lines.leave(line);
    await clock.advance(50);
    expect([lines.cameMs(line), lines.unreadMs(line)]).toEqual([100, 0]);
  });
});

describe("a connection that is left unread", () => {
  it("is paused once at the end of each turn in which it was to be left, however often", () => {
    const [clock, line] = [new TurnClock(), new FakeConnection()];
    const lines = new UnreadLines(clock);
    let times = 0;
    line.pause = () => {
      times += 1;
    };
    for (let n = 0; n < 3; n += 1) lines.leave(line);
    clock.endTurn();
    for (let n = 0; n < 3; n += 1) lines.leave(line);
    clock.endTurn();
    expect(times).toBe(2);
  });

  it("is not paused when it is read on in the same turn, nor read on when it was read", () => {
    const [clock, line] = [new TurnClock(), new FakeConnection()];
    const lines = new UnreadLines(clock);
    lines.leave(line);
    lines.readOn(line);
    clock.endTurn();
    expect(line.isRead).toBe(true);
    line.isRead = false;
    lines.readOn(line);
    expect(line.isRead).toBe(false);
  });
});
