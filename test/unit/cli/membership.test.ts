/** `gyre join`, `leave`, `replace`, `remove`, `abort`, `status`, `ring` against the real API over a membership that is told what to say. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ClusterMember, ClusterStatus } from "../../../services/api/cluster-door.ts";
import {
  type ClusterSummary,
  memberNamed,
  mergedSummary,
  parseCluster,
} from "../../../services/cli/cluster-summary.ts";
import { ChangeWatch } from "../../../services/cli/membership-watch.ts";
import type { Change } from "../../../services/cli/plan-table.ts";
import { ringSummary } from "../../../services/cli/ring-summary.ts";
import { type ApiNode, apiNode, clusterMember, clusterStatus, membershipPlan, node } from "../../support/api-node.ts";
import { type CliGiven, type CliRun, gyre } from "../../support/cli-run.ts";

let here: ApiNode;
let url: string;
beforeEach(async () => {
  here = apiNode();
  url = `http://${await here.api.listen("127.0.0.1:0")}`;
});
afterEach(() => here.api.close());

const run = (argv: readonly string[], given: CliGiven = {}): Promise<CliRun> => gyre([...argv, "--nodes", url], given);

/** The members n1, n2, n3 and what else there is. */
function membersWith(...more: readonly ClusterMember[]): readonly ClusterMember[] {
  return [...["n1", "n2", "n3"].map((name) => clusterMember(name)), ...more];
}

/** Shows one status after the other, one step with each pause; the last one stays. */
function steps(...facts: readonly Partial<ClusterStatus>[]): { readonly onPause: () => void } {
  let at = 0;
  const show = (): void => {
    here.door.facts = clusterStatus(facts[Math.min(at, facts.length - 1)] ?? {});
    at += 1;
  };
  show();
  return { onPause: show };
}

const moving = (copiesLeft: number): ClusterStatus["moves"] => ({
  partitionsLeft: copiesLeft,
  copiesLeft,
  bytesPerSecond: 2_500_000,
  etaSeconds: copiesLeft,
  active: [],
});

