/** TLS as it meets real sockets: the client listener and the links between nodes, with certificates that are right, wrong and replaced. */
import { X509Certificate } from "node:crypto";
import { type IncomingMessage, request as plainRequest } from "node:http";
import { Agent, request } from "node:https";
import { type ConnectionOptions, connect } from "node:tls";
import { Agent as UndiciAgent, fetch as undiciFetch } from "undici";
import { afterEach, describe, expect, test } from "vitest";
import { isProven, tlsServerMaker } from "../../../services/adapters/tls-server.ts";
import { createUndiciNetwork } from "../../../services/adapters/undici-network.ts";
import { createApiServer } from "../../../services/api/server.ts";
import type { ByteLink, LogFacts, Network } from "../../../services/base/ports.ts";
import { GyreClient } from "../../../services/client/client.ts";
import type { TlsMaterial, TlsSource } from "../../../services/security/tls-material.ts";
import { apiDependencies } from "../../support/api-node.ts";
import { type CertificateWish, type MadeCertificate, TestCa } from "../../support/certificates.ts";
import { untilReal } from "../../support/until-real.ts";

const HOUR_MS = 3_600_000;
const LOOPBACK = "127.0.0.1";
const ca = new TestCa("cluster");
const other = new TestCa("another");
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** A source that a test replaces. */
class Source implements TlsSource {
  #now: TlsMaterial;
  readonly #listeners: ((next: TlsMaterial) => void)[] = [];

  constructor(first: TlsMaterial) {
    this.#now = first;
  }

  current(): TlsMaterial {
    return this.#now;
  }

  onChange(listener: (next: TlsMaterial) => void): void {
    this.#listeners.push(listener);
  }

