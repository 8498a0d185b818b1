import fc from "fast-check";
import { expect, test } from "vitest";
import {
  KIND_CHALLENGE,
  KIND_HELLO,
  KIND_PROOF,
  KIND_WELCOME,
  PROTOCOL_VERSION,
} from "../../../services/peers/frame-layout.ts";
import {
  acceptHandshake,
  dialHandshake,
  type HandshakeSelf,
  type HandshakeStep,
  type HandshakeWord,
} from "../../../services/peers/handshake.ts";
import { decodeHello, decodeIdentity, encodeHello } from "../../../services/peers/handshake-codec.ts";
import type { HandshakeRefusal, PeerIdentity } from "../../../services/peers/identity.ts";
import { nodeIdOf } from "../../support/sim-peers.ts";

interface Side {
  readonly identity?: Partial<PeerIdentity>;
  readonly secret?: string;
  readonly others?: readonly string[];
  readonly judge?: HandshakeRefusal;
}

function selfOf(name: string, side: Side = {}): HandshakeSelf {
  return {
    identity: {
      nodeId: nodeIdOf(name),
      bootNonce: Buffer.from(name.padEnd(16, "-")).toString("hex"),
      clusterName: "shop",
      clusterId: "c1",
      address: `${name}:7000`,
      zone: "zone-ü",
      host: "host",
      weight: 1.5,
      ...side.identity,
    },
    secrets: {
      primary: new TextEncoder().encode(side.secret ?? "secret"),
      others: (side.others ?? []).map((other) => new TextEncoder().encode(other)),
    },
    nonce: new Uint8Array(32).fill(name.charCodeAt(0)),
    judge: () => side.judge,
  };
}

interface Ending {
  readonly dialler: HandshakeStep | undefined;
  readonly acceptor: HandshakeStep | undefined;
  readonly words: readonly HandshakeWord[];
}

/** Carries words between the sides until nobody has one; `tamper` may change each on its way. */
function converse(
  dialling: HandshakeSelf,
  accepting: HandshakeSelf,
  tamper: (word: HandshakeWord) => HandshakeWord = (word) => word,
): Ending {
  const { opening, handshake } = dialHandshake(dialling, "bulk");
  const acceptor = acceptHandshake(accepting);
  const words: HandshakeWord[] = [];
  const ending: { dialler?: HandshakeStep; acceptor?: HandshakeStep } = {};
  let next: HandshakeWord | undefined = opening;
  for (let turn = 0; next !== undefined; turn += 1) {
    words.push(next);
    const side = turn % 2 === 0 ? "acceptor" : "dialler";
    if (ending[side] !== undefined) break;
    const step: HandshakeStep = (side === "acceptor" ? acceptor : handshake).take(tamper(next));
    if (step.kind !== "say") ending[side] = step;
    next = step.word;
  }
  return { dialler: ending.dialler, acceptor: ending.acceptor, words };
}

test("two nodes of one cluster learn who the other is, and for what the link is", () => {
  const [a, b] = [selfOf("a"), selfOf("b")];
  const { dialler, acceptor } = converse(a, b);
  expect(dialler).toMatchObject({ kind: "up", peer: b.identity, purpose: "bulk" });
  expect(acceptor).toMatchObject({ kind: "up", peer: a.identity, purpose: "bulk" });
});

test.each<[string, Side, Side]>([
  ["neither has a cluster id yet", { identity: { clusterId: undefined } }, { identity: { clusterId: undefined } }],
  ["only one has a cluster id", { identity: { clusterId: undefined } }, {}],
  ["no secret is configured on either side", { secret: "" }, { secret: "" }],
])("they meet when %s", (_what, ours, theirs) => {
  const { dialler, acceptor } = converse(selfOf("a", ours), selfOf("b", theirs));
  expect([dialler?.kind, acceptor?.kind]).toEqual(["up", "up"]);
});

