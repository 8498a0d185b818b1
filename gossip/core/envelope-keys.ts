/**
 * Keys of datagrams: from the cluster's secrets to one key per sender and life, so that counters may serve as nonces.
 * Must never use a secret itself as a key, never keep more senders than its bound, and never keep one that has proved
 * nothing. Source: gossip-ring notes §A.5; HKDF is RFC 5869.
 */
import { createHash, hkdfSync } from "node:crypto";

/** Members and former lives of members whose keys and windows are kept; above it the one unheard for longest goes. */
export const MAX_SENDERS = 2_048;
const KEY_BYTES = 32;
const WINDOW_BITS = 64;
const KEY_ID_LABEL = "gyre gossip key id 1:";
const SENDER_LABEL = "gyre gossip sender 1";

/** The secrets of a cluster: `primary` seals, all of them open. An empty primary means: none, and nothing is sealed. */
export interface GossipSecrets {
  readonly primary: Uint8Array;
  /** those that others may still seal with, or seal with already, while secrets are exchanged */
  readonly others: readonly Uint8Array[];
}

/** One life of a sender, as its datagrams name it. */
export interface SenderLife {
  readonly nodeId: string;
  readonly generation: number;
  /** u32 drawn at each start: a disk that was copied or set back must not use a nonce twice */
  readonly boot: number;
}

/** A secret under the byte that datagrams name it with. */
export interface NamedSecret {
  readonly id: number;
  readonly secret: Uint8Array;
}

/** The secrets with their ids, the primary first; none when the primary is empty. */
export function namedSecretsOf(secrets: GossipSecrets): readonly NamedSecret[] {
  if (secrets.primary.length === 0) return [];
  return [secrets.primary, ...secrets.others].map((secret) => ({
    id: createHash("sha256").update(KEY_ID_LABEL).update(secret).digest()[0] ?? 0,
    secret,
  }));
}

/** The key of one sender's life under one secret, 32 bytes. Costs about 10 µs: keep it. */
export function senderKeyOf(secret: Uint8Array, clusterName: string, sender: SenderLife): Uint8Array {
  const { nodeId, generation, boot } = sender;
  const info = JSON.stringify([SENDER_LABEL, clusterName, nodeId, generation, boot]);
  return new Uint8Array(hkdfSync("sha256", secret, "", info, KEY_BYTES));
}

/** The last 64 counters of a sender: each is taken once, and none that is older. Source: RFC 4303 §3.4.3. */
export class ReplayWindow {
  #highest = 0;
  /** bit i: the counter `highest − i` has been taken */
  #taken = 0n;

  /** Whether the counter is new; it is taken then. */
  take(counter: number): boolean {
    const ahead = counter - this.#highest;
    if (ahead > 0) {
      this.#taken = ahead >= WINDOW_BITS ? 1n : BigInt.asUintN(WINDOW_BITS, (this.#taken << BigInt(ahead)) | 1n);
      this.#highest = counter;
      return true;
    }
    // Before the shift: how far behind a counter is, its sender chooses.
    if (-ahead >= WINDOW_BITS) return false;
    const bit = 1n << BigInt(-ahead);
    if ((this.#taken & bit) !== 0n) return false;
    this.#taken |= bit;
    return true;
  }
}

/** What is kept of one life of a sender that has proved itself. */
export interface KnownSender {
  readonly window: ReplayWindow;
  /** its keys by secret */
  readonly keys: Map<Uint8Array, Uint8Array>;
}

/** Senders by life, the longest unheard first; bounded. */
export class SenderTable {
  readonly #senders = new Map<string, KnownSender>();

  /** What is known of a life; undefined before it has proved itself. */
  get(life: SenderLife): KnownSender | undefined {
    return this.#senders.get(nameOf(life));
  }

  /** Keeps a life that has proved itself just now. */
  keep(life: SenderLife, sender: KnownSender): void {
    const name = nameOf(life);
    this.#senders.delete(name);
    this.#senders.set(name, sender);
    if (this.#senders.size <= MAX_SENDERS) return;
    const [oldest] = this.#senders.keys();
    if (oldest !== undefined) this.#senders.delete(oldest);
  }

  /** Forgets the keys of secrets that are no longer in use; windows stay, for counters go on. */
  forgetKeys(): void {
    for (const sender of this.#senders.values()) sender.keys.clear();
  }

  /** Lives that are kept. */
  get size(): number {
    return this.#senders.size;
  }
}

function nameOf({ nodeId, generation, boot }: SenderLife): string {
  return `${nodeId} ${generation} ${boot}`;
}
