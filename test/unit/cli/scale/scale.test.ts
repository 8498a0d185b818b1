/** `gyre scale` against the real API over a membership that is told what to say, and a `kubectl` that notes what it is told. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ClusterMember, ClusterStatus } from "../../../../services/api/cluster-door.ts";
import { parseWorkload } from "../../../../services/cli/scale/kubectl.ts";
import { type ApiNode, apiNode, clusterMember, clusterStatus } from "../../../support/api-node.ts";
import { type CliGiven, type CliRun, gyre } from "../../../support/cli-run.ts";

let here: ApiNode;
let url: string;
let folder: string;
beforeEach(async () => {
  here = apiNode();
  url = `http://${await here.api.listen("127.0.0.1:0")}`;
  folder = mkdtempSync(join(tmpdir(), "gyre-scale-"));
  const script = `#!/bin/sh\nprintf "%s\\n" "$*" >> ${folder}/told\ncase "$*" in *" get "*|get*) cat ${folder}/set.json;; *) exit $(cat ${folder}/code);; esac\n`;
  writeFileSync(join(folder, "kubectl"), script);
  chmodSync(join(folder, "kubectl"), 0o755);
  writeFileSync(join(folder, "told"), "");
  writeFileSync(join(folder, "code"), "0");
});
afterEach(async () => {
  await here.api.close();
  rmSync(folder, { recursive: true });
});

/** The StatefulSet that `kubectl` tells of. */
function workload(replicas: number, more: { readonly ready?: number; readonly next?: string } = {}): string {
  const status = {
    observedGeneration: 4,
    readyReplicas: more.ready ?? replicas,
    currentRevision: "r1",
    updateRevision: more.next ?? "r1",
  };
  return JSON.stringify({ kind: "StatefulSet", metadata: { generation: 4 }, spec: { replicas }, status });
}

function run(argv: readonly string[], given: CliGiven = {}, set = workload(5)): Promise<CliRun> {
  writeFileSync(join(folder, "set.json"), set);
  const env = { PATH: `${folder}${delimiter}${process.env["PATH"] ?? ""}` };
  return gyre(["scale", ...argv, "--nodes", url], { env, ...given });
}

function told(): readonly string[] {
  return readFileSync(join(folder, "told"), "utf8")
    .split("\n")
    .filter((line) => line !== "");
}