  replace(next: TlsMaterial): void {
    this.#now = next;
    for (const listener of this.#listeners) listener(next);
  }
}

function material(
  from: TestCa,
  wish: Partial<CertificateWish> = {},
  believed: string | undefined = ca.cert,
): TlsMaterial {
  return { ...from.issue({ name: "n1", hosts: [LOOPBACK], ...wish }), ca: believed, expiresAtMs: 0, expires: "" };
}

function chained({ cert, key }: MadeCertificate, by: TestCa): MadeCertificate {
  return { cert: cert + by.cert, key };
}

function logOf(): { readonly log: Parameters<typeof tlsServerMaker>[1]; readonly warnings: LogFacts[] } {
  const warnings: LogFacts[] = [];
  const ignore = (): void => undefined;
  return { log: { debug: ignore, info: ignore, error: ignore, warn: (facts) => void warnings.push(facts) }, warnings };
}

/** A connection that asks once, and the session that the server gave it; `isResumed` as the client sees it. */
function visit(
  port: number,
  options: ConnectionOptions,
): Promise<{ readonly text: string; readonly session: Buffer | undefined; readonly isResumed: boolean }> {
  return new Promise((resolve) => {
    let [text, session, isResumed]: [string, Buffer | undefined, boolean] = ["", undefined, false];
    const socket = connect({ host: LOOPBACK, port, ca: ca.cert, ...options }, () => {
      isResumed = socket.isSessionReused();
    });
    socket.on("session", (given: Buffer) => (session = given));
    socket.on("data", (part: Buffer) => (text += part.toString()));
    socket.on("error", () => undefined);
    socket.on("close", () => resolve({ text, session, isResumed }));
    socket.write("GET /v1/kv/b/k HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
  });
}

const nowMs = (): number => performance.now();

interface Answer {
  readonly status: number;
  readonly text: string;
}

function answerOf(response: IncomingMessage, resolve: (answer: Answer) => void): void {
  let text = "";
  response.setEncoding("utf8").on("data", (part: string) => (text += part));
  response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
}

describe("the client listener on TLS", () => {
  async function listening(source: TlsSource): Promise<{ readonly port: number; readonly warnings: LogFacts[] }> {
    const { log, warnings } = logOf();
    const needsCertificate = source.current().ca !== undefined;
    const api = createApiServer({ ...apiDependencies(), log, needsCertificate }, tlsServerMaker(source, log, nowMs));
    const address = await api.listen(`${LOOPBACK}:0`);
    cleanups.push(() => api.close());
    return { port: Number(address.split(":").at(-1)), warnings };
  }

  function get(port: number, options: Readonly<Record<string, unknown>> = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const all = { host: LOOPBACK, port, path: "/v1/kv/b/k", ca: ca.cert, agent: false, ...options };
      request(all, (response) => answerOf(response, resolve))
        .on("error", reject)
        .end();
    });
  }

  const open = (wish: Partial<CertificateWish> = {}): TlsMaterial => ({ ...material(ca, wish), ca: undefined });

  test("serves, speaks TLS 1.3 and nothing older", async () => {
    const { port, warnings } = await listening(new Source(open()));
    expect((await get(port)).status).toBe(404);
    const { text } = await get(port, { path: "/" });
    expect(text.match(/^curl .*https:\/\/127\.0\.0\.1:\d+\/v1\/kv\/demo\/hello/gm)).toHaveLength(3);
    await expect(get(port, { maxVersion: "TLSv1.2" })).rejects.toThrow(/protocol version/);
    await untilReal(() => warnings.length > 0);
    expect(warnings).toMatchObject([
      { event: "api.tls-refused", reason: expect.stringContaining("does not speak TLS 1.3") },
    ]);
  });

  test("is not believed by who trusts another CA, nor under another name", async () => {
    const { port } = await listening(new Source(open({ hosts: ["gyre.example"] })));
    await expect(get(port, { ca: other.cert })).rejects.toMatchObject({ code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" });
    await expect(get(port)).rejects.toMatchObject({ code: "ERR_TLS_CERT_ALTNAME_INVALID" });
    expect((await get(port, { servername: "gyre.example" })).status).toBe(404);
  });

  test("shows another certificate to new connections once it changes, and goes on with those that stand", async () => {
    const source = new Source(open());
    const { port } = await listening(source);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    cleanups.push(() => agent.destroy());
    expect((await get(port, { agent })).status).toBe(404);
    source.replace({ ...material(other), ca: undefined });
    expect((await get(port, { agent })).status, "the connection that stands").toBe(404);
    await expect(get(port)).rejects.toMatchObject({ code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" });
    expect((await get(port, { ca: other.cert })).status).toBe(404);
  });

  test.each([
    [
      "has expired",
      () => open({ validMs: [-2 * HOUR_MS, -HOUR_MS] }),
      "its certificate has expired (CERT_HAS_EXPIRED)",
    ],
    ["is for another host", () => open({ hosts: ["elsewhere"] }), "its certificate is for another host name"],
    ["is of another CA", () => ({ ...material(other), ca: undefined }), "not of a CA that is trusted here"],
  ])("whose certificate %s is sent nothing by a client, which says why", async (_what, wrong, words) => {
    const { port } = await listening(new Source(wrong()));
    const agent = new UndiciAgent({ connect: { ca: ca.cert } });
    cleanups.push(() => agent.close());
    const client = new GyreClient({
      nodes: [`https://${LOOPBACK}:${port}`],
      maxAttempts: 1,
      // the same fetch, with a CA that only this test believes
      fetch: (url: string, init: object) => undiciFetch(url, { ...init, dispatcher: agent }),
    });
    const failed = await client.put({ bucket: "b", key: "k" }, { bytes: Buffer.from("1"), contentType: "text/plain" });
    expect(failed).toMatchObject({ kind: "failed", outcome: "not_applied", detail: expect.stringContaining(words) });
  });

  test("with a client CA lets those in whose certificate is of it, and probes without any", async () => {
    const { port, warnings } = await listening(new Source(material(ca)));
    const { cert, key } = ca.issue({ name: "app", usage: ["client"] });
    expect((await get(port, { cert, key })).status).toBe(404);
    expect((await get(port, { path: "/livez" })).status).toBe(200);
    expect(warnings).toEqual([]);
  });

  const expired = { name: "app", validMs: [-2 * HOUR_MS, -HOUR_MS] } as const;
  test.each([
    ["is missing", () => ({}), "the connection showed none", "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE"],
    ["has expired", () => ca.issue(expired), "has expired", "CERT_HAS_EXPIRED"],
    [
      "is not valid yet",
      () => ca.issue({ name: "app", validMs: [HOUR_MS, 2 * HOUR_MS] }),
      "is not valid yet: are the clocks right",
      "CERT_NOT_YET_VALID",
    ],
    [
      "is of another CA",
      () => other.issue({ name: "app" }),
      "is not of the CA that this node takes",
      "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    ],
    [
      "comes with another CA",
      () => chained(other.issue({ name: "app" }), other),
      "is not of the CA that this node takes",
      "SELF_SIGNED_CERT_IN_CHAIN",
    ],
    [
      "is of another CA of the same name",
      () => new TestCa("cluster").issue({ name: "app" }),
      "is not of the CA that this node takes",
      "CERT_SIGNATURE_FAILURE",
    ],
    [
      // OpenSSL tells one of the two, not the worse.
      "is of another CA and has expired",
      () => other.issue(expired),
      "has expired",
      "CERT_HAS_EXPIRED",
    ],
    [
      "is for servers only",
      () => ca.issue({ name: "app", usage: ["server"] }),
      "has to name clientAuth",
      "INVALID_PURPOSE",
    ],
  ])("tells a client whose certificate %s so, and the audit trail why", async (_what, made, words, certificate) => {
    const shown: Partial<MadeCertificate> = made();
    const { port, warnings } = await listening(new Source(material(ca)));
    const { status, text } = await get(port, { cert: shown.cert, key: shown.key });
    const problem = JSON.parse(text) as Readonly<Record<string, unknown>>;
    expect([status, problem["code"], problem["outcome"]]).toEqual([401, "unauthenticated", "not_applied"]);
    expect(problem["detail"]).toContain(words);
    expect(problem["detail"]).toContain("connect");
    expect(warnings).toMatchObject([
      { event: "audit", outcome: "refused", status: 401, principal: "nobody", certificate },
    ]);
  });

  test("resumes no session where certificates are asked for: each connection shows its own", async () => {
    const { port } = await listening(new Source(material(ca)));
    const { cert, key } = ca.issue({ name: "app", usage: ["client"] });
    for (const [first, again, status] of [
      [{ cert, key }, {}, 401],
      [{ cert, key }, { cert, key }, 404],
      [{}, {}, 401],
    ] as const) {
      const { text, session } = await visit(port, first);
      expect(text).toMatch(/^HTTP\/1.1 40/);
      expect(session, "what the server gave").toBeDefined();
      const resumed = await visit(port, { ...again, session });
      expect([resumed.isResumed, resumed.text.split(" ")[1]]).toEqual([false, String(status)]);
    }
    // the same client is resumed where nobody asks for certificates: it is the server that does not
    const { port: openPort } = await listening(new Source(open()));
    expect((await visit(openPort, { session: (await visit(openPort, {})).session })).isResumed).toBe(true);
  });

  test.each([
    [true, { authorized: true, reused: false, certificate: true }],
    [false, { authorized: false, reused: false, certificate: true }],
    [false, { authorized: true, reused: true, certificate: true }],
    [false, { authorized: true, reused: false, certificate: false }],
  ])("a certificate is proven: %s, of %o", (isSo, { authorized, reused, certificate }) => {
    const shown = new X509Certificate(ca.cert);
    const socket = {
      authorized,
      isSessionReused: () => reused,
      getPeerX509Certificate: () => (certificate ? shown : undefined),
    };
    expect(isProven(socket)).toBe(isSo);
  });

  test("answers plain HTTP with nothing, says so in the log, and lives", async () => {
    const { port, warnings } = await listening(new Source(open()));
    const failed = await new Promise((resolve) => {
      plainRequest({ host: LOOPBACK, port }, resolve).on("error", resolve).end();
    });
    expect(failed).toBeInstanceOf(Error);
    await untilReal(() => warnings.length > 0);
    expect(warnings[0]).toMatchObject({
      event: "api.tls-refused",
      reason: expect.stringContaining("does not speak TLS"),
    });
    expect((await get(port)).status).toBe(404);
  });
});

describe("links between nodes on mutual TLS", () => {
  function nodeOf(source: TlsSource): { readonly network: Network; readonly warnings: LogFacts[] } {
    const { log, warnings } = logOf();
    return { network: createUndiciNetwork({ source, log, nowMs }), warnings };
  }

  async function accepting(source: TlsSource): Promise<{
    readonly address: string;
    readonly accepted: ByteLink[];
    readonly warnings: LogFacts[];
  }> {
    const { network, warnings } = nodeOf(source);
    const accepted: ByteLink[] = [];
    const listener = await network.listen(`${LOOPBACK}:0`, (link) => accepted.push(link));
    cleanups.push(async () => {
      for (const link of accepted) link.close("over");
      await listener.close();
    });
    return { address: listener.address, accepted, warnings };
  }

  async function dialled(source: TlsSource, address: string): Promise<ByteLink> {
    const link = await nodeOf(source).network.dial(address, 2_000);
    cleanups.push(() => link.close("over"));
    return link;
  }

  test("carry bytes both ways", async () => {
    const { address, accepted } = await accepting(new Source(material(ca)));
    const near = await dialled(new Source(material(ca)), address);
    await untilReal(() => accepted.length > 0);
    const got: string[] = [];
    accepted[0]?.listen({ onBytes: (bytes) => accepted[0]?.write(bytes), onClose: () => undefined });
    near.listen({ onBytes: (bytes) => got.push(Buffer.from(bytes).toString()), onClose: () => undefined });
    near.write(Buffer.from("there and back"));
    await untilReal(() => got.join("").length >= 14);
    expect(got.join("")).toBe("there and back");
  });

  test("are made to an address behind a name when the certificate is for the name, and not when it is for another", async () => {
    const { address, accepted } = await accepting(new Source(material(ca, { hosts: ["n1.peers"] })));
    const { network } = nodeOf(new Source(material(ca)));
    const link = await network.dial(address, 2_000, "n1.peers:4500");
    cleanups.push(() => link.close("over"));
    await untilReal(() => accepted.length === 1);
    await expect(network.dial(address, 2_000, "n2.peers:4500")).rejects.toThrow("is for another host name");
    await expect(network.dial(address, 2_000)).rejects.toThrow("is for another host name");
  });

  test("are made to any address when the certificate is for the name that all nodes have", async () => {
    const { address, accepted } = await accepting(new Source(material(ca, { hosts: ["gyre-peer"] })));
    const source = new Source(material(ca));
    const network = createUndiciNetwork({ source, name: "gyre-peer", log: logOf().log, nowMs });
    for (const seed of [undefined, "n1.peers:4500"]) {
      const link = await network.dial(address, 2_000, seed);
      cleanups.push(() => link.close("over"));
    }
    await untilReal(() => accepted.length === 2);
    const elsewhere = createUndiciNetwork({ source, name: "etcd-peer", log: logOf().log, nowMs });
    await expect(elsewhere.dial(address, 2_000)).rejects.toThrow("is for another host name");
  });

  test.each([
    [
      "is of another CA",
      () => material(other),
      "is not of the CA that is trusted here",
      "both belong into that file on all nodes",
    ],
    [
      "has expired",
      () => material(ca, { validMs: [-2 * HOUR_MS, -HOUR_MS] }),
      "has expired (CERT_HAS_EXPIRED)",
      "there a new certificate",
    ],
    [
      "is for another host",
      () => material(ca, { hosts: ["elsewhere"] }),
      "is for another host name",
      "GYRE_PEER_TLS_NAME",
    ],
    [
      "is for clients only",
      () => material(ca, { usage: ["client"] }),
      "is not meant for this use",
      "serverAuth and clientAuth",
    ],
  ])(
    "are not made to a node whose certificate %s: the dial fails in words, with what mends it",
    async (_what, wrong, words, advice) => {
      const { address } = await accepting(new Source(wrong()));
      const dial = nodeOf(new Source(material(ca))).network.dial(address, 2_000);
      await expect(dial).rejects.toMatchObject({ code: "ERR_GYRE_TLS", message: expect.stringContaining(words) });
      await expect(dial).rejects.toThrow(`${address}: `);
      await expect(dial).rejects.toThrow(advice);
    },
  );

  test.each([
    [
      "is of another CA",
      () => material(other),
      "is not of the CA that is trusted here",
      "both belong into that file on all nodes",
    ],
    [
      "has expired",
      () => material(ca, { validMs: [-2 * HOUR_MS, -HOUR_MS] }),
      "has expired",
      "there a new certificate",
    ],
    [
      "is for servers only",
      () => material(ca, { usage: ["server"] }),
      "is not meant for this use",
      "serverAuth and clientAuth",
    ],
  ])(
    "are not taken from a node whose certificate %s: the log says so, and the dial fails",
    async (_what, wrong, words, advice) => {
      const { address, accepted, warnings } = await accepting(new Source(material(ca)));
      const dial = nodeOf(new Source(wrong())).network.dial(address, 2_000);
      await expect(dial).rejects.toMatchObject({ code: "ERR_GYRE_TLS" });
      await untilReal(() => warnings.length > 0);
      expect(warnings[0]).toMatchObject({
        event: "peers.tls-refused",
        address: LOOPBACK,
        certificate: expect.stringMatching(/^CN=n1, valid until .* GMT$/),
        reason: expect.stringContaining(words),
        advice: expect.stringContaining(advice),
      });
      expect(accepted).toEqual([]);
    },
  );

  test("are not taken without a certificate, nor over an older TLS, nor without TLS", async () => {
    const { address, accepted, warnings } = await accepting(new Source(material(ca)));
    const port = Number(address.split(":")[1]);
    const upgrade = "GET /peer HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: gyre-peer\r\n\r\n";
    const closed = (maxVersion: "TLSv1.2" | "TLSv1.3"): Promise<string> =>
      new Promise((resolve) => {
        let text = "";
        const socket = connect({ host: LOOPBACK, port, ca: ca.cert, maxVersion }, () => socket.write(upgrade));
        socket.on("data", (part: Buffer) => (text += part.toString()));
        socket.on("error", () => undefined);
        socket.on("close", () => resolve(text));
      });
    const nextLine = async (): Promise<LogFacts | undefined> => {
      await untilReal(() => warnings.length > 0);
      return warnings.splice(0)[0];
    };
    expect(await closed("TLSv1.3")).toBe("");
    const advice = expect.stringContaining("if it is a node, it needs GYRE_PEER_TLS_CERT");
    expect(await nextLine()).toMatchObject({ reason: expect.stringContaining("showed no certificate"), advice });
    expect(await closed("TLSv1.2")).toBe("");
    expect(await nextLine()).toMatchObject({ reason: expect.stringContaining("does not speak TLS 1.3") });
    await expect(createUndiciNetwork().dial(address, 2_000)).rejects.toThrow(/other side closed|ECONNRESET|socket/);
    expect(await nextLine()).toMatchObject({
      reason: "it does not speak TLS (ERR_SSL_HTTP_REQUEST)",
      advice: expect.stringMatching(/^if it is a node, it needs GYRE_PEER_TLS_CERT.*GYRE_PEER_TLS_MODE=prefer/),
    });
    expect(accepted).toEqual([]);
  });

  test("are refused with a line that a certificate of a stranger cannot fill or break", async () => {
    const { address, warnings } = await accepting(new Source(material(ca)));
    const name = `n1\nCN=ops${"x".repeat(300)}\u001b[31m`;
    await expect(nodeOf(new Source(material(other, { name }))).network.dial(address, 2_000)).rejects.toThrow("hung up");
    await untilReal(() => warnings.length > 0);
    const claimed = String(warnings[0]?.["certificate"]);
    expect(claimed).toMatch(/^CN=n1[ -~]+ …$/);
    expect(claimed.length).toBeLessThan(200);
  });

  test.each([
    [[LOOPBACK, "n1.peers"], `IP Address:${LOOPBACK}, DNS:n1.peers, valid until `],
    [undefined, "no name, valid until "],
  ])("are refused with the other names of a certificate without a subject: %j", async (hosts, words) => {
    const { address, warnings } = await accepting(new Source(material(ca)));
    const nameless = { ...other.issue({ name: "", ...(hosts === undefined ? {} : { hosts }) }), ca: ca.cert };
    const source = new Source({ ...nameless, expiresAtMs: 0, expires: "" });
    await expect(nodeOf(source).network.dial(address, 2_000)).rejects.toThrow("hung up");
    await untilReal(() => warnings.length > 0);
    expect(warnings[0]?.["certificate"]).toMatch(words);
  });

  test("take a new certificate for the next link, and keep the ones that stand", async () => {
    const [here, there] = [new Source(material(ca)), new Source(material(ca))];
    const { address, accepted } = await accepting(here);
    const standing = await dialled(there, address);
    const reasons: string[] = [];
    standing.listen({ onBytes: () => undefined, onClose: (reason) => reasons.push(reason) });
    const both = ca.cert + other.cert;
    here.replace(material(other, {}, both));
    await expect(dialled(there, address), "does not know the new CA yet").rejects.toThrow(/CA that is trusted/);
    there.replace(material(ca, {}, both));
    await dialled(there, address);
    await untilReal(() => accepted.length === 2);
    expect(reasons).toEqual([]);
  });
});
