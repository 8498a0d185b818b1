/**
 * Carries a handshake over a fresh link: says the words, waits for the answers, gives up in time. Must never let a
 * request through: until the meeting is over only handshake frames are accepted.
 */
import { HANDSHAKE_TIMEOUT_MS } from "../base/limits.ts";
import type { Timer } from "../base/ports.ts";
import { setFlags } from "./frame-fields.ts";
import {
  FLAG_TAKES_TRACES,
  HEADER_BYTES,
  KIND_CHALLENGE,
  KIND_HELLO,
  KIND_PROOF,
  KIND_REFUSAL,
  KIND_WELCOME,
} from "./frame-layout.ts";
import type { Frame } from "./frame-reader.ts";
import type { FramedLink, FrameSink, LinkContext } from "./framed-link.ts";
import type { Handshake, HandshakeWord } from "./handshake.ts";
import type { HandshakeRefusal, LinkPurpose, PeerIdentity, ProvenBy } from "./identity.ts";

/** A refusal must reach the peer before the link ends. */
const LINGER_MS = 250;

/** How a meeting ended. */
export type MeetingResult =
  | {
      readonly kind: "up";
      readonly peer: PeerIdentity;
      readonly purpose: LinkPurpose;
      readonly provenBy: ProvenBy;
      /** the other side understands requests with a trace; it said so with its welcome */
      readonly takesTraces: boolean;
    }
  | {
      readonly kind: "refused";
      readonly reason: HandshakeRefusal;
      readonly by: "us" | "peer";
      readonly peer: PeerIdentity | undefined;
    }
  /** the link ended or stayed silent */
  | { readonly kind: "broken"; readonly reason: string };

/** The sink of a link until both sides know each other; `onDone` is called exactly once. */
export class Meeting implements FrameSink {
  readonly #handshake: Handshake;
  readonly #onDone: (result: MeetingResult) => void;
  #link: FramedLink | undefined;
  #context: LinkContext | undefined;
  #timer: Timer | undefined;
  #words: HandshakeWord[] = [];
  #isDone = false;

  constructor(handshake: Handshake, onDone: (result: MeetingResult) => void) {
    this.#handshake = handshake;
    this.#onDone = onDone;
  }

  /** Begins on `link`, whose sink this is; the dialling side opens with a word. */
  begin(link: FramedLink, context: LinkContext, opening: HandshakeWord | undefined): void {
    this.#link = link;
    this.#context = context;
    this.#timer = context.clock.setTimer(HANDSHAKE_TIMEOUT_MS, () => link.close("handshake_timeout"));
    if (opening !== undefined) this.#say(opening);
  }

  accepts(kind: number): boolean {
    return HANDSHAKE_KINDS.has(kind);
  }

  onFrame(frame: Frame): void {
    if (this.#isDone) return;
    const body = new Uint8Array(
      frame.bytes.buffer,
      frame.bytes.byteOffset + frame.bodyStart,
      frame.bodyEnd - frame.bodyStart,
    );
    const step = this.#handshake.take({ kind: frame.kind, body });
    if (step.kind === "say") return this.#say(step.word);
    if (step.word !== undefined) this.#say(step.word);
    this.#isDone = true;
    this.#timer?.cancel();
    if (step.kind === "refused") {
      this.#timer = this.#context?.clock.setTimer(LINGER_MS, () => this.#link?.close("refused"));
      this.#onDone({ kind: "refused", reason: step.reason, by: step.by, peer: step.peer });
      return;
    }
    // The welcome leaves before the sink changes hands.
    this.#link?.flush();
    const { peer, purpose, provenBy } = step;
    const takesTraces = frame.kind === KIND_WELCOME && (frame.flags & FLAG_TAKES_TRACES) !== 0;
    this.#onDone({ kind: "up", peer, purpose, provenBy, takesTraces });
  }

  onFlush(): void {
    const writer = this.#link?.writer;
    for (const { kind, body } of this.#words) {
      if (writer === undefined) continue;
      const at = writer.start(kind, HEADER_BYTES, body.length);
      if (kind === KIND_WELCOME) setFlags(writer, at, FLAG_TAKES_TRACES);
      writer.append(body);
    }
    this.#words = [];
  }

  onClose(reason: string): void {
    this.#timer?.cancel();
    if (this.#isDone) return;
    this.#isDone = true;
    this.#onDone({ kind: "broken", reason });
  }

  #say(word: HandshakeWord): void {
    this.#words.push(word);
    this.#link?.flushLater();
  }
}

const HANDSHAKE_KINDS: ReadonlySet<number> = new Set([
  KIND_HELLO,
  KIND_CHALLENGE,
  KIND_PROOF,
  KIND_WELCOME,
  KIND_REFUSAL,
]);
