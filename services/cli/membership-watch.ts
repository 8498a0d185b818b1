/**
 * Follows a committed change until the ring is where it should be: looks again and again, tells how far it is. Must never
 * take "nobody told me yet" for "done": what counts as done is said by the records, not by the lack of moves.
 */
import type { Fetch } from "../client/http-node.ts";
import { lookAt } from "./cluster-look.ts";
import {
  type ClusterSummary,
  isBelonging,
  type MemberLine,
  memberNamed,
  mergedSummary,
  stalledLines,
} from "./cluster-summary.ts";
import { bytesText } from "./columns.ts";
import { type CliIo, EXIT } from "./io.ts";
import { durationText } from "./load/ticker.ts";
import { type Change, changeText } from "./plan-table.ts";

/** Where a change is: `undone` somebody took it back; `unbegun` it has been waited for too long. */
export type ChangeState = "going" | "done" | "undone" | "unbegun";

const POLL_MS = 500;
/** Without a terminal a line is told every so many looks. */
const LOOKS_PER_LINE = 10;
/** So many looks in a row that no node answered: half a minute and more. */
const MAX_BLIND_LOOKS = 60;
/** So many looks in a row that a change had not begun: a quarter of an hour, in which a pod starts and its disk is found. */
const MAX_UNBEGUN_LOOKS = 1_800;

/** Follows one or more changes. */
export class ChangeWatch {
  readonly #changes: readonly Change[];
  readonly #copies: number;
  /** changes of which the first step has been seen */
  readonly #begun = new Set<Change>();
  #unbegunLooks = 0;
  #mostLeft = 0;
  #hasMoved = false;

  /** `copies`: how many the plan moves */
  constructor(changes: readonly Change[], copies: number) {
    this.#changes = changes;
    this.#copies = copies;
  }

  /** Whose own view of the ring is of the least use. */
  get subjects(): readonly string[] {
    return this.#changes.filter(({ kind }) => kind !== "join").map(({ node }) => node);
  }

  /** Where all changes together are, by what is seen now; to be asked once for each look. */
  stateOf(seen: ClusterSummary): ChangeState {
    const states = this.#changes.map((change) => this.#stateOfOne(change, seen));
    if (states.includes("undone")) return "undone";
    if (states.every((state) => state === "done")) return "done";
    this.#unbegunLooks = this.unbegun(seen).length === 0 ? 0 : this.#unbegunLooks + 1;
    return this.#unbegunLooks > MAX_UNBEGUN_LOOKS ? "unbegun" : "going";
  }

  /** The changes of which nothing has been seen. */
  unbegun(seen: ClusterSummary): readonly Change[] {
    return this.#changes.filter((change) => !this.#isBegun(change, seen));
  }

  /** How far it is, in one line. */
  lineOf(seen: ClusterSummary): string {
    this.#mostLeft = Math.max(this.#mostLeft, seen.copiesLeft, this.#copies);
    const { copiesLeft, bytesPerSecond, etaSeconds } = seen;
    this.#hasMoved ||= copiesLeft > 0;
    // Nothing left to move is no progress before all of it was asked for.
    if (this.#copies > 0 && !(this.#hasMoved && this.#changes.every((change) => this.#isBegun(change, seen)))) {
      return `0 of ${this.#mostLeft} copies moved: the moves have not all begun`;
    }
    const pace = bytesPerSecond > 0 ? `, ${bytesText(bytesPerSecond)}/s` : "";
    const eta = etaSeconds === undefined || copiesLeft === 0 ? "" : `, about ${durationText(etaSeconds)} left`;
    const stalled = stalledLines(seen.active).map((line) => `; ${line}`);
    return `${this.#mostLeft - copiesLeft} of ${this.#mostLeft} copies moved${pace}${eta}${stalled.join("")}`;
  }

