/** What is kept for a slot gets to whoever holds it, whatever happens in between. */
import { describe, expect, test } from "vitest";
import type { NodeId } from "../../../services/base/ids.ts";
import { parseFlushReply } from "../../../services/handoff/hint-messages.ts";
import type { Dot } from "../../../services/versioning/types.ts";
import { HandoffRig, type RigNode } from "../../support/handoff-rig.ts";
import { putOf } from "../../support/replica-fixture.ts";

const WHOLE_WAY_MS = 120_000;

/** A version for slot 1 that its holder missed, kept by the first fallback; its holder is away. */
async function hinted(rig: HandoffRig, count = 1): Promise<{ readonly away: RigNode; readonly keeper: RigNode }> {
  const first = rig.nth(7, 0);
  const away = rig.holderOf(first, 1);
  const keeper = rig.fallbacksOf(first)[0] ?? away;
  rig.crash(away);
  for (let n = 0; n < count; n += 1) {
    const location = rig.nth(7, n);
    const minted = await rig.write(location, 0, `value ${n}`);
    await rig.life(rig.holderOf(location, 2)).replica.store(location, minted);
    const result = await rig.during(rig.life(keeper).handoff.fallback.store(location, 1, minted));
    expect(result).toMatchObject({ kind: "stored", digest: minted.digest, isDurable: true });
  }
  return { away, keeper };
}

