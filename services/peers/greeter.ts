/**
 * Makes byte links into links between nodes that know each other: dials or accepts, carries the handshake, hands over
 * what stands. Must never keep a link that was refused, nor more unproven ones than its bound.
 */
import type { ClusterSecrets } from "../base/cluster-secrets.ts";
import { DIAL_TIMEOUT_MS, MAX_FRAME_BYTES } from "../base/limits.ts";
import type { ByteLink, Network, Random } from "../base/ports.ts";
import { FramedLink, type LinkContext } from "./framed-link.ts";
import { acceptHandshake, dialHandshake, type HandshakeSelf } from "./handshake.ts";
import { PROOF_BYTES } from "./handshake-codec.ts";
import type { HandshakeRefusal, LinkPurpose, PeerIdentity, ProvenBy } from "./identity.ts";
import { Meeting, type MeetingResult } from "./meeting.ts";
import { QueueAccount } from "./queue-account.ts";

/** Accepted links whose handshake is under way. */
const MAX_UNPROVEN_LINKS = 256;
/** The code by which a network says that TLS was what failed. */
const MISTRUST = "ERR_GYRE_TLS";

/** A link whose other side has proven itself; its sink must be set before the turn ends. */
export interface ProvenLink {
  readonly peer: PeerIdentity;
  readonly purpose: LinkPurpose;
  readonly provenBy: ProvenBy;
  readonly takesTraces: boolean;
  readonly link: FramedLink;
}

/** What a dial came to. */
export type DialResult =
  | { readonly kind: "up"; readonly peer: PeerIdentity }
  | { readonly kind: "refused"; readonly reason: HandshakeRefusal; readonly by: "us" | "peer" }
  /** `isMistrust`: a side's certificate was not accepted, which no other try mends */
  | { readonly kind: "unreachable"; readonly reason: string; readonly isMistrust?: boolean };

/** What the greeter works with. */
export interface GreeterParts {
  readonly network: Network;
  readonly random: Random;
  readonly context: LinkContext;
  readonly secrets: ClusterSecrets;
  /** ourselves as of now */
  readonly self: () => PeerIdentity;
  readonly judge: (peer: PeerIdentity) => HandshakeRefusal | undefined;
  /** called in the turn in which the handshake ends */
  readonly onDialled: (proven: ProvenLink) => void;
  readonly onAccepted: (proven: ProvenLink) => void;
  readonly onRefused: (refused: Extract<MeetingResult, { readonly kind: "refused" }>, remote: string) => void;
}

/** The door through which all links come. */
export class Greeter {
  readonly #parts: GreeterParts;
  readonly #unproven = new Set<FramedLink>();

  constructor(parts: GreeterParts) {
    this.#parts = parts;
  }

  /** Takes a link that someone opened to us. */
  accept(byteLink: ByteLink): void {
    if (this.#unproven.size >= MAX_UNPROVEN_LINKS) return byteLink.close("too_many_handshakes");
    const meeting = new Meeting(acceptHandshake(this.#handshakeSelf()), (result) => {
      this.#unproven.delete(link);
      if (result.kind === "up") this.#parts.onAccepted({ ...result, link });
      if (result.kind === "refused") this.#parts.onRefused(result, byteLink.remote);
    });
    const link = this.#framed(byteLink, meeting);
    this.#unproven.add(link);
    meeting.begin(link, this.#parts.context, undefined);
  }

  /** Opens a link to whoever is at `address`; never rejects. */
  async dial(address: string, purpose: LinkPurpose, name?: string): Promise<DialResult> {
    let byteLink: ByteLink;
    try {
      byteLink = await this.#parts.network.dial(address, DIAL_TIMEOUT_MS, name);
    } catch (error) {
      this.#parts.context.stats.dialsFailed += 1;
      if (!(error instanceof Error)) return { kind: "unreachable", reason: "unknown" };
      return { kind: "unreachable", reason: error.message, isMistrust: "code" in error && error.code === MISTRUST };
    }
    const { opening, handshake } = dialHandshake(this.#handshakeSelf(), purpose);
    return new Promise((fulfil) => {
      const meeting = new Meeting(handshake, (result) => {
        this.#unproven.delete(link);
        fulfil(this.#settleDial(result, link, address));
      });
      const link = this.#framed(byteLink, meeting);
      this.#unproven.add(link);
      meeting.begin(link, this.#parts.context, opening);
    });
  }

  /** Closes every link whose handshake has not ended. */
  stop(): void {
    for (const link of this.#unproven) link.close("shutting_down");
  }

  #settleDial(result: MeetingResult, link: FramedLink, address: string): DialResult {
    if (result.kind === "broken") {
      this.#parts.context.stats.dialsFailed += 1;
      return { kind: "unreachable", reason: result.reason };
    }
    if (result.kind === "refused") {
      this.#parts.onRefused(result, address);
      return { kind: "refused", reason: result.reason, by: result.by };
    }
    this.#parts.onDialled({ ...result, link });
    return { kind: "up", peer: result.peer };
  }

  #framed(byteLink: ByteLink, sink: Meeting): FramedLink {
    // Until its peer is known a link counts for nobody; what it may queue is a few hundred bytes.
    return new FramedLink(byteLink, this.#parts.context, { sink, account: new QueueAccount(MAX_FRAME_BYTES) });
  }

  #handshakeSelf(): HandshakeSelf {
    const { self, secrets, random, judge } = this.#parts;
    return { identity: self(), secrets, nonce: random.bytes(PROOF_BYTES), judge };
  }
}
