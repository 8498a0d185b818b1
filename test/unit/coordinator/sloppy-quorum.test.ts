/**
 * Random schedules of whole coordinators in sloppy quorums, over replicas and hints that refuse, fail and lose, links that
 * break and nodes that are away: what is told is true. `applied`: W distinct slots have it, durably, at the moment of the
 * answer. `not_applied`: it is nowhere, ever. 404: R owners have nothing. A version that is demanded is there or refused.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { GetAnswer, ReplicaReport, WriteAnswer } from "../../../services/coordinator/contract.ts";
import { covers, includes } from "../../../services/versioning/causal-context.ts";
import type { CausalContext, Dot } from "../../../services/versioning/types.ts";
import { FakeCluster, type Fate, knobs } from "../../support/fake-cluster.ts";
import type { FakeReplica, StoreFault } from "../../support/fake-replica.ts";
import { QuorumHistory } from "../../support/quorum-history.ts";

const TIMEOUT_MS = 500;
const NODES = 6;
const FAULTS: readonly (StoreFault | undefined)[] = [
  undefined,
  undefined,
  "disk_full",
  "overloaded",
  "shutting_down",
  "failed_but_stored",
  "failed_and_lost",
];

interface Step {
  readonly kind: "put" | "delete" | "get" | "demand" | "fault" | "hintFault" | "away" | "doubt";
  readonly at: number;
  readonly waitMs: number;
  readonly isBlind: boolean;
  readonly isSloppy: boolean;
  readonly fault: StoreFault | undefined;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom(
    "put",
    "put",
    "put",
    "delete",
    "get",
    "get",
    "demand",
    "fault",
    "hintFault",
    "away",
    "away",
    "doubt",
  ),
  at: fc.nat(NODES - 1),
  waitMs: fc.constantFrom(0, 1, 3, 12, 60, 300),
  isBlind: fc.boolean(),
  isSloppy: fc.constantFrom(true, true, true, false),
  fault: fc.constantFrom(...FAULTS),
});
const fate: fc.Arbitrary<Fate> = fc
  .record({ thereMs: fc.constantFrom(0, 1, 4, 15, 80, 260), backMs: fc.constantFrom(0, 1, 9, 70), lost: fc.nat(14) })
  .map(({ thereMs, backMs, lost }) => ({
    thereMs: lost === 0 ? -1 : thereMs,
    backMs: lost === 1 ? -1 : backMs,
    ...(lost === 2 ? { breaksMs: thereMs } : {}),
  }));

/** The slots that have the write now: at their owners, or at those who stand in for them. */
function slotsWith(cluster: FakeCluster, dot: Dot): ReadonlySet<number> {
  const slots = new Set<number>();
  for (const { replica, hints } of cluster.nodes) {
    for (const set of replica.held.values()) if (covers(set.clock, dot)) slots.add(replica.slot);
    for (const [key, set] of hints.replica.held) {
      if (covers(set.clock, dot)) for (const slot of hints.slots.get(key) ?? []) slots.add(slot);
    }
  }
  return slots;
}

/** Owners whose word in the read was that they have nothing, in distinct slots. */
function absentOwners(answer: GetAnswer): number {
  const nothing = (answer.explain?.replicas ?? []).filter(({ digest }) => digest === "0".repeat(16));
  return ownersAmong(nothing);
}

function ownersAmong(replicas: readonly ReplicaReport[]): number {
  // who has named a version and is asked again, for the object, has voted
  const owners = replicas.filter(({ role, answer: word, digest }) => {
    return role === "owner" && digest !== undefined && (word === "ok" || word === "pending");
  });
  return new Set(owners.map(({ slot }) => slot)).size;
}

/** Before the dot is minted and for all stores, or only after it. */
function setFault(replica: FakeReplica, { isBlind, fault }: Step): void {
  if (isBlind) replica.appendFault = fault;
  else replica.storeFault = fault;
}

class Play {
  readonly history: QuorumHistory = new QuorumHistory();
  readonly #cluster: FakeCluster;
  readonly #quorum: { readonly r: number; readonly w: number };
  readonly #doubted = new Set<string>();

