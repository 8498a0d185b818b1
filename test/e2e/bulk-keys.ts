/** Many keys of 1 KB that are written once and must be found as they were. Must never write a key twice. */
import type { RealCluster } from "./cluster.ts";
import { ask, tryAsk } from "./http.ts";

const WORKERS = 24;

/** Writes `count` keys through the first three nodes. Throws when one is not taken. */
export async function fillBulk(cluster: RealCluster, count: number): Promise<void> {
  await each(count, async (i, worker) => {
    const url = `${cluster.url(worker % 3)}/v1/kv/bulk/key-${i}?timeout=20000`;
    const { status, text } = await ask(url, { method: "PUT", body: JSON.stringify({ i, pad: "p".repeat(900) }) });
    if (status !== 200) throw new Error(text);
  });
}

/** Reads every one through `node`; answers how many are not as written. */
export async function wrongBulk(cluster: RealCluster, node: number, count: number): Promise<number> {
  let wrong = 0;
  await each(count, async (i) => {
    const answer = await tryAsk(`${cluster.url(node)}/v1/kv/bulk/key-${i}`);
    const { value } = (answer?.body ?? {}) as { readonly value?: { readonly i: number } };
    if (value?.i !== i) wrong += 1;
  });
  return wrong;
}

async function each(count: number, work: (i: number, worker: number) => Promise<void>): Promise<void> {
  let next = 0;
  const run = async (worker: number): Promise<void> => {
    for (let i = next++; i < count; i = next++) await work(i, worker);
  };
  await Promise.all(Array.from({ length: WORKERS }, (_, worker) => run(worker)));
}
