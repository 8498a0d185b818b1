/** What happens while a store takes its time: nothing is confirmed before it is durable, no note is lost with one that goes. */
import { describe, expect, test } from "vitest";
import { HintIntake } from "../../../services/handoff/hint-intake.ts";
import { encodeDelivery, parseReply } from "../../../services/handoff/hint-messages.ts";
import { HintRecords } from "../../../services/handoff/hint-records.ts";
import { HintRoom } from "../../../services/handoff/hint-room.ts";
import { MarkerStore, markerOf } from "../../../services/handoff/marker-store.ts";
import { RepairFlags } from "../../../services/handoff/repair-flags.ts";
import { ShelfTally } from "../../../services/handoff/shelf-tally.ts";
import type { ReplicaWriteResult } from "../../../services/replica/contract.ts";
import { encodeSet } from "../../../services/versioning/object-codec.ts";
import { EMPTY, put } from "../../../services/versioning/sibling-set.ts";
import { openMemoryEngine } from "../../../storage/memory-engine.ts";
import { EventLog, HandClock, locationOf } from "../../support/replica-fixture.ts";
import { seededDraws } from "../../support/seeded.ts";
import { nodeIdOf } from "../../support/sim-peers.ts";

const Q = 64;
const FROM = nodeIdOf("n1");
const location = locationOf("carts", "a");
const object = encodeSet(
  put(EMPTY, {
    context: EMPTY.clock,
    sibling: { dot: { actor: 1, counter: 10 }, expiresAtMs: 0, contentType: "text/plain", bytes: Buffer.from("x") },
  }),
);
const turns = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function engineOf(seed: number): ReturnType<typeof openMemoryEngine> {
  return openMemoryEngine({ partitionCount: 2 * Q, random: seededDraws(seed) });
}

function flagsOf(engine: ReturnType<typeof engineOf>): RepairFlags {
  const documents = {
    read: (name: string) => engine.readDocument(name),
    write: (name: string, bytes: Uint8Array) => engine.writeDocument(name, bytes),
  };
  return new RepairFlags(documents, Q, new EventLog());
}

describe("a receiver", () => {
  const stored: ReplicaWriteResult = { kind: "stored", digest: 1n, isDurable: true };
  const intakeOf = (store: () => Promise<ReplicaWriteResult>, slotOf = (): number => 1): HintIntake =>
    new HintIntake({
      main: {
        slotOf,
        digestOf: () => 0n,
        refusalOf: () => undefined,
        readEncoded: () => ({ kind: "object", object: undefined }),
        store,
      },
      partitionCount: Q,
      flags: flagsOf(engineOf(1)),
      clock: new HandClock(),
      backgroundShare: () => 1,
      isRemoved: () => false,
    });
  const delivery = encodeDelivery([{ location, slot: 1, object }]);

  test("answers for an object when it is durable, and not before", async () => {
    let end: ((result: ReplicaWriteResult) => void) | undefined;
    const intake = intakeOf(
      () =>
        new Promise((resolve) => {
          end = resolve;
        }),
    );
    let answer: unknown;
    void intake.take(FROM, delivery, 1_000).then((body) => {
      answer = body;
    });
    await turns();
    expect(answer).toBeUndefined();
    end?.(stored);
    await turns();
    expect(parseReply(answer, 1)?.states).toEqual(["held"]);
  });

  test.each([
    ["later", { kind: "refused", reason: "disk_full", detail: "" }],
    ["later", { kind: "refused", reason: "overloaded", detail: "" }],
    ["later", { kind: "failed", detail: "" }],
    ["elsewhere", { kind: "refused", reason: "moved", detail: "" }],
    // its own record may be the rotten one: what was brought is the good copy
    ["later", { kind: "refused", reason: "corrupt_record", detail: "" }],
  ] as const)("says %s for what its store ends in %o", async (state, result) => {
    const answer = await intakeOf(async () => result).take(FROM, delivery, 1_000);
    expect(parseReply(answer, 1)?.states).toEqual([state]);
  });

  test("does not confirm what it stored while its slot went", async () => {
    let isHeld = true;
    const intake = intakeOf(
      async () => {
        isHeld = false;
        return stored;
      },
      () => (isHeld ? 1 : -1),
    );
    expect(parseReply(await intake.take(FROM, delivery, 1_000), 1)?.states).toEqual(["elsewhere"]);
  });
});

describe("a marker", () => {
  const heldUp = () => {
    const engine = engineOf(2);
    let gate: Promise<void> | undefined;
    const slow = new Proxy(engine, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (name === "put") {
          return async (request: Parameters<typeof engine.put>[0]) => {
            await gate;
            await target.put(request);
          };
        }
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const clock = new HandClock();
    const tally = new ShelfTally(Q, clock);
    const records = new HintRecords(slow, "marker", tally);
    const room = new HintRoom(engine, 1e9, clock);
    const markers = new MarkerStore({ records, tally, flags: flagsOf(engine), room, clock, log: new EventLog() });
    const close = (): (() => void) => {
      let open = (): void => {};
      gate = new Promise((resolve) => {
        open = resolve;
      });
      return open;
    };
    return { tally, records, markers, close };
  };

  test("that is noted again while it is being taken out is there afterwards", async () => {
    const { tally, records, markers, close } = heldUp();
    markers.note(location, 1);
    await markers.flush();
    const digest = records.digestOf(location);
    expect(markerOf(digest).mask).toBe(2);

    const open = close();
    const settling = markers.settle({ location, digest }, 2, () => true);
    markers.note(location, 1);
    const flushing = markers.flush();
    open();
    await Promise.all([settling, flushing]);
    expect(markerOf(records.digestOf(location)).mask).toBe(2);
    expect(tally.countOf(location.partition)).toBe(1);
  });

  test("that comes back for a slot which a pass has just struck out is offered to that slot again", async () => {
    const { tally, records, markers, close } = heldUp();
    markers.note(location, 1);
    markers.note(location, 2);
    await markers.flush();
    const digest = records.digestOf(location);
    expect(markerOf(digest).mask).toBe(0b110);

    const begun = tally.beginPass(location.partition, 2);
    const open = close();
    const settling = markers.settle({ location, digest }, 0b100, () => true);
    markers.note(location, 1);
    const flushing = markers.flush();
    open();
    expect(await settling).toBe(true);
    await flushing;
    tally.endPass(location.partition, 2, { startedMs: 1, begun, replicaCount: 3 });
    const { mask } = markerOf(records.digestOf(location));
    expect(tally.maskOf(location.partition) & mask).toBe(mask);
  });
});
