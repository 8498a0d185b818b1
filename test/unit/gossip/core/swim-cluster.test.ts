/** Many cores together in virtual time: what a cluster does about splits, pauses, deaths, clones, restarts and bad networks. */
import { describe, expect, test } from "vitest";
import type { GossipEvent } from "../../../../gossip/core/messages.ts";
import { type SimMember, SwimSim } from "../../../sim/swim-sim.ts";

const SEEDS = [1, 2, 3];

function at(sim: SwimSim, index: number): SimMember {
  const member = sim.members[index];
  if (member === undefined) throw new Error("no such member");
  return member;
}

/** Events of a kind from now on, as `observer>member`. */
function watch(sim: SwimSim, kind: GossipEvent["kind"]): string[] {
  const seen: string[] = [];
  sim.onEvent = (observer, event) => {
    if (event.kind !== kind) return;
    seen.push(`${observer.nodeId}>${event.kind === "duplicate-identity" ? event.detail : event.member.facts.nodeId}`);
  };
  return seen;
}

describe("a split", () => {
  const shapes: readonly (readonly [name: string, groupOf: (index: number) => number])[] = [
    ["in halves", (index) => index % 2],
    ["of one from the rest", (index) => (index === 0 ? 1 : 0)],
    ["in three", (index) => index % 3],
    ["of everyone from everyone", (index) => index],
  ];
  const cases = [2, 3, 5, 16].flatMap((n) => shapes.map(([name, groupOf]) => ({ n, name, groupOf })));

  test.each(cases)("of $n members $name heals within 30 s after the links are back", ({ n, groupOf }) => {
    for (const seed of SEEDS) {
      const sim = new SwimSim({ n, seed: `split ${n} ${seed}` });
      sim.run(2_000 + 331 * seed);
      sim.split((member) => groupOf(member.index));
      sim.run(60_000);
      sim.heal();
      expect(
        sim.run(30_000, () => sim.isWhole(), 100),
        `seed ${seed}`,
      ).toBe(true);
      // And stays whole: nobody is declared dead by what is left of the split.
      const dead = watch(sim, "dead");
      sim.run(30_000);
      expect(dead).toEqual([]);
      expect(sim.isWhole()).toBe(true);
    }
  });

  test("that lasted an hour heals as well, without seeds", () => {
    const sim = new SwimSim({ n: 5, seed: "long", parameters: { seedIntervalMs: 1e9 } });
    sim.run(2_000);
    sim.split((member) => (member.index < 2 ? 1 : 0));
    sim.run(3_600_000);
    sim.heal();
    expect(sim.run(30_000, () => sim.isWhole(), 100)).toBe(true);
  });

  test("one way, from one member to one other, kills nobody: helpers answer", () => {
    for (const seed of SEEDS) {
      const sim = new SwimSim({ n: 5, seed: `one way ${seed}` });
      sim.run(2_000);
      const dead = watch(sim, "dead");
      sim.canHear = (from, to) => !(from.index === 0 && to.index === 1);
      sim.run(120_000);
      expect(dead).toEqual([]);
    }
  });

  test("of datagrams alone, with the links in order, kills nobody", () => {
    const sim = new SwimSim({ n: 3, seed: "no datagrams" });
    sim.run(2_000);
    const dead = watch(sim, "dead");
    sim.canHear = (from, to) => from.index !== 0 && to.index !== 0;
    sim.run(120_000);
    expect(dead).toEqual([]);
  });
});