describe("gyre join", () => {
  test("shows the plan, commits exactly it, and waits until the node has its slots", async () => {
    const arriving = { status: "joining", slotsHeld: 0, incoming: 48 } as const;
    const given = steps(
      { members: membersWith(clusterMember("n4", { status: "waiting" })) },
      { members: membersWith(clusterMember("n4", arriving)), moves: moving(48) },
      { members: membersWith(clusterMember("n4", { status: "normal", incoming: 8 })), moves: moving(8) },
      { members: membersWith(clusterMember("n4")) },
    );
    const { code, out, err } = await run(["join", "n4", "--yes"], given);
    expect(code, err).toBe(0);
    const changes = [{ kind: "join", node: "n4" }];
    expect(here.door.asked).toEqual([{ plan: changes }, { plan: changes }, { commit: "00112233445566aa" }]);
    expect(out).toBe(
      [
        "plan 00112233445566aa: join n4",
        "  node  slots  then  in  out  bytes in  bytes out",
        "  n1    64     64    0   0    0 B       0 B",
        "  n2    64     64    0   0    0 B       0 B",
        "  n3    64     64    0   0    0 B       0 B",
        "moves    48 copies (the least possible: 48), 4.8 kB",
        "balance  the fullest node has 1.00 of its fair share, then 1.00",
        "zones    z1 192 → 192",
        "",
      ].join("\n"),
    );
    expect(err).toContain(`committed through ${url}\n`);
    expect(err.endsWith("done: join n4\n")).toBe(true);
  });

  test("asks when somebody is there, and does nothing without a yes", async () => {
    for (const answer of ["", "n", "maybe"]) {
      const { code, err } = await run(["join", "n4"], { answer });
      expect([code, err]).toEqual([1, "commit this plan? [y/N] nothing was changed\n"]);
    }
    expect(here.door.asked.some((one) => typeof one === "object" && one !== null && "commit" in one)).toBe(false);
    const given = steps({ members: membersWith(clusterMember("n4")) });
    expect((await run(["join", "n4"], { answer: "Y", ...given })).code).toBe(0);
    expect(here.door.asked).toContainEqual({ commit: "00112233445566aa" });
  });

  test("needs --yes when nobody can be asked, and --dry-run never changes anything", async () => {
    const { code, err } = await run(["join", "n4"]);
    expect([code, err]).toEqual([2, expect.stringContaining("give --yes to commit the plan, or --dry-run")]);
    expect((await run(["join", "n4", "--dry-run"])).code).toBe(0);
    expect((await run(["join", "n4", "--dry-run", "--yes"])).code).toBe(0);
    const dry = await run(["join", "n4", "--dry-run", "--json"]);
    expect(JSON.parse(dry.out)).toMatchObject({ planHash: "00112233445566aa", allowed: true });
    const changes = [{ kind: "join", node: "n4" }];
    expect(here.door.asked.slice(1)).toEqual(Array.from({ length: 3 }, () => ({ plan: changes, isDryRun: true })));
  });

  test("fails with every reason when the plan is refused, and commits nothing", async () => {
    here.door.answers.plan = (changes) => ({
      kind: "planned",
      plan: membershipPlan(changes, { refusals: ["n4 is not reachable", "n4 has data of another cluster"] }),
    });
    const { code, out, err } = await run(["join", "n4", "--yes"]);
    expect(code).toBe(1);
    expect(out).toContain("refused  n4 is not reachable\nrefused  n4 has data of another cluster\n");
    expect(err).toBe("gyre: join n4: refused; nothing was changed\n");
    const json = await run(["join", "n4", "--yes", "--json"]);
    expect([json.code, JSON.parse(json.out)["refusals"]]).toEqual([1, expect.arrayContaining(["n4 is not reachable"])]);
    expect(here.door.asked).toHaveLength(2);
  });

  test("fails when the membership changes between plan and commit", async () => {
    here.door.answers.commit = { kind: "plan_changed", detail: "n5 has joined since: plan again" };
    const { code, err } = await run(["join", "n4", "--yes"]);
    expect([code, err]).toEqual([1, "gyre: plan_changed: n5 has joined since: plan again\nnothing was changed\n"]);
  });

  test("tells every refusal of the commit, and when some of it may have been done", async () => {
    here.door.answers.commit = { kind: "refused", refusals: ["a", "b"] };
    expect((await run(["join", "n4", "--yes"])).err).toBe(
      "gyre: change_refused: a\ngyre: change_refused: b\nnothing was changed\n",
    );
    here.door.answers.commit = { kind: "failed", detail: "n4 fell silent", outcome: "unknown", isRetryable: false };
    const lost = await run(["join", "n4", "--yes", "--json"]);
    expect(lost.err).toContain("some of it may have been done: gyre status\n");
    expect(JSON.parse(lost.out)).toMatchObject({ code: "not_ready", outcome: "unknown" });
  });

  test("does not wait with --no-wait", async () => {
    here.door.facts = clusterStatus({ members: membersWith(clusterMember("n4", { status: "joining", incoming: 48 })) });
    const { code, err } = await run(["join", "n4", "--yes", "--no-wait"]);
    expect([code, err]).toEqual([0, `committed through ${url}\n`]);
  });

  test("fails when somebody takes the join back", async () => {
    const given = steps(
      { members: membersWith(clusterMember("n4", { status: "joining", incoming: 48 })), moves: moving(48) },
      { members: membersWith(clusterMember("n4", { status: "leaving" })) },
    );
    const { code, err } = await run(["join", "n4", "--yes"], given);
    expect([code, err.includes("taken back by somebody: join n4")]).toEqual([1, true]);
  });

  test("stops telling at Ctrl-C, and says that the moves go on", async () => {
    here.door.facts = clusterStatus({ members: membersWith(clusterMember("n4", { status: "joining", incoming: 48 })) });
    let interrupt = (): void => undefined;
    const given: CliGiven = {
      onStart: (it) => {
        interrupt = it;
      },
      onPause: () => interrupt(),
    };
    const { code, err } = await run(["join", "n4", "--yes"], given);
    expect([code, err.includes("the moves go on, gyre status --watch shows them")]).toEqual([130, true]);
  });

  test("tells how far it is, how fast, and what stands still", async () => {
    const active = [
      {
        partition: 1,
        slot: 0,
        from: node("n1"),
        to: node("n4"),
        phase: "copying",
        bytes: 1,
        keys: 1,
        stalled: "n1 does not answer",
      } as const,
    ];
    const given = steps(
      {
        members: membersWith(clusterMember("n4", { status: "joining", incoming: 30 })),
        moves: { ...moving(30), active },
      },
      { members: membersWith(clusterMember("n4")) },
    );
    const { err } = await run(["join", "n4", "--yes"], given);
    expect(err).toContain(
      "18 of 48 copies moved, 2.5 MB/s, about 30 s left; 1 move stands still: n1 does not answer\n",
    );
  });

  test("gives up when no node answers any more", async () => {
    const { code, err } = await run(["join", "n4", "--yes"], {
      onPause: async () => {
        await here.api.close();
      },
    });
    expect([code, err.includes("no node answers any more")]).toEqual([1, true]);
  });
});

