/**
 * docs/grafana-dashboard.json: one page for a cluster, from a short table of rows and panels. `npm run metrics-page` writes it
 * together with docs/METRICS.md; tests compare it, and look up every metric that it names.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** Where the committed dashboard lies. */
export const DASHBOARD: string = join(import.meta.dirname, "../../docs/grafana-dashboard.json");

const NODE = 'instance=~"$node"';
const RATE = "[$__rate_interval]";
const REQUESTS = "gyre_http_request_duration_seconds";

interface Panel {
  readonly title: string;
  readonly unit: "reqps" | "s" | "percentunit" | "bytes" | "Bps" | "short" | "ops";
  /** legend and expression */
  readonly lines: readonly (readonly [legend: string, expression: string])[];
}

function quantile(q: number, work: string): string {
  const buckets = `rate(${REQUESTS}_bucket{${NODE},route=~"/v1/kv.*",method=~"${work}"}${RATE})`;
  return `histogram_quantile(${q}, sum by (le) (${buckets}))`;
}

function rate(metric: string, by: string): string {
  return `sum by (${by}) (rate(${metric}{${NODE}}${RATE}))`;
}

function now(metric: string, by = "instance"): string {
  return `max by (${by}) (${metric}{${NODE}})`;
}

const ROWS: Readonly<Record<string, readonly Panel[]>> = {
  Clients: [
    {
      title: "Requests",
      unit: "reqps",
      lines: [["{{method}} {{status}}", rate(`${REQUESTS}_count`, "method, status")]],
    },
    {
      title: "Latency of reads",
      unit: "s",
      lines: [0.5, 0.99, 0.999].map((q) => [`p${q * 100}`, quantile(q, "GET|HEAD")] as const),
    },
    {
      title: "Latency of writes",
      unit: "s",
      lines: [0.5, 0.99, 0.999].map((q) => [`p${q * 100}`, quantile(q, "PUT|DELETE")] as const),
    },
    {
      title: "Refused as overload",
      unit: "reqps",
      lines: [["{{class}}", rate("gyre_http_shed_requests_total", "class")]],
    },
    {
      title: "Why it was refused",
      unit: "reqps",
      lines: [["{{reason}}", rate("gyre_http_shed_requests_total", "reason")]],
    },
  ],
  Nodes: [
    { title: "Processor", unit: "short", lines: [["{{instance}}", rate("process_cpu_seconds_total", "instance")]] },
    { title: "Memory", unit: "bytes", lines: [["{{instance}}", now("process_resident_memory_bytes")]] },
    { title: "Event-loop delay", unit: "s", lines: [["{{instance}}", now("gyre_loop_delay_seconds")]] },
    {
      title: "What clients feel, and what background work gets",
      unit: "percentunit",
      lines: [
        ["pressure {{instance}}", now("gyre_foreground_pressure_ratio")],
        ["background {{instance}}", now("gyre_background_share_ratio")],
      ],
    },
  ],
  Healing: [
    { title: "Hints kept", unit: "short", lines: [["for {{node}}", "sum by (node) (gyre_hints_waiting)"]] },
    { title: "Oldest hint", unit: "s", lines: [["{{instance}}", now("gyre_hints_oldest_age_seconds")]] },
    {
      title: "Longest unverified pair of replicas",
      unit: "s",
      lines: [["{{instance}}", now("gyre_anti_entropy_oldest_verified_seconds")]],
    },
    {
      title: "Repaired keys",
      unit: "ops",
      lines: [
        ["by reads {{instance}}", rate("gyre_read_repair_repaired_total", "instance")],
        ["pulled {{instance}}", rate("gyre_anti_entropy_pulled_keys_total", "instance")],
        ["pushed {{instance}}", rate("gyre_anti_entropy_pushed_keys_total", "instance")],
      ],
    },
    { title: "Partitions in doubt", unit: "short", lines: [["{{instance}}", now("gyre_storage_suspect_partitions")]] },
    { title: "Tombstones", unit: "short", lines: [["{{instance}}", now("gyre_tombstones_held")]] },
    {
      title: "Records that cannot be read",
      unit: "short",
      lines: [
        ["not yet repaired {{instance}}", now("gyre_anti_entropy_unreadable_keys")],
        ["lost {{instance}}", now("gyre_anti_entropy_lost_keys")],
      ],
    },
  ],
  Ring: [
    {
      title: "Members by state",
      unit: "short",
      lines: [["{{instance}} {{state}}", now("gyre_gossip_members", "instance, state")]],
    },
    { title: "Slots on their way", unit: "short", lines: [["{{instance}}", now("gyre_handover_left")]] },
    {
      title: "Copies received",
      unit: "Bps",
      lines: [["{{instance}}", rate("gyre_handover_received_bytes_total", "instance")]],
    },
    {
      title: "Traffic between nodes",
      unit: "Bps",
      lines: [["{{instance}}", rate("gyre_peer_sent_bytes_total", "instance")]],
    },
  ],
  Disk: [
    { title: "Time until a write is durable", unit: "s", lines: [["{{instance}}", now("gyre_disk_put_seconds")]] },
    { title: "Free space", unit: "bytes", lines: [["{{instance}}", now("gyre_disk_free_bytes")]] },
    {
      title: "Live bytes and bytes on disk",
      unit: "bytes",
      lines: [
        ["live {{instance}}", now("gyre_storage_live_bytes")],
        ["on disk {{instance}}", now("gyre_storage_disk_bytes")],
      ],
    },
    {
      title: "Records a group commit",
      unit: "short",
      lines: [
        [
          "{{instance}}",
          `${rate("gyre_storage_puts_total", "instance")} / ${rate("gyre_storage_commits_total", "instance")}`,
        ],
      ],
    },
  ],
};

