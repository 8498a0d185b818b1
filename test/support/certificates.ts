/**
 * X.509 certificates made at test time: a CA, and what it signs. node:crypto reads certificates but makes none, and what a test needs
 * of X.509 is a page of DER. Must never be used outside tests: it checks nothing. Source: RFC 5280 §4.1, ITU-T X.690.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { isIPv4 } from "node:net";

/** A certificate and its key, in PEM. */
export interface MadeCertificate {
  readonly cert: string;
  readonly key: string;
}

/** What a certificate should say. */
export interface CertificateWish {
  /** the subject's common name; empty: no subject */
  readonly name: string;
  /** host names, IPv4 addresses, or URIs with `://` in them */
  readonly hosts?: readonly string[];
  /** from now; default an hour ago to a day ahead */
  readonly validMs?: readonly [fromMs: number, toMs: number];
  /** extended key usage; default both */
  readonly usage?: readonly ("server" | "client")[];
}

const HOUR_MS = 3_600_000;
const ECDSA_SHA256 = "1.2.840.10045.4.3.2";
const USAGE = { server: "1.3.6.1.5.5.7.3.1", client: "1.3.6.1.5.5.7.3.2" } as const;

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  if (body.length < 0x80) return Buffer.concat([Buffer.from([tag, body.length]), body]);
  const bytes = [body.length >> 8, body.length & 0xff].filter((byte, at) => at > 0 || byte > 0);
  return Buffer.concat([Buffer.from([tag, 0x80 | bytes.length, ...bytes]), body]);
}

const sequence = (...parts: readonly Uint8Array[]): Buffer => der(0x30, ...parts);
const octets = (body: Uint8Array): Buffer => der(0x04, body);
const text = (words: string): Buffer => der(0x0c, Buffer.from(words));
const TRUE = der(0x01, Buffer.from([0xff]));

function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (const part of rest) {
    const groups = [part & 0x7f];
    for (let left = part >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return der(0x06, Buffer.from(bytes));
}

function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+/g, "");
  return der(0x18, Buffer.from(digits));
}

const nameOf = (name: string): Buffer =>
  name === "" ? sequence() : sequence(der(0x31, sequence(oid("2.5.4.3"), text(name))));

function extension(id: string, isCritical: boolean, value: Uint8Array): Buffer {
  return sequence(oid(id), ...(isCritical ? [TRUE] : []), octets(value));
}

function alternativeNames(hosts: readonly string[]): Buffer {
  const names = hosts.map((host) => {
    if (host.includes("://")) return der(0x86, Buffer.from(host));
    return isIPv4(host) ? der(0x87, Buffer.from(host.split(".").map(Number))) : der(0x82, Buffer.from(host));
  });
  return extension("2.5.29.17", false, sequence(...names));
}

interface Issue {
  readonly wish: CertificateWish;
  readonly isCa: boolean;
  readonly issuer: string;
  readonly issuerKey: KeyObject;
  readonly publicKey: KeyObject;
}

function certificateOf({ wish, isCa, issuer, issuerKey, publicKey }: Issue): string {
  const [fromMs, toMs] = wish.validMs ?? [-HOUR_MS, 24 * HOUR_MS];
  const algorithm = sequence(oid(ECDSA_SHA256));
  const usage = wish.usage ?? ["server", "client"];
  const extensions = [
    extension("2.5.29.19", true, isCa ? sequence(TRUE) : sequence()),
    // keyCertSign for a CA, digitalSignature for the others
    extension("2.5.29.15", true, der(0x03, Buffer.from(isCa ? [2, 0x04] : [7, 0x80]))),
    ...(isCa ? [] : [extension("2.5.29.37", false, sequence(...usage.map((one) => oid(USAGE[one]))))]),
    ...(wish.hosts === undefined ? [] : [alternativeNames(wish.hosts)]),
  ];
  const serial = randomBytes(8);
  serial[0] = 1;
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, serial),
    algorithm,
    nameOf(issuer),
    sequence(time(Date.now() + fromMs), time(Date.now() + toMs)),
    nameOf(wish.name),
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(...extensions)),
  );
  const signature = der(0x03, Buffer.from([0]), sign("sha256", body, issuerKey));
  const base64 = sequence(body, algorithm, signature).toString("base64");
  return `-----BEGIN CERTIFICATE-----\n${base64.replaceAll(/(.{64})/g, "$1\n").trimEnd()}\n-----END CERTIFICATE-----\n`;
}

/** A certificate authority that signs whatever it is asked to. */
export class TestCa {
  readonly name: string;
  /** in PEM */
  readonly cert: string;
  readonly #key: KeyObject;

  constructor(name: string, validMs?: readonly [fromMs: number, toMs: number]) {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.name = name;
    this.#key = privateKey;
    const wish = validMs === undefined ? { name } : { name, validMs };
    this.cert = certificateOf({ wish, isCa: true, issuer: name, issuerKey: privateKey, publicKey });
  }

  /** A certificate with a key of its own. */
  issue(wish: CertificateWish): MadeCertificate {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const cert = certificateOf({ wish, isCa: false, issuer: this.name, issuerKey: this.#key, publicKey });
    return { cert, key: privateKey.export({ type: "pkcs8", format: "pem" }) };
  }
}

/** The same key, sealed with a passphrase. */
export function sealedKey(key: string): string {
  const options = { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "secret" } as const;
  return createPrivateKey(key).export(options);
}
