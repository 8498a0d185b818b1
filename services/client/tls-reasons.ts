/** Why TLS to a node failed, in words; all of it before anything of the request was sent. Source: the codes of OpenSSL and Node. */

const NOT_TRUSTED = "its certificate is not of a CA that is trusted here: give the cluster's with --ca or GYRE_CA";
const NO_TLS = "it speaks no TLS: write http://, not https://";

const REASONS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "its certificate has expired",
  CERT_NOT_YET_VALID: "its certificate is not valid yet: are the clocks right?",
  DEPTH_ZERO_SELF_SIGNED_CERT: NOT_TRUSTED,
  SELF_SIGNED_CERT_IN_CHAIN: NOT_TRUSTED,
  UNABLE_TO_GET_ISSUER_CERT: NOT_TRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: NOT_TRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: NOT_TRUSTED,
  CERT_SIGNATURE_FAILURE: NOT_TRUSTED,
  INVALID_PURPOSE: "its certificate is not one for servers",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another host name",
  ERR_SSL_WRONG_VERSION_NUMBER: NO_TLS,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: NO_TLS,
};

/** The words for a code of TLS; undefined when the code is about something else. */
export function tlsReason(code: string): string | undefined {
  const words = REASONS[code];
  return words === undefined ? undefined : `${words} (${code})`;
}
