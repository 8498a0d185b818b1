/**
 * What gossip looks out of and what it asks of whoever starts it. Gossip is a leaf: it declares what it needs, and adapters,
 * the simulator and the node satisfy it by shape. Must never import anything of the rest of the house.
 */

/** Time as gossip needs it. */
export interface GossipClock {
  /** Milliseconds of a clock that never goes back. */
  monotonicMs(): number;
  /** Runs `run` once after `delayMs`. */
  setTimer(delayMs: number, run: () => void): { cancel(): void };
  /** Runs `run` after the current turn of the event loop, when what has arrived in it was handed over. */
  defer(run: () => void): void;
}

/** Chance as gossip needs it: the order of probes, and the salt of a start (unpredictable in production). */
export interface GossipRandom {
  /** An integer in [0, 2^32). */
  u32(): number;
  /** A number in [0, 1). */
  float(): number;
}

/** Facts for the log: a stable event name and fields. */
export interface GossipLog {
  info(facts: { readonly event: string } & Readonly<Record<string, unknown>>): void;
  warn(facts: { readonly event: string } & Readonly<Record<string, unknown>>): void;
  error(facts: { readonly event: string } & Readonly<Record<string, unknown>>): void;
}

/** A bound address from which datagrams go and to which they come. They may be lost, doubled, late, or from anybody. */
export interface DatagramSocket {
  /** The address really bound, `host:port`. */
  readonly address: string;
  /** Datagrams that the system refused to send since the start; they are lost like any other. */
  readonly sendErrorCount: number;
  /**
   * Sends one datagram; the socket may keep the array until it has left: never change it afterwards. Never throws: what
   * cannot be sent is counted, and `onRefused` is told why, now or later. Ignored once closed.
   */
  send(bytes: Uint8Array, to: string, onRefused?: (code: string) => void): void;
  /** Sets the one listener; datagrams that came before are lost. `bytes` belongs to the listener for ever. */
  listen(onDatagram: (bytes: Uint8Array, from: string) => void): void;
  /** Nothing is delivered after the call; resolves when the address is free. Twice does no harm. */
  close(): Promise<void>;
}

/** The window on datagrams. */
export interface Datagrams {
  /** Binds `host:port`, the host a literal; port 0 takes any. `[::]` takes IPv4 too. Rejects when it cannot be bound. */
  open(address: string): Promise<DatagramSocket>;
}

/** Whom to ask over a link; the name is unknown for an address that was only named to us. */
export interface LinkTarget {
  readonly nodeId?: string;
  readonly address: string;
}

/** What gossip asks over links: `ping` whether the member is there, `sync` for what it knows. */
export type LinkQuestion = "ping" | "sync";

/** The way to members over links: for what does not fit a datagram, and for when datagrams do not pass. */
export interface MemberCalls {
  /** The answer of `Gossip.answer` there; rejects when none came within `timeoutMs`. `body` is plain data and byte arrays. */
  ask(target: LinkTarget, question: LinkQuestion, body: unknown, timeoutMs: number): Promise<unknown>;
}

/** Where the number of this node's starts is kept. */
export interface GenerationStore {
  /** The last generation saved; 0 on a disk that never had one. */
  load(): Promise<number>;
  /** Resolves when the generation is durable; a rejection ends gossip. */
  save(generation: number): Promise<void>;
}