const WIDTH = 24;
const PANEL = { w: 6, h: 7 };
const SOURCE = { type: "prometheus", uid: "${datasource}" };

function panelsOf(): readonly unknown[] {
  const panels: unknown[] = [];
  let y = 0;
  for (const [title, row] of Object.entries(ROWS)) {
    panels.push({
      id: panels.length + 1,
      type: "row",
      title,
      collapsed: false,
      panels: [],
      gridPos: { x: 0, y, w: WIDTH, h: 1 },
    });
    y += 1;
    for (const [at, panel] of row.entries()) {
      const place = { x: (at * PANEL.w) % WIDTH, y: y + Math.floor((at * PANEL.w) / WIDTH) * PANEL.h, ...PANEL };
      panels.push({
        id: panels.length + 1,
        type: "timeseries",
        title: panel.title,
        datasource: SOURCE,
        gridPos: place,
        fieldConfig: {
          defaults: { unit: panel.unit, min: 0, custom: { fillOpacity: 5, showPoints: "never" } },
          overrides: [],
        },
        options: { legend: { displayMode: "list", placement: "bottom" }, tooltip: { mode: "multi", sort: "desc" } },
        targets: panel.lines.map(([legendFormat, expr], index) => ({
          refId: String.fromCharCode(65 + index),
          datasource: SOURCE,
          expr,
          legendFormat,
        })),
      });
    }
    y += Math.ceil((row.length * PANEL.w) / WIDTH) * PANEL.h;
  }
  return panels;
}

/** The dashboard as it has to be. */
export function dashboardText(): string {
  const variable = { hide: 0, includeAll: true, multi: true };
  const dashboard = {
    uid: "gyre-cluster",
    title: "gyre",
    tags: ["gyre"],
    timezone: "browser",
    editable: true,
    graphTooltip: 1,
    refresh: "30s",
    schemaVersion: 39,
    version: 1,
    time: { from: "now-1h", to: "now" },
    templating: {
      list: [
        { name: "datasource", label: "Prometheus", type: "datasource", query: "prometheus", hide: 0 },
        {
          ...variable,
          name: "node",
          label: "Node",
          type: "query",
          datasource: SOURCE,
          query: "label_values(gyre_build_info, instance)",
          refresh: 2,
          current: { text: "All", value: "$__all" },
        },
      ],
    },
    annotations: { list: [] },
    panels: panelsOf(),
  };
  return `${JSON.stringify(dashboard, null, 2)}\n`;
}

/** Metrics that an expression names, without the endings of histograms' series. */
export function metricsIn(expressions: string): readonly string[] {
  const names = expressions.match(/\b(?:gyre|process|nodejs)_[a-z0-9_]+/g) ?? [];
  return [...new Set(names.map((name) => name.replace(/_seconds_(?:bucket|sum|count)$/, "_seconds")))];
}

if (process.argv[1] === import.meta.filename) writeFileSync(DASHBOARD, dashboardText());