describe("gyre set", () => {
  test("waits until the member's record says so and nothing moves any more", async () => {
    const given = steps(
      { members: membersWith() },
      { members: [clusterMember("n1", { weight: 2 }), clusterMember("n2"), clusterMember("n3")], moves: moving(8) },
      { members: [clusterMember("n1", { weight: 2 }), clusterMember("n2"), clusterMember("n3")] },
    );
    const { code, err } = await run(["set", "n1", "--weight", "2", "--yes"], given);
    expect([code, err]).toEqual([0, expect.stringContaining("done: weight of n1 to 2")]);
  });
});

describe("gyre leave, replace, remove and abort", () => {
  test("ask for what they are called", async () => {
    for (const argv of [
      ["leave", "n2"],
      ["replace", "n2", "--with", "n4", "--force"],
      ["replace", "n2", "--with", "n4"],
      ["remove", "n2", "--force"],
      ["remove", "n2"],
      ["set", "n2", "--weight", "1.5", "--zone", "b"],
      ["set", "n2", "--host", "rack-7"],
    ]) {
      await run([...argv, "--dry-run"]);
    }
    const isDryRun = true;
    expect(here.door.asked).toEqual([
      { plan: [{ kind: "leave", node: "n2" }], isDryRun },
      { plan: [{ kind: "replace", node: "n2", with: "n4", force: true }], isDryRun },
      { plan: [{ kind: "replace", node: "n2", with: "n4", force: false }], isDryRun },
      { plan: [{ kind: "remove", node: "n2", force: true }], isDryRun },
      { plan: [{ kind: "remove", node: "n2", force: false }], isDryRun },
      {
        plan: [
          { kind: "weight", node: "n2", weight: 1.5 },
          { kind: "zone", node: "n2", zone: "b" },
        ],
        isDryRun,
      },
      { plan: [{ kind: "host", node: "n2", host: "rack-7" }], isDryRun },
    ]);
  });

  test.each([
    { argv: ["replace", "n2"], says: "--with NEW is needed" },
    { argv: ["leave"], says: "usage: gyre leave NODE" },
    { argv: ["set", "n2"], says: "give at least one of --weight, --zone and --host" },
    { argv: ["set", "n2", "--weight", "heavy"], says: "--weight is a number" },
    { argv: ["remove", "n2", "n3"], says: "usage: gyre remove NODE" },
    { argv: ["leave", "n2", "--force"], says: "--force: there is no such flag" },
  ])("$argv is not understood: $says", async ({ argv, says }) => {
    const { code, err } = await run(argv);
    expect([code, err.includes(says)]).toEqual([2, true]);
    expect(here.door.asked).toEqual([]);
  });

  test("leave is not done because a node that is no member knows no members", async () => {
    const stranger = { waitingFor: "the members", members: [clusterMember("n9", { status: "waiting" })] };
    const given = steps(stranger, { members: membersWith() }, stranger, { members: [clusterMember("n1")] });
    const { code, err } = await run(["leave", "n2", "--yes"], given);
    expect(code).toBe(0);
    expect(err).toContain("no node answers\n");
    expect(err.endsWith("done: leave n2\n")).toBe(true);
  });

  test("abort takes back one or all", async () => {
    expect(await run(["abort", "n4"])).toMatchObject({ code: 0, err: "n4 is leaving now\n" });
    here.door.answers.abort = { kind: "aborted", nodes: [] };
    expect(await run(["abort"])).toMatchObject({ code: 0, err: "there was nothing to take back\n" });
    here.door.answers.abort = { kind: "refused", refusals: ["n4 holds slots that nobody else has"] };
    expect((await run(["abort", "n4"])).code).toBe(1);
    expect(here.door.asked).toEqual([{ abort: "n4" }, { abort: undefined }, { abort: "n4" }]);
  });
});

