import { describe, expect, test } from "vitest";
import { Envelope } from "../../../gossip/core/envelope.ts";
import type { Message, Sender } from "../../../gossip/core/messages.ts";
import type { DatagramSocket } from "../../../gossip/ports.ts";
import { Wire } from "../../../gossip/wire.ts";
import { seededDraws } from "../../support/seeded.ts";

const LIFE = { generation: 2, incarnation: 5 };
const NACK: Message = { kind: "nack", seq: 9 };
const SECRET = new TextEncoder().encode("a secret of tests");

/** A socket without a network: what is sent stays here, what arrives is given by hand. */
function looseSocket() {
  const sent: Uint8Array[] = [];
  let deliver: (bytes: Uint8Array, from: string) => void = () => {};
  const socket: DatagramSocket = {
    address: "a:1",
    sendErrorCount: 3,
    send: (bytes) => void sent.push(bytes),
    listen: (onDatagram) => {
      deliver = onDatagram;
    },
    close: async () => {},
  };
  return { socket, sent, deliver: (bytes: Uint8Array, from = "10.0.0.9:1") => deliver(bytes, from) };
}

function envelopeOf(nodeId: string, options: { cluster?: string; secret?: Uint8Array } = {}): Envelope {
  const { cluster = "test", secret = SECRET } = options;
  return new Envelope({ clusterName: cluster, nodeId, boot: 4, secrets: { primary: secret, others: [] } });
}

function wireOf(nodeId: string) {
  const loose = looseSocket();
  const heard: { sender: Sender; messages: readonly Message[] }[] = [];
  const wire = new Wire(envelopeOf(nodeId), loose.socket);
  wire.listen((sender, messages) => heard.push({ sender, messages }));
  return { ...loose, wire, heard };
}

describe("the wire", () => {
  test("carries messages with who has proved to have sent them, and counts bytes", () => {
    const [a, b] = [wireOf("a"), wireOf("b")];
    a.wire.send({ to: "b:1", messages: [NACK], life: LIFE, onRefused: () => {} });
    for (const bytes of a.sent) b.deliver(bytes);
    expect(b.heard).toEqual([
      { sender: { nodeId: "a", boot: 4, life: LIFE, address: "10.0.0.9:1" }, messages: [NACK] },
    ]);
    const sentBytes = a.sent[0]?.length ?? 0;
    expect(a.wire.stats()).toMatchObject({ sent: 1, sentBytes, sendErrors: 3, received: 0 });
    expect(b.wire.stats()).toMatchObject({ sent: 0, received: 1, receivedBytes: sentBytes, unknownFrames: 0 });
  });

  test("drops what is hostile by its reason, and hands on nothing of it", () => {
    const b = wireOf("b");
    const frames = Uint8Array.from([4, 4, 0, 0, 0, 9]);
    const good = envelopeOf("a").seal(frames, LIFE);
    const forged = Uint8Array.from(good);
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1;
    for (const bytes of [
      new Uint8Array(0),
      new Uint8Array(1_500),
      Uint8Array.from([0x67, 9]),
      good.subarray(0, 20),
      forged,
      envelopeOf("a", { cluster: "other" }).seal(frames, LIFE),
      envelopeOf("a", { secret: new Uint8Array(0) }).seal(frames, LIFE),
      envelopeOf("b").seal(frames, LIFE),
      envelopeOf("c").seal(Uint8Array.from([4, 9]), LIFE),
      good,
      good,
    ])
      b.deliver(bytes);
    expect(b.heard).toHaveLength(1);
    const { dropped, received } = b.wire.stats();
    expect(received).toBe(11);
    expect(dropped).toEqual({
      not_gossip: 1,
      too_long: 1,
      other_version: 1,
      too_short: 1,
      forged: 1,
      other_cluster: 1,
      not_sealed: 1,
      own: 1,
      corrupt: 1,
      replayed: 1,
      unknown_key: 0,
    });
  });

  test("counts every datagram once, whatever it is, and never throws", () => {
    const b = wireOf("b");
    const draws = seededDraws(7);
    const good = envelopeOf("a").seal(Uint8Array.from([4, 4, 0, 0, 0, 9]), LIFE);
    for (let round = 0; round < 3_000; round += 1) {
      const bytes = round % 2 === 0 ? Uint8Array.from(good) : draws.bytes(draws.below(200));
      for (let change = draws.below(4); change >= 0 && bytes.length > 0; change -= 1)
        bytes[draws.below(bytes.length)] = draws.below(256);
      b.deliver(bytes.subarray(0, draws.below(bytes.length + 1)));
    }
    const { dropped, received } = b.wire.stats();
    const droppedCount = Object.values(dropped).reduce((sum, count) => sum + count, 0);
    expect([received, droppedCount + b.heard.length]).toEqual([3_000, 3_000]);
    expect(b.heard.length).toBeLessThanOrEqual(1);
  });

  test("takes frames of later versions for what they are: skipped, and counted", () => {
    const b = wireOf("b");
    b.deliver(envelopeOf("a").seal(Uint8Array.from([99, 2, 1, 1, 4, 4, 0, 0, 0, 9]), LIFE));
    expect(b.heard[0]?.messages).toEqual([NACK]);
    expect(b.wire.stats().unknownFrames).toBe(1);
  });

  test("refuses more messages than one datagram holds: that would be a bug of the core", () => {
    const { wire } = wireOf("a");
    const messages = Array.from({ length: 3 }, () => ({ kind: "user" as const, topic: 1, bytes: new Uint8Array(512) }));
    expect(() => wire.send({ to: "b:1", messages, life: LIFE, onRefused: () => {} })).toThrow(/fits/);
  });
});
