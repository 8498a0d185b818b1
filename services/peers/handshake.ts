/**
 * The four words with which two nodes meet, pure: hello → challenge → proof → welcome. Each side proves that it knows
 * the cluster's secret by an HMAC-SHA-256 over everything said so far; the accepting side, which anyone can reach,
 * proves and names itself only after the dialling side has. While secrets are exchanged a side proves with its primary
 * and believes a proof by any that it has. Must never send a secret, nor tell or take time by which of them a proof was
 * right or wrong. Without a configured secret the secret is empty, and the proof only guards against mistakes.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { ClusterSecrets } from "../base/cluster-secrets.ts";
import { KIND_CHALLENGE, KIND_HELLO, KIND_PROOF, KIND_REFUSAL, KIND_WELCOME } from "./frame-layout.ts";
import {
  decodeHello,
  decodeIdentity,
  decodeRefusal,
  encodeHello,
  encodeIdentity,
  encodeRefusal,
  type Hello,
  joinBytes,
  PROOF_BYTES,
} from "./handshake-codec.ts";
import type { HandshakeRefusal, LinkPurpose, PeerIdentity, ProvenBy } from "./identity.ts";

/** A frame to send: its kind and body. */
export interface HandshakeWord {
  readonly kind: number;
  readonly body: Uint8Array;
}

/** What follows from a word that came in. */
export type HandshakeStep =
  | { readonly kind: "say"; readonly word: HandshakeWord }
  | {
      readonly kind: "up";
      readonly peer: PeerIdentity;
      readonly purpose: LinkPurpose;
      readonly provenBy: ProvenBy;
      readonly word: HandshakeWord | undefined;
    }
  | {
      readonly kind: "refused";
      readonly reason: HandshakeRefusal;
      readonly by: "us" | "peer";
      /** what the peer claims to be, as far as it came; unproven unless the reason is about who it is */
      readonly peer: PeerIdentity | undefined;
      readonly word: HandshakeWord | undefined;
    };

/** What one side brings along. */
export interface HandshakeSelf {
  readonly identity: PeerIdentity;
  readonly secrets: ClusterSecrets;
  /** 32 fresh bytes */
  readonly nonce: Uint8Array;
  /** why this proven peer is not wanted, e.g. `retired_process`; undefined: welcome */
  readonly judge: (peer: PeerIdentity) => HandshakeRefusal | undefined;
}

/** One side's state between the words. */
export interface Handshake {
  take(word: HandshakeWord): HandshakeStep;
}

/** The dialling side: what to say first, and the state that takes the answers. */
export function dialHandshake(
  self: HandshakeSelf,
  purpose: LinkPurpose,
): { readonly opening: HandshakeWord; readonly handshake: Handshake } {
  const hello = encodeHello({ identity: self.identity, purpose, nonce: self.nonce });
  let challenge: Uint8Array | undefined;

  const take = (word: HandshakeWord): HandshakeStep => {
    if (word.kind === KIND_REFUSAL) return refusedByPeer(decodeRefusal(word.body));
    if (word.kind === KIND_CHALLENGE && challenge === undefined && word.body.length === PROOF_BYTES) {
      challenge = word.body.slice();
      return {
        kind: "say",
        word: { kind: KIND_PROOF, body: proofOf("dialler", self.secrets.primary, [hello, challenge]) },
      };
    }
    if (word.kind !== KIND_WELCOME || challenge === undefined) return refusedByUs("malformed", undefined);
    const proof = word.body.subarray(0, PROOF_BYTES);
    const identityBytes = word.body.subarray(PROOF_BYTES);
    const provenBy = proverOf(proof, "acceptor", { secrets: self.secrets, said: [hello, challenge, identityBytes] });
    if (provenBy === undefined) return refusedByUs("wrong_secret", undefined);
    const peer = decodeIdentity(identityBytes);
    if (peer === undefined) return refusedByUs("malformed", undefined);
    const reason = mismatchOf(self.identity, peer) ?? self.judge(peer);
    return reason === undefined ? { kind: "up", peer, purpose, provenBy, word: undefined } : refusedByUs(reason, peer);
  };
  return { opening: { kind: KIND_HELLO, body: hello }, handshake: { take } };
}

