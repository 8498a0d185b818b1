/**
 * The knobs of security: secrets, tokens, certificates. Rows of the one table in `knobs.ts`. Secrets and keys come as files, so that
 * they show in no process list; what a file holds is read and checked where it is used.
 */
import { oneOf, type Parsed, parseBoolean, parseLabel, parseText } from "./setting-parsers.ts";

/** A knob here: the shape of `Knob` in `knobs.ts`. */
interface Row<T> {
  readonly name: string;
  readonly defaultText: string;
  readonly meaning: string;
  readonly parse: (text: string) => Parsed<T>;
  readonly isSecret?: boolean;
  readonly isSwitch?: boolean;
}

/** The knobs of security by what they set. */
export interface SecurityKnobs {
  readonly secret: Row<string>;
  readonly secretFile: Row<string>;
  readonly secretPrevious: Row<string>;
  readonly secretPreviousFile: Row<string>;
  readonly tokensFile: Row<string>;
  readonly metricsOpen: Row<boolean>;
  readonly insecure: Row<boolean>;
  readonly tlsCert: Row<string>;
  readonly tlsKey: Row<string>;
  readonly tlsClientCa: Row<string>;
  readonly peerTlsCert: Row<string>;
  readonly peerTlsKey: Row<string>;
  readonly peerTlsCa: Row<string>;
  readonly peerTlsName: Row<string>;
  readonly peerTlsMode: Row<PeerTlsMode>;
}

/**
 * How strictly links are TLS: `required`, none without; `prefer`, dialled with it and taken without too; `accept`, dialled without it
 * and taken either way. Neighbours in this order understand each other, and `accept` a node without TLS.
 */
export type PeerTlsMode = "accept" | "prefer" | "required";

/** The shortest cluster secret taken, in characters. */
export const MIN_SECRET_CHARS: number = 16;

function file(name: string, meaning: string): Row<string> {
  return { name, defaultText: "–", meaning, parse: parseText };
}

/** The knobs of security, in the order of the table. */
export const SECURITY_KNOBS: SecurityKnobs = {
  secret: {
    ...file(
      "secret",
      `cluster secret, ${MIN_SECRET_CHARS} characters or more; required unless every listener is on loopback`,
    ),
    isSecret: true,
  },
  secretFile: file("secret-file", "a file that holds the cluster secret"),
  secretPrevious: {
    ...file(
      "secret-previous",
      "another cluster secret that is taken as well, while nodes change from one to the other",
    ),
    isSecret: true,
  },
  secretPreviousFile: file("secret-previous-file", "a file that holds it"),
  tokensFile: file("tokens-file", "API tokens and their rights, made with `gyre token new`; followed when it changes"),
  metricsOpen: {
    name: "metrics-open",
    defaultText: "`false`",
    meaning: "`true`: `/metrics` needs no token, though the rest does",
    parse: parseBoolean,
    isSwitch: true,
  },
  insecure: {
    name: "insecure",
    defaultText: "`false`",
    meaning: "`true`: open the client API beyond loopback without tokens",
    parse: parseBoolean,
    isSwitch: true,
  },
  tlsCert: file(
    "tls-cert",
    "certificate chain (PEM) of the client listener, which then takes TLS 1.3 only; followed when it changes",
  ),
  tlsKey: file("tls-key", "its private key (PEM)"),
  tlsClientCa: file("tls-client-ca", "clients must also show a certificate of this CA (PEM); health probes need none"),
  peerTlsCert: file(
    "peer-tls-cert",
    "this node's certificate chain (PEM) for links between nodes, which are then mutual TLS 1.3, unless `GYRE_PEER_TLS_MODE` says otherwise; followed likewise",
  ),
  peerTlsKey: file("peer-tls-key", "its private key (PEM)"),
  peerTlsCa: file("peer-tls-ca", "the CA (PEM) of all nodes' certificates, and of nothing else"),
  peerTlsName: {
    name: "peer-tls-name",
    defaultText: "–",
    meaning:
      "a name that the certificates of all nodes have; looked for in place of the host that is dialled, where addresses change",
    parse: parseLabel,
  },
  peerTlsMode: {
    name: "peer-tls-mode",
    defaultText: "`required`",
    meaning:
      "only while a running cluster takes up TLS between its nodes: `accept` takes links with and without it and dials without, `prefer` takes both and dials with it, `required` neither takes nor dials any without",
    parse: oneOf(["accept", "prefer", "required"]),
  },
};
