/**
 * `npm run accept:image`: builds the container image where no Docker engine runs (buildah in a chroot, base images made here)
 * and shows a cluster of three containers: `gyre test` through every node, kill -9 of one, a stop by SIGTERM, its data after
 * another start. Prints size, layers, user, start and stop times. `--fresh` makes the base images anew.
 * Needs root and Debian's buildah, podman, runc and debootstrap. Exit code 1: something did not hold.
 */
import { chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { until } from "./cluster.ts";
import { tryAsk } from "./http.ts";
import { buildImage, makeBaseImages } from "./image-base.ts";
import { type Ran, run } from "./image-run.ts";

const { values: flags } = parseArgs({
  options: { fresh: { type: "boolean", default: false } },
});
const TOOLS = ["buildah", "podman", "runc", "debootstrap"];
const NODES = [1, 2, 3];
const READY_MS = 60_000;
const GRACE_SECONDS = 45;
/** The image's user. */
const UID = 1_000;
const startedAt = performance.now();

function tell(text: string): void {
  process.stdout.write(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s  ${text}\n`);
}

function podman(...argv: readonly string[]): Promise<Ran> {
  return run("podman", ["--runtime", "runc", "--cgroup-manager", "cgroupfs", ...argv]);
}

async function missingTools(): Promise<readonly string[]> {
  const found = await Promise.all(TOOLS.map((tool) => run("which", [tool], { mayFail: true })));
  return TOOLS.filter((_, i) => found[i]?.code !== 0);
}

/** Limits below this process's own: podman's defaults are above them on some machines, and then nothing starts. */
function ownLimits(): readonly string[] {
  const hard = /^Max open files +\S+ +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? "65536";
  return [`--ulimit=nofile=${hard}:${hard}`, "--ulimit=nproc=4096:4096"];
}

/** A port that nobody has now. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** Three containers on this machine's loopback, as locked down as in production. */
class Containers implements AsyncDisposable {
  readonly #image: string;
  readonly #folder: string = mkdtempSync(join(tmpdir(), "gyre-containers-"));
  readonly #http: readonly number[];
  readonly #peer: readonly number[];
  // Without systemd podman has nobody who would run health checks from time to time: it is run by hand below.
  readonly #bounds: readonly string[] = ["--no-healthcheck", ...ownLimits()];

  private constructor(image: string, http: readonly number[], peer: readonly number[]) {
    this.#image = image;
    this.#http = http;
    this.#peer = peer;
    writeFileSync(join(this.#folder, "secret"), "a secret for three containers\n", { mode: 0o400 });
    chownSync(join(this.#folder, "secret"), UID, UID);
    for (const node of NODES) {
      mkdirSync(join(this.#folder, `data${node}`), { mode: 0o750 });
      chownSync(join(this.#folder, `data${node}`), UID, UID);
    }
  }

  static async of(image: string): Promise<Containers> {
    const ports = await Promise.all(Array.from({ length: 6 }, freePort));
    return new Containers(image, ports.slice(0, 3), ports.slice(3));
  }

  get urls(): readonly string[] {
    return this.#http.map((port) => `http://127.0.0.1:${port}`);
  }

  /** Starts the container of a node. */
  async start(node: number): Promise<void> {
    const seeds = this.#peer.map((port) => `127.0.0.1:${port}`).join(",");
    const env = {
      GYRE_NODE_ID: `gyre${node}`,
      GYRE_HTTP: `127.0.0.1:${this.#http[node - 1]}`,
      GYRE_PEER: `127.0.0.1:${this.#peer[node - 1]}`,
      GYRE_SEEDS: seeds,
      GYRE_BOOTSTRAP_EXPECT: "3",
      GYRE_SECRET_FILE: "/run/secrets/gyre_secret",
      GYRE_ZONE: "abc"[node - 1] ?? "a",
    };
    const locked = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=host"];
    const mounts = [
      `--volume=${join(this.#folder, `data${node}`)}:/var/lib/gyre`,
      `--volume=${join(this.#folder, "secret")}:/run/secrets/gyre_secret:ro`,
    ];
    const variables = Object.entries(env).map(([name, value]) => `--env=${name}=${value}`);
    const name = `--name=${this.nameOf(node)}`;
    await podman("run", "--detach", "--rm", name, ...locked, ...this.#bounds, ...mounts, ...variables, this.#image);
  }

  nameOf(node: number): string {
    return `gyre-${process.pid}-${node}`;
  }

  async untilReady(): Promise<void> {
    const areReady = async (): Promise<boolean> => {
      const answers = await Promise.all(this.urls.map((url) => tryAsk(`${url}/readyz`)));
      return answers.every((answer) => answer?.status === 200);
    };
    await until("all three containers are ready", areReady, READY_MS);
  }

  /** `gyre …` from a fourth container of the same image. */
  gyre(...argv: readonly string[]): Promise<Ran> {
    const nodes = ["--nodes", this.urls.join(",")];
    return podman(
      "run",
      "--rm",
      "--network=host",
      "--read-only",
      "--cap-drop=ALL",
      ...this.#bounds,
      this.#image,
      ...argv,
      ...nodes,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of NODES) await run("podman", ["rm", "--force", "--ignore", this.nameOf(node)], { mayFail: true });
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

interface Inspected {
  readonly Size: number;
  readonly Healthcheck?: unknown;
  readonly RootFS: { readonly Layers: readonly string[] };
  readonly Config: { readonly User: string; readonly Entrypoint: readonly string[] };
}

async function tellImage(image: string): Promise<boolean> {
  const inspected = JSON.parse((await podman("image", "inspect", image)).out) as readonly Inspected[];
  const [found] = inspected;
  if (found === undefined) throw new Error(`${image} cannot be inspected`);
  const { Size, RootFS, Config, Healthcheck } = found;
  tell(
    `image: ${(Size / 1e6).toFixed(0)} MB, ${RootFS.Layers.length} layers, user ${Config.User}, health check: ${Healthcheck !== undefined}`,
  );
  return Config.User === `${UID}:${UID}` && Healthcheck !== undefined;
}

/** Seconds that `act` takes. */
async function timed(act: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await act();
  return (performance.now() - from) / 1_000;
}

async function cycle(containers: Containers, when: string): Promise<void> {
  const { out } = await containers.gyre("test");
  tell(`gyre test, ${when}:\n${out.trimEnd().replaceAll(/^/gm, "            ")}`);
}

async function main(): Promise<boolean> {
  const missing = await missingTools();
  if (missing.length > 0 || process.getuid?.() !== 0) {
    process.stderr.write(
      `needs root and: apt-get install ${TOOLS.join(" ")}; missing: ${missing.join(", ") || "root"}\n`,
    );
    return false;
  }
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "../../package.json"), "utf8")) as {
    version: string;
  };
  await makeBaseImages(flags.fresh, tell);
  const image = await buildImage(version);
  const isAsPromised = await tellImage(image);
  await using containers = await Containers.of(image);
  const start = async (): Promise<void> => {
    await Promise.all(NODES.map((node) => containers.start(node)));
    await containers.untilReady();
  };
  tell(`three containers: ready after ${(await timed(start)).toFixed(1)} s`);
  const inside = (await podman("exec", containers.nameOf(1), "sh", "-c", "id -u; touch /app/x 2>&1; cat /proc/1/comm"))
    .out;
  tell(`inside: ${inside.trim().split("\n").join(" · ")}`);
  const health = await podman("exec", containers.nameOf(1), "node", "/app/services/cli/health-check.mjs");
  tell(`health check: exit code ${health.code}`);
  await cycle(containers, "three containers");
  await containers.gyre("put", "kept", "key", '"over a stop"');
  await podman("kill", "--signal", "KILL", containers.nameOf(2));
  await until(
    "the killed container is gone",
    async () => (await run("podman", ["container", "exists", containers.nameOf(2)], { mayFail: true })).code !== 0,
    20_000,
  );
  const again = await timed(async () => {
    await containers.start(2);
    await containers.untilReady();
  });
  tell(`one killed with SIGKILL and started again: ready after ${again.toFixed(1)} s`);
  await cycle(containers, "after the kill");
  const stops = await Promise.all(
    NODES.map((node) => timed(() => podman("stop", "--time", String(GRACE_SECONDS), containers.nameOf(node)))),
  );
  tell(`stopped by SIGTERM within ${Math.max(...stops).toFixed(1)} s`);
  await start();
  const { out } = await containers.gyre("get", "kept", "key");
  tell(`after another start the key holds ${out.trim()}`);
  return isAsPromised && out.trim() === '"over a stop"' && Math.max(...stops) < GRACE_SECONDS;
}

process.exitCode = (await main()) ? 0 : 1;
