/**
 * The security of a node's configuration: which files come in pairs, and what a node refuses to start with. Pure. Must never open a
 * node to other machines without somebody having said so.
 */
import { KNOBS, type Knob, variableOf } from "./knobs.ts";
import type { PeerTlsMode } from "./security-knobs.ts";
import { isLoopback } from "./setting-parsers.ts";
import type { SettingReader } from "./setting-reader.ts";

/** Where the client listener's certificate is. */
export interface ClientTlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** undefined: clients need no certificate */
  readonly clientCaFile: string | undefined;
}

/** Where a node's certificate for links is. */
export interface PeerTlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
  /** what their certificates are looked at for; undefined: the host that is dialled */
  readonly name: string | undefined;
  readonly mode: PeerTlsMode;
}

/** What is looked at here. */
export interface SecuritySettings {
  readonly httpAddress: string;
  readonly peerAddress: string;
  readonly secret: string | undefined;
  readonly tokensFile: string | undefined;
  readonly isInsecure: boolean;
  readonly tls: ClientTlsFiles | undefined;
  readonly peerTls: PeerTlsFiles | undefined;
}

function together(reader: SettingReader, knobs: readonly Knob<string>[]): readonly string[] | undefined {
  const values = knobs.map((knob) => reader.take<string | undefined>(knob, undefined));
  const missing = knobs.filter((_, index) => values[index] === undefined);
  if (missing.length === knobs.length) return undefined;
  const [first] = knobs.filter((knob) => !missing.includes(knob));
  if (missing.length === 0) return values.map((value) => value ?? "");
  const names = missing.map(variableOf).join(" and ");
  reader.problems.push(`${names}: needed with ${first === undefined ? "" : variableOf(first)}`);
  return undefined;
}

/** The files of the client listener's TLS; notes what is missing of them. */
export function takeClientTls(reader: SettingReader): ClientTlsFiles | undefined {
  const pair = together(reader, [KNOBS.tlsCert, KNOBS.tlsKey]);
  const clientCaFile = reader.take<string | undefined>(KNOBS.tlsClientCa, undefined);
  if (pair === undefined) {
    if (clientCaFile !== undefined && !reader.has(KNOBS.tlsCert) && !reader.has(KNOBS.tlsKey)) {
      reader.problems.push("GYRE_TLS_CLIENT_CA: is of use only with GYRE_TLS_CERT and GYRE_TLS_KEY");
    }
    return undefined;
  }
  const [certFile = "", keyFile = ""] = pair;
  return { certFile, keyFile, clientCaFile };
}

/** The files of the links' TLS; notes what is missing of them. */
export function takePeerTls(reader: SettingReader): PeerTlsFiles | undefined {
  const files = together(reader, [KNOBS.peerTlsCert, KNOBS.peerTlsKey, KNOBS.peerTlsCa]);
  const name = reader.take<string | undefined>(KNOBS.peerTlsName, undefined);
  const mode = reader.take<PeerTlsMode>(KNOBS.peerTlsMode, "required");
  if (files === undefined) {
    const isAlone = ![KNOBS.peerTlsCert, KNOBS.peerTlsKey, KNOBS.peerTlsCa].some((knob) => reader.has(knob));
    const useless = [KNOBS.peerTlsName, KNOBS.peerTlsMode].filter((knob) => isAlone && reader.has(knob));
    for (const knob of useless) {
      reader.problems.push(`${variableOf(knob)}: is of use only with GYRE_PEER_TLS_CERT, _KEY and _CA`);
    }
    return undefined;
  }
  const [certFile = "", keyFile = "", caFile = ""] = files;
  return { certFile, keyFile, caFile, name, mode };
}

/** What a node does not start with. */
export function securityProblems(config: SecuritySettings): readonly string[] {
  const problems: string[] = [];
  const open = [config.httpAddress, config.peerAddress].filter((address) => !isLoopback(address));
  if (open.length > 0 && config.secret === undefined) {
    problems.push(
      `GYRE_SECRET or GYRE_SECRET_FILE is needed, because ${open.join(" and ")} can be reached from other machines ` +
        "(make one with: openssl rand -hex 32)",
    );
  }
  if (!isLoopback(config.httpAddress) && config.tokensFile === undefined && !config.isInsecure) {
    problems.push(
      `GYRE_HTTP=${config.httpAddress} would open the client API to other machines without tokens: ` +
        "give GYRE_TOKENS_FILE (gyre token new makes one), listen on loopback, or accept it with GYRE_INSECURE=true",
    );
  }
  return problems;
}

/** What is allowed, but worth a line in the log at every start. */
export function securityWarnings(config: SecuritySettings): readonly string[] {
  const { httpAddress, peerAddress, tokensFile, tls, peerTls, isInsecure } = config;
  const warnings: string[] = [];
  if (isInsecure) {
    warnings.push(
      tokensFile === undefined
        ? "GYRE_INSECURE=true: whoever reaches the client port can read and write everything"
        : "GYRE_INSECURE=true does nothing beside GYRE_TOKENS_FILE: tokens are asked for all the same",
    );
  }
  if (tokensFile !== undefined && tls === undefined && !isLoopback(httpAddress)) {
    warnings.push(
      `GYRE_HTTP=${httpAddress} takes tokens without TLS: whoever can listen on the network can use them; ` +
        "give GYRE_TLS_CERT and GYRE_TLS_KEY, or let only a proxy that does TLS reach it",
    );
  }
  if (peerTls === undefined && !isLoopback(peerAddress)) {
    warnings.push(
      `GYRE_PEER=${peerAddress} is not encrypted: values cross the network as they are; give GYRE_PEER_TLS_CERT, _KEY and _CA`,
    );
  }
  if (peerTls?.mode === "accept") {
    warnings.push(
      "GYRE_PEER_TLS_MODE=accept takes links without TLS and without a certificate, and dials without TLS: values cross the network " +
        "as they are; go on to prefer once all nodes are at accept, then to required",
    );
  }
  if (peerTls?.mode === "prefer") {
    warnings.push(
      "GYRE_PEER_TLS_MODE=prefer takes links without TLS and without a certificate: go on to required once all nodes are at prefer",
    );
  }
  return warnings;
}
