import { describe, expect, it } from "vitest";
import type { NodeId } from "../../../services/base/ids.ts";
import {
  RECORDS_EXCHANGE_TOPIC,
  RECORDS_OFFER_TOPIC,
  type RecordBook,
  RecordExchange,
} from "../../../services/cluster/record-exchange.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { nodeId } from "./bootstrap-world.ts";
import { KeptLog, seededRandom, TestLinks } from "./cluster-fixtures.ts";
import { MembershipRig } from "./membership-rig.ts";

/** A book whose records are words; what one lacks, the other has. */
class WordBook implements RecordBook {
  readonly words: Set<string>;
  readonly own: string[] = [];

  constructor(...words: readonly string[]) {
    this.words = new Set(words);
  }

  hash(): bigint {
    return BigInt([...this.words].toSorted().join("").length) + (this.words.has("odd") ? 1_000n : 0n);
  }
  /** what was taken is not durable before this resolves */
  writing: Promise<void> = Promise.resolve();

  settled(): Promise<void> {
    return this.writing;
  }
  digests(): unknown {
    return [...this.words];
  }
  newerThan(digests: unknown): unknown {
    const theirs = new Set(Array.isArray(digests) ? digests : []);
    const lacking = [...this.words].filter((word) => !theirs.has(word));
    return lacking.length === 0 ? undefined : lacking;
  }
  ownRecords(): unknown {
    return [...this.own];
  }
  async merge(records: unknown): Promise<"merged" | "malformed"> {
    if (!Array.isArray(records)) return "malformed";
    for (const word of records) if (typeof word === "string") this.words.add(word);
    return "merged";
  }
}

interface Node {
  readonly id: NodeId;
  readonly book: WordBook;
  readonly exchange: RecordExchange;
  readonly exchanged: NodeId[];
  readonly log: KeptLog;
}

class World {
  readonly clock: FakeClock = new FakeClock();
  readonly links: TestLinks = new TestLinks();
  offers = 0;
  readonly compared: unknown[] = [];

  make(name: string, ...words: readonly string[]): Node {
    const id = nodeId(name);
    const book = new WordBook(...words);
    const exchanged: NodeId[] = [];
    const log = new KeptLog();
    const { clock } = this;
    const peers = this.links.from(id);
    const onExchanged = (node: NodeId): unknown => exchanged.push(node);
    const exchange = new RecordExchange({ book, peers, clock, random: seededRandom(7), log, onExchanged });
    this.links.handlers.set(
      id,
      new Map([
        [
          RECORDS_OFFER_TOPIC,
          (from, body, budgetMs) => {
            this.offers += 1;
            return exchange.offerHandler(from, body, budgetMs);
          },
        ],
        [
          RECORDS_EXCHANGE_TOPIC,
          (from, body, budgetMs) => {
            this.compared.push(body);
            return exchange.exchangeHandler(from, body, budgetMs);
          },
        ],
      ]),
    );
    return { id, book, exchange, exchanged, log };
  }

  link(one: Node, other: Node): void {
    one.exchange.peerUp(other.id);
    other.exchange.peerUp(one.id);
  }
}

