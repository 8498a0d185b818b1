/** The numbers of anti-entropy under their public names, and as GET /v1/cluster tells them. Read when asked only. */
import { isoTime } from "../api/iso-time.ts";
import type { MetricsRegistry } from "../base/metrics.ts";
import type { AntiEntropyStatus } from "../repair/anti-entropy.ts";

/** Registers what anti-entropy counts. */
export function registerAntiEntropy(metrics: MetricsRegistry, status: () => AntiEntropyStatus): void {
  const gauge = (name: string, help: string, read: (status: AntiEntropyStatus) => number): void =>
    metrics.gauge({ name: `gyre_anti_entropy_${name}`, help }, () => read(status()));
  const total = (name: string, help: string, read: (status: AntiEntropyStatus) => number): void =>
    metrics.total({ name: `gyre_anti_entropy_${name}`, help }, () => read(status()));
  gauge("pairs", "Pairs of a partition of this node and another holder of it.", ({ pairs }) => pairs);
  gauge("never_verified", "Pairs that were not compared to the end since start.", ({ neverVerified }) => neverVerified);
  gauge(
    "oldest_verified_seconds",
    "Time since the pair was verified that is not for longest; one that never was counts from when this node knew it.",
    ({ oldestUnverified }) => (oldestUnverified?.ageMs ?? 0) / 1_000,
  );
  gauge("running", "Exchanges under way.", ({ running }) => running);
  total(
    "compared_roots_total",
    "Roots that others were asked about, since start.",
    ({ comparedRoots }) => comparedRoots,
  );
  total("exchanges_total", "Exchanges of differing partitions, since start.", ({ exchanges }) => exchanges);
  total("pulled_keys_total", "Objects pulled from other holders, since start.", ({ pulledKeys }) => pulledKeys);
  total("pushed_keys_total", "Objects pushed to other holders, since start.", ({ pushedKeys }) => pushedKeys);
  total("received_bytes_total", "Bytes of objects pulled, since start.", ({ receivedBytes }) => receivedBytes);
  total("sent_bytes_total", "Bytes of objects pushed or given, since start.", ({ sentBytes }) => sentBytes);
  gauge(
    "unreadable_keys",
    "Records that cannot be read and that no other holder has brought yet.",
    ({ unreadableKeys }) => unreadableKeys,
  );
  gauge("lost_keys", "Records that cannot be read and that no other holder has.", ({ lostKeys }) => lostKeys);
}

/** The section `antiEntropy` of GET /v1/cluster; `wallMs` is now, since 1970. */
export function antiEntropyDocument(status: AntiEntropyStatus, wallMs: number): Record<string, unknown> {
  const { pulledKeys, pushedKeys, oldestUnverified, lastError, ...rest } = status;
  const repairedKeys = pulledKeys + pushedKeys;
  return {
    ...rest,
    oldestVerifiedAgeMs: oldestUnverified?.ageMs ?? null,
    oldestUnverified: oldestDocument(oldestUnverified, wallMs),
    pulledKeys,
    pushedKeys,
    repairedKeys,
    lastError: lastError ?? null,
  };
}

function oldestDocument(oldest: AntiEntropyStatus["oldestUnverified"], wallMs: number): Record<string, unknown> | null {
  if (oldest === undefined) return null;
  const { partition, peer, ageMs, wasVerified } = oldest;
  return { partition, peer, lastVerifiedAt: wasVerified ? isoTime(Math.max(0, Math.round(wallMs - ageMs))) : null };
}
