/** The Dockerfile and compose.yaml against the server that they run: names, ports, paths and times. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { parseOrder } from "../../loadtest/options.ts";
import { ALL_KNOBS, DEFAULT_HTTP_PORT, DEFAULT_PEER_PORT, variableOf } from "../../services/base/knobs.ts";
import { DRAIN_TIMEOUT_MS } from "../../services/base/limits.ts";

const ROOT = join(import.meta.dirname, "../..");
const textOf = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const VARIABLES = ALL_KNOBS.map(variableOf);

interface ComposeService {
  readonly environment: Readonly<Record<string, string>>;
  readonly ports: readonly string[];
  readonly volumes: readonly string[];
  readonly read_only: boolean;
  readonly cap_drop: readonly string[];
  readonly stop_grace_period: string;
  readonly profiles?: readonly string[];
  readonly command?: string;
}

interface ComposeConfig {
  readonly content: string;
}

interface Compose {
  readonly configs: Readonly<Record<string, ComposeConfig>>;
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

function unknownVariables(text: string): readonly string[] {
  return (text.match(/\bGYRE_[A-Z_]+\b/g) ?? []).filter((name) => !VARIABLES.includes(name));
}

describe("the Dockerfile", () => {
  const text = textOf("Dockerfile");
  const lines = text.split("\n");

  test("copies what is there, and .dockerignore lets it through", () => {
    const copied = lines
      .filter((line) => line.startsWith("COPY ") && !line.includes("--from"))
      .flatMap((line) => line.split(/\s+/).slice(1, -1));
    expect(copied.length).toBeGreaterThan(4);
    expect(copied.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
    const allowed = textOf(".dockerignore").split("\n");
    expect(copied.filter((path) => !allowed.includes(`!${path.replace(/^\.\//, "")}`))).toEqual([]);
  });

  test("names only variables that the server knows", () => {
    expect(unknownVariables(text)).toEqual([]);
    expect(unknownVariables("ENV GYRE_DATA_DIRECTORY=/x")).toEqual(["GYRE_DATA_DIRECTORY"]);
  });

  test("listens on the ports that it exposes, and these are the server's own", () => {
    expect(lines).toContain(`EXPOSE ${DEFAULT_HTTP_PORT}/tcp ${DEFAULT_PEER_PORT}/tcp ${DEFAULT_PEER_PORT}/udp`);
    expect(text).toContain(`GYRE_HTTP=0.0.0.0:${DEFAULT_HTTP_PORT}`);
    expect(text).toContain(`GYRE_PEER=0.0.0.0:${DEFAULT_PEER_PORT}`);
  });

  test("runs and checks files that exist, as nobody in particular", () => {
    const files = text.match(/\/app\/(services\/[\w./-]+)/g) ?? [];
    expect(files.length).toBeGreaterThanOrEqual(3);
    expect(files.filter((path) => !existsSync(join(ROOT, path.slice("/app/".length))))).toEqual([]);
    expect(lines.filter((line) => line.startsWith("USER ")).at(-1)).toBe("USER 1000:1000");
  });

  test("warms the compile cache with the heap setting that it runs with: the cache depends on it", () => {
    expect(new Set(text.match(/--max-old-space-size-percentage=\d+/g))).toHaveLength(1);
  });
});

describe("compose.yaml", () => {
  const text = textOf("compose.yaml");
  const { services, volumes, configs } = parse(text, { merge: true }) as Compose;
  const nodes = Object.entries(services).filter(([, service]) => service.profiles === undefined);

  test("has three nodes that differ in name, zone, port and volume", () => {
    const of = (pick: (service: ComposeService) => unknown): number =>
      new Set(nodes.map(([, node]) => pick(node))).size;
    expect(nodes).toHaveLength(3);
    expect(of(({ environment }) => environment["GYRE_NODE_ID"])).toBe(3);
    expect(of(({ environment }) => environment["GYRE_ZONE"])).toBe(3);
    expect(of(({ ports }) => ports[0])).toBe(3);
    expect(of(({ volumes: mounted }) => mounted[0])).toBe(3);
    for (const [, { volumes: mounted }] of nodes) expect(Object.keys(volumes)).toContain(mounted[0]?.split(":")[0]);
  });

  test("names only variables that the server knows, and seeds that are its nodes", () => {
    expect(unknownVariables(text.replaceAll(/^#.*$/gm, "")).filter((name) => name !== "GYRE_SECRET")).toEqual([]);
    for (const [name, { environment }] of nodes) {
      const seeds = (environment["GYRE_SEEDS"] ?? "").split(",");
      expect(seeds.map((seed) => seed.split(":")[0])).toEqual(nodes.map(([node]) => node));
      expect(environment["GYRE_ADVERTISE"]).toBe(`${name}:${DEFAULT_PEER_PORT}`);
    }
  });

  test("publishes client ports on loopback alone, and locks the containers down", () => {
    for (const [name, { ports, read_only: isReadOnly, cap_drop: dropped }] of nodes) {
      expect(ports, name).toHaveLength(1);
      expect(ports[0], name).toMatch(new RegExp(`^127\\.0\\.0\\.1:\\d+:${DEFAULT_HTTP_PORT}$`));
      expect([isReadOnly, dropped]).toEqual([true, ["ALL"]]);
    }
  });

  test("scrapes every node, and shows the dashboard that is there", () => {
    const scraped = nodes.map(([name]) => `${name}:${DEFAULT_HTTP_PORT}`);
    expect(parse(configs["prometheus"]?.content ?? "")).toMatchObject({
      scrape_configs: [{ static_configs: [{ targets: scraped }] }],
    });
    const [dashboard = ""] = services["grafana"]?.volumes ?? [];
    expect(existsSync(join(ROOT, dashboard.split(":")[0] ?? "?"))).toBe(true);
    const outside = Object.values(services).flatMap(({ ports }) => ports);
    expect(outside.filter((port) => !port.startsWith("127.0.0.1:"))).toEqual([]);
  });

  test("asks the load test for what it can do, against every node", () => {
    const order = parseOrder(services["load-test"]?.command?.split(" ") ?? []);
    if (order.kind !== "run") throw new Error(`no run: ${order.kind}`);
    expect(order.options.targets).toEqual(nodes.map(([name]) => `http://${name}:${DEFAULT_HTTP_PORT}`));
  });

  test("gives a node more time to stop than it takes", () => {
    for (const [, { stop_grace_period: grace }] of nodes) {
      expect(Number(/^(\d+)s$/.exec(grace)?.[1])).toBeGreaterThan((DRAIN_TIMEOUT_MS * 2) / 1_000);
    }
  });
});