describe("without faults", () => {
  test("an hour of five members has no death, no suspicion and no exchange beyond the forced ones", () => {
    const sim = new SwimSim({ n: 5, seed: "quiet hour" });
    sim.run(5_000);
    const events: string[] = [];
    sim.onEvent = (_observer, event) => events.push(event.kind);
    sim.run(3_600_000);
    expect(events).toEqual([]);
    expect(sim.isWhole()).toBe(true);
  });

  test("with 5 % of datagrams lost an hour of five members has no death", () => {
    const sim = new SwimSim({ n: 5, seed: "lossy hour", lossRate: 0.05 });
    const dead = watch(sim, "dead");
    sim.run(3_600_000);
    expect(dead).toEqual([]);
  });

  test("members that know only one address find each other at once", () => {
    for (const n of [2, 3, 16]) {
      const sim = new SwimSim({ n, seed: `boot ${n}`, isAcquainted: false });
      expect(sim.run(3_000, () => sim.isWhole())).toBe(true);
    }
  });

  test("a newcomer is known by all within two seconds, even if a third of the datagrams are lost", () => {
    for (const seed of SEEDS) {
      const sim = new SwimSim({ n: 16, seed: `newcomer ${seed}`, lossRate: 0.3 });
      sim.run(5_000);
      const newcomer = sim.add("newcomer");
      sim.startAlone(newcomer);
      const isKnown = (): boolean => sim.members.every(({ core }) => core.member("newcomer")?.state === "alive");
      expect(sim.run(2_000, isKnown), `seed ${seed}`).toBe(true);
    }
  });
});

describe("a crash", () => {
  test.each([2, 3, 5, 16])("of one of %i members is known to all within 8 s, and nobody else is blamed", (n) => {
    for (const seed of SEEDS) {
      const sim = new SwimSim({ n, seed: `crash ${n} ${seed}` });
      sim.run(3_000 + 173 * seed);
      const dead = watch(sim, "dead");
      const victim = at(sim, n - 1);
      sim.crash(victim);
      const isKnown = (): boolean => dead.length === n - 1;
      expect(sim.run(n === 5 ? 12_000 : 8_000, isKnown), `seed ${seed}`).toBe(true);
      expect(dead.every((line) => line.endsWith(victim.nodeId))).toBe(true);
    }
  });

  test("of all members at once is over when they are back, in new generations", () => {
    const sim = new SwimSim({ n: 5, seed: "mass restart" });
    sim.run(5_000);
    for (const member of sim.members) sim.crash(member);
    sim.run(1_000);
    for (const member of sim.members) sim.restart(member);
    expect(sim.run(3_000, () => sim.isWhole())).toBe(true);
    expect(sim.members.map(({ core }) => core.life.generation)).toEqual([2, 2, 2, 2, 2]);
  });

  test("and a return on a disk that was rolled back ends in a later generation than any remembered", () => {
    for (const isForgotten of [true, false]) {
      const sim = new SwimSim({ n: 5, seed: `rolled back ${isForgotten}` });
      const member = at(sim, 2);
      for (let start = 0; start < 5; start += 1) {
        sim.run(3_000);
        sim.restart(member);
      }
      sim.run(3_000);
      sim.crash(member);
      sim.run(isForgotten ? 15_000 : 100);
      sim.restart(member, 3);
      const duplicates = watch(sim, "duplicate-identity");
      expect(sim.run(5_000, () => sim.isWhole())).toBe(true);
      expect(member.core.life.generation).toBeGreaterThan(6);
      expect(duplicates).toEqual([]);
    }
  });
});

describe("a pause of a whole process", () => {
  test("of 3 s is forgiven", () => {
    for (const n of [3, 5, 16]) {
      const sim = new SwimSim({ n, seed: `pause 3 ${n}` });
      sim.run(3_000);
      const dead = watch(sim, "dead");
      sim.pause(at(sim, 0), 3_000);
      sim.run(20_000);
      expect(dead).toEqual([]);
    }
  });

  test("of 10 s is refuted as soon as it is over, and the paused one blames nobody", () => {
    for (const n of [2, 3, 5, 16]) {
      for (const seed of SEEDS) {
        const sim = new SwimSim({ n, seed: `pause 10 ${n} ${seed}` });
        sim.run(3_000 + 99 * seed);
        const dead = watch(sim, "dead");
        const paused = at(sim, 0);
        sim.pause(paused, 10_000);
        sim.run(10_000);
        expect(
          sim.run(2_000, () => sim.isWhole()),
          `n ${n} seed ${seed}`,
        ).toBe(true);
        sim.run(30_000);
        expect(sim.isWhole()).toBe(true);
        expect(dead.some((line) => line.startsWith(paused.nodeId))).toBe(false);
      }
    }
  });

  test("of everyone at once kills nobody", () => {
    const sim = new SwimSim({ n: 5, seed: "all paused" });
    sim.run(3_000);
    const dead = watch(sim, "dead");
    for (const member of sim.members) sim.pause(member, 60_000);
    sim.run(120_000);
    expect(dead).toEqual([]);
    expect(sim.isWhole()).toBe(true);
  });
});

