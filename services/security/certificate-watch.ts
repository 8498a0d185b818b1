/**
 * When this node's certificates end: shown as a metric, and warned of once a day from fourteen days before. An end that nobody saw
 * coming takes a whole cluster down at once. Must never end anything itself.
 */
import type { MetricsRegistry } from "../base/metrics.ts";
import type { Clock, Log, Timer } from "../base/ports.ts";
import { CERTIFICATE_WARN_EVERY_MS, CERTIFICATE_WARN_MS } from "../base/security-limits.ts";
import type { TlsSource } from "./tls-material.ts";

const DAY_MS = 86_400_000;

/** The certificates of a node by what they are for. */
export interface WatchedSources {
  readonly client: TlsSource | undefined;
  readonly peer: TlsSource | undefined;
}

/** Watches them. */
export class CertificateWatch {
  readonly #sources: readonly (readonly [listener: string, source: TlsSource])[];
  readonly #windows: { readonly clock: Clock; readonly log: Log };
  #timer: Timer | undefined;

  constructor(sources: WatchedSources, windows: { readonly clock: Clock; readonly log: Log }) {
    const all = [["client", sources.client] as const, ["peer", sources.peer] as const];
    this.#sources = all.flatMap(([listener, source]) => (source === undefined ? [] : [[listener, source] as const]));
    this.#windows = windows;
  }

  /** Shows when they end. */
  register(metrics: MetricsRegistry): void {
    if (this.#sources.length === 0) return;
    const help =
      "Seconds until the certificate that this listener shows, or one of its chain, ends; negative after that.";
    metrics.gauge({ name: "gyre_tls_certificate_expires_seconds", help }, () =>
      this.#sources.map(([listener, source]) => ({ labels: { listener }, value: this.#leftMs(source) / 1_000 })),
    );
  }

  /** Looks now, and once a day. */
  start(): void {
    const { clock, log } = this.#windows;
    for (const [listener, source] of this.#sources) {
      const leftMs = this.#leftMs(source);
      if (leftMs > CERTIFICATE_WARN_MS) continue;
      const { expires } = source.current();
      const facts = { event: "security.certificate-ends", listener, expires, daysLeft: Math.floor(leftMs / DAY_MS) };
      if (leftMs > 0) log.warn(facts);
      else log.error(facts);
    }
    if (this.#sources.length > 0) this.#timer = clock.setTimer(CERTIFICATE_WARN_EVERY_MS, () => this.start());
  }

  /** Looks no more. */
  stop(): void {
    this.#timer?.cancel();
  }

  #leftMs(source: TlsSource): number {
    return source.current().expiresAtMs - this.#windows.clock.wallMicros() / 1_000;
  }
}
