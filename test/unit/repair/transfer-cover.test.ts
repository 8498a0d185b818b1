/** The proof before an old copy is dropped: what a holder lacks is given to it. */
import { describe, expect, test } from "vitest";
import { parseNodeId } from "../../../services/base/ids.ts";
import { MAX_LISTED_STATES } from "../../../services/base/limits.ts";
import type { CallResult, PeerRequest } from "../../../services/peers/messages.ts";
import type { CoveringHolder } from "../../../services/repair/transfer-cover.ts";
import { encodeCursor } from "../../../services/repair/transfer-page-core.ts";
import { putOf } from "../../support/replica-fixture.ts";
import {
  COPIED,
  carried,
  nthCopied,
  type TransferNode,
  transferNode,
  writeNth,
} from "../../support/transfer-fixture.ts";

const HOLDER = parseNodeId("holder") ?? expect.fail("a node id");
const LOST: CallResult = { kind: "lost", reason: "timeout" };
const nothing = (): void => undefined;

/** A holder with a copy of so many keys, and the node that had it before. */
async function pair(keyCount: number): Promise<{ readonly old: TransferNode; readonly holder: TransferNode }> {
  const old = transferNode(1);
  const holder = transferNode(2);
  await Promise.all(Array.from({ length: keyCount }, (_, n) => writeNth(old, n)));
  old.donor.openAttempt(COPIED, 1);
  holder.fixture.slots.slot = -1;
  const source = {
    pull: (body: unknown) => old.donor.pull(COPIED, 1, carried(body)),
    changes: (body: unknown) => old.donor.changes(COPIED, 1, carried(body)),
  };
  expect(await holder.receiver.receive(COPIED, source, nothing)).toEqual({ kind: "copied" });
  holder.fixture.slots.slot = 0;
  return { old, holder };
}

interface Proof {
  readonly isCovered: boolean;
  readonly given: readonly PeerRequest[];
  readonly askCount: number;
}

/** Proves; every store that the old node sends reaches the holder, unless `endOf` names another end of it. */
async function prove(
  { old, holder }: { readonly old: TransferNode; readonly holder: TransferNode },
  endOf = (): CallResult | undefined => undefined,
): Promise<Proof> {
  const given: PeerRequest[] = [];
  let askCount = 0;
  old.onCall = (to, request, onResult) => {
    given.push(request);
    const end = request.kind === "store" && to === HOLDER ? endOf() : LOST;
    if (end !== undefined || request.kind !== "store") return onResult(end ?? LOST);
    const { key, ...version } = request;
    void holder.replica
      .store(key, version)
      .then((result) =>
        onResult(result.kind === "stored" ? { ...result, slot: 0 } : { kind: "failed", detail: result.detail }),
      );
  };
  const way: CoveringHolder = {
    node: HOLDER,
    pull: async (body) => {
      askCount += 1;
      return carried(await holder.donor.copy(COPIED, carried(body), false));
    },
  };
  const isCovered = await old.donor.isCoveredBy(COPIED, way);
  return { isCovered, given, askCount };
}

describe("an old copy is covered", () => {
  test("by a holder that has the same, at the cost of one question", async () => {
    expect(await prove(await pair(500))).toEqual({ isCovered: true, given: [], askCount: 1 });
  });

  test("when it holds nothing, and by a holder that has more keys", async () => {
    const nodes = await pair(0);
    for (let n = 0; n < 50; n += 1) await writeNth(nodes.holder, n);
    expect(await prove(nodes)).toMatchObject({ isCovered: true, given: [] });
  });

  test("by a holder that has newer versions, which it keeps", async () => {
    const nodes = await pair(300);
    await writeNth(nodes.holder, 7, 90);
    await nodes.holder.replica.write(nthCopied(8), { kind: "delete", context: undefined }, nothing);
    const before = await nodes.holder.receiver.summary(COPIED);
    const { isCovered, given } = await prove(nodes);
    expect(isCovered).toBe(true);
    expect(given).toHaveLength(2);
    expect(await nodes.holder.receiver.summary(COPIED)).toEqual(before);
  });

  test("once it has given the holder what that lacked: keys and versions", async () => {
    const nodes = await pair(300);
    await writeNth(nodes.old, 300);
    await nodes.old.replica.write(nthCopied(5), putOf("last copy", undefined, "sibling"), nothing);
    expect(await prove(nodes)).toMatchObject({ isCovered: true, given: [{ kind: "store" }, { kind: "store" }] });
    expect(nodes.holder.engine.keyCountOf(COPIED)).toBe(301);
    expect(await prove(nodes)).toMatchObject({ isCovered: true, given: [] });
  });

  test("of more keys than one answer tells", async () => {
    const nodes = await pair(0);
    const count = MAX_LISTED_STATES + 500;
    await Promise.all(Array.from({ length: count }, (_, n) => writeNth(nodes.holder, n)));
    await writeNth(nodes.old, count - 1, 70);
    const { isCovered, given, askCount } = await prove(nodes);
    expect([isCovered, given.length]).toEqual([true, 1]);
    expect(askCount).toBeLessThan(4);
  });
});

