/**
 * `gyre scale --to COUNT`: fewer pods: the members that go hand over their data, then their pods are taken away; more pods: they are
 * started and followed until they have their share. Must never have Kubernetes take a pod away whose node holds anything.
 */
import { parseObject } from "../../client/client.ts";
import { askNode } from "../../client/http-node.ts";
import { memberNamed, parseCluster } from "../cluster-summary.ts";
import { type Command, type CommandLine, UsageError } from "../command.ts";
import { fetchOf } from "../credentials.ts";
import { type CliIo, EXIT } from "../io.ts";
import { CHANGE_FLAGS, isAgreed, runChange, tryChange } from "../membership-commands.ts";
import { watchChanges } from "../membership-watch.ts";
import { nodesOf } from "../nodes.ts";
import type { Change } from "../plan-table.ts";
import { kubectl, placeWords, scaleWords, type Target, workloadOf } from "./kubectl.ts";
import { podNames, type ScaleFacts, type ScalePlan, scalePlanOf, stillHolding } from "./scale-core.ts";

const LOOK_TIMEOUT_MS = 5_000;
const POLL_MS = 1_000;
/** A pod that returns must start, and its disk must be found: a quarter of an hour. */
const MAX_RETURN_LOOKS = 900;
/** Gossip tells all of a change within seconds. */
const AGREEMENT_LOOKS = 20;
/** A plan that does not hold any more is made anew. */
const MAX_JOIN_TRIES = 5;

type Looked = Pick<ScaleFacts, "seen" | "verdict" | "reasons">;
type Done<K extends ScalePlan["kind"]> = Extract<ScalePlan, { kind: K }>;

/** One run of the command. */
class Scaling {
  readonly #line: CommandLine;
  readonly #io: CliIo;
  readonly #target: Target;
  readonly #to: number;

  constructor(line: CommandLine, io: CliIo) {
    if (line.text("to") === undefined) throw new UsageError("--to COUNT is needed: how many pods there shall be");
    this.#line = line;
    this.#io = io;
    this.#to = line.number("to", 0, 1);
    const [namespace, context] = [line.text("namespace"), line.text("context")];
    this.#target = { name: line.text("name") ?? "gyre", namespace, context };
  }