describe("a change", () => {
  interface Seen {
    readonly members: Readonly<Record<string, string>>;
    readonly incoming?: number;
    readonly copiesLeft?: number;
    readonly vacant?: number;
  }
  const seen = ({ members, incoming = 0, copiesLeft = 0, vacant = 0 }: Seen): ClusterSummary => {
    const list = Object.entries(members).map(([name, status]) => ({ node: name, status, incoming }));
    const told = { members: list, moves: { copiesLeft }, vacantSlots: { count: vacant } };
    const parsed = parseCluster(Buffer.from(JSON.stringify(told)));
    if (parsed === undefined) throw new Error("no cluster");
    return parsed;
  };
  const join: Change = { kind: "join", node: "n4" };
  const leave: Change = { kind: "leave", node: "n4" };
  const remove: Change = { kind: "remove", node: "n4" };
  const replace: Change = { kind: "replace", node: "n3", with: "n4" };

  test.each<{ change: Change; path: readonly (readonly [Seen, string])[]; name: string }>([
    {
      name: "join is done when the node is normal and misses nothing, not before it is known",
      change: join,
      path: [
        [{ members: {} }, "going"],
        [{ members: { n4: "waiting" } }, "going"],
        [{ members: { n4: "left" } }, "going"],
        [{ members: { n4: "joining" }, incoming: 3 }, "going"],
        [{ members: { n4: "normal" }, incoming: 1 }, "going"],
        [{ members: { n4: "normal" } }, "done"],
      ],
    },
    {
      name: "leave is done when the node has left, not while its leave is unknown",
      change: leave,
      path: [
        [{ members: { n4: "normal" } }, "going"],
        [{ members: { n4: "leaving" } }, "going"],
        [{ members: { n4: "left" } }, "done"],
      ],
    },
    {
      name: "leave is undone when the node stays after all",
      change: leave,
      path: [
        [{ members: { n4: "leaving" } }, "going"],
        [{ members: { n4: "normal" } }, "undone"],
      ],
    },
    {
      name: "remove is done when its slots are held by others",
      change: remove,
      path: [
        [{ members: { n4: "normal" } }, "going"],
        [{ members: { n4: "removed" }, vacant: 2, copiesLeft: 2 }, "going"],
        [{ members: { n4: "removed" }, copiesLeft: 1 }, "going"],
        [{ members: { n4: "removed" } }, "done"],
      ],
    },
    {
      name: "replace is done when the new one has everything and the old one is out",
      change: replace,
      path: [
        [{ members: { n3: "normal", n4: "waiting" } }, "going"],
        [{ members: { n3: "removed", n4: "joining" }, incoming: 5 }, "going"],
        [{ members: { n3: "normal", n4: "normal" } }, "going"],
        [{ members: { n3: "removed", n4: "normal" } }, "done"],
      ],
    },
  ])("$name", ({ change, path }) => {
    const watch = new ChangeWatch([change], 10);
    for (const [state, expected] of path) expect(watch.stateOf(seen(state)), JSON.stringify(state)).toBe(expected);
  });

  test("looks at the life of a node that belongs, not at those of its lost disks", () => {
    const lives = [
      { node: "n4", status: "removed", incoming: 0 },
      { node: "n4", status: "joining", incoming: 3 },
    ];
    const told = parseCluster(Buffer.from(JSON.stringify({ members: lives })));
    expect(told && new ChangeWatch([leave], 1).stateOf(told)).toBe("going");
    expect(told && new ChangeWatch([join], 1).stateOf(told)).toBe("going");
    expect(told && memberNamed(told, "n4")?.status).toBe("joining");
  });

  test("has moved nothing while nobody moves yet, nor all while others of several have not begun", () => {
    const watch = new ChangeWatch([join, { kind: "join", node: "n5" }], 196);
    const lineOf = (state: Seen): string => {
      const now = seen(state);
      watch.stateOf(now);
      return watch.lineOf(now);
    };
    const notYet = "0 of 196 copies moved: the moves have not all begun";
    expect(lineOf({ members: { n4: "waiting", n5: "waiting" } })).toBe(notYet);
    expect(lineOf({ members: { n4: "joining", n5: "waiting" }, copiesLeft: 98 })).toBe(notYet);
    expect(lineOf({ members: { n4: "joining", n5: "joining" }, copiesLeft: 190 })).toBe("6 of 196 copies moved");
    expect(lineOf({ members: { n4: "normal", n5: "joining" } })).toBe("196 of 196 copies moved");
  });

  test("that never begins is not waited for without end, and one that has begun is", () => {
    const watch = new ChangeWatch([join, { kind: "join", node: "n5" }], 0);
    const state = (n5: string): string => watch.stateOf(seen({ members: { n4: "normal", n5 } }));
    const quarterHour = Array.from({ length: 1_800 }, () => state("waiting"));
    expect(new Set(quarterHour)).toEqual(new Set(["going"]));
    expect(state("waiting")).toBe("unbegun");
    expect(watch.unbegun(seen({ members: { n4: "normal", n5: "waiting" } }))).toEqual([{ kind: "join", node: "n5" }]);
    expect(Array.from({ length: 2_000 }, () => state("joining")).at(-1)).toBe("going");
  });

  test("of several is done with the last of them", () => {
    const watch = new ChangeWatch([join, { kind: "join", node: "n5" }], 10);
    expect(watch.stateOf(seen({ members: { n4: "normal", n5: "joining" } }))).toBe("going");
    expect(watch.stateOf(seen({ members: { n4: "normal", n5: "normal" } }))).toBe("done");
  });
});