describe("a version that no frame takes", () => {
  const half = 8 * 1024 * 1024 - 4096;

  /** Each within a client's limits, together beyond a frame. */
  async function writeLarge(node: TransferNode): Promise<void> {
    for (const [at, letter] of ["x", "y", "z"].entries()) {
      const writer = transferNode(10 + at);
      await writer.replica.write(nthCopied(2), putOf(letter.repeat(half)), nothing);
      const written = await writer.engine.get(nthCopied(2));
      await node.replica.ingest(nthCopied(2), written?.value ?? expect.fail("a version"));
    }
  }

  test("is not covered by a holder whose pages do not go on, or make no sense", async () => {
    const nodes = await pair(5);
    await writeLarge(nodes.old);
    const { hash, key } = nthCopied(2);
    const at = (offset: number): Uint8Array => encodeCursor({ hash, key, offset, digest: 1n });
    const empty = new Uint8Array();
    const answers: Record<string, readonly [objects: Uint8Array, next: readonly Uint8Array[]]> = {
      "the same again": [empty, [at(100)]],
      "back and forth": [empty, [at(200), at(100)]],
      "no cursor": [empty, [empty]],
      "no page": [Uint8Array.of(1, 2, 3), [at(100), at(200), at(300)]],
    };
    for (const [name, [objects, nexts]] of Object.entries(answers)) {
      let askCount = 0;
      const pull = async (body: unknown): Promise<unknown> => {
        const { kind, differing } = Object(body);
        if (kind !== "next") return carried(await nodes.holder.donor.copy(COPIED, carried(body), false));
        const next = nexts[askCount % nexts.length];
        askCount += 1;
        if (askCount > 50) throw new Error(`asked for ever: ${name}`);
        return { kind: "pulled", differing, objects, next };
      };
      expect(await nodes.old.donor.isCoveredBy(COPIED, { node: HOLDER, pull })).toBe(false);
      expect([name, askCount]).toEqual([name, name === "no page" || name === "no cursor" ? 1 : 2]);
    }
  });

  test("is looked for in the holder's pages: the same or newer covers it, less does not", async () => {
    const nodes = await pair(5);
    await writeLarge(nodes.old);
    expect(await prove(nodes)).toMatchObject({ isCovered: false, given: [] });
    const large = await nodes.old.engine.get(nthCopied(2));
    await nodes.holder.replica.ingest(nthCopied(2), large?.value ?? expect.fail("a version"));
    await nodes.holder.replica.write(nthCopied(2), { kind: "delete", context: undefined }, nothing);
    expect(await prove(nodes)).toMatchObject({ isCovered: true, given: [] });
  });
});

describe("an old copy is not covered", () => {
  test("by one that is uncertain of what it was given; by one that is certain that it was deleted it is", async () => {
    for (const reason of ["uncertain", "collected"] as const) {
      const nodes = await pair(10);
      await writeNth(nodes.old, 10);
      const { isCovered } = await prove(nodes, () => ({ kind: "refused", reason, detail: "" }));
      expect(isCovered).toBe(reason === "collected");
    }
  });

  test("by a holder that does not answer for what it was given", async () => {
    const nodes = await pair(20);
    await writeNth(nodes.old, 20);
    expect(await prove(nodes, () => LOST)).toMatchObject({ isCovered: false });
    expect(nodes.holder.engine.keyCountOf(COPIED)).toBe(20);
  });

  test("by one that holds no slot any more", async () => {
    const nodes = await pair(20);
    await writeNth(nodes.old, 20);
    nodes.holder.fixture.slots.slot = -1;
    expect(await prove(nodes)).toMatchObject({ isCovered: false });
  });

  test("by silence, nor by an answer that makes no sense", async () => {
    const { old } = await pair(3);
    for (const answer of [undefined, null, { kind: "states" }, { kind: "refused", reason: "suspect" }]) {
      expect(await old.donor.isCoveredBy(COPIED, { node: HOLDER, pull: async () => answer })).toBe(false);
    }
  });
});
