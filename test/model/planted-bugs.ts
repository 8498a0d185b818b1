/**
 * Bugs planted beside the cores, never in them: what the model check must find to be worth anything. Each tampers with
 * messages, effects or facts in the way in which a simpler protocol would behave.
 */
import type { HandoverFacts } from "../../services/cluster/handover-steps.ts";
import type { Seams } from "./handover-life.ts";

/** READY without a transfer id: a late double of it releases whatever attempt is sealed then. */
export const READY_WITHOUT_ID: Seams = {
  onRequest: (world, at, request) => {
    if (request.kind !== "ready") return request;
    for (let double = 0; double < 10; double += 1) {
      world.atNode(at, 20 + world.below(600), () => {
        const running = world.coresOf(at, request.partition).donor.attempt;
        if (running?.to === request.from) world.serve(at, { ...request, tx: running.tx }, () => undefined);
      });
    }
    return request;
  },
};

/** How late a double may be, in steps: until another transfer between the same two has come as far. */
const LATEST_DOUBLE = 2_000;

/** RELEASED without a transfer id: a late double of it tells the receiver of another attempt that the slot is its own. */
export const RELEASED_WITHOUT_ID: Seams = {
  onReply: (world, at, request, reply) => {
    const { partition } = request;
    const donor = world.coresOf(at, partition).receiver.transfer?.from;
    if (reply.kind !== "released" || request.kind !== "ready" || donor === undefined) return reply;
    for (let late = 20; late < LATEST_DOUBLE; late += 5) {
      world.atNode(at, late, () => {
        const { stage, transfer } = world.coresOf(at, partition).receiver;
        if (stage !== "ready" || transfer?.from !== donor || transfer.tx === reply.tx) return;
        const { tx, slot } = transfer;
        const waited = { kind: "ready", partition, from: at.key, tx } as const;
        const double = {
          kind: "answered",
          from: donor,
          request: waited,
          reply: { kind: "released", tx, slot },
        } as const;
        world.feed(at, partition, "receiver", double);
      });
    }
    return reply;
  },
};

/** Who has said that it leaves goes on fetching slots, as long as its own table does not know it: also when it has left. */
export const FETCHING_AFTER_LEAVING: Seams = {
  facts: (facts) => ({ ...facts, view: { ...facts.view, isStaying: () => true } }),
};

/** A donor waits for the word of a life that has left, and may never answer again. */
export const WAITING_FOR_WHO_HAS_LEFT: Seams = {
  facts: (facts) => ({ ...facts, view: { ...facts.view, hasLeft: () => false } }),
};

/** Ownership flips when the copy is done; the old holder hears of it by gossip. */
export const FLIP_BY_GOSSIP: Seams = {
  onEffect: (world, at, partition, effect) => {
    if (effect.kind !== "ask" || effect.request.kind !== "seal") return true;
    const slot = world.life(Number(effect.to)).ledger.slots[partition] ?? -1;
    if (slot === -1 || at.ledger.slots[partition] !== -1) return false;
    world.commit(at, [{ kind: "taken", partition, slot }], () => {
      at.held[partition] = slot;
    });
    return false;
  },
  onLearn: (world, at) => {
    for (const [partition, slot] of at.ledger.slots.entries()) {
      const other = at.rows.findIndex((row, index) => index !== at.index && row?.slots[partition] === slot);
      if (slot === -1 || other === -1 || world.target(at, partition).includes(at.index)) continue;
      const { key, nodeId } = world.life(other);
      at.held[partition] = -1;
      const released = { to: key, toNode: nodeId, tx: 0, slot, atMs: 0, isSettled: true };
      world.commit(at, [{ kind: "released", partition, released }], () => undefined);
    }
  },
};

/** The source drops its copy as soon as all of it was sent, before the receiver has compared roots. */
export const DROP_AT_SEAL: Seams = {
  onEffect: (world, at, partition, effect) => {
    if (effect.kind === "reply" && effect.reply.kind === "sealed") world.registers(at, partition).fill(0);
    return true;
  },
};

