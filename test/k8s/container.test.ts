/** The Dockerfile and compose.yaml against the server that they run: names, ports, paths and times. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { parseOrder } from "../../loadtest/options.ts";
import { ALL_KNOBS, DEFAULT_HTTP_PORT, DEFAULT_PEER_PORT, variableOf } from "../../services/base/knobs.ts";
import { DRAIN_TIMEOUT_MS } from "../../services/base/limits.ts";

const ROOT = join(import.meta.dirname, "../..");
const textOf = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const VARIABLES = ALL_KNOBS.map(variableOf);

interface HealthCheck {
  readonly test: readonly string[];
  readonly interval: string;
  readonly timeout: string;
  readonly start_period: string;
  readonly retries: number;
}

/** What all services here that are built from this tree say of themselves. */
interface Locked {
  readonly build: string;
  readonly security_opt: readonly string[];
  readonly mem_limit: string;
  readonly networks: readonly string[];
}

interface ComposeService extends Locked {
  readonly environment: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes: readonly string[];
  readonly read_only: boolean;
  readonly cap_drop: readonly string[];
  readonly stop_grace_period: string;
  readonly profiles?: readonly string[];
  readonly command?: string;
  readonly user?: string;
  readonly tmpfs?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: HealthCheck;
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

/** What each image that is built here must be run without. */
function openings(service: ComposeService): readonly string[] {
  const isHeld: Readonly<Record<string, boolean>> = {
    read_only: service.read_only,
    cap_drop: isDeepStrictEqual(service.cap_drop, ["ALL"]),
    security_opt: isDeepStrictEqual(service.security_opt, ["no-new-privileges:true"]),
    mem_limit: /^\d+g$/.test(service.mem_limit),
    user: service.user === undefined,
    ports: (service.ports ?? []).every((port) => port.startsWith("127.0.0.1:")),
  };
  return Object.keys(isHeld).filter((name) => isHeld[name] !== true);
}

/** The same from a line HEALTHCHECK of a Dockerfile. */
function healthCheckOf(dockerfile: string): HealthCheck {
  const [line = "", words = "[]"] = /^HEALTHCHECK .*CMD (\[.*\])$/m.exec(dockerfile) ?? [];
  const option = (name: string): string => new RegExp(`--${name}=(\\S+)`).exec(line)?.[1] ?? "";
  return {
    test: ["CMD", ...(JSON.parse(words) as readonly string[])],
    interval: option("interval"),
    timeout: option("timeout"),
    start_period: option("start-period"),
    retries: Number(option("retries")),
  };
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
    expect(of(({ ports }) => ports?.[0])).toBe(3);
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
    for (const [name, node] of nodes) {
      expect(node.ports, name).toHaveLength(1);
      expect(node.ports?.[0], name).toMatch(new RegExp(`^127\\.0\\.0\\.1:\\d+:${DEFAULT_HTTP_PORT}$`));
      expect(openings(node), name).toEqual([]);
    }
  });

  test("asks a node for its health as the image does: an engine may not know what the image says", () => {
    const ofImage = healthCheckOf(textOf("Dockerfile"));
    expect(ofImage.test).toHaveLength(3);
    for (const [name, { healthcheck }] of nodes) expect(healthcheck, name).toEqual(ofImage);
  });

  test("scrapes every node, and shows the dashboard that is there", () => {
    const scraped = nodes.map(([name]) => `${name}:${DEFAULT_HTTP_PORT}`);
    expect(parse(configs["prometheus"]?.content ?? "")).toMatchObject({
      scrape_configs: [{ static_configs: [{ targets: scraped }] }],
    });
    const [dashboard = ""] = services["grafana"]?.volumes ?? [];
    expect(existsSync(join(ROOT, dashboard.split(":")[0] ?? "?"))).toBe(true);
    const outside = Object.values(services).flatMap(({ ports }) => ports ?? []);
    expect(outside.filter((port) => !port.startsWith("127.0.0.1:"))).toEqual([]);
  });

  test("gives a node more time to stop than it takes", () => {
    for (const [, { stop_grace_period: grace }] of nodes) {
      expect(Number(/^(\d+)s$/.exec(grace)?.[1])).toBeGreaterThan((DRAIN_TIMEOUT_MS * 2) / 1_000);
    }
  });
});