describe("what several nodes say", () => {
  test("of one move is one line with what each of the two knows, and nothing that neither knows", () => {
    const move = { partition: 5, from: "n1", to: "n4", stalled: null };
    const seen = (name: string, active: readonly object[]): ClusterSummary | undefined =>
      parseCluster(
        Buffer.from(
          JSON.stringify({
            ...{ node: name, ringHash: "ff", partitions: 8, replicas: 1, members: [], waitingFor: null },
            moves: { copiesLeft: 3, partitionsLeft: 3, bytesPerSecond: 0, etaSeconds: null, active },
          }),
        ),
      );
    const giver = seen("n1", [{ ...move, slot: 2, phase: "copying", bytes: null, keys: null }]);
    const taker = seen("n4", [
      { ...move, slot: 2, phase: "copying", bytes: 1_550, keys: 7 },
      { ...move, partition: 6, slot: null, phase: "waiting", bytes: null, keys: null },
      { ...move, partition: 7, slot: null, from: null, phase: "waiting", stalled: "silent" },
    ]);
    const all = giver && taker && mergedSummary([giver, taker]);
    expect(all && ringSummary(all).split("\n").slice(2)).toEqual([
      "3 copies of 3 partitions are to be moved; 1 move stands still: silent",
      "  partition 5 slot 2 from n1 to n4: copying, 1.6 kB, 7 keys",
      "  partition 6 from n1 to n4: waiting",
    ]);
  });

  const told = (name: string, change: object): ClusterSummary => {
    const doc = { node: name, members: [{ node: name, status: "normal" }], waitingFor: null, ...change };
    const parsed = parseCluster(Buffer.from(JSON.stringify(doc)));
    if (parsed === undefined) throw new Error("no cluster");
    return parsed;
  };

  test("is counted by a member that is not about to go, and moves are everybody's", () => {
    const move = { partition: 1, slot: 0, from: "n1", to: "n4", stalled: null };
    const empty = told("n5", { waitingFor: "the members", moves: { copiesLeft: 0 } });
    const leaver = told("n1", { moves: { copiesLeft: 9, bytesPerSecond: 1, active: [move] } });
    const gone = told("n2", { members: [{ node: "n2", status: "left" }], moves: { copiesLeft: 8 } });
    const member = told("n3", {
      moves: { copiesLeft: 7, bytesPerSecond: 2, active: [{ ...move, stalled: "why" }] },
    });
    const all = mergedSummary([empty, leaver, gone, member], ["n1"]);
    expect(all).toMatchObject({ node: "n3", copiesLeft: 7, bytesPerSecond: 3, active: [{ stalled: "why" }] });
    expect(mergedSummary([empty, leaver], ["n1"])?.node).toBe("n1");
    expect(mergedSummary([empty])?.node).toBe("n5");
    expect(mergedSummary([])).toBeUndefined();
  });
});

