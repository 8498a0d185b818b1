/**
 * From messages to datagrams and back: codec, envelope, socket, and a count of everything by its reason. Must never
 * throw on what comes in, and never hand on what its sender has not proved.
 */
import assert from "node:assert/strict";
import { decodeMessages, encodeMessages } from "./core/codec.ts";
import { type Envelope, MAX_DATAGRAM_BYTES, type RefusedDatagram } from "./core/envelope.ts";
import type { GossipSecrets } from "./core/envelope-keys.ts";
import type { Life, Message, Sender } from "./core/messages.ts";
import type { DatagramSocket } from "./ports.ts";

/** Why a datagram that came in was dropped: its envelope was refused, or its frames do not parse. */
export type DroppedDatagram = RefusedDatagram | "corrupt";

/** Datagrams since the start. */
export interface WireStats {
  readonly sent: number;
  readonly sentBytes: number;
  /** refused by the system; they are among those sent */
  readonly sendErrors: number;
  readonly received: number;
  readonly receivedBytes: number;
  /** of those received */
  readonly dropped: Readonly<Record<DroppedDatagram, number>>;
  /** frames of later versions, skipped */
  readonly unknownFrames: number;
}

/** One datagram to send. */
export interface Outgoing {
  readonly to: string;
  readonly messages: readonly Message[];
  readonly life: Life;
  /** told why the system would not send it */
  readonly onRefused: (code: string) => void;
}

/** The datagrams of one node. */
export class Wire {
  readonly #envelope: Envelope;
  readonly #socket: DatagramSocket;
  readonly #dropped: Record<DroppedDatagram, number> = {
    too_long: 0,
    too_short: 0,
    not_gossip: 0,
    other_version: 0,
    other_cluster: 0,
    own: 0,
    not_sealed: 0,
    unknown_key: 0,
    forged: 0,
    replayed: 0,
    corrupt: 0,
  };
  readonly #counts = { sent: 0, sentBytes: 0, received: 0, receivedBytes: 0, unknownFrames: 0 };

  constructor(envelope: Envelope, socket: DatagramSocket) {
    this.#envelope = envelope;
    this.#socket = socket;
  }

  /** Hands on the messages of every datagram that proves itself. */
  listen(onMessages: (sender: Sender, messages: readonly Message[]) => void): void {
    this.#socket.listen((bytes, address) => {
      this.#counts.received += 1;
      this.#counts.receivedBytes += bytes.length;
      const opened = this.#envelope.open(bytes);
      if (opened.kind === "refused") return this.#drop(opened.reason);
      const decoded = decodeMessages(opened.frames);
      if (decoded.kind === "corrupt") return this.#drop("corrupt");
      this.#counts.unknownFrames += decoded.unknownCount;
      const { nodeId, boot } = opened.sender;
      onMessages({ nodeId, boot, life: opened.life, address }, decoded.messages);
    });
  }

  /** Sends messages that fit into one datagram. */
  send({ to, messages, life, onRefused }: Outgoing): void {
    const { bytes, count } = encodeMessages(messages, this.#envelope.maxFrameBytes);
    assert.ok(count === messages.length, "the core gives no more than fits");
    const datagram = this.#envelope.seal(bytes, life);
    assert.ok(datagram.length <= MAX_DATAGRAM_BYTES, "a datagram is not too long");
    this.#counts.sent += 1;
    this.#counts.sentBytes += datagram.length;
    this.#socket.send(datagram, to, onRefused);
  }

  /** Seals with another primary from now on, and opens with all that are given. */
  setSecrets(secrets: GossipSecrets): void {
    this.#envelope.setSecrets(secrets);
  }

  /** A copy of all counters. */
  stats(): WireStats {
    return { ...this.#counts, sendErrors: this.#socket.sendErrorCount, dropped: { ...this.#dropped } };
  }

  /** Gives the address back. */
  close(): Promise<void> {
    return this.#socket.close();
  }

  #drop(reason: DroppedDatagram): void {
    this.#dropped[reason] += 1;
  }
}
