/** A stage whose nodes take their time, and its doors for clients. Must never decide what is judged. */
import type { Network } from "../../../services/base/ports.ts";
import { play, type Stage } from "../scenario-stage.ts";
import { type FrontAnswer, type FrontRequest, SimFront, SimProcessor } from "../sim-processor.ts";

/** The nodes of the stage. */
export const BUSY_NODES: readonly number[] = [0, 1, 2];
/** After which a node that is not there refuses a connection, virtual milliseconds. */
const REFUSED_CONNECTION_MS = 0.1;

/** The doors of all nodes, as clients that wait only so long meet them. */
export class Doors {
  readonly #on: Stage;
  readonly #processors: readonly SimProcessor[];
  readonly #isGated: boolean;
  readonly #fronts = new Map<object, SimFront>();

  constructor(on: Stage, processors: readonly SimProcessor[], isGated: boolean) {
    this.#on = on;
    this.#processors = processors;
    this.#isGated = isGated;
  }

  /** Asks a node; `gone`: it is not there, or has said nothing within the request's time. */
  ask(node: number, request: FrontRequest): Promise<FrontAnswer | "gone"> {
    const front = this.#frontOf(node);
    const given = front === undefined ? undefined : new Promise<FrontAnswer>((resolve) => front.ask(request, resolve));
    const waitMs = given === undefined ? REFUSED_CONNECTION_MS : request.timeoutMs;
    const giving = this.#on.sleep(waitMs).then(() => "gone" as const);
    return given === undefined ? giving : Promise.race([given, giving]);
  }

  /** The process of the node is killed, and what waited for its processor is gone. */
  kill(node: number): void {
    this.#on.cluster.end(node, { kind: "kill" });
    this.#processors[node]?.clear();
  }

  #frontOf(node: number): SimFront | undefined {
    const inside = this.#on.cluster.inside(node);
    const processor = this.#processors[node];
    if (inside === undefined || processor === undefined) return undefined;
    if (!inside.status.readyz().every(({ isOk }) => isOk)) return undefined;
    const known = this.#fronts.get(inside);
    if (known !== undefined) return known;
    const made = new SimFront(inside, processor, { nowMs: () => this.#on.nowMs, isGated: this.#isGated });
    this.#fronts.set(inside, made);
    return made;
  }
}

/** How the nodes of a story are. */
export interface BusyShape {
  readonly seed: string;
  /** false: nobody is ever refused for overload */
  readonly isGated: boolean;
  /** how many times slower than real processors theirs are */
  readonly slowness: number;
}

/** Plays a story on three nodes that have a processor each. */
export async function playOnProcessors<T>(
  { seed, isGated, slowness }: BusyShape,
  story: (on: Stage, doors: Doors) => Promise<T>,
): Promise<T> {
  let stageOf: Stage | undefined;
  const clock = {
    nowMs: () => stageOf?.nowMs ?? 0,
    after: (delayMs: number, run: () => void) => void stageOf?.sleep(delayMs).then(run),
  };
  const processors = BUSY_NODES.map(() => new SimProcessor(clock, slowness));
  const processorOf = (node: number): SimProcessor => processors[node] ?? new SimProcessor(clock, slowness);
  const shape = {
    seed,
    keyCount: 0,
    load: (node: number) => processorOf(node).meter,
    sabotage: { network: (network: Network, node: number) => processorOf(node).slowed(network) },
    onStage: (on: Stage) => {
      stageOf = on;
    },
  };
  const { told } = await play(shape, (on) => story(on, new Doors(on, processors, isGated)));
  return told;
}
