/**
 * What this node does when it hears of itself: refutes, or takes a later generation when someone remembers one that this
 * data does not know, or finds that another process speaks under its name. Must never speak in a generation that is not durable,
 * and never refute its own farewell. Source: gossip-ring notes §A.3, §A.4 (self rows); memberlist #311.
 */
import { compareLives, LAST_NUMBER } from "./life.ts";
import type { Life, Rumor, Sender } from "./messages.ts";
import type { SwimState } from "./swim-state.ts";

/** Two jumps of the generation within this are two processes that chase each other. */
const CLONE_WINDOW_MS = 10 * 60_000;

/** The keeper of this node's own life. */
export class SelfKeeper {
  readonly #state: SwimState;
  #lastJumpMs = -Infinity;
  /** asked to be made durable */
  #pending: number | undefined;

  constructor(state: SwimState) {
    this.#state = state;
  }

  /** Tells everybody of this life, before all other news. */
  announce(): void {
    this.#state.spread(this.#state.ownAlive);
  }

  /** A rumor about this node. `sender` is whom to answer; undefined for a rumor out of a table. */
  onRumor(rumor: Rumor, sender: Sender | undefined, nowMs: number): void {
    if (this.#state.phase !== "alive") return;
    const { life, options } = this.#state;
    if (rumor.life.generation < life.generation) {
      this.#answer(rumor, sender);
      return;
    }
    // Nobody but this node raises the incarnation in its generation, changes its address or says its farewell. Who does was
    // here before on data that was rolled back, or is here now on a copy.
    const isForeign =
      compareLives(rumor.life, life) > 0 ||
      rumor.kind === "left" ||
      (rumor.kind === "alive" && rumor.facts.address !== options.facts.address);
    if (isForeign) this.#jump(rumor.life, nowMs);
    else if (rumor.kind === "alive") return;
    else if (rumor.life.incarnation === life.incarnation) this.#refute(rumor.life, nowMs);
    else this.#answer(rumor, sender);
  }

  /** A datagram under this node's name. Its own come back when it greets its own address. */
  onOwnName(sender: Sender, nowMs: number): void {
    const { phase, life, options } = this.#state;
    if (phase !== "alive" || sender.boot === options.boot || sender.life.generation < life.generation) return;
    if (sender.life.generation === life.generation && this.#pending === undefined) {
      this.#halt(`${sender.address} sends in our generation ${life.generation}, from another process`);
    } else {
      this.#jump(sender.life, nowMs);
    }
  }

  /** The generation asked for is durable: it is ours from now on. */
  onDurable(generation: number): void {
    if (generation !== this.#pending || this.#state.phase === "halted") return;
    this.#pending = undefined;
    this.#state.life = { generation, incarnation: 1 };
    this.#state.outbox.unmute();
    this.announce();
  }

  #refute(accused: Life, nowMs: number): void {
    if (accused.incarnation >= LAST_NUMBER) {
      this.#jump(accused, nowMs);
      return;
    }
    this.#state.life = { generation: accused.generation, incarnation: accused.incarnation + 1 };
    this.#state.health.add(1);
    this.#state.counters.refutations += 1;
    this.announce();
  }

  #answer(rumor: Rumor, sender: Sender | undefined): void {
    const isAccusation = rumor.kind === "suspect" || rumor.kind === "dead";
    if (!isAccusation || sender === undefined) return;
    const entry = this.#state.table.get(sender.nodeId);
    this.#state.sendToAddress(sender.address, entry, [this.#state.ownAlive]);
  }

  #jump(remembered: Life, nowMs: number): void {
    if (this.#pending !== undefined && remembered.generation < this.#pending) return;
    const isRepeated = this.#pending === undefined && nowMs - this.#lastJumpMs < CLONE_WINDOW_MS;
    if (isRepeated || remembered.generation >= LAST_NUMBER) {
      this.#halt(`generation ${remembered.generation} of ours is told again and again, and is not from this process`);
      return;
    }
    if (this.#pending === undefined) this.#lastJumpMs = nowMs;
    this.#pending = remembered.generation + 1;
    this.#state.outbox.mute();
    this.#state.outbox.push({
      kind: "persist-generation",
      generation: this.#pending,
      why: "rolled back or wiped disk",
    });
  }

  #halt(detail: string): void {
    this.#state.phase = "halted";
    this.#state.outbox.stop();
    this.#state.outbox.event({ kind: "duplicate-identity", detail });
  }
}