test.each<[HandshakeRefusal, Side, Side]>([
  ["other_cluster_name", { identity: { clusterName: "warehouse" } }, {}],
  ["other_cluster_id", { identity: { clusterId: "c2" } }, {}],
  ["wrong_secret", { secret: "guess" }, {}],
  ["wrong_secret", { secret: "" }, {}],
  ["wrong_secret", {}, { secret: "" }],
  ["same_node_id", { identity: { nodeId: nodeIdOf("b") } }, {}],
  ["retired_process", {}, { judge: "retired_process" }],
  ["shutting_down", {}, { judge: "shutting_down" }],
])("the accepting side refuses with %s, and both know", (reason, ours, theirs) => {
  const { dialler, acceptor } = converse(selfOf("a", ours), selfOf("b", theirs));
  expect(acceptor).toMatchObject({ kind: "refused", reason, by: "us" });
  expect(dialler).toMatchObject({ kind: "refused", reason, by: "peer" });
});

test("scenario 8: handoff-to-self: a node that dials itself is told so", () => {
  const { acceptor } = converse(selfOf("a"), selfOf("a"));
  expect(acceptor).toMatchObject({ kind: "refused", reason: "self" });
});

test("the dialling side may refuse whom it met", () => {
  const { dialler } = converse(selfOf("a", { judge: "retired_process" }), selfOf("b"));
  expect(dialler).toMatchObject({ kind: "refused", reason: "retired_process", by: "us" });
});

interface Round {
  readonly name: string;
  readonly side: Side;
}

/** What a node may be configured with while the secrets are exchanged, in the order of the rounds. */
const ROUNDS: readonly Round[] = [
  { name: "old", side: { secret: "old" } },
  { name: "old, believes new", side: { secret: "old", others: ["new"] } },
  { name: "new, believes old", side: { secret: "new", others: ["old"] } },
  { name: "new", side: { secret: "new" } },
];
const PAIRS = ROUNDS.flatMap((ours, i) => ROUNDS.map((theirs, j) => ({ ours, theirs, distance: Math.abs(i - j) })));

test.each(PAIRS.filter(({ distance }) => distance <= 1))(
  "no more than one round of restarts apart they meet: $ours.name dials $theirs.name",
  ({ ours, theirs }) => {
    const { dialler, acceptor } = converse(selfOf("a", ours.side), selfOf("b", theirs.side));
    const provenBy = ours.side.secret === theirs.side.secret ? "primary" : "previous";
    expect(dialler).toMatchObject({ kind: "up", provenBy });
    expect(acceptor).toMatchObject({ kind: "up", provenBy });
  },
);

test.each(PAIRS.filter(({ distance }) => distance > 1))(
  "a round was left out: $ours.name does not get through to $theirs.name",
  ({ ours, theirs }) => {
    const { dialler, words } = converse(selfOf("a", ours.side), selfOf("b", theirs.side));
    expect(dialler).toMatchObject({ kind: "refused", reason: "wrong_secret" });
    // Whoever does not believe the dialler says nothing of itself.
    const isBelieved = theirs.side.others?.includes(ours.side.secret ?? "") === true;
    expect(words.some((word) => word.kind === KIND_WELCOME)).toBe(isBelieved);
  },
);

test("a refusal is the same whatever the guess was", () => {
  const believing: Side = { secret: "new", others: ["old", "older"] };
  const guesses = ["guess", "olde", "ol", ""].map((secret) =>
    converse(selfOf("a", { secret }), selfOf("b", believing)),
  );
  for (const { acceptor, words } of guesses) {
    expect(acceptor).toEqual(guesses[0]?.acceptor);
    expect(words.at(-1)).toEqual(guesses[0]?.words.at(-1));
  }
});

test("a secret that is only believed is never spoken with: a dialler that knows nothing else is refused", () => {
  const { acceptor, dialler } = converse(
    selfOf("a", { secret: "old" }),
    selfOf("b", { secret: "new", others: ["old"] }),
  );
  expect(acceptor).toMatchObject({ kind: "up", provenBy: "previous" });
  expect(dialler).toMatchObject({ kind: "refused", reason: "wrong_secret", by: "us" });
});

test("another protocol version is told apart from nonsense, whatever follows it", () => {
  const hello = encodeHello({ identity: selfOf("a").identity, purpose: "data", nonce: new Uint8Array(32) });
  hello[4] = PROTOCOL_VERSION + 1;
  expect(decodeHello(hello)).toBe("other_version");
  expect(decodeHello(hello.subarray(0, 5))).toBe("other_version");
  expect(acceptHandshake(selfOf("b")).take({ kind: KIND_HELLO, body: hello })).toMatchObject({
    kind: "refused",
    reason: "other_version",
  });
});

