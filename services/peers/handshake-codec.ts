/** The bodies of handshake frames, pure. The first five bytes of a hello (magic, version) stay as they are for ever. */
import { parseNodeId } from "../base/ids.ts";
import { PROTOCOL_VERSION } from "./frame-layout.ts";
import type { HandshakeRefusal, LinkPurpose, PeerIdentity } from "./identity.ts";

/** Bytes of a nonce and of a proof. */
export const PROOF_BYTES = 32;

const MAGIC = 0x67797265;
const BOOT_NONCE_BYTES = 16;
const MAX_TEXT_BYTES = 255;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** The opening word of the dialling side. */
export interface Hello {
  readonly identity: PeerIdentity;
  readonly purpose: LinkPurpose;
  /** 32 bytes */
  readonly nonce: Uint8Array;
}

/** The numbers that refusals have on the wire. */
const REFUSALS: readonly HandshakeRefusal[] = [
  "malformed",
  "other_version",
  "other_cluster_name",
  "other_cluster_id",
  "self",
  "same_node_id",
  "wrong_secret",
  "retired_process",
  "shutting_down",
];

/** The bytes of a hello. Texts over 255 bytes are a bug of the caller: configuration bounds them. */
export function encodeHello(hello: Hello): Uint8Array {
  const opening = new Uint8Array(6);
  const view = new DataView(opening.buffer);
  view.setUint32(0, MAGIC);
  view.setUint8(4, PROTOCOL_VERSION);
  view.setUint8(5, hello.purpose === "data" ? 0 : 1);
  return joinBytes([opening, hello.nonce, encodeIdentity(hello.identity)]);
}

/** The hello in the bytes, or why there is none. */
export function decodeHello(bytes: Uint8Array): Hello | "malformed" | "other_version" {
  if (bytes.length < 5) return "malformed";
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0) !== MAGIC) return "malformed";
  if (view.getUint8(4) !== PROTOCOL_VERSION) return "other_version";
  if (bytes.length < 6 + PROOF_BYTES || view.getUint8(5) > 1) return "malformed";
  const identity = decodeIdentity(bytes.subarray(6 + PROOF_BYTES));
  if (identity === undefined) return "malformed";
  return { identity, purpose: view.getUint8(5) === 0 ? "data" : "bulk", nonce: bytes.slice(6, 6 + PROOF_BYTES) };
}

/** The bytes of an identity: its texts with one length byte each, the boot nonce, the weight. */
export function encodeIdentity(identity: PeerIdentity): Uint8Array {
  const weight = new Uint8Array(8);
  new DataView(weight.buffer).setFloat64(0, identity.weight);
  return joinBytes([
    Uint8Array.fromHex(identity.bootNonce),
    weight,
    ...[
      identity.nodeId,
      identity.clusterName,
      identity.clusterId ?? "",
      identity.address,
      identity.zone,
      identity.host,
    ].map(encodeText),
  ]);
}

/** The identity that fills the bytes; undefined when they hold none. */
export function decodeIdentity(bytes: Uint8Array): PeerIdentity | undefined {
  if (bytes.length < BOOT_NONCE_BYTES + 8) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const weight = view.getFloat64(BOOT_NONCE_BYTES);
  const texts = decodeTexts(bytes, BOOT_NONCE_BYTES + 8);
  if (texts === undefined || texts.length !== 6 || !(weight > 0 && weight < Infinity)) return undefined;
  const [nodeName = "", clusterName = "", clusterId = "", address = "", zone = "", host = ""] = texts;
  const nodeId = parseNodeId(nodeName);
  if (nodeId === undefined) return undefined;
  const bootNonce = bytes.subarray(0, BOOT_NONCE_BYTES).toHex();
  return {
    nodeId,
    bootNonce,
    clusterName,
    clusterId: clusterId === "" ? undefined : clusterId,
    address,
    zone,
    host,
    weight,
  };
}

/** The byte of a refusal. */
export function encodeRefusal(reason: HandshakeRefusal): Uint8Array {
  return Uint8Array.of(REFUSALS.indexOf(reason));
}

/** The refusal in the bytes; a number that we do not know is `malformed`. */
export function decodeRefusal(bytes: Uint8Array): HandshakeRefusal {
  return REFUSALS[bytes[0] ?? 0] ?? "malformed";
}

/** One array with the bytes of all. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

function encodeText(text: string): Uint8Array {
  const bytes = encoder.encode(text);
  if (bytes.length > MAX_TEXT_BYTES) throw new RangeError(`over ${MAX_TEXT_BYTES} bytes: ${text}`);
  return joinBytes([Uint8Array.of(bytes.length), bytes]);
}

function decodeTexts(bytes: Uint8Array, from: number): readonly string[] | undefined {
  const texts: string[] = [];
  let offset = from;
  while (offset < bytes.length) {
    const end = offset + 1 + (bytes[offset] ?? 0);
    if (end > bytes.length) return undefined;
    try {
      texts.push(decoder.decode(bytes.subarray(offset + 1, end)));
    } catch {
      return undefined;
    }
    offset = end;
  }
  return texts;
}
