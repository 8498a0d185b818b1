/**
 * The two images that the Dockerfile builds on, made on this machine where no registry of images can be reached: Debian by
 * `debootstrap`, Node.js and npm from npm's packages. They have the names of the real ones and stay in local storage.
 * Must never be used to publish anything.
 */
import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./image-run.ts";

const ROOT = join(import.meta.dirname, "../..");
const SUITE = "trixie";
const MINUTES = 60_000;
/** What authorities this machine trusts: a proxy's may be among them. */
const TRUSTED = "/etc/ssl/certs/ca-certificates.crt";

/** The images' names in local storage. */
export const BASE_IMAGE: string = `localhost/debian:${SUITE}-slim`;
export const NODE_IMAGE: string = `localhost/node:26-${SUITE}-slim`;

async function isThere(image: string): Promise<boolean> {
  return (await run("buildah", ["inspect", "--type", "image", image], { mayFail: true })).code === 0;
}

/** Makes both unless they are there; `isFresh`: in any case. Takes some minutes. Throws with what a tool printed. */
export async function makeBaseImages(isFresh: boolean, tell: (text: string) => void): Promise<void> {
  if (isFresh || !(await isThere(BASE_IMAGE))) {
    tell(`making ${BASE_IMAGE} by debootstrap …`);
    await makeDebian();
  }
  if (isFresh || !(await isThere(NODE_IMAGE))) {
    tell(`making ${NODE_IMAGE} from npm's packages …`);
    await makeNode();
  }
}

async function makeDebian(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "gyre-image-"));
  try {
    const root = join(folder, "root");
    await run("debootstrap", ["--variant=minbase", SUITE, root], { timeoutMs: 15 * MINUTES });
    for (const left of ["var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man"]) {
      rmSync(join(root, left), { recursive: true, force: true });
    }
    await imageOf(BASE_IMAGE, "scratch", [{ from: root, to: "/" }], ["--cmd", "bash"]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function makeNode(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "gyre-image-"));
  try {
    const quiet = ["--no-audit", "--no-fund", "--loglevel=error"];
    await run("npm", ["install", "--prefix", folder, ...quiet, "npm"], { timeoutMs: 5 * MINUTES });
    cpSync(process.execPath, join(folder, "node"));
    const added = [
      { from: join(folder, "node"), to: "/usr/local/bin/node" },
      { from: join(folder, "node_modules"), to: "/usr/local/lib/node_modules" },
    ];
    const trusted = existsSync(TRUSTED);
    if (trusted) added.push({ from: TRUSTED, to: TRUSTED });
    const config = trusted ? ["--env", `NODE_EXTRA_CA_CERTS=${TRUSTED}`] : [];
    await imageOf(NODE_IMAGE, BASE_IMAGE, added, config, [
      "apt-get update -qq && apt-get install -y -qq --no-install-recommends libatomic1 libstdc++6 >/dev/null",
      "ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm",
    ]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function imageOf(
  name: string,
  from: string,
  added: readonly { readonly from: string; readonly to: string }[],
  config: readonly string[],
  commands: readonly string[] = [],
): Promise<void> {
  const container = (await run("buildah", ["from", "--pull-never", from])).out.trim();
  try {
    for (const { from: source, to } of added) await run("buildah", ["add", container, source, to]);
    for (const command of commands) {
      await run("buildah", ["run", "--isolation", "chroot", container, "--", "sh", "-c", command], {
        timeoutMs: 5 * MINUTES,
      });
    }
    if (config.length > 0) await run("buildah", ["config", ...config, container]);
    await run("buildah", ["commit", "--format", "docker", container, name], { timeoutMs: 5 * MINUTES });
  } finally {
    await run("buildah", ["rm", container], { mayFail: true });
  }
}

/** Builds the Dockerfile on the local base images; answers the image's name. */
export async function buildImage(version: string): Promise<string> {
  const image = `localhost/gyre:${version}`;
  const revision = await run("git", ["-C", ROOT, "rev-parse", "HEAD"], { mayFail: true });
  const labels = {
    NODE_IMAGE,
    BASE_IMAGE,
    VERSION: version,
    REVISION: revision.out.trim() || "unknown",
    CREATED: new Date().toISOString(),
  };
  const given = Object.entries(labels).flatMap(([name, value]) => ["--build-arg", `${name}=${value}`]);
  // Docker's format keeps the health check, which OCI's has no place for.
  const how = ["--isolation", "chroot", "--format", "docker", "--pull-never", "--layers"];
  await run("buildah", ["build", ...how, ...given, "--tag", image, ROOT], { timeoutMs: 15 * MINUTES });
  return image;
}
