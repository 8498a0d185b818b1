/**
 * What is wrong with the certificate of whoever connected, for its owner to mend: the state of a client's own certificate is no secret
 * to it. Pure. Must never repeat what a certificate says of itself: before it is proven anybody may have written it.
 * Source: the verification codes of OpenSSL, as Node gives them.
 */

/** The part of a TLS connection that is looked at, after its handshake. */
export interface ShownCertificate {
  /** a code of OpenSSL's; nothing when there is nothing to say against the certificate */
  readonly authorizationError?: unknown;
  /** absent where the connection is no TLS */
  getPeerX509Certificate?(): unknown;
}

/** A certificate that was not taken. */
export interface CertificateFlaw {
  /** a stable code, for the audit trail */
  readonly code: string;
  /** what is wrong and what to do, for the client */
  readonly words: string;
}

/** The code of a connection without a certificate: OpenSSL itself only says that it found no issuer. */
const NO_CERTIFICATE = "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE";
/** The code where nothing is known, as of a resumed session, which shows none anew. */
const NOT_PROVEN = "ERR_CERTIFICATE_NOT_PROVEN";
const NOT_OF_CA =
  "is not of the CA that this node takes client certificates of: connect with one that this CA has signed, and send those between the two along";

const WORDS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "has expired, or one of its chain has: connect with one that is valid now",
  CERT_NOT_YET_VALID: "is not valid yet: are the clocks right, here and where it was made?",
  DEPTH_ZERO_SELF_SIGNED_CERT: NOT_OF_CA,
  SELF_SIGNED_CERT_IN_CHAIN: NOT_OF_CA,
  UNABLE_TO_GET_ISSUER_CERT: NOT_OF_CA,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: NOT_OF_CA,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: NOT_OF_CA,
  CERT_SIGNATURE_FAILURE: NOT_OF_CA,
  INVALID_PURPOSE: "is not made for clients: its extended key usage has to name clientAuth",
};

/** Why the certificate of a connection was not taken, as a code of TLS. */
export function certificateCode(socket: ShownCertificate): string {
  if (socket.getPeerX509Certificate?.() === undefined) return NO_CERTIFICATE;
  // Node's types say Error; it is the code alone.
  const { authorizationError: code } = socket;
  return typeof code === "string" && code !== "" ? code : NOT_PROVEN;
}

/** The same of a client's, in words for the client. */
export function certificateFlaw(socket: ShownCertificate): CertificateFlaw {
  const code = certificateCode(socket);
  if (code === NO_CERTIFICATE) {
    const words =
      "this node wants a client certificate beside any token, and the connection showed none: connect with one of the CA that this node was told of";
    return { code, words };
  }
  const what =
    WORDS[code] ?? "is not accepted: connect anew, with one that is valid now and of the CA that this node was told of";
  return { code, words: `the client certificate of this connection ${what} (${code})` };
}
