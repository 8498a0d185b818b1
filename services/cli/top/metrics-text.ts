/**
 * The few families of `/metrics` that a picture of a node needs, out of the Prometheus text. Pure. Must never keep a series that is
 * not asked for: a page has thousands of lines. Source: Prometheus text format 0.0.4.
 */

/** How many requests took no longer than each bound, by the bound in seconds; ascending. */
export type Buckets = ReadonlyMap<number, number>;

/** What one scrape says. */
export interface Scrape {
  /** series without labels, and those whose labels do not matter here, by name */
  readonly values: ReadonlyMap<string, number>;
  readonly reads: Buckets;
  readonly writes: Buckets;
  /** requests of keys that were answered with 5xx, or not at all */
  readonly failed: number;
  /** as the node calls itself; empty when it does not say */
  readonly node: string;
}

/** The gauges and counters that are kept. */
export const KEPT_NAMES: readonly string[] = [
  "gyre_loop_delay_seconds",
  "gyre_background_share_ratio",
  "gyre_hints_kept",
  "gyre_handover_left",
  "gyre_handover_received_bytes_total",
  "gyre_disk_free_bytes",
  "gyre_disk_total_bytes",
  "process_start_time_seconds",
];

/** The histogram of requests; its routes of keys are what clients do. */
export const REQUEST_SECONDS = "gyre_http_request_duration_seconds";

const LINE = /^([a-z_0-9]+)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-z_]+)="((?:[^"\\]|\\.)*)"/g;
/** Method and route of what is done with keys; a batch is one write, listings are neither. */
const KINDS: Readonly<Record<string, "reads" | "writes">> = {
  "GET /v1/kv/:bucket/*": "reads",
  "HEAD /v1/kv/:bucket/*": "reads",
  "PUT /v1/kv/:bucket/*": "writes",
  "DELETE /v1/kv/:bucket/*": "writes",
  "POST /v1/kv/:bucket": "writes",
};
const FAILED: readonly string[] = ["5xx", "aborted"];

/** Understands a page; lines that are none are passed over. O(lines). */
export function parseScrape(text: string): Scrape {
  const values = new Map<string, number>();
  const requests = { reads: new Map<number, number>(), writes: new Map<number, number>(), failed: 0 };
  let node = "";
  for (const line of text.split("\n")) {
    if (line.startsWith("#")) continue;
    const [, name = "", labels = "", number = ""] = LINE.exec(line) ?? [];
    if (KEPT_NAMES.includes(name)) values.set(name, Number(number));
    else if (name === "gyre_build_info") node = labelsOf(labels).get("node") ?? "";
    else if (name === `${REQUEST_SECONDS}_bucket`) addBucket(labelsOf(labels), Number(number), requests);
  }
  return { values, ...requests, node };
}

function addBucket(
  labels: ReadonlyMap<string, string>,
  count: number,
  requests: { readonly reads: Map<number, number>; readonly writes: Map<number, number>; failed: number },
): void {
  const kind = KINDS[`${labels.get("method")} ${labels.get("route")}`];
  if (kind === undefined) return;
  const bound = labels.get("le") === "+Inf" ? Number.POSITIVE_INFINITY : Number(labels.get("le"));
  if (!FAILED.includes(labels.get("status") ?? "")) requests[kind].set(bound, (requests[kind].get(bound) ?? 0) + count);
  else if (bound === Number.POSITIVE_INFINITY) requests.failed += count;
}

function labelsOf(text: string): ReadonlyMap<string, string> {
  return new Map([...text.matchAll(LABEL)].map(([, name = "", value = ""]) => [name, value]));
}

/** How many requests there were between two scrapes; those of a process that has started anew meanwhile: all of it. */
export function countBetween(before: Buckets, after: Buckets): number {
  const total = (buckets: Buckets): number => buckets.get(Number.POSITIVE_INFINITY) ?? 0;
  return total(after) < total(before) ? total(after) : total(after) - total(before);
}

/** The time that the share (0 … 1) of the requests between two scrapes did not exceed, seconds; undefined: there were none. */
export function quantileBetween(before: Buckets, after: Buckets, share: number): number | undefined {
  const count = countBetween(before, after);
  if (count === 0) return undefined;
  const isNew = count === (after.get(Number.POSITIVE_INFINITY) ?? 0);
  const bounds = [...after.keys()].toSorted((a, b) => a - b);
  let [lower, below] = [0, 0];
  for (const bound of bounds) {
    const upTo = (after.get(bound) ?? 0) - (isNew ? 0 : (before.get(bound) ?? 0));
    if (upTo >= share * count) {
      if (!Number.isFinite(bound)) return lower;
      // Within a bucket, as Prometheus' histogram_quantile does.
      return lower + (bound - lower) * ((share * count - below) / Math.max(1, upTo - below));
    }
    [lower, below] = [bound, upTo];
  }
  return lower;
}
