/**
 * Lives of a few members that gossip and do nothing else: processes are killed and started anew, paused, cut off, on a net that
 * loses datagrams, and a judge looks at all of them ten times a second. Runs the real shell and core (`SimGossip`); the same
 * seed gives the same life. Must never look at anything but what members say of themselves and believe of each other.
 */
import type { Life } from "../../gossip/core/messages.ts";
import { SwimCore } from "../../gossip/core/swim-core.ts";
import type { GossipPorts } from "../../gossip/index.ts";
import { SimGossip, type SimMember } from "../support/sim-gossip.ts";

/** A promise of gossip that a life broke. */
export interface GossipViolation {
  readonly rule: "generation-used-twice" | "belief-went-back" | "stopped-itself" | "living-held-for-dead";
  readonly detail: string;
}

const NAMES = ["a", "b", "c", "d"];
const ROUNDS = 10;
const LOOK_MS = 100;
/** When nothing is wrong any more, all are known to be alive within this: splits heal in 30 s. */
const MEND_MS = 40_000;

/** One life; `generations` gives each start its disk, by default one for each name that outlives the process. */
export async function liveGossip(
  seed: string,
  generations?: () => GossipPorts["generations"],
): Promise<readonly GossipViolation[]> {
  const world = new SimGossip(seed);
  const start = (name: string): SimMember =>
    world.start(name, NAMES, generations === undefined ? {} : { generations: generations() });
  const members = NAMES.map(start);
  const judge = new GossipJudge(members);
  const pass = async (ms: number): Promise<void> => {
    for (let leftMs = ms; leftMs > 0; leftMs -= LOOK_MS) {
      await world.pass(Math.min(LOOK_MS, leftMs));
      judge.look();
    }
  };
  const chance = world.randomOf("trouble");
  world.datagrams.setAllFaults({ lossProbability: 0.02, duplicateProbability: 0.02, lateProbability: 0.02 });
  await pass(3_000);
  for (let round = 0; round < ROUNDS; round += 1) {
    const at = chance.below(NAMES.length);
    const [here, there] = [NAMES[at] ?? "a", NAMES[chance.below(NAMES.length)] ?? "b"];
    const member = members[at];
    if (member === undefined) continue;
    const fault = chance.below(5);
    if (fault === 0) world.network.partition(here, there);
    else if (fault === 1) world.network.heal(here, there);
    else if (fault === 2) {
      member.process.pause();
      await pass(chance.below(6_000));
      member.process.resume();
    } else {
      world.kill(member);
      await pass(chance.below(6_000));
      members[at] = start(here);
    }
    await pass(chance.below(4_000));
  }
  world.network.heal();
  for (let leftMs = MEND_MS; leftMs > 0 && !world.areAllAlive(members); leftMs -= 1_000) await pass(1_000);
  if (!world.areAllAlive(members)) judge.blame("living-held-for-dead", beliefsOf(members));
  return judge.violations;
}

/**
 * A bug to plant: members refute in the incarnation in which they were accused. Between the core and everybody: what it says
 * of itself, in rumors, headers and tables, never names a higher incarnation than its first.
 */
export function refuteInTheSameIncarnation(): Disposable {
  const { drain, table } = SwimCore.prototype;
  const life = Object.getOwnPropertyDescriptor(SwimCore.prototype, "life");
  const first = ({ generation }: Life): Life => ({ generation, incarnation: 1 });
  const ownName = (core: SwimCore): string | undefined => core.members()[0]?.facts.nodeId;
  SwimCore.prototype.drain = function (this: SwimCore): ReturnType<typeof drain> {
    return drain.call(this).map((output) => {
      if (output.kind !== "send") return output;
      const messages = output.messages.map((message) =>
        message.kind === "alive" && message.facts.nodeId === ownName(this)
          ? { ...message, life: first(message.life) }
          : message,
      );
      return { ...output, messages };
    });
  };
  SwimCore.prototype.table = function (this: SwimCore, nowMs): ReturnType<typeof table> {
    const [own, ...others] = table.call(this, nowMs);
    return own === undefined ? [] : [{ ...own, life: first(own.life) }, ...others];
  };
  Object.defineProperty(SwimCore.prototype, "life", {
    configurable: true,
    get(this: SwimCore): Life {
      return first(life?.get?.call(this));
    },
  });
  return {
    [Symbol.dispose]: () => {
      SwimCore.prototype.drain = drain;
      SwimCore.prototype.table = table;
      if (life !== undefined) Object.defineProperty(SwimCore.prototype, "life", life);
    },
  };
}

/** A bug to plant: a disk that says after every start that there was none before. */
export function forgetfulGenerations(): GossipPorts["generations"] {
  return { load: async () => 0, save: async () => undefined };
}

/** What was seen of one process. */
interface Watched {
  readonly member: SimMember;
  generation: number;
  readonly beliefs: Map<string, Life>;
}

/** Looks at the processes that run, and remembers those that were. */
class GossipJudge {
  readonly violations: GossipViolation[] = [];
  readonly #members: readonly SimMember[];
  readonly #watched = new Map<SimMember, Watched>();

  /** `members` is looked at again at every look: the process of each name that runs. */
  constructor(members: readonly SimMember[]) {
    this.#members = members;
  }

  look(): void {
    for (const member of this.#members) {
      const stats = member.gossip.stats();
      if (stats === undefined) continue;
      const watched = this.#watched.get(member) ?? { member, generation: 0, beliefs: new Map<string, Life>() };
      this.#watched.set(member, watched);
      watched.generation = Math.max(watched.generation, stats.generation);
      this.#judge(watched, stats.generation);
    }
  }

  /** Once for each rule: one is enough to convict a life. */
  blame(rule: GossipViolation["rule"], detail: string): void {
    if (!this.violations.some((violation) => violation.rule === rule)) this.violations.push({ rule, detail });
  }

  #judge({ member, beliefs }: Watched, generation: number): void {
    const { name } = member;
    for (const other of this.#watched.values()) {
      if (other.member.name !== name || other.member === member || other.generation < generation) continue;
      this.blame("generation-used-twice", `${name} speaks in generation ${generation}, as an earlier process did`);
    }
    if (member.events.includes("duplicate-identity") || member.fatal.length > 0) this.blame("stopped-itself", name);
    for (const { facts, life } of member.gossip.members()) {
      const known = beliefs.get(facts.nodeId);
      if (known !== undefined && isBefore(life, known)) {
        this.blame("belief-went-back", `${name} of ${facts.nodeId}: ${textOf(known)} to ${textOf(life)}`);
      }
      beliefs.set(facts.nodeId, life);
    }
  }
}

function isBefore(one: Life, other: Life): boolean {
  if (one.generation !== other.generation) return one.generation < other.generation;
  return one.incarnation < other.incarnation;
}

function textOf({ generation, incarnation }: Life): string {
  return `${generation}.${incarnation}`;
}

function beliefsOf(members: readonly SimMember[]): string {
  const wrong = members.flatMap((one) =>
    members.flatMap((other) => {
      const state = one.gossip.stateOf(other.name);
      return state === "alive" ? [] : [`${one.name} holds ${other.name} for ${state}`];
    }),
  );
  return wrong.join(", ");
}
