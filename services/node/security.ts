/**
 * The tokens and certificates of a node: read and checked before it starts, followed while it runs. Must never decide what is right:
 * `services/security` does; must never let a start go on with files that are wrong.
 */
import type { Config } from "../base/config.ts";
import type { MetricsRegistry } from "../base/metrics.ts";
import type { Clock, Log, SecretFiles } from "../base/ports.ts";
import { MAX_PEM_BYTES, MAX_TOKENS_FILE_BYTES } from "../base/security-limits.ts";
import { CertificateWatch } from "../security/certificate-watch.ts";
import { FollowedFiles, type SecretFile, type Understood } from "../security/followed-files.ts";
import { readTls, type TlsMaterial, type TlsSource } from "../security/tls-material.ts";
import { TokenBook } from "../security/token-book.ts";
import { readTokensFile, type TokenEntry } from "../security/tokens-file.ts";

/** What following looks out of. */
export interface SecurityWindows {
  readonly clock: Clock;
  readonly log: Log;
  readonly secretFiles: SecretFiles;
}

/** A node's security, or every reason not to start. */
export type SecurityResult =
  | { readonly kind: "security"; readonly security: NodeSecurity }
  | { readonly kind: "problems"; readonly problems: readonly string[] };

type Followed = Pick<FollowedFiles<unknown>, "follow" | "reload" | "stop" | "isRejected" | "rejectedCount">;

/** What a node knows of tokens and certificates while it runs. */
export class NodeSecurity {
  /** undefined: the client API is open */
  readonly tokens: TokenBook | undefined;
  readonly tls: TlsSource | undefined;
  readonly peerTls: TlsSource | undefined;
  readonly #followed: ReadonlyMap<string, Followed>;
  readonly #watch: CertificateWatch;

  constructor(parts: {
    readonly tokens: TokenBook | undefined;
    readonly tls: TlsSource | undefined;
    readonly peerTls: TlsSource | undefined;
    readonly followed: ReadonlyMap<string, Followed>;
    readonly windows: SecurityWindows;
  }) {
    this.tokens = parts.tokens;
    this.tls = parts.tls;
    this.peerTls = parts.peerTls;
    this.#followed = parts.followed;
    const sources = { client: parts.tls, peer: parts.peerTls };
    this.#watch = new CertificateWatch(sources, parts.windows);
  }

