/**
 * The state table: what a rumor about another member does, by what is believed of that member. Decides only.
 * Must be monotone in the stored life, and give the same end whatever order rumors of one member come in.
 * Source: gossip-ring notes §A.4. One cell differs: a SUSPECT or DEAD of a later generation brings one who had left back
 * (alive in that generation it must have been). Merely raising the number would refuse that generation's ALIVE for ever.
 */
import { compareLives } from "./life.ts";
import type { Life, MemberState, Message, Rumor } from "./messages.ts";

/** What to do with a rumor about another member. */
export type Decision =
  | "drop"
  /** not known yet: store it in the rumor's state, pass on */
  | "insert"
  /** keep no state, ask the sender what it knows. Not passed on: two who both do not know would tell each other for ever */
  | "ask"
  /** take state and life of the rumor, pass on */
  | "adopt"
  /** one more accuser of the life that is suspected */
  | "confirm"
  /** keep the state, store the later life */
  | "raise"
  | "raise-and-pass-on"
  /** tell the sender the later life that we know */
  | "answer"
  /** tell the member itself what is said of it, so that it can refute */
  | "accuse";

/** What is stored of a member. */
export interface Belief {
  readonly state: MemberState;
  readonly life: Life;
}

/** Whether a message speaks of who is alive. */
export function isRumor(message: Message): message is Rumor {
  const { kind } = message;
  return kind === "alive" || kind === "suspect" || kind === "dead" || kind === "left";
}

/** The cell of the table for a rumor of this kind and life; `local` is undefined for a member not known. */
export function decisionOn(local: Belief | undefined, kind: Rumor["kind"], life: Life): Decision {
  if (local === undefined) return kind === "suspect" ? "ask" : "insert";
  const order = compareLives(life, local.life);
  switch (local.state) {
    case "alive":
      return onAlive(kind, order);
    case "suspect":
      return onSuspect(kind, order);
    case "dead":
      return onDead(kind, order);
    case "left":
      return onLeft(kind, order, life.generation > local.life.generation);
  }
}

function onAlive(kind: Rumor["kind"], order: number): Decision {
  if (kind === "alive") return order > 0 ? "adopt" : "drop";
  if (order >= 0) return "adopt";
  return kind === "suspect" ? "answer" : "drop";
}

function onSuspect(kind: Rumor["kind"], order: number): Decision {
  if (kind === "suspect" && order === 0) return "confirm";
  const isEnough = kind === "dead" || kind === "left" ? order >= 0 : order > 0;
  return isEnough ? "adopt" : "drop";
}

function onDead(kind: Rumor["kind"], order: number): Decision {
  switch (kind) {
    case "alive":
      return order > 0 ? "adopt" : "accuse";
    case "suspect":
      return order > 0 ? "raise" : "drop";
    case "dead":
      return order > 0 ? "raise-and-pass-on" : "drop";
    case "left":
      return order >= 0 ? "adopt" : "drop";
  }
}

function onLeft(kind: Rumor["kind"], order: number, isLaterGeneration: boolean): Decision {
  if (isLaterGeneration) return kind === "left" ? "raise" : "adopt";
  if (kind === "alive") return "accuse";
  return order > 0 ? "raise" : "drop";
}