/** The accepting side: waits for a hello. */
export function acceptHandshake(self: HandshakeSelf): Handshake {
  let helloBytes: Uint8Array | undefined;
  let hello: Hello | undefined;

  const takeHello = (body: Uint8Array): HandshakeStep => {
    const decoded = decodeHello(body);
    if (typeof decoded === "string") return refusedByUs(decoded, undefined);
    const reason = mismatchOf(self.identity, decoded.identity);
    if (reason !== undefined) return refusedByUs(reason, decoded.identity);
    helloBytes = body.slice();
    hello = decoded;
    return { kind: "say", word: { kind: KIND_CHALLENGE, body: self.nonce } };
  };

  const takeProof = (proof: Uint8Array, said: Uint8Array, { identity: peer, purpose }: Hello): HandshakeStep => {
    const provenBy = proverOf(proof, "dialler", { secrets: self.secrets, said: [said, self.nonce] });
    if (provenBy === undefined) return refusedByUs("wrong_secret", peer);
    const reason = self.judge(peer);
    if (reason !== undefined) return refusedByUs(reason, peer);
    const identityBytes = encodeIdentity(self.identity);
    const ours = proofOf("acceptor", self.secrets.primary, [said, self.nonce, identityBytes]);
    return {
      kind: "up",
      peer,
      purpose,
      provenBy,
      word: { kind: KIND_WELCOME, body: joinBytes([ours, identityBytes]) },
    };
  };

  return {
    take: (word) => {
      if (word.kind === KIND_HELLO && hello === undefined) return takeHello(word.body);
      if (word.kind === KIND_PROOF && hello !== undefined && helloBytes !== undefined) {
        return takeProof(word.body, helloBytes, hello);
      }
      return refusedByUs("malformed", hello?.identity);
    },
  };
}

/** Why the two can never have a link, whatever they know. */
function mismatchOf(ours: PeerIdentity, theirs: PeerIdentity): HandshakeRefusal | undefined {
  if (theirs.clusterName !== ours.clusterName) return "other_cluster_name";
  const haveBothIds = ours.clusterId !== undefined && theirs.clusterId !== undefined;
  if (haveBothIds && ours.clusterId !== theirs.clusterId) return "other_cluster_id";
  if (theirs.nodeId !== ours.nodeId) return undefined;
  return theirs.bootNonce === ours.bootNonce ? "self" : "same_node_id";
}

/** The proof names its role, so that neither side's can be played back to it as the other's. */
function proofOf(role: "dialler" | "acceptor", secret: Uint8Array, said: readonly Uint8Array[]): Uint8Array {
  const hmac = createHmac("sha256", secret).update(`gyre-peer ${role}\0`);
  for (const part of said) hmac.update(part);
  return hmac.digest();
}

/** Which of our secrets made the proof. All are tried, right or wrong, so that the time taken tells nothing. */
function proverOf(
  proof: Uint8Array,
  role: "dialler" | "acceptor",
  { secrets, said }: { readonly secrets: ClusterSecrets; readonly said: readonly Uint8Array[] },
): ProvenBy | undefined {
  const isByPrimary = isEqual(proof, proofOf(role, secrets.primary, said));
  let isByOther = false;
  for (const other of secrets.others) isByOther = isEqual(proof, proofOf(role, other, said)) || isByOther;
  if (isByPrimary) return "primary";
  return isByOther ? "previous" : undefined;
}

function isEqual(given: Uint8Array, expected: Uint8Array): boolean {
  return given.length === expected.length && timingSafeEqual(given, expected);
}

function refusedByUs(reason: HandshakeRefusal, peer: PeerIdentity | undefined): HandshakeStep {
  return {
    kind: "refused",
    reason,
    by: "us",
    peer,
    word: { kind: KIND_REFUSAL, body: encodeRefusal(reason) },
  };
}

function refusedByPeer(reason: HandshakeRefusal): HandshakeStep {
  return { kind: "refused", reason, by: "peer", peer: undefined, word: undefined };
}
