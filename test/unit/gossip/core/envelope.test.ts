import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Envelope, MAX_DATAGRAM_BYTES, type OpenedDatagram } from "../../../../gossip/core/envelope.ts";
import { type GossipSecrets, MAX_SENDERS, ReplayWindow, SenderTable } from "../../../../gossip/core/envelope-keys.ts";

const utf8 = new TextEncoder();
const NONE: GossipSecrets = { primary: new Uint8Array(0), others: [] };
const LIFE = { generation: 3, incarnation: 1 };
const FRAMES = Uint8Array.from([4, 4, 0, 0, 0, 9]);

function secretsOf(primary: string, ...others: readonly string[]): GossipSecrets {
  return { primary: utf8.encode(primary), others: others.map((text) => utf8.encode(text)) };
}

function member(nodeId: string, options: { secrets?: GossipSecrets; cluster?: string; boot?: number } = {}): Envelope {
  const { secrets = secretsOf("first"), cluster = "test", boot = nodeId.length } = options;
  return new Envelope({ clusterName: cluster, nodeId, boot, secrets });
}

function outcomeOf(opened: OpenedDatagram): string {
  return opened.kind === "opened" ? "opened" : opened.reason;
}

describe.each([
  ["sealed", secretsOf("first")],
  ["in clear", NONE],
])("a datagram %s", (_how, secrets) => {
  test("opens at another member, and says who sent it in which life", () => {
    const opened = member("b", { secrets }).open(member("a", { secrets, boot: 77 }).seal(FRAMES, LIFE));
    if (opened.kind !== "opened") throw new Error(opened.reason);
    expect(opened.sender).toEqual({ nodeId: "a", generation: 3, boot: 77 });
    expect(opened.life).toEqual(LIFE);
    expect(Buffer.from(opened.frames)).toEqual(Buffer.from(FRAMES));
  });

  test("is never longer than it may be, and carries as much as it says", () => {
    for (const nodeId of ["a", "n".repeat(63)]) {
      const sender = member(nodeId, { secrets });
      const datagram = sender.seal(new Uint8Array(sender.maxFrameBytes), LIFE);
      expect(datagram.length).toBe(MAX_DATAGRAM_BYTES - (secrets === NONE ? 12 : 0));
      expect(outcomeOf(member("b", { secrets }).open(datagram))).toBe("opened");
      expect(() => sender.seal(new Uint8Array(sender.maxFrameBytes + 1), LIFE)).toThrow(/fit/);
    }
  });

  test("changed in any single bit is refused", () => {
    const [a, b] = [member("a", { secrets }), member("b", { secrets })];
    const datagram = a.seal(FRAMES, LIFE);
    for (let bit = 0; bit < datagram.length * 8; bit += 1) {
      const changed = Uint8Array.from(datagram);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(outcomeOf(b.open(changed)), `bit ${bit}`).not.toBe("opened");
    }
    expect(outcomeOf(b.open(datagram))).toBe("opened");
  });

  test("cut short or made longer is refused", () => {
    const datagram = member("a", { secrets }).seal(FRAMES, LIFE);
    const b = member("b", { secrets });
    for (let length = 0; length < datagram.length; length += 1)
      expect(outcomeOf(b.open(datagram.subarray(0, length))), `length ${length}`).not.toBe("opened");
    expect(outcomeOf(b.open(Buffer.concat([datagram, Buffer.of(0)])))).toBe("forged");
    expect(outcomeOf(b.open(new Uint8Array(MAX_DATAGRAM_BYTES + 1)))).toBe("too_long");
  });

  test("is taken once, in whatever order it comes, and not at all when it is 64 behind", () => {
    const [a, b] = [member("a", { secrets }), member("b", { secrets })];
    const datagrams = Array.from({ length: 100 }, () => a.seal(FRAMES, LIFE));
    const open = (index: number): string => outcomeOf(b.open(datagrams[index] ?? FRAMES));
    expect([open(70), open(70), open(69), open(7), open(7), open(6), open(99), open(35), open(36)]).toEqual([
      "opened",
      "replayed",
      "opened",
      "opened",
      "replayed",
      "replayed",
      "opened",
      "replayed",
      "opened",
    ]);
  });

  test("of another cluster, and one of our own, are refused", () => {
    const b = member("b", { secrets });
    expect(outcomeOf(b.open(member("a", { secrets, cluster: "other" }).seal(FRAMES, LIFE)))).toBe("other_cluster");
    expect(outcomeOf(b.open(b.seal(FRAMES, LIFE)))).toBe("own");
  });

  test("of another process under our own name is opened: someone must hear of it", () => {
    const opened = member("b", { secrets, boot: 1 }).open(member("b", { secrets, boot: 2 }).seal(FRAMES, LIFE));
    expect(outcomeOf(opened)).toBe("opened");
  });

  test("may be any bytes: opening it never throws", () => {
    const b = member("b", { secrets });
    const head = member("a", { secrets }).seal(FRAMES, LIFE).subarray(0, 32);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), fc.boolean(), fc.nat({ max: 32 }), (bytes, hasHead, kept) => {
        const datagram = hasHead ? Buffer.concat([head.subarray(0, kept), bytes]) : bytes;
        expect(b.open(datagram).kind).toBe("refused");
      }),
      { numRuns: 3_000 },
    );
    expect(b.senderCount).toBe(0);
  });
});