test("the secret is in no word, and the accepting side says nothing of itself before the other has proven", () => {
  const secret = "a-secret-that-would-be-seen";
  const { words } = converse(selfOf("a", { secret }), selfOf("b", { secret }));
  for (const { body } of words) expect(Buffer.from(body).includes(secret)).toBe(false);
  const kinds = words.map((word) => word.kind);
  expect(kinds).toEqual([KIND_HELLO, KIND_CHALLENGE, KIND_PROOF, KIND_WELCOME]);
  expect(Buffer.from(words[1]?.body ?? []).includes("b:7000")).toBe(false);
});

test.each([KIND_HELLO, KIND_CHALLENGE, KIND_PROOF, KIND_WELCOME])(
  "no bit of word %i can be changed on its way: nobody comes up believing it",
  (kind) => {
    const plain = converse(selfOf("a"), selfOf("b"));
    const length = plain.words.find((word) => word.kind === kind)?.body.length ?? 0;
    for (let at = 0; at < length; at += 1) {
      const { dialler, acceptor } = converse(selfOf("a"), selfOf("b"), (word) => {
        if (word.kind !== kind) return word;
        const body = word.body.slice();
        body[at] = (body[at] ?? 0) ^ 0x10;
        return { kind, body };
      });
      // The last word may be lost to the dialling side alone; what it told of itself was proven before.
      expect(dialler?.kind).not.toBe("up");
      if (kind !== KIND_WELCOME) expect(acceptor?.kind).not.toBe("up");
    }
  },
);

test("a proof that was overheard is worth nothing in another meeting", () => {
  const { words } = converse(selfOf("a"), selfOf("b"));
  const later = acceptHandshake({ ...selfOf("b"), nonce: new Uint8Array(32).fill(99) });
  later.take(words[0] ?? { kind: 0, body: new Uint8Array(0) });
  expect(later.take(words[2] ?? { kind: 0, body: new Uint8Array(0) })).toMatchObject({ reason: "wrong_secret" });
});

test("an acceptor's proof cannot be played back as a dialler's", () => {
  const self = selfOf("b");
  const { opening, handshake } = dialHandshake(selfOf("a"), "data");
  const acceptor = acceptHandshake(self);
  const challenge = acceptor.take(opening);
  if (challenge.kind !== "say") throw new Error("expected a challenge");
  const proof = handshake.take(challenge.word);
  if (proof.kind !== "say") throw new Error("expected a proof");
  expect(handshake.take({ kind: KIND_WELCOME, body: proof.word.body })).toMatchObject({ reason: "wrong_secret" });
});

test.each([
  ["a proof before a hello", [KIND_PROOF]],
  ["two hellos", [KIND_HELLO, KIND_HELLO]],
  ["a welcome", [KIND_WELCOME]],
])("%s is malformed for the accepting side", (_what, kinds) => {
  const hello = dialHandshake(selfOf("a"), "data").opening;
  const acceptor = acceptHandshake(selfOf("b"));
  const steps = kinds.map((kind) => acceptor.take({ kind, body: hello.body }));
  expect(steps.at(-1)).toMatchObject({ kind: "refused", reason: "malformed" });
});

test("random words never throw, and never end in a link (5,000 on each side)", () => {
  const endings = new Set<string>();
  const kind = fc.constantFrom(KIND_HELLO, KIND_CHALLENGE, KIND_PROOF, KIND_WELCOME, 133, 7);
  fc.assert(
    fc.property(fc.array(fc.tuple(kind, fc.uint8Array({ maxLength: 80 })), { maxLength: 4 }), (words) => {
      const acceptor = acceptHandshake(selfOf("b"));
      const { handshake } = dialHandshake(selfOf("a"), "data");
      for (const [word, body] of words) {
        endings.add(acceptor.take({ kind: word, body }).kind);
        endings.add(handshake.take({ kind: word, body }).kind);
      }
      decodeIdentity(words[0]?.[1] ?? new Uint8Array(0));
    }),
    { numRuns: 5_000 },
  );
  expect([...endings]).not.toContain("up");
  expect(endings.size).toBeGreaterThan(0);
});
