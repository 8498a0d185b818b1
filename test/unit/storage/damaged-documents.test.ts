/** Documents of which a bit has turned: what a store can do without costs what it said, anything else refuses whoever reads it. */
import { describe, expect, test } from "vitest";
import { type AdvisoryRead, readAdvisory } from "../../../storage/advisory-document.ts";
import { StoreUnusableError } from "../../../storage/errors.ts";
import type { SimDisk } from "../../sim/sim-disk.ts";
import { type LogStart, openTiny, simDisk } from "../../support/log-store.ts";
import { nthAddress, settle, writeOf } from "../../support/storage-fixtures.ts";

const SCRUB = "documents/storage-scrub";
const RING = "documents/ring";
/** in the magic, the version, the length and the checksum, and in what is said */
const PLACES = [0, 8, 12, 16, 25];
const UNREADABLE = "storage.scrub-place-unreadable";

/** A store that was scrubbed once, and stopped. */
async function scrubbedDisk(): Promise<SimDisk> {
  const disk = simDisk();
  const engine = await openTiny(disk);
  for (let n = 0; n < 40; n += 1) await engine.put(writeOf(nthAddress(n), n, 100));
  await settle();
  await engine.writeDocument("ring", Buffer.from("who holds what"));
  await engine.scrub();
  await engine.close();
  return disk;
}

async function opened(disk: SimDisk, start: LogStart = {}) {
  const events: string[] = [];
  const engine = await openTiny(disk, { events, ...start });
  return { engine, told: () => events.filter((event) => event === UNREADABLE) };
}

describe("a store that cannot read how far it was scrubbed", () => {
  test.each(PLACES)("starts, says so, and begins a pass anew (byte %i)", async (offset) => {
    const disk = await scrubbedDisk();
    disk.flipBit(SCRUB, { offset, bit: 3 });
    const { engine, told } = await opened(disk);
    expect([engine.recovery.mode, told(), engine.stats().scrub.passCount]).toEqual(["clean", [UNREADABLE], 0]);
    const { segmentCount, badCount } = await engine.scrub();
    expect([segmentCount > 0, badCount]).toEqual([true, 0]);
    await engine.close();
    const again = await opened(disk);
    expect([again.told(), again.engine.stats().scrub.passCount]).toEqual([[], 1]);
  });

  test("says so too where the file is whole, and what it says makes no sense", async () => {
    const disk = await scrubbedDisk();
    const { engine } = await opened(disk);
    await engine.writeDocument("storage-scrub", Buffer.from('{"after":-1}'));
    await engine.close();
    const again = await opened(disk);
    expect([again.told(), again.engine.stats().scrub.passCount]).toEqual([[UNREADABLE], 0]);
  });

  test("that never was says nothing", async () => {
    expect((await opened(simDisk())).told()).toEqual([]);
  });
});

test.each(PLACES)(
  "any other document with a flaw is refused, by name, until it is written anew (byte %i)",
  async (at) => {
    const disk = await scrubbedDisk();
    disk.flipBit(RING, { offset: at, bit: 3 });
    const { engine } = await opened(disk);
    expect(() => engine.readDocument("ring")).toThrow(StoreUnusableError);
    expect(() => engine.readDocument("ring")).toThrow(RING);
    await engine.writeDocument("ring", Buffer.from("anew"));
    expect(engine.readDocument("ring")).toEqual(new Uint8Array(Buffer.from("anew")));
  },
);

describe("a document that may be lost", () => {
  const damaged = (): never => {
    throw new StoreUnusableError("damaged");
  };
  const cases: readonly (readonly [string, () => Uint8Array | undefined, AdvisoryRead<number>])[] = [
    ["that was never written is none", () => undefined, { kind: "none" }],
    ["that is whole is read", () => Uint8Array.of(7), { kind: "read", content: 7 }],
    ["that says nothing at all is read, too", () => Uint8Array.of(0), { kind: "read", content: 0 }],
    ["that makes no sense is unreadable", () => new Uint8Array(0), { kind: "unreadable" }],
    ["that is damaged is unreadable", damaged, { kind: "unreadable" }],
  ];

  test.each(cases)("%s", (_what, read, expected) => {
    expect(readAdvisory(read, (bytes) => bytes[0])).toEqual(expected);
  });

  test("hides no other failure, neither of reading nor of understanding", () => {
    const fail = (): never => {
      throw new RangeError("a defect");
    };
    expect(() => readAdvisory(fail, (bytes) => bytes[0])).toThrow(RangeError);
    expect(() => readAdvisory(() => Uint8Array.of(1), fail)).toThrow(RangeError);
    expect(() => readAdvisory(() => Uint8Array.of(1), damaged)).toThrow(StoreUnusableError);
  });
});
