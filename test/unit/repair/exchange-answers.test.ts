/** The asked side of an exchange, as far as what it says of itself with what it gives. */
import { expect, test } from "vitest";
import type { CollectWord } from "../../../services/repair/collect-word-core.ts";
import { ExchangeAnswers } from "../../../services/repair/exchange-answers.ts";
import { ExchangeClaims } from "../../../services/repair/exchange-claims.ts";
import { type ExchangeAnswer, encodeQuestion, parseAnswer } from "../../../services/repair/exchange-messages.ts";
import { PairViews } from "../../../services/repair/exchange-view.ts";
import { TransferPace } from "../../../services/repair/transfer-pace.ts";
import { nodeIdOf } from "../../support/sim-peers.ts";
import { COPIED, nthCopied, transferNode, WaitClock, writeNth } from "../../support/transfer-fixture.ts";

const RULES = { isAnyExempt: () => false, isExempt: () => false, fingerprint: () => 0n };

/** A page of one record, of a holder that says one thing before it reads, and another after. */
async function fetched(
  before: CollectWord | undefined,
  after: CollectWord | undefined,
  isExempt = false,
): Promise<ExchangeAnswer | undefined> {
  const node = transferNode(1);
  await writeNth(node, 0);
  const clock = new WaitClock();
  let isRead = false;
  const read = node.engine.get.bind(node.engine);
  node.engine.get = (address) => {
    isRead = true;
    return read(address);
  };
  const exempt = { ...RULES, isAnyExempt: () => isExempt, isExempt: () => isExempt };
  const answers = new ExchangeAnswers({
    store: node.engine,
    slotOf: () => 0,
    views: new PairViews(node.engine, exempt),
    claims: new ExchangeClaims(clock),
    clock,
    pace: new TransferPace({ clock, share: () => 1 }),
    wordOf: (partition) => (partition !== COPIED ? undefined : isRead ? after : before),
    onEqual: () => undefined,
    onSent: () => undefined,
  });
  const pair = { partition: COPIED, ownSlot: 1, peerSlot: 0, isFiltered: false };
  const question = encodeQuestion(pair, { kind: "fetch", hashes: [nthCopied(0).hash], cursor: undefined });
  return parseAnswer(await answers.exchange(nodeIdOf("n2"), question));
}

const WORD: CollectWord = { floor: 7, rules: 3n };

test.each<[string, CollectWord | undefined, CollectWord | undefined, CollectWord | undefined]>([
  ["took part in the last collection", WORD, WORD, WORD],
  ["caught up while it read", undefined, WORD, undefined],
  ["lost something while it read", WORD, undefined, undefined],
])("a holder that %s says so with the page", async (_what, before, after, word) => {
  const answer = await fetched(before, after);
  expect(answer).toMatchObject({ kind: "objects", word });
  expect(answer?.kind === "objects" && answer.objects.length > 0).toBe(true);
});

test("a holder whose settings leave a key out does not give it, though its asker began by others", async () => {
  const answer = await fetched(WORD, WORD, true);
  expect(answer).toMatchObject({ kind: "objects", objects: Buffer.alloc(0), word: WORD });
});
