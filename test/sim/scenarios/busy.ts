/** Clients of scenarios that go on while something happens. Must never decide what is judged. */
import type { Stage } from "../scenario-stage.ts";
import type { SimClient } from "../sim-client.ts";
import { keyName } from "../sim-values.ts";

/** What a client does meanwhile. */
export interface Business {
  readonly keyCount: number;
  /** the longest pause between two requests, virtual milliseconds */
  readonly thinkMs: number;
  isOver(): boolean;
}

/** Reads, and writes over what it has seen, through any node that takes requests. */
export async function keepBusy(
  stage: Stage,
  client: SimClient,
  { keyCount, thinkMs, isOver }: Business,
): Promise<void> {
  while (!isOver()) {
    await stage.sleep(stage.random.float() * thinkMs);
    const door = stage.anyDoor();
    const key = keyName(stage.random.below(keyCount));
    if (door === undefined) continue;
    if (stage.random.chance(0.3)) await client.read(door, key);
    else await client.write(door, key, { kind: "put", basis: client.seen(key) ?? "blind-sibling" });
  }
}
