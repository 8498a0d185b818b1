/**
 * The envelope of a datagram: who sent it, in which life, under which key, and the proof of it. Must never throw on any
 * bytes, never let a frame through that was not proved, never use a nonce twice, and never be longer than 1400 bytes.
 *
 * Layout, big-endian: magic u8 · version u8 (bit 7: sealed) · cluster tag 4 (first bytes of SHA-256 of the cluster's
 * name) · key id u8 · length u8 and name of the sender · generation u32 · incarnation u32 · boot u32 · counter u64 ·
 * frames · tag 16. All before the frames is in clear, and proved by the tag with them (AES-256-GCM, nonce = 4 zero bytes
 * and the counter). Without a secret, on loopback only: the frames in clear and a CRC32 of it all in place of the tag.
 * Source: gossip-ring notes §A.5.
 */
import assert from "node:assert/strict";
import { createCipheriv, createDecipheriv, createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { ByteReader } from "./codec-bytes.ts";
import { isNodeId } from "./codec-fields.ts";
import {
  type GossipSecrets,
  type NamedSecret,
  namedSecretsOf,
  ReplayWindow,
  type SenderLife,
  SenderTable,
  senderKeyOf,
} from "./envelope-keys.ts";
import type { Life } from "./messages.ts";

/** Bytes of a datagram that fit through any path unbroken: 1500 of an Ethernet less headers and tunnels. */
export const MAX_DATAGRAM_BYTES = 1_400;
const MAGIC = 0x67;
const VERSION = 1;
const SEALED = 0x80;
const CLUSTER_TAG_BYTES = 4;
const BOOT_BYTES = 4;
const COUNTER_BYTES = 8;
const NONCE_BYTES = 12;
const GCM_TAG_BYTES = 16;
const CRC_BYTES = 4;
/** The header but for the name. */
const FIXED_HEADER_BYTES: number = 2 + CLUSTER_TAG_BYTES + 2 + 8 + BOOT_BYTES + COUNTER_BYTES;
const CIPHER = "aes-256-gcm";

/** Why a datagram was not opened. */
export type RefusedDatagram =
  | "too_long"
  | "too_short"
  | "not_gossip"
  | "other_version"
  | "other_cluster"
  | "own"
  /** it is in clear, and we have a secret */
  | "not_sealed"
  /** sealed with a secret that we do not have */
  | "unknown_key"
  /** its tag or its checksum is wrong */
  | "forged"
  | "replayed";

/** A datagram's content and who proved to have sent it, or why there is none. */
export type OpenedDatagram =
  | { readonly kind: "opened"; readonly sender: SenderLife; readonly life: Life; readonly frames: Uint8Array }
  | { readonly kind: "refused"; readonly reason: RefusedDatagram };

/** Who seals and opens. */
export interface EnvelopeOptions {
  readonly clusterName: string;
  readonly nodeId: string;
  /** u32, unpredictable, fresh at each start: the boot salt */
  readonly boot: number;
  readonly secrets: GossipSecrets;
}

interface Header {
  readonly isSealed: boolean;
  readonly keyId: number;
  readonly sender: SenderLife;
  readonly life: Life;
  readonly counter: number;
  readonly sizeBytes: number;
}

/** Seals this node's datagrams and opens those of others; one for each start of a node. */
export class Envelope {
  readonly #clusterName: string;
  readonly #clusterTag: Uint8Array;
  readonly #nodeId: string;
  readonly #boot: number;
  readonly #senders = new SenderTable();
  #secrets: readonly NamedSecret[];
  #own: { readonly generation: number; readonly key: Uint8Array } | undefined;
  /** Never begun again while the node runs, whatever the secret. */
  #counter = 0;

  constructor(options: EnvelopeOptions) {
    assert.ok(isNodeId(options.nodeId), "a sender has a name");
    this.#clusterName = options.clusterName;
    this.#clusterTag = createHash("sha256").update(options.clusterName).digest().subarray(0, CLUSTER_TAG_BYTES);
    this.#nodeId = options.nodeId;
    this.#boot = options.boot;
    this.#secrets = namedSecretsOf(options.secrets);
  }

  /** Bytes of frames that one of our datagrams can carry: the same sealed and in clear, for secrets may come later. */
  get maxFrameBytes(): number {
    return MAX_DATAGRAM_BYTES - FIXED_HEADER_BYTES - this.#nodeId.length - GCM_TAG_BYTES;
  }

  /** Lives of senders whose counters are watched. */
  get senderCount(): number {
    return this.#senders.size;
  }

  /** Seals with another primary from now on, and opens with all that are given. */
  setSecrets(secrets: GossipSecrets): void {
    this.#secrets = namedSecretsOf(secrets);
    this.#own = undefined;
    this.#senders.forgetKeys();
  }

  /** The datagram of these frames (≤ `maxFrameBytes`), sent in this life. About 15 µs. */
  seal(frames: Uint8Array, life: Life): Uint8Array {
    assert.ok(frames.length <= this.maxFrameBytes, "frames fit into a datagram");
    const header = this.#header(life);
    const [primary] = this.#secrets;
    if (primary === undefined) {
      const checked = Buffer.concat([header, frames, Buffer.alloc(CRC_BYTES)]);
      const at = header.length + frames.length;
      checked.writeUInt32BE(crc32(checked.subarray(0, at)), at);
      return checked;
    }
    const cipher = createCipheriv(CIPHER, this.#ownKey(primary, life.generation), nonceOf(header), {
      authTagLength: GCM_TAG_BYTES,
    });
    cipher.setAAD(header);
    return Buffer.concat([header, cipher.update(frames), cipher.final(), cipher.getAuthTag()]);
  }

  /** The frames of a datagram that another member sent. Never throws. About 10 µs, more for the first of a sender. */
  open(datagram: Uint8Array): OpenedDatagram {
    if (datagram.length > MAX_DATAGRAM_BYTES) return refused("too_long");
    const header = this.#readHeader(datagram);
    if (typeof header === "string") return refused(header);
    if (header.isSealed !== this.#secrets.length > 0) return refused(header.isSealed ? "unknown_key" : "not_sealed");
    const known = this.#senders.get(header.sender) ?? { window: new ReplayWindow(), keys: new Map() };
    const frames = header.isSealed ? this.#unseal(datagram, header, known.keys) : checkedFrames(datagram, header);
    if (typeof frames === "string") return refused(frames);
    this.#senders.keep(header.sender, known);
    if (!known.window.take(header.counter)) return refused("replayed");
    return { kind: "opened", sender: header.sender, life: header.life, frames };
  }

  #header(life: Life): Buffer {
    const header = Buffer.alloc(FIXED_HEADER_BYTES + this.#nodeId.length);
    const [primary] = this.#secrets;
    this.#counter += 1;
    header[0] = MAGIC;
    header[1] = primary === undefined ? VERSION : VERSION | SEALED;
    header.set(this.#clusterTag, 2);
    header[6] = primary?.id ?? 0;
    header[7] = this.#nodeId.length;
    let at = 8 + header.write(this.#nodeId, 8, "latin1");
    at = header.writeUInt32BE(life.generation, at);
    at = header.writeUInt32BE(life.incarnation, at);
    at = header.writeUInt32BE(this.#boot, at);
    header.writeBigUInt64BE(BigInt(this.#counter), at);
    return header;
  }

  #readHeader(datagram: Uint8Array): Header | RefusedDatagram {
    const reader = new ByteReader(datagram);
    if (reader.u8() !== MAGIC) return "not_gossip";
    const version = reader.u8();
    if ((version & ~SEALED) !== VERSION) return "other_version";
    const isSealed = (version & SEALED) !== 0;
    const clusterTag = reader.bytes(CLUSTER_TAG_BYTES);
    const [keyId, nodeId] = [reader.u8(), reader.text()];
    const life = { generation: reader.u32(), incarnation: reader.u32() };
    const [boot, counter] = [reader.u32(), Number(reader.u64())];
    const tagBytes = isSealed ? GCM_TAG_BYTES : CRC_BYTES;
    if (reader.isBroken || reader.leftBytes < tagBytes) return "too_short";
    if (Buffer.compare(clusterTag, this.#clusterTag) !== 0) return "other_cluster";
    if (!isNodeId(nodeId) || !Number.isSafeInteger(counter)) return "forged";
    if (nodeId === this.#nodeId && boot === this.#boot) return "own";
    const sender = { nodeId, generation: life.generation, boot };
    return { isSealed, keyId, sender, life, counter, sizeBytes: reader.at };
  }

  #ownKey(primary: NamedSecret, generation: number): Uint8Array {
    if (this.#own?.generation !== generation) {
      const life = { nodeId: this.#nodeId, generation, boot: this.#boot };
      this.#own = { generation, key: senderKeyOf(primary.secret, this.#clusterName, life) };
    }
    return this.#own.key;
  }

  #unseal(datagram: Uint8Array, header: Header, keys: Map<Uint8Array, Uint8Array>): Uint8Array | RefusedDatagram {
    const named = this.#secrets.filter(({ id }) => id === header.keyId);
    for (const { secret } of named) {
      const key = keys.get(secret) ?? senderKeyOf(secret, this.#clusterName, header.sender);
      const frames = decrypted(datagram, header.sizeBytes, key);
      if (frames === undefined) continue;
      keys.set(secret, key);
      return frames;
    }
    return named.length === 0 ? "unknown_key" : "forged";
  }
}

function refused(reason: RefusedDatagram): OpenedDatagram {
  return { kind: "refused", reason };
}

/** The counter stands at the end of the header. */
function nonceOf(header: Uint8Array): Uint8Array {
  const nonce = new Uint8Array(NONCE_BYTES);
  nonce.set(header.subarray(header.length - COUNTER_BYTES), NONCE_BYTES - COUNTER_BYTES);
  return nonce;
}

function checkedFrames(datagram: Uint8Array, header: Header): Uint8Array | RefusedDatagram {
  const end = datagram.length - CRC_BYTES;
  const told = new ByteReader(datagram, end).u32();
  return crc32(datagram.subarray(0, end)) === told ? datagram.subarray(header.sizeBytes, end) : "forged";
}

function decrypted(datagram: Uint8Array, headerBytes: number, key: Uint8Array): Uint8Array | undefined {
  const header = datagram.subarray(0, headerBytes);
  const end = datagram.length - GCM_TAG_BYTES;
  const decipher = createDecipheriv(CIPHER, key, nonceOf(header), { authTagLength: GCM_TAG_BYTES });
  decipher.setAAD(header);
  decipher.setAuthTag(datagram.subarray(end));
  const frames = decipher.update(datagram.subarray(headerBytes, end));
  try {
    decipher.final();
  } catch {
    // The one way in which the cipher tells that the tag is wrong.
    return undefined;
  }
  return frames;
}
