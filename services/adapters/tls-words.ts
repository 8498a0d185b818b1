/**
 * What went wrong in a TLS handshake, in words for whoever must mend it. Pure. Source: the codes of OpenSSL and Node's tls module.
 */

/** An error that says that the other side was not believed, or did not believe us: no retry mends it. */
export class TlsError extends Error {
  readonly code = "ERR_GYRE_TLS";
}

const WORDS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "its certificate has expired",
  CERT_NOT_YET_VALID: "its certificate is not valid yet; are the clocks right?",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is not of the CA that is trusted here (it signed itself)",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate is not of the CA that is trusted here",
  UNABLE_TO_GET_ISSUER_CERT: "its certificate is not of the CA that is trusted here",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its certificate is not of the CA that is trusted here",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate is not of the CA that is trusted here",
  CERT_SIGNATURE_FAILURE: "its certificate is not of the CA that is trusted here: the signature is another's",
  INVALID_PURPOSE: "its certificate is not meant for this use (extended key usage)",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another host name",
  ERR_SSL_WRONG_VERSION_NUMBER: "it does not speak TLS",
  ERR_SSL_PACKET_LENGTH_TOO_LONG: "it does not speak TLS",
  ERR_SSL_HTTP_REQUEST: "it does not speak TLS",
  ERR_SSL_UNSUPPORTED_PROTOCOL: "it does not speak TLS 1.3",
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: "it does not speak TLS 1.3",
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: "it showed no certificate",
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: "it wants a certificate from us",
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: "it does not believe the CA of our certificate",
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: "it says that our certificate has expired",
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: "it does not accept our certificate",
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: "it does not accept our certificate",
  ERR_TLS_HANDSHAKE_TIMEOUT: "the handshake took too long",
};

const NEW_ONE = "there a new certificate of the nodes' CA has to take the place of the one in GYRE_PEER_TLS_CERT";
const OTHER_CA =
  "there GYRE_PEER_TLS_CERT has to be of the CA in GYRE_PEER_TLS_CA here; while the CA changes, both belong into that file on all nodes";
const SETTINGS = "if it is a node, it needs GYRE_PEER_TLS_CERT, GYRE_PEER_TLS_KEY and GYRE_PEER_TLS_CA";
const MODE = `${SETTINGS}; or, if it has them and GYRE_PEER_TLS_MODE=accept, GYRE_PEER_TLS_MODE=prefer, for at accept it dials without TLS`;

/** What mends a link between nodes. `there`: at the other one. */
const PEER_ADVICE: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: NEW_ONE,
  CERT_NOT_YET_VALID: "set the clocks of both machines, and of the one that makes certificates",
  DEPTH_ZERO_SELF_SIGNED_CERT: OTHER_CA,
  SELF_SIGNED_CERT_IN_CHAIN: OTHER_CA,
  UNABLE_TO_GET_ISSUER_CERT: OTHER_CA,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: OTHER_CA,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: OTHER_CA,
  CERT_SIGNATURE_FAILURE: OTHER_CA,
  INVALID_PURPOSE: "there the certificate needs the extended key usages serverAuth and clientAuth",
  ERR_TLS_CERT_ALTNAME_INVALID:
    "there the certificate has to name what others dial (GYRE_ADVERTISE, GYRE_SEEDS), or all have one name: GYRE_PEER_TLS_NAME",
  ERR_SSL_WRONG_VERSION_NUMBER: SETTINGS,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: SETTINGS,
  ERR_SSL_HTTP_REQUEST: MODE,
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: SETTINGS,
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: "the CA of GYRE_PEER_TLS_CERT here has to be in GYRE_PEER_TLS_CA there",
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    "here a new certificate has to take the place of the one in GYRE_PEER_TLS_CERT",
};

/** What mends a link between nodes that failed with a code of TLS; undefined where nothing can be said. */
export function peerAdvice(code: string): string | undefined {
  return PEER_ADVICE[code];
}

/** The words for a code of TLS, the code behind them; undefined when the code is about something else. */
export function tlsWords(code: string): string | undefined {
  const words = WORDS[code] ?? (code.startsWith("ERR_SSL_") || code.startsWith("ERR_TLS_") ? "TLS failed" : undefined);
  return words === undefined ? undefined : `${words} (${code})`;
}

/** The code of the innermost cause that has one; empty when none has. */
export function rootCodeOf(error: unknown): string {
  let code = "";
  for (let depth = 0, at: unknown = error; depth < 5 && at instanceof Error; depth += 1, at = at.cause) {
    if ("code" in at && typeof at.code === "string") code = at.code;
  }
  return code;
}
