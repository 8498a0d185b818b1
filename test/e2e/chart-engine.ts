/**
 * Go's own template engine with Sprig's functions, the one that Helm renders charts with: for machines that have a Go compiler and
 * Debian's golang-github-masterminds-sprig-dev, but no Helm. Must never download anything: it is built from Debian's sources alone.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Fields } from "../../services/cli/manifests/yaml-text.ts";

const SOURCE = join(import.meta.dirname, "../k8s/go-render/main.go");
const SPRIG = "/usr/share/gocode/src/github.com/Masterminds/sprig";
/** Debian's, and where Go's own packages put it. */
const COMPILERS = ["go", "/usr/lib/go/bin/go", "/usr/local/go/bin/go"];
const MAX_OUTPUT_BYTES = 2 ** 28;

/** What templates by name become, for each of the values asked for. */
export type ChartEngine = (
  templates: Readonly<Record<string, string>>,
  values: readonly Fields[],
) => readonly Readonly<Record<string, string>>[];

/** The engine, which is built at each use, in up to a minute, and throws when that fails; or what is missing for it, in words. */
export function goEngine(): ChartEngine | string {
  const compiler = COMPILERS.find((one) => spawnSync(one, ["version"]).status === 0);
  if (compiler === undefined || !existsSync(SPRIG)) {
    return "neither: apt-get install golang-go golang-github-masterminds-sprig-dev brings its template engine";
  }
  return (templates, values) => {
    const folder = mkdtempSync(join(tmpdir(), "gyre-chart-engine-"));
    try {
      const program = join(folder, "render");
      const offline = { GO111MODULE: "off", GOPATH: "/usr/share/gocode", GOPROXY: "off", GOTOOLCHAIN: "local" };
      const env = { ...process.env, ...offline, GOFLAGS: "", GOCACHE: join(folder, "cache") };
      run(compiler, ["build", "-o", program, SOURCE], { env });
      return JSON.parse(run(program, [], { input: JSON.stringify({ templates, values }) })) as ReturnType<ChartEngine>;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  };
}

function run(
  command: string,
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly input?: string },
): string {
  const ran = spawnSync(command, args, { ...options, encoding: "utf8", maxBuffer: MAX_OUTPUT_BYTES });
  if (ran.status !== 0) throw new Error(`${command}: ${ran.error?.message ?? ran.stderr}`);
  return ran.stdout;
}