  /** Only who comes or goes is seen to begin. */
  #isBegun(change: Change, seen: ClusterSummary): boolean {
    const isSeen = change.kind === "join" || change.kind === "leave" || change.kind === "replace";
    return !isSeen || this.#begun.has(change) || this.#stateOfOne(change, seen) === "done";
  }

  #stateOfOne(change: Change, seen: ClusterSummary): ChangeState {
    const member = memberNamed(seen, change.node);
    const isMember = member !== undefined && isBelonging(member);
    const isAtRest = seen.vacantCount + seen.copiesLeft === 0;
    switch (change.kind) {
      case "join":
        return this.#arrival(change, member);
      case "leave":
        return isMember ? this.#departure(change, member) : "done";
      case "remove":
        return !isMember && isAtRest ? "done" : "going";
      case "replace":
        return this.#succession(change, memberNamed(seen, change.with ?? ""), isMember);
      case "weight":
      case "zone":
      case "host":
        return isRelabelled(change, member) && isAtRest ? "done" : "going";
    }
  }

  #succession(change: Change, heir: MemberLine | undefined, isOldMember: boolean): ChangeState {
    const arrival = this.#arrival(change, heir);
    return arrival === "done" && isOldMember ? "going" : arrival;
  }

  #departure(change: Change, { status }: MemberLine): ChangeState {
    if (status === "leaving") this.#begun.add(change);
    return this.#begun.has(change) && status !== "leaving" ? "undone" : "going";
  }

  #arrival(change: Change, member: MemberLine | undefined): ChangeState {
    if (member === undefined) return "going";
    if (member.status === "joining" || member.status === "normal") this.#begun.add(change);
    else return this.#begun.has(change) ? "undone" : "going";
    return member.status === "normal" && member.incoming === 0 ? "done" : "going";
  }
}

/** The member's record says what was asked for. */
function isRelabelled(change: Change, member: MemberLine | undefined): boolean {
  if (member === undefined) return false;
  const { weight = member.weight, zone = member.zone, host = member.host } = change;
  return member.weight === weight && member.zone === zone && member.host === host;
}

/** Tells how far the changes are until they are done; resolves with the exit code. Ctrl-C ends the telling only. */
export async function watchChanges(
  io: CliIo,
  nodes: readonly string[],
  changes: { readonly list: readonly Change[]; readonly copies: number; readonly fetch: Fetch },
): Promise<number> {
  const watch = new ChangeWatch(changes.list, changes.copies);
  let isInterrupted = false;
  const release = io.onInterrupt(() => {
    isInterrupted = true;
  });
  try {
    return await follow(io, watch, {
      nodes,
      fetch: changes.fetch,
      changes: changes.list,
      isInterrupted: () => isInterrupted,
    });
  } finally {
    release();
  }
}

const END_WORDS: Readonly<Record<Exclude<ChangeState, "going">, string>> = {
  done: "done",
  undone: "taken back by somebody",
  unbegun: "not waiting any longer for what has not begun (gyre status; the log of the node)",
};

interface Following {
  readonly nodes: readonly string[];
  readonly fetch: Fetch;
  readonly changes: readonly Change[];
  readonly isInterrupted: () => boolean;
}

async function follow(io: CliIo, watch: ChangeWatch, following: Following): Promise<number> {
  const tell = progressLine(io);
  let blindLooks = 0;
  while (!following.isInterrupted()) {
    const views = await lookAt(following.nodes, following.fetch);
    // A node that is no member knows nothing of the ring: to it, everybody has left.
    const seen = mergedSummary(
      views.filter(({ isMember }) => isMember),
      watch.subjects,
    );
    blindLooks = seen === undefined ? blindLooks + 1 : 0;
    if (blindLooks >= MAX_BLIND_LOOKS) {
      tell("no node answers any more: gyre status tells how far it is", true);
      return EXIT.failed;
    }
    const state = seen === undefined ? "going" : watch.stateOf(seen);
    if (state !== "going") {
      const told = state === "unbegun" && seen !== undefined ? watch.unbegun(seen) : following.changes;
      tell(`${END_WORDS[state]}: ${told.map(changeText).join(", ")}`, true);
      return state === "done" ? EXIT.ok : EXIT.failed;
    }
    tell(seen === undefined ? "no node answers" : watch.lineOf(seen), false);
    await io.pause(POLL_MS);
  }
  tell("not waiting any longer: the moves go on, gyre status --watch shows them", true);
  return EXIT.interrupted;
}

/** On a terminal one line that is overwritten; elsewhere a line now and then. */
function progressLine(io: CliIo): (text: string, isLast: boolean) => void {
  let width = 0;
  let looks = 0;
  return (text, isLast) => {
    if (io.isErrorTerminal) io.err(`\r${text.padEnd(width)}${isLast ? "\n" : ""}`);
    else if (isLast || looks % LOOKS_PER_LINE === 0) io.err(`${text}\n`);
    width = text.length;
    looks += 1;
  };
}
