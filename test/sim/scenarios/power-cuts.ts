/** The story of a cluster that loses power at once while clients write, again and again. Must never decide what is judged. */
import type { Stage } from "../scenario-stage.ts";
import { keepBusy } from "./busy.ts";

const CLIENTS = 6;
const BUSY_MS = 1_500;

/** Lets `on` be written to and all its nodes lose power in mid-write, `rounds` times; then everything is judged. */
export async function losePowerTogether(
  on: Stage,
  { keyCount, rounds }: { readonly keyCount: number; readonly rounds: number },
): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    let isOver = false;
    const business = { keyCount, thinkMs: 30, isOver: () => isOver };
    const clients = Array.from({ length: CLIENTS }, () => keepBusy(on, on.client(), business));
    await on.sleep(BUSY_MS);
    for (let node = 0; node < on.cluster.size; node += 1) {
      on.cluster.end(node, { kind: "power", outcome: { pages: "dropped", names: "dropped" } });
    }
    isOver = true;
    await Promise.all(clients);
    await on.allServe();
  }
  await on.finish();
}
