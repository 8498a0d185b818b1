/** A flag is durable when it says so, whatever is cleared meanwhile. */
import { expect, test } from "vitest";
import { RepairFlags } from "../../../services/handoff/repair-flags.ts";
import { EventLog } from "../../support/replica-fixture.ts";

const Q = 64;

/** Documents whose writes end one by one, when they are let. */
class SlowDocuments {
  disk: Uint8Array | undefined;
  readonly #ends: (() => void)[] = [];

  read(): Uint8Array | undefined {
    return this.disk;
  }

  write(_name: string, bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.#ends.push(() => {
        this.disk = bytes;
        resolve();
      });
    });
  }

  get waitingCount(): number {
    return this.#ends.length;
  }

  async endOne(): Promise<void> {
    this.#ends.shift()?.();
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
  }
}

test("a flag that is raised while its clearing is being written is durable only after a write of its own", async () => {
  const documents = new SlowDocuments();
  const flags = new RepairFlags(documents, Q, new EventLog());
  const first = flags.flag([7]);
  await documents.endOne();
  await first;
  const clearing = flags.clearFlag(7, flags.flagCountOf(7));
  let isDurable = false;
  const again = flags.flag([7]).then(() => {
    isDurable = true;
  });
  await documents.endOne();
  expect([isDurable, documents.waitingCount]).toEqual([false, 1]);
  await documents.endOne();
  await Promise.all([clearing, again]);
  expect(new RepairFlags(documents, Q, new EventLog()).isFlagged(7)).toBe(true);
});

test("a flush ends when what was flagged before it is durable, also beside a write that began earlier", async () => {
  const documents = new SlowDocuments();
  const flags = new RepairFlags(documents, Q, new EventLog());
  flags.raise(1);
  flags.raise(2);
  let isDone = false;
  const flushed = flags.flush().then(() => {
    isDone = true;
  });
  await documents.endOne();
  expect(isDone).toBe(false);
  await documents.endOne();
  await flushed;
  const after = new RepairFlags(documents, Q, new EventLog());
  expect([after.isFlagged(1), after.isFlagged(2)]).toEqual([true, true]);
});