describe("secrets", () => {
  const seal = (primary: string): Uint8Array => member("a", { secrets: secretsOf(primary) }).seal(FRAMES, LIFE);
  const openWith = (secrets: GossipSecrets, datagram: Uint8Array): string =>
    outcomeOf(member("b", { secrets }).open(datagram));

  test("hide what is said, and never seal two datagrams alike", () => {
    const a = member("a");
    const text = utf8.encode("what nobody else shall read");
    const [one, other] = [Buffer.from(a.seal(text, LIFE)), Buffer.from(a.seal(text, LIFE))];
    expect(one.includes("nobody")).toBe(false);
    expect(one.subarray(-30).equals(other.subarray(-30))).toBe(false);
  });

  test("that are not ours are told from forgeries", () => {
    const refusals = ["first", "second", "third", "fourth"].map((secret) => openWith(secretsOf("ours"), seal(secret)));
    expect(new Set(refusals)).toEqual(new Set(["unknown_key"]));
  });

  test("with the same id are all tried", () => {
    const idOf = (text: string): number => seal(text)[6] ?? -1;
    const twin = Array.from({ length: 5_000 }, (_, index) => `twin ${index}`).find(
      (text) => idOf(text) === idOf("one"),
    );
    if (twin === undefined) throw new Error("no two of 5,000 secrets have the same id");
    expect(openWith(secretsOf(twin), seal("one"))).toBe("forged");
    expect(openWith(secretsOf(twin, "one"), seal("one"))).toBe("opened");
  });

  test("are all or none: clear datagrams are refused by who has one, sealed ones by who has none", () => {
    expect(openWith(secretsOf("first"), member("a", { secrets: NONE }).seal(FRAMES, LIFE))).toBe("not_sealed");
    expect(openWith(NONE, seal("first"))).toBe("unknown_key");
  });

  test("are exchanged without a datagram lost, in three steps, and the old one is worth nothing then", () => {
    const [a, b] = [member("a", { secrets: secretsOf("old") }), member("b", { secrets: secretsOf("old") })];
    const bothHear = (): readonly string[] => [
      outcomeOf(b.open(a.seal(FRAMES, LIFE))),
      outcomeOf(a.open(b.seal(FRAMES, LIFE))),
    ];
    const steps = [secretsOf("old", "new"), secretsOf("new", "old"), secretsOf("new")];
    for (const secrets of steps) {
      a.setSecrets(secrets);
      expect(bothHear()).toEqual(["opened", "opened"]);
      b.setSecrets(secrets);
      expect(bothHear()).toEqual(["opened", "opened"]);
    }
    expect(outcomeOf(a.open(member("c", { secrets: secretsOf("old") }).seal(FRAMES, LIFE)))).not.toBe("opened");
  });

  test("when exchanged let nothing through twice: counters go on", () => {
    const [a, b] = [member("a"), member("b")];
    const datagram = a.seal(FRAMES, LIFE);
    expect(outcomeOf(b.open(datagram))).toBe("opened");
    b.setSecrets(secretsOf("second", "first"));
    expect(outcomeOf(b.open(datagram))).toBe("replayed");
  });

  test("make another key for each sender, generation, start and cluster: no nonce is used twice under one", () => {
    const text = new Uint8Array(32);
    const cipherOf = (envelope: Envelope, generation: number): string =>
      Buffer.from(envelope.seal(text, { generation, incarnation: 1 }).subarray(-48, -16)).toString("hex");
    const ciphers = [
      cipherOf(member("a", { boot: 1 }), 3),
      cipherOf(member("a", { boot: 2 }), 3),
      cipherOf(member("a", { boot: 1 }), 4),
      cipherOf(member("b", { boot: 1 }), 3),
      cipherOf(member("a", { boot: 1, cluster: "other" }), 3),
      cipherOf(member("a", { boot: 1, secrets: secretsOf("second") }), 3),
    ];
    expect(new Set(ciphers).size).toBe(ciphers.length);
    expect(cipherOf(member("a", { boot: 1 }), 3)).toBe(ciphers[0]);
  });

  test("seal anew when the generation is raised while running", () => {
    const [a, b] = [member("a"), member("b")];
    expect(outcomeOf(b.open(a.seal(FRAMES, LIFE)))).toBe("opened");
    expect(outcomeOf(b.open(a.seal(FRAMES, { generation: 4, incarnation: 1 })))).toBe("opened");
    expect(b.senderCount).toBe(2);
  });
});

describe("the window of counters", () => {
  test("agrees with a set of all counters that were taken", () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 200 }), { maxLength: 200 }), (counters) => {
        const window = new ReplayWindow();
        const taken = new Set<number>();
        for (const counter of counters.map((one) => one + 1)) {
          const isNew = !taken.has(counter) && counter > Math.max(0, ...taken) - 64;
          expect(window.take(counter)).toBe(isNew);
          if (isNew) taken.add(counter);
        }
      }),
    );
  });

  test("survives a leap to the last counter there is", () => {
    const window = new ReplayWindow();
    expect([1, Number.MAX_SAFE_INTEGER, 2].map((counter) => window.take(counter))).toEqual([true, true, false]);
  });
});

test("senders are kept up to a bound, and the one unheard for longest goes", () => {
  const table = new SenderTable();
  const lifeOf = (generation: number) => ({ nodeId: "a", generation, boot: 1 });
  const known = () => ({ window: new ReplayWindow(), keys: new Map<Uint8Array, Uint8Array>() });
  for (let generation = 0; generation < MAX_SENDERS; generation += 1) table.keep(lifeOf(generation), known());
  table.keep(lifeOf(0), known());
  table.keep(lifeOf(MAX_SENDERS), known());
  expect(table.size).toBe(MAX_SENDERS);
  expect([table.get(lifeOf(0)), table.get(lifeOf(1))].map((sender) => sender !== undefined)).toEqual([true, false]);
});
