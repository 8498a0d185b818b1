/**
 * The bounds of security, by name and unit: what files of tokens and certificates may hold, how often they are looked at, how often
 * somebody may fail. What they mean together is in SECURITY.md. Source: research: reliability §5.
 */

const MIB = 1024 * 1024;

/** The tokens file. */
export const MAX_TOKENS_FILE_BYTES: number = 4 * MIB;
export const MAX_PRINCIPALS: number = 1_024;
export const MAX_TOKENS: number = 4_096;
export const MAX_PATTERNS_PER_PRINCIPAL: number = 256;
/** Certificates and keys. */
export const MAX_PEM_BYTES: number = 1 * MIB;
/** How often files of tokens, certificates and keys are looked at for changes. */
export const SECRET_FILES_LOOK_MS: number = 5_000;
/** How long before its end a certificate is warned of, and how often. */
export const CERTIFICATE_WARN_MS: number = 14 * 24 * 60 * 60 * 1_000;
export const CERTIFICATE_WARN_EVERY_MS: number = 24 * 60 * 60 * 1_000;
/** Requests without a valid token: so many at once from one address, then one every so often; addresses remembered. */
export const FAILURES_AT_ONCE: number = 20;
export const FAILURE_REFILL_MS: number = 1_000;
export const MAX_FAILING_SOURCES: number = 4_096;
/** Lines of addresses that make links without TLS: each address once in this time, and so many of all at once, then one every so often. */
export const WITHOUT_TLS_LINE_EVERY_MS: number = 60_000;
export const WITHOUT_TLS_LINES_AT_ONCE: number = 256;
export const WITHOUT_TLS_LINES_REFILL_MS: number = 500;
/** How long a TLS handshake may take. */
export const TLS_HANDSHAKE_TIMEOUT_MS: number = 5_000;