describe("members whose datagrams are stuck now and then", () => {
  test("do not get healthy ones declared dead in a larger cluster", () => {
    const sim = new SwimSim({ n: 32, seed: "stuck" });
    sim.run(5_000);
    const slow = new Set(sim.members.slice(0, 2).map(({ nodeId }) => nodeId));
    const dead = watch(sim, "dead");
    const suffer = (member: SimMember): void => {
      const lastsMs = 4_000 + 28_000 * sim.random.float();
      sim.starve(member, lastsMs);
      sim.after(lastsMs + 1_000, () => suffer(member));
    };
    for (const member of sim.members) if (slow.has(member.nodeId)) suffer(member);
    sim.run(120_000);
    const isBlameless = (line: string): boolean => !slow.has(line.split(">")[1] ?? "");
    expect(dead.filter(isBlameless).length).toBeLessThanOrEqual(3);
  });
});

describe("two processes under one name", () => {
  test.each([3, 5, 16])("are found within seconds among %i members, and one of them ends", (n) => {
    for (const seed of SEEDS) {
      const sim = new SwimSim({ n, seed: `clone ${n} ${seed}` });
      sim.run(5_000);
      const ended: string[] = [];
      sim.onEvent = (observer, event) => {
        if (event.kind !== "duplicate-identity") return;
        ended.push(observer.nodeId);
        sim.crash(observer);
      };
      const original = at(sim, n - 1);
      sim.startAlone(sim.add(original.nodeId));
      expect(
        sim.run(20_000, () => ended.length > 0),
        `seed ${seed}`,
      ).toBe(true);
      sim.run(20_000);
      expect(ended).toEqual([original.nodeId]);
      expect(sim.isWhole()).toBe(true);
    }
  });
});

describe("a farewell", () => {
  test("is known to all within a second and a half, and nobody is suspected of it", () => {
    for (const n of [3, 16]) {
      const sim = new SwimSim({ n, seed: `leave ${n}` });
      sim.run(5_000);
      const leaver = at(sim, 0);
      const suspected = watch(sim, "suspect");
      let isDone = false;
      sim.onLeaveDone = () => {
        isDone = true;
        sim.crash(leaver);
      };
      sim.act(leaver, (core, nowMs) => core.leave(nowMs));
      const isKnown = (): boolean =>
        sim.members.slice(1).every(({ core }) => core.member(leaver.nodeId)?.state === "left");
      expect(sim.run(1_500, isKnown)).toBe(true);
      sim.run(20_000);
      expect(isDone).toBe(true);
      expect(suspected).toEqual([]);
      sim.restart(leaver);
      expect(sim.run(3_000, () => sim.isWhole())).toBe(true);
    }
  });
});

test("the same seed is the same run", () => {
  const runs = [1, 2].map(() => {
    const sim = new SwimSim({ n: 8, seed: "again", lossRate: 0.1 });
    sim.run(5_000);
    sim.crash(at(sim, 3));
    sim.run(20_000);
    return [sim.eventCount, ...sim.members.map(({ sentBytes, core }) => `${sentBytes} ${core.membersHash}`)];
  });
  expect(runs[0]).toEqual(runs[1]);
});