describe("comparing", () => {
  it("a new link makes both sides know what either knew, and each is told so", async () => {
    const world = new World();
    const [a, b] = [world.make("a", "one", "both"), world.make("b", "three", "both")];
    for (const node of [a, b]) node.exchange.start();
    world.link(a, b);
    await world.clock.advance(50);
    expect([...a.book.words].toSorted()).toEqual(["both", "one", "three"]);
    expect([...b.book.words].toSorted()).toEqual(["both", "one", "three"]);
    expect([a.exchanged.includes(b.id), b.exchanged.includes(a.id)]).toEqual([true, true]);
  });

  it.each([
    ["what they know differs", "one"],
    ["both know the same", "both"],
  ])("ends only when it is durable on both sides, where %s", async (_, word) => {
    const world = new World();
    const [a, b] = [world.make("a", "both", word), world.make("b", "both")];
    const written = Promise.withResolvers<undefined>();
    b.book.writing = written.promise;
    for (const node of [a, b]) node.exchange.start();
    world.link(a, b);
    await world.clock.advance(50);
    expect([a.exchanged, b.exchanged]).toEqual([[], []]);
    written.resolve(undefined);
    await world.clock.advance(3_000);
    expect([a.exchanged.includes(b.id), b.exchanged.includes(a.id)]).toEqual([true, true]);
  });

  it("what a push did not bring is found within a second by comparing", async () => {
    const world = new World();
    const [a, b] = [world.make("a", "both"), world.make("b", "both")];
    for (const node of [a, b]) node.exchange.start();
    world.link(a, b);
    await world.clock.advance(50);
    a.book.words.add("late");
    await world.clock.advance(1_050);
    expect(b.book.words.has("late")).toBe(true);
  });

  it("while both know the same, a hash is all that travels", async () => {
    const world = new World();
    const [a, b] = [world.make("a", "both"), world.make("b", "both")];
    for (const node of [a, b]) node.exchange.start();
    world.link(a, b);
    await world.clock.advance(5_000);
    expect(world.compared.length).toBeGreaterThan(8);
    expect(world.compared.filter((body) => JSON.stringify(body) !== '{"hash":"0000000000000004"}')).toEqual([]);
    expect(a.exchanged.length).toBeGreaterThan(3);
  });

  it("one who is no member yet is neither asked nor told, and one who becomes one is at once", async () => {
    const world = new World();
    const [a, b] = [world.make("a", "one"), world.make("b")];
    a.exchange.start();
    world.link(a, b);
    await world.clock.advance(5_000);
    expect([world.offers, b.book.words.size, a.exchanged, b.exchanged, b.log.lines]).toEqual([0, 0, [], [], []]);
    b.exchange.start();
    await world.clock.advance(10);
    expect([b.book.words.has("one"), b.exchanged]).toEqual([true, [a.id]]);
  });

  it("an exchange that began in a former life introduces nobody to the next one", async () => {
    const world = new World();
    const [a, b] = [world.make("a", "one"), world.make("b", "odd")];
    for (const node of [a, b]) node.exchange.start();
    a.exchange.peerUp(b.id);
    a.exchange.beginAnew();
    await world.clock.advance(10);
    expect(a.exchanged).toEqual([]);
    await world.clock.advance(2_000);
    expect(a.exchanged).toContain(b.id);
  });
});

describe("pushing", () => {
  it("many changes are one push in a tenth of a second, and never two at once", async () => {
    const world = new World();
    const [a, b] = [world.make("a", "one"), world.make("b", "one")];
    for (const node of [a, b]) node.exchange.start();
    world.link(a, b);
    await world.clock.advance(50);
    for (let at = 0; at < 90; at += 1) {
      a.book.own.splice(0, 1, `own${at}`);
      a.exchange.changed();
      await world.clock.advance(10);
    }
    expect(world.offers).toBeLessThan(12);
    await world.clock.advance(200);
    expect(b.book.words.has("own89")).toBe(true);
  });

  it("who is not linked is not called", async () => {
    const world = new World();
    const [a, b] = [world.make("a", "one"), world.make("b", "one")];
    for (const node of [a, b]) node.exchange.start();
    world.link(a, b);
    await world.clock.advance(50);
    a.exchange.peerDown(b.id);
    b.exchange.peerDown(a.id);
    const before = world.links.callCount;
    a.exchange.changed();
    a.exchange.differs(b.id);
    await world.clock.advance(5_000);
    expect(world.links.callCount).toBe(before);
  });
});

it("refuses what is no member records, in words", async () => {
  const world = new World();
  const a = world.make("a", "one");
  a.exchange.start();
  expect(await a.exchange.offerHandler(nodeId("b"), { records: 7 }, 1_000)).toMatchObject({ reason: "bad_request" });
  const rig = new MembershipRig(["a"], 1);
  const { membership } = rig.begin("a");
  const refused = await membership.exchange.offerHandler(nodeId("b"), { records: [[1]] }, 1_000);
  expect(refused).toMatchObject({ reason: "bad_request" });
});

it("plans nothing more when it is stopped, also in the middle of a push", async () => {
  const world = new World();
  const [a, b] = [world.make("a", "one"), world.make("b", "odd")];
  for (const node of [a, b]) node.exchange.start();
  world.link(a, b);
  a.exchange.changed();
  await world.clock.advance(99);
  a.exchange.stop();
  b.exchange.stop();
  a.exchange.changed();
  await world.clock.advance(5_000);
  expect(world.clock.plannedCount).toBe(0);
});
