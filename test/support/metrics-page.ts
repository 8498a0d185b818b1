/**
 * docs/METRICS.md: every metric of a node, from the nodes themselves: a simulated one, the API's server, the process and its
 * certificates. `npm run metrics-page` writes it; a test compares it.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { registerProcessMetrics } from "../../services/adapters/process-metrics.ts";
import { MetricsRegistry } from "../../services/base/metrics.ts";
import { NodeSecurity } from "../../services/node/security.ts";
import { registerTraces } from "../../services/node/trace-metrics.ts";
import type { TlsMaterial } from "../../services/security/tls-material.ts";
import { Scheduler } from "../sim/scheduler.ts";
import { SimCluster } from "../sim/sim-cluster.ts";
import { SimRandom } from "../sim/sim-random.ts";
import { apiNode } from "./api-node.ts";
import { FakeClock } from "./fake-clock.ts";

const PAGE = join(import.meta.dirname, "../../docs/METRICS.md");
const TABLE_HEAD = "| metric | kind | labels | what it tells |\n|---|---|---|---|\n";
const MAX_EVENTS = 2_000_000;

/** A family as a scraper sees it. */
export interface MetricFamily {
  readonly name: string;
  readonly kind: string;
  readonly help: string;
  /** of its series, as far as there were some; `le` left out */
  readonly labels: readonly string[];
}

async function nodeText(): Promise<string> {
  const scheduler = new Scheduler("metrics");
  const cluster = new SimCluster(scheduler, new SimRandom("metrics"));
  for (let node = 0; node < cluster.size; node += 1) cluster.start(node);
  await scheduler.run({ until: () => cluster.doors().length === cluster.size, maxEvents: MAX_EVENTS });
  const node = cluster.inside(0);
  if (node === undefined) throw new Error("the simulated node did not start");
  return node.metrics.render();
}

async function apiText(): Promise<string> {
  const here = apiNode();
  const { port } = new URL(`http://${await here.api.listen("127.0.0.1:0")}`);
  await fetch(`http://127.0.0.1:${port}/v1/kv/any/key`).then((answer) => answer.arrayBuffer());
  await here.api.close();
  return here.metrics.render();
}

/** What the process registers by itself, beside the node: see `services/node/server-process.ts`. */
function processText(): string {
  const metrics = new MetricsRegistry();
  registerProcessMetrics(metrics, { node: "n1", version: "0" });
  const ignore = (): void => undefined;
  const log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
  const material = { cert: "", key: "", ca: undefined, expiresAtMs: 0 } as unknown as TlsMaterial;
  const source = { current: () => material, onChange: ignore };
  const secretFiles = {
    isOpenToAll: async () => false,
    stampOf: async () => "",
    read: async () => ({ kind: "unreadable", reason: "none" }) as const,
  };
  const followed = { follow: ignore, reload: async () => ignore(), stop: ignore, isRejected: false, rejectedCount: 0 };
  const security = new NodeSecurity({
    tokens: undefined,
    tls: source,
    peerTls: source,
    followed: new Map([["tokens", followed]]),
    windows: { clock: new FakeClock(), log, secretFiles },
  });
  security.start(metrics);
  registerTraces(metrics, { queuedCount: 0, sentCount: 0, dropped: { queue_full: 0, refused: 0, stopped: 0 } });
  return metrics.render();
}

/** The families in a text of Prometheus' format. */
export function familiesIn(text: string): readonly MetricFamily[] {
  const helps = new Map([...text.matchAll(/^# HELP (\S+) (.*)$/gm)].map(([, name = "", help = ""]) => [name, help]));
  return [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = "", kind = ""]) => {
    const series = [...text.matchAll(new RegExp(`^${name}(?:_bucket|_sum|_count)?\\{(.*)\\} \\S+$`, "gm"))];
    const names = series.flatMap(([, labels = ""]) => [...labels.matchAll(/(\w+)="/g)].map(([, label = ""]) => label));
    const labels = [...new Set(names)].filter((label) => label !== "le").toSorted();
    return { name, kind, help: helps.get(name) ?? "", labels };
  });
}

/** Every family of a node, by name. */
export async function allFamilies(): Promise<readonly MetricFamily[]> {
  const texts = [await nodeText(), await apiText(), processText()];
  const byName = new Map(texts.flatMap(familiesIn).map((family) => [family.name, family]));
  return [...byName.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** The page as it has to be: its own words, and the table as the nodes have it. */
export async function metricsPage(): Promise<{ readonly committed: string; readonly wanted: string }> {
  const committed = readFileSync(PAGE, "utf8");
  const rows = (await allFamilies()).map(
    ({ name, kind, help, labels }) =>
      `| \`${name}\` | ${kind} | ${labels.map((label) => `\`${label}\``).join(", ")} | ${help} |`,
  );
  const words = committed.slice(0, committed.indexOf(TABLE_HEAD));
  return { committed, wanted: `${words}${TABLE_HEAD}${rows.join("\n")}\n` };
}

if (process.argv[1] === import.meta.filename) writeFileSync(PAGE, (await metricsPage()).wanted);