describe("a hint", () => {
  test("stays while its target is away, and is delivered and gone soon after it is back", async () => {
    const rig = await HandoffRig.started();
    const { away, keeper } = await hinted(rig, 20);
    await rig.pass(60_000);
    expect(rig.life(keeper).handoff.view()).toMatchObject({
      count: 20,
      targets: [{ node: away.id, count: 20, oldestAgeMs: expect.any(Number) }],
    });
    expect(rig.life(keeper).handoff.hasHintsOf(7)).toBe(true);
    await rig.start(away);
    expect(await rig.until(() => rig.keptCount() === 0, 10_000)).toBe(true);
    for (let n = 0; n < 20; n += 1) {
      const held = await rig.life(rig.holderOf(rig.nth(7, 0), 0)).engine.get(rig.nth(7, n));
      expect(await rig.covers(rig.nth(7, n), 1, held?.value ?? new Uint8Array(0))).toBe(true);
    }
    expect(rig.life(keeper).handoff.hasHintsOf(7)).toBe(false);
    expect(rig.life(keeper).handoff.view()).toMatchObject({ count: 0, targets: [], delivered: { deliveredCount: 20 } });
  });

  test("is found again by a start after a crash, and delivered by digests alone to who has it already", async () => {
    const rig = await HandoffRig.started();
    const { away, keeper } = await hinted(rig, 5);
    rig.crash(keeper);
    await rig.start(keeper);
    await rig.pass(1);
    expect(rig.life(keeper).handoff.view().count).toBe(5);
    await rig.start(away);
    expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
    // after the crash it is not known whom they are for: three slots were asked, one of them lacked them
    expect(rig.life(keeper).handoff.view().delivered).toMatchObject({ sentCount: 5 });
  });

  test("whose slots are remembered after a clean stop is offered to nobody else", async () => {
    const rig = await HandoffRig.started();
    const { away, keeper } = await hinted(rig, 5);
    await rig.during(rig.stop(keeper));
    await rig.start(keeper);
    await rig.pass(1);
    expect(
      rig
        .life(keeper)
        .handoff.view()
        .targets.map(({ node }) => node),
    ).toEqual([away.id]);
  });

  test("delivered, but not taken out before a crash, is delivered once more and does no harm", async () => {
    let takeCount = 0;
    const rig = await HandoffRig.started({
      onAsk: ({ topic }) => {
        if (topic !== "hints.take") return undefined;
        takeCount += 1;
        return "answer lost";
      },
    });
    const { away, keeper } = await hinted(rig, 3);
    await rig.start(away);
    expect(await rig.until(() => rig.life(away).engine.keyCountOf(7) === 3, WHOLE_WAY_MS)).toBe(true);
    rig.crash(keeper);
    await rig.start(keeper);
    await rig.pass(1);
    expect(rig.keptCount()).toBe(3);
    // the receiver has them: digests suffice, and nothing is taken again
    expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
    expect(takeCount).toBe(1);
  });

  test("that changes while it is delivered stays until the change is delivered too", async () => {
    const shape: { onTake?: () => void } = {};
    const rig = await HandoffRig.started({
      onAsk: ({ topic }) => {
        if (topic === "hints.take") shape.onTake?.();
        return undefined;
      },
    });
    const { away, keeper } = await hinted(rig, 1);
    const location = rig.nth(7, 0);
    const later = await rig.write(location, 0, "later");
    let isChanged = false;
    shape.onTake = () => {
      if (isChanged) return;
      isChanged = true;
      void rig.life(keeper).handoff.fallback.store(location, 1, later);
    };
    await rig.start(away);
    expect(await rig.until(() => isChanged && rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
    expect(await rig.covers(location, 1, later.object)).toBe(true);
  });

  test("for two slots goes only when both have it", async () => {
    const rig = await HandoffRig.started();
    const location = rig.nth(7, 0);
    const [first, second] = [rig.holderOf(location, 1), rig.holderOf(location, 2)];
    const [keeper] = rig.fallbacksOf(location);
    if (keeper === undefined) throw new Error("no fallback");
    rig.crash(first);
    rig.crash(second);
    const minted = await rig.write(location, 0, "for both");
    for (const slot of [1, 2]) await rig.life(keeper).handoff.fallback.store(location, slot, minted);
    await rig.start(first);
    expect(await rig.until(() => rig.life(keeper).handoff.view().targets.length === 1, WHOLE_WAY_MS)).toBe(true);
    await rig.pass(60_000);
    expect(rig.keptCount()).toBe(1);
    expect(await rig.covers(location, 1, minted.object)).toBe(true);
    await rig.start(second);
    expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
    expect(await rig.covers(location, 2, minted.object)).toBe(true);
  });

  test("for a slot that comes while the slot's pass is at its end is not forgotten with it", async () => {
    const shape: { onOffer?: (to: string) => void } = {};
    const rig = await HandoffRig.started({
      onAsk: ({ topic, to }) => {
        if (topic === "hints.offer") shape.onOffer?.(to);
        return undefined;
      },
    });
    const byHash = [0, 1].map((n) => rig.nth(7, n)).sort((a, b) => (a.hash < b.hash ? -1 : 1));
    const [low, high] = [byHash[0] ?? rig.nth(7, 0), byHash[1] ?? rig.nth(7, 1)];
    const [first, second] = [rig.holderOf(low, 1), rig.holderOf(low, 2)];
    const [keeper] = rig.fallbacksOf(low);
    if (keeper === undefined) throw new Error("no fallback");
    rig.crash(first);
    rig.crash(second);
    const [lowMade, highMade] = [await rig.write(low, 0, "low"), await rig.write(high, 0, "high")];
    const { fallback } = rig.life(keeper).handoff;
    for (const slot of [1, 2]) await fallback.store(high, slot, highMade);
    let isKept = false;
    shape.onOffer = (to) => {
      if (to !== first.id || isKept) return;
      isKept = true;
      // the scan is past its hash
      void fallback.store(low, 1, lowMade);
    };
    await rig.start(first);
    expect(await rig.until(() => isKept && rig.life(first).engine.keyCountOf(7) === 2, WHOLE_WAY_MS)).toBe(true);
    await rig.start(second);
    expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
  });

  test("of which one slot is known from before a crash and another came since goes to both", async () => {
    const rig = await HandoffRig.started();
    const location = rig.nth(7, 0);
    const [first, second] = [rig.holderOf(location, 1), rig.holderOf(location, 2)];
    const [keeper] = rig.fallbacksOf(location);
    if (keeper === undefined) throw new Error("no fallback");
    rig.crash(first);
    rig.crash(second);
    const minted = await rig.write(location, 0, "for both");
    await rig.life(keeper).handoff.fallback.store(location, 1, minted);
    await rig.during(rig.stop(keeper));
    await rig.start(keeper);
    await rig.life(keeper).handoff.fallback.store(location, 2, minted);
    rig.crash(keeper);
    await rig.start(keeper);
    await rig.start(first);
    await rig.pass(60_000);
    await rig.start(second);
    expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
    for (const slot of [1, 2]) expect(await rig.covers(location, slot, minted.object)).toBe(true);
  });

  test("that is refused by who does not hold the slot any more waits for the one that does, other slots or not", async () => {
    const rig = await HandoffRig.started();
    const location = rig.nth(7, 0);
    const [first, second] = [rig.holderOf(location, 1), rig.holderOf(location, 2)];
    const [keeper, heir] = rig.fallbacksOf(location);
    if (keeper === undefined || heir === undefined) throw new Error("no fallbacks");
    rig.crash(second);
    const minted = await rig.write(location, 0, "for both");
    rig.crash(first);
    const [held, believed] = [rig.holders[7] ?? [], rig.believed[7] ?? []];
    held[1] = heir.id;
    first.given.set(7, first.id);
    for (const slot of [1, 2]) await rig.life(keeper).handoff.fallback.store(location, slot, minted);
    await rig.start(first);
    await rig.pass(30_000);
    believed[1] = heir.id;
    expect(await rig.until(() => rig.life(heir).engine.keyCountOf(7) === 1, WHOLE_WAY_MS)).toBe(true);
    await rig.start(second);
    expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
  });

  test("is not confirmed by a node that has it and does not hold the slot", async () => {
    const rig = await HandoffRig.started();
    const { away, keeper } = await hinted(rig, 1);
    const location = rig.nth(7, 0);
    const owner = rig.life(rig.holderOf(location, 0));
    const record = await owner.engine.get(location);
    await rig.start(away);
    await rig.life(away).replica.ingest(location, record?.value ?? new Uint8Array(0));
    const [held] = [rig.holders[7] ?? []];
    const heir = rig.fallbacksOf(location).find((node) => node !== keeper) ?? keeper;
    held[1] = heir.id;
    expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
    expect(rig.life(heir).engine.keyCountOf(7)).toBe(1);
  });

  test("goes to whom the slot has moved, by the word of the node that held it or by the table", async () => {
    for (const isTableRight of [true, false]) {
      const rig = await HandoffRig.started();
      const { away, keeper } = await hinted(rig, 4);
      const heir = rig.fallbacksOf(rig.nth(7, 0)).find((node) => node !== keeper) ?? keeper;
      const [held, believed] = [rig.holders[7] ?? [], rig.believed[7] ?? []];
      held[1] = heir.id;
      if (isTableRight) believed[1] = heir.id;
      await rig.start(away);
      expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
      const minted = await rig.life(rig.holderOf(rig.nth(7, 0), 0)).engine.get(rig.nth(7, 3));
      expect(await rig.covers(rig.nth(7, 3), 1, minted?.value ?? new Uint8Array(0))).toBe(true);
    }
  });

  test("whose slot this node took itself goes into its own main store", async () => {
    const rig = await HandoffRig.started();
    const { keeper } = await hinted(rig, 3);
    for (const table of [rig.holders[7] ?? [], rig.believed[7] ?? []]) table[1] = keeper.id;
    expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
    expect(rig.life(keeper).engine.keyCountOf(7)).toBe(3);
  });

  test("of a bucket with fewer replicas is never offered to the higher slots", async () => {
    const rig = await HandoffRig.started({ replicasOf: () => 2 });
    const { away, keeper } = await hinted(rig, 3);
    rig.crash(keeper);
    await rig.start(keeper);
    await rig.start(away);
    expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
    const { id } = rig.holderOf(rig.nth(7, 0), 2);
    expect(rig.asks.filter(({ to, topic }) => to === id && topic !== "hints.flag")).toEqual([]);
  });

  test("of a removed member's keeping is not taken, and no removed member is delivered to", async () => {
    const rig = await HandoffRig.started();
    const { away, keeper } = await hinted(rig, 2);
    keeper.isRemoved = true;
    await rig.start(away);
    await rig.pass(30_000);
    expect(rig.life(away).engine.keyCountOf(7)).toBe(0);
  });

  test("of which nothing can be read flags its partition and is taken out", async () => {
    const rig = await HandoffRig.started();
    const { away, keeper } = await hinted(rig, 1);
    const { hints, handoff } = rig.life(keeper);
    const location = rig.nth(7, 0);
    const address = { partition: 7, hash: location.hash >> 1n, key: location.key };
    await hints.put({ address, value: Buffer.from("no object"), digest: 99n, isTombstone: false });
    await rig.start(away);
    expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
    expect(handoff.flags.isFlagged(7) || rig.nodes.some(({ life }) => life?.handoff.flags.isFlagged(7))).toBe(true);
  });
});

describe("a version that a stand-in minted", () => {
  test("is a sibling of the next one that it mints for the key after the first was taken out: none is lost", async () => {
    const rig = await HandoffRig.started();
    const location = rig.nth(7, 0);
    const [keeper] = rig.fallbacksOf(location);
    if (keeper === undefined) throw new Error("no fallback");
    const dots: Dot[] = [];
    for (const text of ["first", "second", "third"]) {
      const put = putOf(text, undefined, "sibling");
      const minting = rig.life(keeper).handoff.fallback.write(location, 1, put, ({ dot }) => dots.push(dot));
      expect(await rig.during(minting)).toMatchObject({ kind: "stored" });
      expect(rig.life(keeper).handoff.fallback.digestOf(location)).not.toBe(0n);
      expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
      expect(rig.life(keeper).handoff.fallback.digestOf(location)).toBe(0n);
    }
    expect(new Set(dots.map(({ actor }) => actor)).size).toBe(3);
    const held = await rig.life(rig.holderOf(location, 1)).replica.read(location);
    expect(held).toMatchObject({ kind: "object", set: { siblings: [{}, {}, {}] } });
  });

  test("never carries the actor of the main store", async () => {
    const rig = await HandoffRig.started();
    const location = rig.nth(7, 0);
    const [keeper] = rig.fallbacksOf(location);
    if (keeper === undefined) throw new Error("no fallback");
    const minting = rig.life(keeper).handoff.fallback.write(location, 1, putOf("x"), ({ dot }) => {
      expect(dot.actor).toBe(rig.life(keeper).hints.identity.actor);
      expect(dot.actor).not.toBe(rig.life(keeper).engine.identity.actor);
    });
    expect(await rig.during(minting)).toMatchObject({ kind: "stored" });
    expect(await rig.life(keeper).handoff.fallback.read(location)).toMatchObject({ set: { siblings: [{}] } });
  });

  test("of a delete is kept as well, and delivered", async () => {
    const rig = await HandoffRig.started();
    const { away, keeper } = await hinted(rig, 1);
    const location = rig.nth(7, 0);
    const remove = { kind: "delete", context: undefined } as const;
    const deleting = rig.life(keeper).handoff.fallback.write(location, 1, remove, () => undefined);
    expect(await rig.during(deleting)).toMatchObject({ kind: "stored" });
    await rig.start(away);
    expect(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS)).toBe(true);
    expect(await rig.life(away).replica.read(location)).toMatchObject({ kind: "object", set: { siblings: [] } });
  });
});

describe("deliveries", () => {
  test("begin at a time of their own, and keep within the receiver's credit", async () => {
    const rig = await HandoffRig.started();
    const { away } = await hinted(rig, 1);
    for (const keeper of rig.nodes.filter((node) => node !== away)) {
      for (let partition = 0; partition < 64; partition += 1) {
        const slot = rig.holders[partition]?.indexOf(away.id) ?? -1;
        if (slot < 0) continue;
        const minted = await rig.write(rig.nth(partition, 0), (slot + 1) % 3, `p${partition}`);
        await rig.life(keeper).handoff.fallback.store(rig.nth(partition, 0), slot, minted);
      }
    }
    const backMs = rig.scheduler.nowMs;
    rig.asks.length = 0;
    await rig.start(away);
    const firsts = new Map<string, number>();
    expect(
      await rig.until(() => {
        for (const { from, topic } of rig.asks) {
          if (topic === "hints.offer" && !firsts.has(from)) firsts.set(from, rig.scheduler.nowMs - backMs);
        }
        return rig.keptCount() === 0;
      }, 30_000),
    ).toBe(true);
    expect(new Set(firsts.values()).size).toBeGreaterThan(1);
    expect(Math.max(...firsts.values())).toBeLessThan(6_000);
  });

  test("back off from a target that answers nothing, and hurry when somebody waits", async () => {
    let isDeaf = true;
    const rig = await HandoffRig.started({
      onAsk: ({ topic }) => (isDeaf && topic === "hints.offer" ? "lost" : undefined),
    });
    const { away, keeper } = await hinted(rig, 1);
    await rig.start(away);
    await rig.pass(600_000);
    const tries = rig.asks.filter(({ topic }) => topic === "hints.offer").length;
    expect(tries).toBeGreaterThan(5);
    expect(tries).toBeLessThan(30);
    isDeaf = false;
    const waited = await rig.during(rig.life(keeper).handoff.flush.wait(60_000));
    expect(waited).toMatchObject({ isDone: true, left: [], unreachable: [] });
    expect(waited.durationMs).toBeLessThan(2_000);
    expect(rig.keptCount()).toBe(0);
  });

  test("are not called done because somebody has set a clock back", async () => {
    const rig = await HandoffRig.started();
    const { keeper } = await hinted(rig, 2);
    await rig.pass(1_000);
    rig.life(keeper).clock.jump(-3_600_000_000);
    expect(await rig.during(rig.life(keeper).handoff.flush.wait(1_000))).toMatchObject({ isDone: false });
  });

  test("whoever waits does not wait for what came later", async () => {
    const rig = await HandoffRig.started();
    const { keeper } = await hinted(rig, 0);
    const waiting = rig.life(keeper).handoff.flush.wait(60_000, true);
    const location = rig.nth(7, 1);
    const minted = await rig.write(location, 0, "later");
    await rig.life(keeper).handoff.fallback.store(location, 1, minted);
    expect(await rig.during(waiting)).toMatchObject({ isDone: true });
    expect(rig.keptCount()).toBe(1);
  });

  test("whoever waits at any node hears of what is left elsewhere, and of whom it cannot ask", async () => {
    const rig = await HandoffRig.started();
    const { away, keeper } = await hinted(rig, 4);
    const other = rig.nodes.find((node) => node !== away && node !== keeper) ?? keeper;
    const waited = await rig.during(rig.life(other).handoff.flush.wait(3_000));
    expect(waited).toMatchObject({
      isDone: false,
      left: [{ at: keeper.id, target: away.id, count: 4 }],
      unreachable: [away.id],
    });
    expect(waited.durationMs).toBeGreaterThanOrEqual(3_000);
  });

  test("whoever waits is not told that all is done while a member is away that may keep some, unless that is to be ignored", async () => {
    const rig = await HandoffRig.started();
    const { away, keeper } = await hinted(rig, 4);
    const location = rig.nth(7, 0);
    const other = rig.nodes.find((node) => node !== away && node !== keeper) ?? keeper;
    rig.crash(keeper);
    await rig.start(away);
    await rig.pass(30_000);
    const { flush } = rig.life(other).handoff;
    expect(await rig.during(flush.wait(2_000))).toMatchObject({ isDone: false, left: [], unreachable: [keeper.id] });
    const ignoring = await rig.during(flush.wait(2_000, true));
    expect(ignoring).toMatchObject({ isDone: true, left: [], unreachable: [keeper.id] });
    // it comes back while somebody waits: what it keeps is waited for as well
    const waiting = flush.wait(120_000);
    await rig.pass(1_000);
    await rig.start(keeper);
    expect(rig.life(keeper).handoff.fallback.digestOf(location)).not.toBe(0n);
    expect(await rig.during(waiting)).toMatchObject({ isDone: true, left: [], unreachable: [] });
    expect(rig.keptCount()).toBe(0);
  });

  test("whoever waits is not told that all is done by a member that has come back and counts yet, nor by its former clock", async () => {
    let isSlow = false;
    const rig = await HandoffRig.started({ countsSlowly: () => isSlow });
    const { away, keeper } = await hinted(rig, 4);
    const other = rig.nodes.find((node) => node !== away && node !== keeper) ?? keeper;
    await rig.pass(5_000);
    const waiting = rig.life(other).handoff.flush.wait(120_000);
    await rig.pass(2_000);
    const asked = parseFlushReply(await rig.during(rig.life(keeper).handoff.flush.handler(other.id, {})));
    expect(asked).toMatchObject({ left: new Map([[away.id, 4]]) });
    rig.crash(keeper);
    isSlow = true;
    await rig.start(keeper);
    const { flush } = rig.life(keeper).handoff;
    for (const question of [asked, { mark: asked?.mark }]) {
      const again = parseFlushReply(await rig.during(flush.handler(other.id, question)));
      expect([...(again?.left.keys() ?? [])]).toContain(away.id);
    }
    const again = parseFlushReply(await rig.during(flush.handler(other.id, asked)));
    expect([again?.run === asked?.run, again?.mark === asked?.mark]).toEqual([false, false]);
    expect(parseFlushReply(await rig.during(flush.handler(other.id, again)))?.mark).toBe(again?.mark);
    await rig.start(away);
    expect(await rig.during(waiting)).toMatchObject({ isDone: true, left: [], unreachable: [] });
    expect(rig.keptCount()).toBe(0);
  });

  test("whoever waits waits for what is still being kept as well", async () => {
    const rig = await HandoffRig.started({ isOnDisk: true });
    const location = rig.nth(7, 0);
    const away = rig.holderOf(location, 1);
    const keeper = rig.fallbacksOf(location)[0] ?? away;
    const minted = await rig.during(rig.write(location, 0, "value"));
    rig.crash(away);
    const { flush, missedWrites } = rig.life(keeper).handoff;
    missedWrites.missed({ location, slot: 1, ...minted });
    const asked = parseFlushReply(await rig.during(flush.handler(keeper.id, {})));
    expect(asked?.left).toEqual(new Map([[away.id, 1]]));
  });

  test("nothing is delivered, and so taken out, before it is counted whom else it is for, whoever waits", async () => {
    let isSlow = false;
    const rig = await HandoffRig.started({ countsSlowly: () => isSlow });
    const { away, keeper } = await hinted(rig, 4);
    rig.crash(keeper);
    isSlow = true;
    await rig.start(keeper);
    const { handoff } = rig.life(keeper);
    // one for another slot, whose holder is there and has all of them
    const location = rig.nth(7, 5);
    const minted = await rig.write(location, 0, "later");
    const stored = handoff.fallback.store(location, 2, minted);
    const answer = handoff.flush.handler(keeper.id, { mark: 0 });
    await rig.during(Promise.all([stored, answer]));
    await rig.pass(WHOLE_WAY_MS);
    // after a crash each may be for any of the three, the new one among them
    expect(handoff.view()).toMatchObject({ count: 5, targets: [{ node: away.id, count: 5 }] });
  });

  test("whoever waits hears of hints for slots that nobody is believed to hold, and they go once somebody is", async () => {
    const rig = await HandoffRig.started();
    const { away, keeper } = await hinted(rig, 4);
    const believed = rig.believed[7] ?? [];
    const holed: NodeId[] = [];
    for (const [slot, id] of believed.entries()) if (slot !== 1) holed[slot] = id;
    rig.believed[7] = holed;
    const waited = await rig.during(rig.life(keeper).handoff.flush.wait(2_000));
    expect(waited).toMatchObject({ isDone: false, left: [{ at: keeper.id, target: null, count: 4 }] });
    rig.believed[7] = believed;
    await rig.start(away);
    expect(await rig.during(rig.life(keeper).handoff.flush.wait(60_000))).toMatchObject({ isDone: true, left: [] });
    expect(rig.keptCount()).toBe(0);
  });

  test("whoever waits is not told that all is done because a member that keeps some does not answer for a while", async () => {
    const shape: { isDeaf: boolean; keeper?: NodeId } = { isDeaf: false };
    const rig = await HandoffRig.started({
      onAsk: ({ topic, to }) => (shape.isDeaf && topic === "hints.flush" && to === shape.keeper ? "lost" : undefined),
    });
    const { away, keeper } = await hinted(rig, 4);
    shape.keeper = keeper.id;
    const other = rig.nodes.find((node) => node !== away && node !== keeper) ?? keeper;
    const waiting = rig.life(other).handoff.flush.wait(20_000);
    await rig.pass(500);
    shape.isDeaf = true;
    await rig.pass(2_000);
    shape.isDeaf = false;
    await rig.start(away);
    expect(await rig.during(waiting)).toMatchObject({ isDone: true, left: [] });
    expect(rig.keptCount()).toBe(0);

    shape.isDeaf = true;
    const waited = await rig.during(rig.life(other).handoff.flush.wait(2_000));
    expect(waited).toMatchObject({ isDone: false, left: [], unreachable: [keeper.id] });
  });

  test("whoever waits does not wait for a member that is removed meanwhile, with what it kept", async () => {
    for (const ignoresUnreachable of [false, true]) {
      const rig = await HandoffRig.started();
      const { away, keeper } = await hinted(rig, 4);
      const other = rig.nodes.find((node) => node !== away && node !== keeper) ?? keeper;
      const waiting = rig.life(other).handoff.flush.wait(60_000, ignoresUnreachable);
      await rig.pass(1_000);
      rig.crash(keeper);
      for (const node of [away, keeper]) node.isRemoved = true;
      const waited = await rig.during(waiting);
      expect(waited).toMatchObject({ isDone: true, left: [], unreachable: [] });
      expect(waited.durationMs).toBeLessThan(30_000);
    }
  });
});
