import { describe, expect, test } from "vitest";
import { readTls, type TlsTexts } from "../../../services/security/tls-material.ts";
import { sealedKey, TestCa } from "../../support/certificates.ts";

const HOUR_MS = 3_600_000;
const ca = new TestCa("the cluster");
const other = new TestCa("another cluster");
const node = ca.issue({ name: "n1", hosts: ["127.0.0.1"] });

function texts(change: { cert?: string; key?: string; ca?: string | undefined; isMutual?: boolean } = {}): TlsTexts {
  const { cert = node.cert, key = node.key, isMutual = true } = change;
  const caText = "ca" in change ? change.ca : ca.cert;
  return {
    cert: { name: "GYRE_PEER_TLS_CERT=c.pem", text: cert },
    key: { name: "GYRE_PEER_TLS_KEY=k.pem", text: key },
    ca: caText === undefined ? undefined : { name: "GYRE_PEER_TLS_CA=ca.pem", text: caText },
    isMutual,
  };
}

function problemsOf(given: TlsTexts): string {
  const read = readTls(given, Date.now());
  return read.kind === "problems" ? read.problems.join("\n") : "";
}

describe("certificate, key and CA that fit", () => {
  test("are taken, with the date on which the first of the chain ends", () => {
    const chain = node.cert + new TestCa("short", [-HOUR_MS, HOUR_MS]).cert;
    const read = readTls(texts({ cert: chain }), Date.now());
    expect(read.kind).toBe("material");
    const leftMs = read.kind === "material" ? read.material.expiresAtMs - Date.now() : 0;
    expect(leftMs).toBeGreaterThan(HOUR_MS - 60_000);
    expect(leftMs).toBeLessThanOrEqual(HOUR_MS);
  });

  test("may have a CA of several certificates, while one CA follows another", () => {
    expect(problemsOf(texts({ ca: other.cert + ca.cert }))).toBe("");
  });

  test("of the client listener need no CA, and its certificate may be of any", () => {
    const server = other.issue({ name: "n1", hosts: ["localhost"], usage: ["server"] });
    expect(problemsOf(texts({ ...server, ca: undefined, isMutual: false }))).toBe("");
    expect(problemsOf(texts({ ...server, ca: ca.cert, isMutual: false }))).toBe("");
  });
});

describe("what is wrong with them is said in words:", () => {
  const expired = ca.issue({ name: "n1", validMs: [-2 * HOUR_MS, -HOUR_MS] });
  const early = ca.issue({ name: "n1", validMs: [HOUR_MS, 2 * HOUR_MS] });
  const server = ca.issue({ name: "n1", usage: ["server"] });
  const client = ca.issue({ name: "n1", usage: ["client"] });

  test.each([
    ["no certificate", texts({ cert: "hello" }), "GYRE_PEER_TLS_CERT=c.pem: holds no certificate in PEM"],
    ["one that is cut", texts({ cert: node.cert.replace(/.{64}\n/, "") }), "certificate 1 in it cannot be read"],
    ["no key", texts({ key: node.cert }), "GYRE_PEER_TLS_KEY=k.pem: holds no private key in PEM"],
    ["a sealed key", texts({ key: sealedKey(node.key) }), "is sealed with a passphrase"],
    ["another key", texts({ key: ca.issue({ name: "n2" }).key }), "k.pem: is not the key of GYRE_PEER_TLS_CERT=c.pem"],
    ["the chain in the wrong order", texts({ cert: ca.cert + node.cert }), "the key is that of certificate 2 in it"],
    ["an expired one", texts(expired), "GYRE_PEER_TLS_CERT=c.pem: has expired on 20"],
    ["one that is not valid yet", texts(early), "is valid only from 20"],
    [
      "one of another CA",
      texts(other.issue({ name: "n1" })),
      "is not signed by a certificate in GYRE_PEER_TLS_CA=ca.pem",
    ],
    ["one for servers only", texts(server), "is not for clients (extended key usage clientAuth)"],
    ["one for clients only", texts(client), "is not for servers (extended key usage serverAuth)"],
    ["a CA without a certificate", texts({ ca: node.key }), "GYRE_PEER_TLS_CA=ca.pem: holds no certificate in PEM"],
    ["a CA with its key beside it", texts({ ca: ca.cert + node.key }), "holds a private key too; keep it apart"],
    ["an expired CA", texts({ ca: new TestCa("old", [-2, -1]).cert }), "no certificate in it is valid any more"],
  ])("%s", (_what, given, words) => {
    expect(problemsOf(given)).toContain(words);
  });

  test("all of it at once, and never a key", () => {
    const told = problemsOf(texts({ ...expired, key: ca.issue({ name: "n2" }).key }));
    expect(told.split("\n")).toHaveLength(2);
    expect(told).not.toContain("PRIVATE");
  });
});