  constructor(fates: { next(): { readonly value?: Fate } }, quorum: { readonly r: number; readonly w: number }) {
    this.#quorum = quorum;
    this.#cluster = new FakeCluster({ nodeCount: NODES, keepsHints: true, settings: quorum });
    this.#cluster.fateOf = () => fates.next().value ?? { thereMs: 1, backMs: 1 };
    this.#cluster.stateOf = (node) => (this.#doubted.has(node) ? "dead" : "alive");
  }

  async run(steps: readonly Step[]): Promise<readonly string[]> {
    const running: Promise<void>[] = [];
    for (const [order, what] of steps.entries()) {
      await this.#cluster.clock.advance(what.waitMs);
      running.push(this.#do(what, `v${order}`));
    }
    await this.#cluster.run(Promise.all(running));
    await this.#cluster.clock.advance(10_000);
    this.history.checkTraces(this.#cluster);
    return this.history.faults;
  }

  async #do(what: Step, value: string): Promise<void> {
    const node = this.#cluster.node(what.at);
    const { coordinator } = node;
    const startMs = this.#cluster.clock.monotonicMs();
    const asked = {
      name: this.#cluster.name(),
      knobs: knobs({ timeoutMs: TIMEOUT_MS, sloppy: what.isSloppy, explain: true }),
    };
    const context = what.isBlind ? undefined : this.history.context;
    switch (what.kind) {
      case "fault":
        setFault(node.replica, what);
        return;
      case "hintFault":
        setFault(node.hints.replica, what);
        return;
      case "away":
        node.isAway = !node.isAway;
        return;
      case "doubt":
        if (!this.#doubted.delete(node.id)) this.#doubted.add(node.id);
        return;
      case "get":
        this.#onRead(await coordinator.get(asked), undefined);
        break;
      case "demand":
        this.#onRead(
          await coordinator.get({ ...asked, ...(context === undefined ? {} : { atLeast: context }) }),
          context,
        );
        break;
      case "delete":
        this.#onWrite(value, await coordinator.delete({ ...asked, context }));
        break;
      case "put": {
        const bytes = Buffer.from(value);
        this.#onWrite(value, await coordinator.put({ ...asked, context, contentType: "text/plain", bytes }));
      }
    }
    const tookMs = this.#cluster.clock.monotonicMs() - startMs;
    if (tookMs > TIMEOUT_MS + 10) this.history.faults.push(`an operation took ${tookMs} ms`);
  }

  #onWrite(value: string, answer: WriteAnswer): void {
    this.history.onWrite({ value, answer });
    if (answer.kind !== "applied") return;
    const { required, received, owners, fallbacks } = answer.acks;
    const held = slotsWith(this.#cluster, answer.dot).size;
    if (required !== this.#quorum.w || received < required || owners + fallbacks !== received || held < received) {
      this.history.faults.push(`${value} is applied with ${JSON.stringify(answer.acks)} and held in ${held} slots`);
    }
  }

  #onRead(answer: GetAnswer, demanded: CausalContext | undefined): void {
    if (answer.kind === "failed") return;
    if (answer.kind === "not_found" && absentOwners(answer) < this.#quorum.r) {
      this.history.faults.push(`nothing was found by ${absentOwners(answer)} owners`);
    }
    if (answer.kind === "deleted" && ownersAmong(answer.explain?.replicas ?? []) < this.#quorum.r) {
      this.history.faults.push("too few owners say that it was deleted");
    }
    const known = answer.kind === "found" ? answer.set.clock : answer.kind === "deleted" ? answer.context : undefined;
    if (known !== undefined) this.history.context = known;
    if (demanded !== undefined && (known === undefined || !includes(known, demanded))) {
      this.history.faults.push("a read is older than what it was asked for");
    }
  }
}

describe("in sloppy quorums", () => {
  test("what writers and readers are told is true", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 4, maxLength: 24 }),
        fc.infiniteStream(fate),
        fc.constantFrom({ r: 2, w: 2 }, { r: 1, w: 3 }, { r: 3, w: 1 }),
        async (steps, fates, quorum) => {
          expect(await new Play(fates, quorum).run(steps)).toEqual([]);
        },
      ),
      { numRuns: 300 },
    );
  });
});
