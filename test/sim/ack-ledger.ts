/**
 * What each store has said that it holds durably, by the promises of its puts, and whether it is so: a store that says it
 * of bytes that are lost is found even where nobody heard it, or others had the same. For runs that remove no key.
 * Must never delay a put, or change what comes of it.
 */
import type { KeyAddress, PutRequest, StorageEngine } from "../../storage/engine.ts";
import { engineWith } from "./engine-with.ts";
import type { Sabotage } from "./sim-cluster.ts";

interface Put {
  readonly digest: bigint;
  isAcknowledged: boolean;
}

interface KeyPuts {
  readonly address: KeyAddress;
  /** in the order of the log */
  readonly puts: Put[];
}

/** The ledger of a run, by node. Plugs in where planted bugs do, and changes nothing. */
export class AckLedger implements Sabotage {
  readonly #byNode = new Map<number, Map<string, KeyPuts>>();

  readonly engine = (engine: StorageEngine, node: number): StorageEngine =>
    engineWith(engine, { put: (request) => this.#follow(node, request, engine.put(request)) });

  /** Puts that a node has acknowledged so far. */
  acknowledgedCount(node: number): number {
    const keys = [...(this.#byNode.get(node)?.values() ?? [])];
    return keys.reduce((sum, { puts }) => sum + puts.filter(({ isAcknowledged }) => isAcknowledged).length, 0);
  }

  /** Keys of which the node's store, open again after its machine has lost power, holds less than it acknowledged. */
  async lostAt(node: number, engine: StorageEngine): Promise<readonly string[]> {
    const lost: string[] = [];
    for (const { address, puts } of this.#byNode.get(node)?.values() ?? []) {
      const last = puts.findLastIndex(({ isAcknowledged }) => isAcknowledged);
      if (last < 0) continue;
      const held = await engine.get(address);
      // one that came later may have become durable without an answer
      if (!puts.slice(last).some(({ digest }) => digest === held?.digest)) lost.push(nameOf(address));
    }
    return lost;
  }

  #follow(node: number, { address, digest }: PutRequest, answered: Promise<void>): Promise<void> {
    const ofNode = this.#byNode.get(node) ?? new Map<string, KeyPuts>();
    this.#byNode.set(node, ofNode);
    const ofKey = ofNode.get(nameOf(address)) ?? { address, puts: [] };
    ofNode.set(nameOf(address), ofKey);
    const put: Put = { digest, isAcknowledged: false };
    ofKey.puts.push(put);
    answered.then(
      () => {
        put.isAcknowledged = true;
      },
      () => {},
    );
    return answered;
  }
}

/** The bucket and the key. */
function nameOf({ key }: KeyAddress): string {
  return new TextDecoder().decode(key).replace("\0", "/");
}
