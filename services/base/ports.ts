/**
 * The windows: clock, random, network, and the log. Only `services/adapters/` and the simulator implement them;
 * everything else is handed them. (The disk window is storage's own: `storage/ports.ts`.) Must never open one here.
 */

/** Something scheduled that may be called off. Cancelling twice, or after it ran, does nothing. */
export interface Timer {
  cancel(): void;
}

/** The window on time. */
export interface Clock {
  /** Milliseconds, with fractions, of a clock that never goes back. For intervals. */
  monotonicMs(): number;
  /** Microseconds since 1970 by the wall clock, an integer below 2^53; may jump either way. For dates and dots. */
  wallMicros(): number;
  /** Runs `run` once after `delayMs` (≥ 0); where that has become late, after all that had arrived before it has been heard. */
  setTimer(delayMs: number, run: () => void): Timer;
  /** Runs `run` at the end of the current turn of the event loop: for work gathered over one turn. */
  defer(run: () => void): void;
}

/** The window on chance. */
export interface Random {
  /** An integer in [0, 2^32). */
  u32(): number;
  /** A number in [0, 1). */
  float(): number;
  /** Unpredictable bytes in production, seeded ones in simulation. */
  bytes(count: number): Uint8Array;
  /** A stream of its own by name, so that a new caller never shifts what the others draw. */
  fork(label: string): Random;
}

/** A two-way stream of bytes to another node. Order is kept; it may end at any byte. */
export interface ByteLink {
  /** `host:port` of the other side, for logs only: identity is never an address. */
  readonly remote: string;
  /** Bytes accepted by `write` that have not left yet. */
  readonly queuedBytes: number;
  /** Queues bytes; the link may keep the array until it has left: never change it afterwards. Ignored once closed. */
  write(bytes: Uint8Array): void;
  /** Sets the one listener of each kind. Bytes that came before are kept and delivered, in order, on the next turn. */
  listen(listener: {
    /** `bytes` belongs to the receiver for ever: the link never reuses it. */
    readonly onBytes: (bytes: Uint8Array) => void;
    /** Called once, whoever closed and why. */
    readonly onClose: (reason: string) => void;
  }): void;
  /** Ends the link at once; what is queued may be lost. */
  close(reason: string): void;
}

/** An address that accepts links until it is closed. */
export interface Listener {
  /** The address really bound, `host:port`. */
  readonly address: string;
  close(): Promise<void>;
}

/** The window on other nodes. */
export interface Network {
  /** Accepts links on `host:port`. */
  listen(address: string, accept: (link: ByteLink) => void): Promise<Listener>;
  /** Opens a link; rejects when none stands after `timeoutMs`. `name`: whose certificate it must be, where that is not the host that is dialled. */
  dial(address: string, timeoutMs: number, name?: string): Promise<ByteLink>;
  /** All addresses behind a `host:port` whose host may be a DNS name, sorted; an address answers itself. */
  resolve(address: string): Promise<readonly string[]>;
}

/** The window on the process itself: how busy it is, and how much memory it has. */
export interface LoadMeter {
  /** what the machine or the container allows the process */
  readonly memoryLimitBytes: number;
  /** what the runtime allows its heap */
  readonly heapLimitBytes: number;
  /** Since the last reading: the longest delay of the event loop in milliseconds, and its utilisation, 0 … 1. */
  read(): { readonly loopDelayMs: number; readonly utilisation: number };
  /** As of now. Costs some microseconds. */
  memory(): { readonly residentBytes: number; readonly heapBytes: number };
}

/** What stands in a file, or why nothing can be read. */
export type SecretText =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "unreadable" /** in words */; readonly reason: string };

/** The window on files of secrets, which others write: tokens, certificates, keys. */
export interface SecretFiles {
  /** Another text whenever the file behind the path has changed, as far as can be seen without reading it. */
  stampOf(path: string): Promise<string>;
  /** Every user of this machine may read it, as far as its permissions say. */
  isOpenToAll(path: string): Promise<boolean>;
  /** What it holds now; never more than `maxBytes`. */
  read(path: string, maxBytes: number): Promise<SecretText>;
}

/** What a collector of traces made of a message. */
export type CollectorWord =
  | { readonly kind: "taken" }
  /** for good: the same message will never be taken */
  | { readonly kind: "refused"; readonly status: number }
  /** it, or the way to it, is not well now */
  | { readonly kind: "later" /** in words */; readonly reason: string };

/** The window on a collector of traces: one address, by configuration. */
export interface TraceCollector {
  /** Posts an OTLP message as JSON; never rejects, and ends within `timeoutMs`. */
  send(body: string, timeoutMs: number): Promise<CollectorWord>;
  /** Ends what is under way. */
  close(): void;
}

/** One event: a stable name (`room.what-happened`) and facts with units in their names. Never values of keys. */
export type LogFacts = { readonly event: string } & Readonly<Record<string, unknown>>;

/** Where events go; what each level is for. */
export interface Log {
  debug(facts: LogFacts): void;
  /** state changed */
  info(facts: LogFacts): void;
  /** we coped */
  warn(facts: LogFacts): void;
  /** someone must act */
  error(facts: LogFacts): void;
}