describe("gyre status", () => {
  test("is one verdict, the nodes, the members and the moves", async () => {
    expect(await run(["status"])).toEqual({
      code: 0,
      err: "",
      out: [
        "healthy",
        "",
        `  ${url}  ready`,
        "",
        "ring 00000000000000ff: 64 partitions, 3 replicas of each",
        "  n1  alive  zone z1  host h1  64 slots  33.3 %",
        "  n2  alive  zone z1  host h1  64 slots  33.3 %",
        "  n3  alive  zone z1  host h1  64 slots  33.3 %",
        "",
      ].join("\n"),
    });
    here.door.facts = clusterStatus({
      members: membersWith(
        clusterMember("n4", { status: "joining", slotsHeld: 16, incoming: 32 }),
        clusterMember("n5", { status: "waiting", slotsHeld: 0, recordsHash: "0000000000000000" }),
        clusterMember("n6", { liveness: "dead", sinceMs: 12_000, recordsHash: "0000000000000001" }),
        clusterMember("n7", { recordsHash: "0000000000000001", outgoing: 4 }),
      ),
      moves: moving(32),
    });
    const { code, out } = await run(["status"]);
    expect(code).toBe(1);
    expect(out).toContain("degraded\n  - node n6 is down, for 12 s\n");
    expect(out).toContain("  n4  alive  joining  zone z1  host h1  16 slots  8.3 %   32 to come\n");
    expect(out).toContain("  n7  alive           zone z1  host h1  64 slots  33.3 %  4 to go\n");
    expect(out).toContain("32 copies of 32 partitions are to be moved, 2.5 MB/s, about 32 s\n");
    expect(out).toContain("not told of the last change yet: n7\n");
    expect(out).toContain("n5 is no member yet: gyre join n5\n");
  });

  test.each([
    ["first", 0],
    ["last", 1],
  ])("is the worst of what ready nodes say, whoever is asked %s", async (_, at) => {
    const other = apiNode();
    const otherUrl = `http://${await other.api.listen("127.0.0.1:0")}`;
    const dead = { liveness: "dead", sinceMs: 12_000 } as const;
    other.door.facts = clusterStatus({
      members: [clusterMember("n1"), clusterMember("n2", dead), clusterMember("n3", dead)],
      reachableHolders: new Uint8Array(64).fill(1),
    });
    const nodes = [url].toSpliced(at, 0, otherUrl);
    const cutOff = await gyre(["status", "--nodes", nodes.join(",")]);
    expect([cutOff.code, cutOff.out.split("\n")[0]]).toEqual([1, "unavailable"]);
    expect(cutOff.out).toContain("  - node n2 is down, for 12 s\n");
    // one that does not say may see just that
    other.door.status = () => {
      throw new Error("a defect");
    };
    const silent = await gyre(["status", "--nodes", nodes.join(",")]);
    expect([silent.code, silent.out.split("\n")[0]]).toEqual([1, "degraded"]);
    expect(silent.out).toContain(`  - ${otherUrl}: `);
    const alone = await gyre(["status", "--nodes", otherUrl]);
    expect([alone.code, alone.out.split("\n").slice(0, 2)]).toEqual([1, ["reachable", silent.out.split("\n")[1]]]);
    // one that is not ready, an empty one, say, knows nothing of the cluster
    other.status.ready = [{ name: "cluster", isOk: false, reason: "waits to be joined" }];
    const empty = await gyre(["status", "--nodes", nodes.join(",")]);
    expect([empty.code, empty.out.split("\n")[0]]).toEqual([1, "degraded"]);
    await other.api.close();
  });

  test("tells the reasons of all who say the worst, each once", async () => {
    const other = apiNode();
    const nodes = [url, `http://${await other.api.listen("127.0.0.1:0")}`];
    const dead = { liveness: "dead", sinceMs: 12_000 } as const;
    here.door.facts = clusterStatus({ members: membersWith(clusterMember("n4", dead), clusterMember("n5", dead)) });
    const later = { liveness: "dead", sinceMs: 13_000 } as const;
    other.door.facts = clusterStatus({ members: membersWith(clusterMember("n4", later), clusterMember("n6", dead)) });
    const { out } = await gyre(["status", "--nodes", nodes.join(",")]);
    expect(out.split("\n").filter((line) => line.endsWith(" is down, for 12 s"))).toEqual(
      ["n4", "n5", "n6"].map((name) => `  - node ${name} is down, for 12 s`),
    );
    await other.api.close();
  });

  test("--json is the node's whole document under one verdict", async () => {
    const { code, out } = await run(["status", "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      verdict: "healthy",
      nodes: [{ node: url, isReady: true }],
      cluster: { recordsHash: "00000000000000cc", moves: { copiesLeft: 0 } },
    });
  });

  test("--watch tells each change once, until Ctrl-C, and ends as the last verdict says", async () => {
    let pauses = 0;
    let interrupt = (): void => undefined;
    const { code, out } = await run(["status", "--watch"], {
      onStart: (it) => {
        interrupt = it;
      },
      onPause: () => {
        pauses += 1;
        if (pauses === 2) here.door.facts = clusterStatus({ concerns: ["the roof leaks"] });
        if (pauses === 4) interrupt();
      },
    });
    expect(code).toBe(1);
    expect(out.match(/^(healthy|degraded)$/gm)).toEqual(["healthy", "degraded"]);
  });
});

describe("gyre ring", () => {
  test("shows who holds what, without columns that say nothing", async () => {
    const { out } = await run(["ring"]);
    expect(out.split("\n").slice(0, 3)).toEqual([
      "ring 00000000000000ff",
      "partition  owners    fallbacks",
      "0          n1 n2 n3",
    ]);
    expect(out.trimEnd().split("\n")).toHaveLength(66);
    expect((await run(["ring", "b", "a/b"])).out).toContain("7          n1 n2 n3\n");
  });
});
