/**
 * Certificates and keys as they stand in files: whether they fit each other and hold now, in words when they do not. Pure. Must never
 * let a node begin, or go on, with a certificate that nobody could accept; must never quote a key.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";

/** A certificate with its key, ready for use. */
export interface TlsMaterial {
  /** PEM: the node's own certificate first, then those between it and the CA */
  readonly cert: string;
  readonly key: string;
  /** PEM: whose certificates are believed; undefined: nobody is asked for one */
  readonly ca: string | undefined;
  /** of the first of the chain to end, milliseconds since 1970 */
  readonly expiresAtMs: number;
  /** the same, for people */
  readonly expires: string;
}

/** Material that may change while it is used. */
export interface TlsSource {
  current(): TlsMaterial;
  /** `listener` is told of each change. */
  onChange(listener: (material: TlsMaterial) => void): void;
}

/** A text and where it comes from: `GYRE_TLS_CERT=/etc/gyre/tls.crt`. */
export interface NamedText {
  readonly name: string;
  readonly text: string;
}

/** What was read, or all that is wrong. */
export type TlsReading =
  | { readonly kind: "material"; readonly material: TlsMaterial }
  | { readonly kind: "problems"; readonly problems: readonly string[] };

/** What to read, and what it is for. */
export interface TlsTexts {
  readonly cert: NamedText;
  readonly key: NamedText;
  readonly ca: NamedText | undefined;
  /** shown by both sides of a link, so it must be good for both, and of this very CA */
  readonly isMutual: boolean;
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
const MAX_CHAIN = 8;

/** Reads and checks a certificate chain, its key, and the CA that others' certificates must be of. */
export function readTls(texts: TlsTexts, nowMs: number): TlsReading {
  const problems: string[] = [];
  const chain = certificatesIn(texts.cert, problems);
  const key = keyIn(texts.key, problems);
  if (chain.length > 0) {
    if (key !== undefined) problems.push(...keyProblems(texts, chain, key));
    problems.push(...timeProblems(texts.cert.name, chain, nowMs), ...usageProblems(texts, chain));
  }
  if (texts.ca !== undefined) checkCa(texts, texts.ca, { chain, problems, nowMs });
  if (problems.length > 0) return { kind: "problems", problems };
  const [first] = chain.map((one) => one.validToDate).toSorted((a, b) => a.getTime() - b.getTime());
  const ends = { expiresAtMs: first?.getTime() ?? 0, expires: first?.toISOString() ?? "" };
  return { kind: "material", material: { cert: texts.cert.text, key: texts.key.text, ca: texts.ca?.text, ...ends } };
}

function checkCa(
  { cert, isMutual }: TlsTexts,
  ca: NamedText,
  found: { readonly chain: readonly X509Certificate[]; readonly problems: string[]; readonly nowMs: number },
): void {
  const { chain, problems, nowMs } = found;
  const cas = certificatesIn(ca, problems);
  if (cas.length === 0) return;
  if (isMutual && chain.length > 0 && !leadsTo(chain, cas)) {
    problems.push(`${cert.name}: is not signed by a certificate in ${ca.name}: no other node would believe it`);
  }
  if (cas.every((one) => one.validToDate.getTime() <= nowMs)) {
    problems.push(`${ca.name}: no certificate in it is valid any more`);
  }
}

function certificatesIn({ name, text }: NamedText, problems: string[]): readonly X509Certificate[] {
  const blocks = text.match(PEM_CERTIFICATE) ?? [];
  if (blocks.length === 0) problems.push(`${name}: holds no certificate in PEM`);
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) problems.push(`${name}: holds a private key too; keep it apart`);
  return blocks.flatMap((block, index) => {
    try {
      return [new X509Certificate(block)];
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      problems.push(`${name}: certificate ${index + 1} in it cannot be read`);
      return [];
    }
  });
}

function keyIn({ name, text }: NamedText, problems: string[]): KeyObject | undefined {
  try {
    return createPrivateKey(text);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const isSealed = /ENCRYPTED/.test(text);
    problems.push(
      `${name}: ${isSealed ? "is sealed with a passphrase: keep it without one, readable by gyre alone" : "holds no private key in PEM"}`,
    );
    return undefined;
  }
}

function keyProblems(texts: TlsTexts, chain: readonly X509Certificate[], key: KeyObject): readonly string[] {
  const fits = chain.findIndex((one) => one.checkPrivateKey(key));
  if (fits === 0) return [];
  return fits < 0
    ? [`${texts.key.name}: is not the key of ${texts.cert.name}`]
    : [`${texts.cert.name}: the key is that of certificate ${fits + 1} in it; the node's own comes first`];
}

function timeProblems(name: string, chain: readonly X509Certificate[], nowMs: number): readonly string[] {
  return chain.flatMap((one, index) => {
    const which = index === 0 ? "" : `certificate ${index + 1} in it `;
    if (one.validToDate.getTime() <= nowMs) return [`${name}: ${which}has expired on ${one.validToDate.toISOString()}`];
    const from = one.validFromDate;
    return from.getTime() > nowMs
      ? [`${name}: ${which}is valid only from ${from.toISOString()}; is the clock right?`]
      : [];
  });
}

function usageProblems(texts: TlsTexts, [own]: readonly X509Certificate[]): readonly string[] {
  const usage: readonly string[] | undefined = own?.keyUsage;
  if (usage === undefined) return [];
  const problems: string[] = [];
  if (!usage.includes(SERVER_AUTH))
    problems.push(`${texts.cert.name}: is not for servers (extended key usage serverAuth)`);
  if (texts.isMutual && !usage.includes(CLIENT_AUTH)) {
    problems.push(
      `${texts.cert.name}: is not for clients (extended key usage clientAuth); nodes show it when they dial, too`,
    );
  }
  return problems;
}

/** Whether one of the CAs has signed the chain's end. Times are looked at elsewhere. */
function leadsTo(chain: readonly X509Certificate[], cas: readonly X509Certificate[]): boolean {
  let at = chain[0];
  for (let step = 0; at !== undefined && step < MAX_CHAIN; step += 1) {
    const signed = at;
    const isSignedBy = (issuer: X509Certificate): boolean =>
      signed.checkIssued(issuer) && signed.verify(issuer.publicKey);
    if (cas.some(isSignedBy)) return true;
    at = chain.find((one) => one !== signed && isSignedBy(one));
  }
  return false;
}