describe("the load test's container", () => {
  const { services, volumes } = parse(textOf("compose.yaml"), { merge: true }) as Compose;
  const service = services["load-test"];
  if (service === undefined) throw new Error("compose.yaml has no load-test");
  const nodes = Object.keys(services).filter((name) => services[name]?.profiles === undefined);
  const lines = textOf(`${service.build}/Dockerfile`).split("\n");
  const read = ["artillery.ts", "stage.ts", "driver/processor.mjs"].flatMap(
    (path) => textOf(`${service.build}/${path}`).match(/\bGYRE_\w+/g) ?? [],
  );
  const unread = (names: readonly string[]): readonly string[] => names.filter((name) => !read.includes(name));

  test("is asked for what the load test can do, against every node, once all are healthy", () => {
    const order = parseOrder(service.command?.split(" ") ?? []);
    if (order.kind !== "run") throw new Error(`no run: ${order.kind}`);
    expect(order.options.targets).toEqual(nodes.map((name) => `http://${name}:${DEFAULT_HTTP_PORT}`));
    expect(service.depends_on).toEqual(
      Object.fromEntries(nodes.map((name) => [name, { condition: "service_healthy" }])),
    );
    for (const name of nodes) expect(service.networks).toEqual(services[name]?.networks);
    expect(service.profiles, "runs only when it is asked for").toEqual(["load-test"]);
  });

  test("is locked down as a node's is, and its image runs as nobody in particular", () => {
    expect(openings(service)).toEqual([]);
    expect(service.ports).toBeUndefined();
    const opened = { ...service, read_only: false, cap_drop: [], security_opt: [], ports: ["9090:9090"], user: "root" };
    expect(openings(opened)).toEqual(["read_only", "cap_drop", "security_opt", "user", "ports"]);
    expect(lines.filter((line) => line.startsWith("USER ")).at(-1)).toBe("USER 1000:1000");
  });

  test("keeps its report in a volume that its user may write to; all else that it writes is bounded and goes", () => {
    const order = parseOrder(service.command?.split(" ") ?? []);
    const directory = order.kind === "run" ? order.options.outDirectory : "";
    const [volume = "", target = ""] = service.volumes[0]?.split(":") ?? [];
    expect(Object.keys(volumes)).toContain(volume);
    expect(directory).toBe(target);
    expect(lines).toContain(`RUN install -d -o 1000 -g 1000 -m 0750 ${target}`);
    expect(service.tmpfs).toEqual([expect.stringMatching(/^\/tmp:size=\d+m$/)]);
    expect(lines.find((line) => line.startsWith("ENV "))).toContain("HOME=/tmp");
  });

  test("is built from files that are there, and told of no variable that the load test does not read", () => {
    const copied = lines
      .filter((line) => line.startsWith("COPY "))
      .flatMap((line) => line.split(/\s+/).slice(1, -1))
      .filter((path) => path !== ".");
    expect(copied.length).toBeGreaterThan(2);
    const [entry] = lines.find((line) => line.startsWith("ENTRYPOINT"))?.match(/loadtest\/[\w.]+/) ?? [];
    expect(entry).toBeDefined();
    const wanted = [...copied.map((path) => join(service.build, path)), entry ?? ""];
    expect(wanted.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
    const given = [...Object.keys(service.environment ?? {}), ...(lines.join("\n").match(/\bGYRE_\w+/g) ?? [])];
    expect(unread(given)).toEqual([]);
    expect(unread(["GYRE_TOKEN", "GYRE_TOKENS", "GYRE_NODES"]), "that this would be seen").toEqual([
      "GYRE_TOKENS",
      "GYRE_NODES",
    ]);
  });
});