  async run(): Promise<number> {
    const looked = await this.#lookAgreed();
    if (looked === undefined) return this.#failed("no member of a cluster answers: name nodes with --nodes");
    const facts = await this.#factsOf(looked);
    if (typeof facts === "number") return facts;
    const plan = scalePlanOf(facts, this.#to);
    switch (plan.kind) {
      case "refused":
        for (const reason of plan.reasons) this.#say(`refused: ${reason}`);
        return this.#failed("nothing was changed");
      case "nothing":
        this.#say(`there are ${plan.current} pods already`);
        return EXIT.ok;
      case "down":
        return this.#shrink(plan);
      case "up":
        return this.#grow(plan);
    }
  }

  async #shrink(plan: Done<"down">): Promise<number> {
    const going = podNames(this.#target.name, this.#to, plan.current).toReversed();
    const left = await this.#handOver(plan);
    if (left !== EXIT.ok || this.#line.isSet("dry-run") || this.#line.isSet("no-wait")) return left;
    const looked = await this.#look();
    const holding = looked === undefined ? going : stillHolding(looked.seen, going);
    if (holding.length > 0) return this.#failed(`${holding.join(", ")}: may still hold data; no pod was taken away`);
    this.#say(`${going.join(", ")}: hold nothing any more`);
    const scaled = await this.#scale(plan.current);
    if (scaled === EXIT.ok) this.#sayWhatIsLeft(going);
    return scaled;
  }

  /** Those that have not begun are asked to leave, in one plan, so that no copy moves twice; then all are waited for. */
  async #handOver({ leaving, underWay }: Done<"down">): Promise<number> {
    const asLeave = (node: string): { readonly kind: "leave"; readonly node: string } => ({ kind: "leave", node });
    if (leaving.length > 0) {
      const code = await runChange(this.#line, this.#io, leaving.map(asLeave));
      if (code !== EXIT.ok) return code;
    }
    if (underWay.length === 0 || this.#line.isSet("dry-run") || this.#line.isSet("no-wait")) return EXIT.ok;
    return this.#watch(underWay.map(asLeave));
  }

  async #grow({ current, arriving, returning }: Done<"up">): Promise<number> {
    if (this.#line.isSet("dry-run")) {
      this.#say(`${arriving.join(", ")}: would be started, and join by themselves`);
      return EXIT.ok;
    }
    const isWaiting = !this.#isPrinting() && !this.#line.isSet("no-wait");
    // Before the first pod is started: who says no then finds nothing changed.
    if (isWaiting && returning.length > 0 && !(await this.#isReturnAgreed(returning))) {
      return this.#failed("nothing was changed");
    }
    const scaled = await this.#scale(current);
    if (scaled !== EXIT.ok || !isWaiting) {
      if (returning.length > 0)
        this.#say(`then, as they have left before: gyre join NODE, for ${returning.join(", ")}`);
      return scaled;
    }
    const fresh = arriving.filter((pod) => !returning.includes(pod));
    if (fresh.length > 0) this.#say(`${fresh.join(", ")}: join by themselves`);
    const returned = await this.#takeBack(returning);
    if (returned !== EXIT.ok || fresh.length === 0) return returned;
    return this.#watch(fresh.map((node) => ({ kind: "join", node })));
  }

  #isReturnAgreed(returning: readonly string[]): Promise<boolean> {
    const question = `${returning.join(", ")}: left once; start them, and have them join again with their old disks?`;
    return isAgreed(this.#line, this.#io, question);
  }

  /** Who has left comes back with its disk only when it is told to: that has been agreed to. */
  async #takeBack(returning: readonly string[]): Promise<number> {
    if (returning.length === 0) return EXIT.ok;
    this.#say(`${returning.join(", ")}: left once, and join again with their old disks`);
    let tries = 0;
    for (let looks = 0; looks < MAX_RETURN_LOOKS; looks += 1) {
      const seen = (await this.#look())?.seen;
      const joining = returning.filter((node) => seen !== undefined && memberNamed(seen, node)?.status === "left");
      if (seen !== undefined && joining.length === 0) return EXIT.ok;
      // A node that comes up has a new address, and a plan that was made before all know it does not hold.
      const isKnown = seen !== undefined && seen.differing.length === 0;
      if (isKnown && joining.every((node) => memberNamed(seen, node)?.liveness === "alive")) {
        const changes = joining.map((node): Change => ({ kind: "join", node }));
        const ended = await tryChange(this.#line, this.#io, { changes, ask: async () => true });
        if (ended !== "plan_changed") return ended;
        tries += 1;
        if (tries === MAX_JOIN_TRIES) return EXIT.failed;
      }
      await this.#io.pause(POLL_MS);
    }
    return this.#failed(`${returning.join(", ")}: did not come up; gyre join NODE when they are`);
  }

  /** Has Kubernetes set the number, or prints how. */
  async #scale(current: number): Promise<number> {
    const words = scaleWords(this.#target, { current, to: this.#to });
    if (this.#isPrinting()) {
      this.#io.out(`kubectl ${words.join(" ")}\n`);
      return EXIT.ok;
    }
    const done = await kubectl(this.#io, words);
    if (done.kind === "failed") {
      this.#say(`kubectl: ${done.reason}`);
      return this.#failed(`to be done by hand: kubectl ${words.join(" ")}`);
    }
    this.#say(`kubectl ${words.join(" ")}`);
    return EXIT.ok;
  }

  #sayWhatIsLeft(gone: readonly string[]): void {
    const claims = gone.map((pod) => `data-${pod}`).join(" ");
    this.#say(`replicas in your overlay or Helm values: ${this.#to}, or the next apply starts them again`);
    this.#say("their disks are kept. When you are sure that you do not want them back:");
    this.#say(`  kubectl ${[...placeWords(this.#target), "delete", "pvc"].join(" ")} ${claims}`);
  }

  #watch(list: readonly { readonly kind: "join" | "leave"; readonly node: string }[]): Promise<number> {
    const fetchIt = fetchOf(this.#line, this.#io);
    return watchChanges(this.#io, nodesOf(this.#line, this.#io), { list, copies: 0, fetch: fetchIt });
  }

  async #factsOf(looked: Looked): Promise<ScaleFacts | number> {
    const { name } = this.#target;
    if (this.#isPrinting()) return { ...looked, name, workload: undefined };
    const asked = await workloadOf(this.#io, this.#target);
    if (asked.kind === "workload") return { ...looked, name, workload: asked.workload };
    this.#say(`kubectl: ${asked.reason}`);
    return this.#failed("Kubernetes cannot be asked; with --print only its command is told");
  }

  /** The same; waits a while for members that have not heard of the last change yet. */
  async #lookAgreed(): Promise<Looked | undefined> {
    let looked = await this.#look();
    for (let looks = 0; looks < AGREEMENT_LOOKS && (looked?.seen.differing.length ?? 0) > 0; looks += 1) {
      await this.#io.pause(POLL_MS);
      looked = await this.#look();
    }
    return looked;
  }

  /** The cluster as the first member that answers sees it. */
  async #look(): Promise<Looked | undefined> {
    const fetchIt = fetchOf(this.#line, this.#io);
    for (const node of nodesOf(this.#line, this.#io)) {
      const request = { method: "GET", path: "/v1/cluster", timeoutMs: LOOK_TIMEOUT_MS } as const;
      const answer = await askNode(fetchIt, node, request);
      if (answer.kind !== "answered" || answer.status !== 200) continue;
      const seen = parseCluster(answer.bytes);
      if (seen === undefined || !seen.isMember) continue;
      const { verdict, reasons } = parseObject(answer.bytes);
      return { seen, verdict: String(verdict), reasons: Array.isArray(reasons) ? reasons.map(String) : [] };
    }
    return undefined;
  }

  #isPrinting(): boolean {
    return this.#line.isSet("print");
  }

  #say(words: string): void {
    this.#io.err(`${words}\n`);
  }

  #failed(words: string): number {
    this.#io.err(`gyre scale: ${words}\n`);
    return EXIT.failed;
  }
}

/** The command. */
export const SCALE_COMMAND: Command = {
  name: "scale",
  usage: "--to COUNT",
  summary: "On Kubernetes: more or fewer pods, without a pod going before its data has gone.",
  wordCount: [0, 0],
  flags: {
    ...CHANGE_FLAGS,
    to: { type: "string", value: "COUNT", meaning: "how many pods there shall be" },
    print: { type: "boolean", meaning: "print the kubectl command in place of running it" },
    namespace: { type: "string", value: "NAME", meaning: "of the StatefulSet (default: kubectl's)" },
    context: { type: "string", value: "NAME", meaning: "kubectl's context" },
    name: { type: "string", value: "NAME", meaning: "of the StatefulSet (default gyre)" },
  },
  run: (line, io) => new Scaling(line, io).run(),
};