/** gyre-0, gyre-1, … up to `count`, with changes for some of them. */
function pods(count: number, changes: Readonly<Record<number, Partial<ClusterMember>>> = {}): readonly ClusterMember[] {
  return Array.from({ length: count }, (_, ordinal) => clusterMember(`gyre-${ordinal}`, changes[ordinal]));
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

const LEAVING = { status: "leaving", slotsHeld: 9, outgoing: 9 } as const;
const LEFT = { status: "left", slotsHeld: 0 } as const;

describe("gyre scale, to fewer", () => {
  test("has the highest leave, waits until they hold nothing, and only then has their pods taken away", async () => {
    let toldBefore: readonly string[] = [];
    const given = steps(
      { members: pods(5) },
      { members: pods(5, { 3: LEAVING, 4: LEAVING }) },
      { members: pods(5, { 3: LEAVING, 4: LEFT }) },
      { members: pods(5, { 3: LEFT, 4: LEFT }) },
    );
    const onPause = (): void => {
      toldBefore = told();
      given.onPause();
    };
    const { code, err } = await run(["--to", "3", "--yes", "--namespace", "kv"], { onPause });
    expect(code, err).toBe(0);
    const changes = ["gyre-4", "gyre-3"].map((node) => ({ kind: "leave", node }));
    expect(here.door.asked).toEqual([{ plan: changes }, { plan: changes }, { commit: "00112233445566aa" }]);
    expect(toldBefore).toEqual(["-n kv get statefulset/gyre -o json"]);
    expect(told().slice(1)).toEqual(["-n kv scale statefulset/gyre --current-replicas=5 --replicas=3"]);
    expect(err).toContain("gyre-4, gyre-3: hold nothing any more\n");
    expect(err).toContain("  kubectl -n kv delete pvc data-gyre-4 data-gyre-3\n");
  });

  test("goes on where it was interrupted: who has left is not asked again, who is leaving is waited for", async () => {
    const given = steps(
      { members: pods(5, { 3: LEAVING, 4: LEFT }) },
      { members: pods(5, { 3: LEAVING, 4: LEFT }) },
      { members: pods(5, { 3: LEFT, 4: LEFT }) },
    );
    const { code, err } = await run(["--to", "3", "--yes"], given);
    expect(code, err).toBe(0);
    expect(here.door.asked).toEqual([]);
    expect(told().at(-1)).toBe("scale statefulset/gyre --current-replicas=5 --replicas=3");
  });

  test("prints the command in place of running it, and asks Kubernetes nothing", async () => {
    const given = steps({ members: pods(4) }, { members: pods(4, { 3: LEAVING }) }, { members: pods(4, { 3: LEFT }) });
    const { code, out } = await run(["--to", "3", "--yes", "--print"], given);
    expect(code).toBe(0);
    expect(out).toMatch(/\nkubectl scale statefulset\/gyre --current-replicas=4 --replicas=3\n$/);
    expect(told()).toEqual([]);
  });

  test("tells the plan and changes nothing with --dry-run", async () => {
    steps({ members: pods(5) });
    const { code, out } = await run(["--to", "3", "--dry-run"]);
    expect(code).toBe(0);
    expect(out).toContain("plan 00112233445566aa: leave gyre-4, leave gyre-3");
    expect(here.door.asked).toHaveLength(1);
    expect(told()).toHaveLength(1);
  });

  test("takes no pod away when the leave is taken back by somebody", async () => {
    const given = steps({ members: pods(4) }, { members: pods(4, { 3: LEAVING }) }, { members: pods(4) });
    const { code, err } = await run(["--to", "3", "--yes"], given, workload(4));
    expect(code).toBe(1);
    expect(err).toContain("taken back by somebody");
    expect(told()).toHaveLength(1);
  });

  test("takes no pod away whose node says that it left but holds something still", async () => {
    const held = { status: "left", slotsHeld: 3 } as const;
    const given = steps({ members: pods(4) }, { members: pods(4, { 3: LEAVING }) }, { members: pods(4, { 3: held }) });
    const { code, err } = await run(["--to", "3", "--yes"], given, workload(4));
    expect(code).toBe(1);
    expect(err).toContain("gyre-3: may still hold data; no pod was taken away");
    expect(told()).toHaveLength(1);
  });

  test("says what is to be done when kubectl fails", async () => {
    writeFileSync(join(folder, "code"), "1");
    const given = steps({ members: pods(4) }, { members: pods(4, { 3: LEAVING }) }, { members: pods(4, { 3: LEFT }) });
    const { code, err } = await run(["--to", "3", "--yes"], given, workload(4));
    expect(code).toBe(1);
    expect(err).toContain("to be done by hand: kubectl scale statefulset/gyre --current-replicas=4 --replicas=3");
  });
});

describe("gyre scale refuses", () => {
  const dead = clusterMember("gyre-1", { liveness: "dead" });
  test.each<{
    readonly what: string;
    readonly to?: string;
    readonly facts: Partial<ClusterStatus>;
    readonly set?: string;
    readonly words: RegExp;
  }>([
    {
      what: "fewer nodes than replicas",
      to: "2",
      facts: { members: pods(5) },
      words: /2 nodes cannot hold 3 replicas/,
    },
    {
      what: "while a node is down",
      facts: { members: [...pods(5).filter((one) => one.node !== dead.node), dead] },
      words: /the cluster is degraded: node gyre-1 is down/,
    },
    {
      what: "while somebody joins",
      facts: { members: pods(5, { 4: { status: "joining" } }) },
      words: /gyre-4 is joining/,
    },
    {
      what: "while another one leaves",
      facts: { members: pods(5, { 0: LEAVING }) },
      words: /gyre-0 is leaving, but its pod would stay/,
    },
    {
      what: "while members know different things",
      facts: { members: pods(5, { 2: { recordsHash: "1122334455667788" } }) },
      words: /gyre-2: know other members/,
    },
    {
      what: "members that are no pods",
      facts: { members: [...pods(4), clusterMember("n9")] },
      words: /n9: no pods of the StatefulSet gyre/,
    },
    {
      what: "while a rollout is under way",
      facts: { members: pods(5) },
      set: workload(5, { next: "r2" }),
      words: /a rollout is under way/,
    },
    {
      what: "while pods are not ready",
      facts: { members: pods(5) },
      set: workload(5, { ready: 4 }),
      words: /4 of 5 pods are ready/,
    },
  ])("$what", async ({ to = "3", facts, set, words }) => {
    steps(facts);
    const { code, err } = await run(["--to", to, "--yes"], {}, set);
    expect(code).toBe(1);
    expect(err).toMatch(words);
    expect(err).toContain("nothing was changed");
    expect(here.door.asked).toEqual([]);
    expect(told()).toHaveLength(1);
  });

  test("without a count", async () => {
    expect((await run([])).err).toContain("--to COUNT is needed");
  });

  test("when Kubernetes cannot be asked", async () => {
    steps({ members: pods(5) });
    const { code, err } = await run(["--to", "3", "--yes"], { env: { PATH: "/nowhere" } });
    expect(code).toBe(1);
    expect(err).toContain("with --print only its command is told");
    expect(here.door.asked).toEqual([]);
  });
});

describe("gyre scale, to more", () => {
  test("has pods started and follows them until they have their share", async () => {
    const given = steps(
      { members: pods(3) },
      { members: [...pods(3), clusterMember("gyre-3", { status: "joining", incoming: 9 })] },
      { members: pods(4) },
    );
    const { code, err } = await run(["--to", "4"], given, workload(3));
    expect(code, err).toBe(0);
    expect(told().at(-1)).toBe("scale statefulset/gyre --current-replicas=3 --replicas=4");
    expect(err).toContain("done: join gyre-3");
    expect(here.door.asked).toEqual([]);
  });

  test("has those join again that left once, as soon as they are there", async () => {
    const away = { ...LEFT, liveness: "left" } as const;
    const given = steps(
      { members: pods(4, { 3: away }) },
      { members: pods(4, { 3: away }) },
      { members: pods(4, { 3: LEFT }) },
      { members: pods(4, { 3: { status: "joining", incoming: 9 } }) },
      { members: pods(4) },
    );
    const { code, err } = await run(["--to", "4", "--yes"], given, workload(3));
    expect(code, err).toBe(0);
    const changes = [{ kind: "join", node: "gyre-3" }];
    expect(here.door.asked).toEqual([{ plan: changes }, { plan: changes }, { commit: "00112233445566aa" }]);
  });

  describe("when one of them has left once", () => {
    const away = { ...LEFT, liveness: "left" } as const;
    const facts = [{ members: pods(4, { 3: away }) }, { members: pods(4, { 3: LEFT }) }];
    const question = /gyre-3: left once; start them, .* \[y\/N\] /;

    test("asks before it starts anything, and takes no for an answer", async () => {
      const { code, err } = await run(["--to", "4"], { ...steps(...facts), answer: "n" }, workload(3));
      expect([code, err.match(/\[y\/N\]/g)?.length]).toEqual([1, 1]);
      expect(err).toMatch(question);
      expect(err).toContain("nothing was changed");
      expect([told().length, here.door.asked]).toEqual([1, []]);
    });

    test("asks once, for a start and a join", async () => {
      const given = steps(
        ...facts,
        { members: pods(4, { 3: { status: "joining", incoming: 9 } }) },
        { members: pods(4) },
      );
      const { code, err } = await run(["--to", "4"], { ...given, answer: "y" }, workload(3));
      expect([code, err.match(/\[y\/N\]/g)?.length], err).toEqual([0, 1]);
      expect(here.door.asked.at(-1)).toEqual({ commit: "00112233445566aa" });
    });

    test("starts nothing where nobody can be asked", async () => {
      expect((await run(["--to", "4"], steps(...facts), workload(3))).err).toContain("nobody is here to ask");
      expect(told()).toHaveLength(1);
    });

    test.each([
      ["plan_changed", 5],
      ["refused", 1],
    ] as const)("a commit that is answered %s is tried so often: %d", async (kind, count) => {
      here.door.answers.commit = kind === "refused" ? { kind, refusals: ["planted"] } : { kind, detail: "planted" };
      const { code, err } = await run(["--to", "4", "--yes"], steps(...facts), workload(3));
      expect(code, err).toBe(1);
      const commits = here.door.asked.filter((one) => typeof one === "object" && one !== null && "commit" in one);
      expect(commits).toHaveLength(count);
    });
  });

  test("does nothing when there are as many already", async () => {
    steps({ members: pods(5) });
    const { code, err } = await run(["--to", "5"]);
    expect(code).toBe(0);
    expect(err).toContain("there are 5 pods already");
    expect(told()).toHaveLength(1);
  });
});

test("what kubectl prints is understood only if it is a StatefulSet", () => {
  expect(parseWorkload(workload(5))).toEqual({ replicas: 5, readyReplicas: 5, isRolledOut: true });
  expect(parseWorkload(workload(5).replace('"observedGeneration":4', '"observedGeneration":3'))).toMatchObject({
    isRolledOut: false,
  });
  for (const text of ["", "{}", "no", '{"kind":"StatefulSet"}']) expect(parseWorkload(text)).toBeUndefined();
});