  /** Follows the files from now on. */
  start(metrics: MetricsRegistry): void {
    for (const one of this.#followed.values()) one.follow();
    this.#watch.start();
    if (this.#followed.size === 0) return;
    const by = (read: (one: Followed) => number) => () =>
      [...this.#followed].map(([what, one]) => ({ labels: { what }, value: read(one) }));
    const help = "1 while files of secrets on disk hold what could not be taken, so that what held before goes on.";
    metrics.gauge(
      { name: "gyre_security_files_rejected", help },
      by((one) => (one.isRejected ? 1 : 0)),
    );
    this.#watch.register(metrics);
  }

  /** Reads all files again. */
  async reload(): Promise<void> {
    await Promise.all([...this.#followed.values()].map((one) => one.reload()));
  }

  /** Follows no more. */
  stop(): void {
    for (const one of this.#followed.values()) one.stop();
    this.#watch.stop();
  }
}

/** Reads all files that the configuration names; every problem of every file is found before any is reported. */
export async function openSecurity(config: Config, windows: SecurityWindows): Promise<SecurityResult> {
  const { tokensFile, tls, peerTls } = config;
  const followed = new Map<string, Followed>();
  const problems: string[] = [];
  const tokens = tokensFile === undefined ? undefined : await openTokens(tokensFile, windows);
  const client =
    tls === undefined
      ? undefined
      : await openTls("tls", windows, {
          files: [pem("GYRE_TLS_CERT", tls.certFile), pem("GYRE_TLS_KEY", tls.keyFile)],
          ca: tls.clientCaFile === undefined ? undefined : pem("GYRE_TLS_CLIENT_CA", tls.clientCaFile),
          isMutual: false,
        });
  const peer =
    peerTls === undefined
      ? undefined
      : await openTls("peer-tls", windows, {
          files: [pem("GYRE_PEER_TLS_CERT", peerTls.certFile), pem("GYRE_PEER_TLS_KEY", peerTls.keyFile)],
          ca: pem("GYRE_PEER_TLS_CA", peerTls.caFile),
          isMutual: true,
        });
  for (const [what, opened] of [["tokens", tokens] as const, ["tls", client] as const, ["peer-tls", peer] as const]) {
    if (opened === undefined) continue;
    if (opened.kind === "problems") problems.push(...opened.problems);
    else followed.set(what, opened.followed);
  }
  if (problems.length > 0) return { kind: "problems", problems };
  await warnOfOpenKeys([tls?.keyFile, peerTls?.keyFile], windows);
  const valueOf = <T>(opened: Opened<T> | undefined): T | undefined =>
    opened?.kind === "opened" ? opened.value : undefined;
  const parts = { tokens: valueOf(tokens), tls: valueOf(client), peerTls: valueOf(peer) };
  return { kind: "security", security: new NodeSecurity({ ...parts, followed, windows }) };
}

/** Only a warning: volumes of secrets are open to all users of a container, of which there is one. */
async function warnOfOpenKeys(
  paths: readonly (string | undefined)[],
  { log, secretFiles }: SecurityWindows,
): Promise<void> {
  for (const path of paths) {
    if (path === undefined || !(await secretFiles.isOpenToAll(path))) continue;
    log.warn({ event: "security.key-open-to-all", path, advice: "let only the user of the node read it: chmod 600" });
  }
}

type Opened<T> =
  | { readonly kind: "opened"; readonly value: T; readonly followed: Followed }
  | { readonly kind: "problems"; readonly problems: readonly string[] };

function pem(variable: string, path: string): SecretFile {
  return { variable, path, maxBytes: MAX_PEM_BYTES };
}

async function openTokens(path: string, windows: SecurityWindows): Promise<Opened<TokenBook>> {
  const book = new TokenBook([]);
  const followed = new FollowedFiles<readonly TokenEntry[]>({
    what: "tokens",
    files: [{ variable: "GYRE_TOKENS_FILE", path, maxBytes: MAX_TOKENS_FILE_BYTES }],
    understand: ([file]): Understood<readonly TokenEntry[]> => {
      const read = readTokensFile(file?.text ?? "");
      if (read.kind === "tokens") return { kind: "value", value: read.entries };
      return { kind: "problems", problems: read.problems.map((problem) => `${file?.name}: ${problem}`) };
    },
    onChange: (entries) => book.replace(entries),
    windows,
  });
  const opened = await followed.open();
  if (opened.kind === "problems") return opened;
  book.replace(opened.value);
  return { kind: "opened", value: book, followed };
}

async function openTls(
  what: string,
  windows: SecurityWindows,
  {
    files,
    ca,
    isMutual,
  }: { readonly files: readonly SecretFile[]; readonly ca: SecretFile | undefined; readonly isMutual: boolean },
): Promise<Opened<TlsSource>> {
  const listeners: ((material: TlsMaterial) => void)[] = [];
  let current: TlsMaterial | undefined;
  const followed = new FollowedFiles<TlsMaterial>({
    what,
    files: ca === undefined ? files : [...files, ca],
    understand: ([cert, key, caText]): Understood<TlsMaterial> => {
      const nothing = { name: "", text: "" };
      const texts = { cert: cert ?? nothing, key: key ?? nothing, ca: caText, isMutual };
      const read = readTls(texts, windows.clock.wallMicros() / 1_000);
      return read.kind === "material" ? { kind: "value", value: read.material } : read;
    },
    onChange: (material) => {
      current = material;
      for (const listener of listeners) listener(material);
    },
    windows,
  });
  const opened = await followed.open();
  if (opened.kind === "problems") return opened;
  const first = opened.value;
  const source: TlsSource = {
    current: () => current ?? first,
    onChange: (listener) => void listeners.push(listener),
  };
  return { kind: "opened", value: source, followed };
}