/** A double of SEALED that comes very late stages the copy again, though its slot was taken and given on long ago. */
export const REARMED_BY_A_DUPLICATE: Seams = {
  onReply: (world, at, request, reply) => {
    if (reply.kind !== "sealed") return reply;
    const { partition } = request;
    const transfer = at.cores[partition]?.receiver.transfer;
    if (transfer === undefined || transfer.tx !== reply.tx) return reply;
    world.atNode(at, 100 + world.below(600), () => {
      if (at.ledger.slots[partition] !== -1 || at.ledger.staged.has(partition)) return;
      at.ledger.consumed.get(partition)?.delete(transfer.from);
      world.commit(at, [{ kind: "staged", partition, staged: transfer }], () => undefined);
    });
    return reply;
  },
};

/** The minter asks one member and believes that it spoke for all. */
export const MINT_WITHOUT_ASKING_EVERYONE: Seams = {
  facts: (facts, { role }) =>
    role === "mint" ? { ...facts, view: { ...facts.view, others: () => facts.view.others().slice(0, 1) } } : facts,
};

/** Facts in which the view says something else. */
function viewing(facts: HandoverFacts, view: Partial<HandoverFacts["view"]>): HandoverFacts {
  return { ...facts, view: { ...facts.view, ...view } };
}

/** Facts in which the ledger says something else. */
function noting(facts: HandoverFacts, ledger: Partial<HandoverFacts["ledger"]>): HandoverFacts {
  return { ...facts, ledger: { ...facts.ledger, ...ledger } };
}

/** A newcomer takes slots before anybody else has heard of it. */
export const TAKING_BEFORE_INTRODUCTION: Seams = {
  facts: (facts) => viewing(facts, { isIntroduced: () => true }),
};

/** The rule that was: half of all others will do, newcomers too. */
export const INTRODUCED_BY_NEWCOMERS: Seams = {
  facts: (facts, { at }) =>
    viewing(facts, {
      isIntroduced: () => {
        const others = facts.view.others();
        return others.filter((key) => at.met.has(Number(key))).length * 2 >= others.length;
      },
    }),
};

/** A slot on its way is called vacant by both ends: either alone is covered by the other. */
export const VACANT_ON_ITS_WAY: Seams = {
  facts: (facts, { role }) => (role === "answer" ? noting(facts, { released: new Map(), staged: new Map() }) : facts),
};

/** Nobody looks who belongs: neither those who are asked for a lost slot, nor the minter, once all that it knew have answered. */
export const ANY_MEMBERS: Seams = {
  onRequest: (world, at, request) =>
    request.kind === "mint-query"
      ? { ...request, members: world.facts(at, request.partition, "answer").view.membersHash() }
      : request,
  facts: (facts, { role, world, at, partition }) => {
    const { stage } = world.coresOf(at, partition).mint;
    const isAsked = stage === "quiet" || stage === "clearing" || stage === "merging" || stage === "short";
    return role === "mint" && isAsked ? viewing(facts, { others: () => [] }) : facts;
  },
};

/** A slot that is promised to another is fetched and staged. */
export const FETCHING_WHAT_IS_PROMISED: Seams = {
  facts: (facts, { role }) => (role === "receiver" ? noting(facts, { promises: new Map() }) : facts),
};

/** A slot is fetched or minted over an old copy that somebody may still need. */
export const OVER_AN_OLD_COPY: Seams = {
  facts: (facts, { role }) => (role === "receiver" || role === "mint" ? noting(facts, { retained: new Set() }) : facts),
};

/** An old copy is dropped as soon as its receiver has it, or is removed: nobody is asked. */
export const DROP_WITHOUT_PROOF: Seams = {
  onEffect: (world, at, partition, effect) => {
    if (effect.kind !== "prove") return true;
    world.feed(at, partition, "oldCopy", { kind: "proved", isCovered: true });
    return false;
  },
};

/** A removal of a copy that failed is tried again, whatever has come of the partition meanwhile. */
export const EMPTIED_AFTERWARDS: Seams = { isEmptiedRegardless: true };
