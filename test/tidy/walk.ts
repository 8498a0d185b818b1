/** The files of the house, read once, for the tests that keep it. */
import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** A file of the house. */
export interface SourceFile {
  /** from the root, `/` between */
  readonly path: string;
  readonly text: string;
}

/** The root of the house. */
export const ROOT: string = resolve(import.meta.dirname, "../..");

/** The files that match, sorted by path, read as text. */
export function filesOf(patterns: readonly string[]): readonly SourceFile[] {
  return globSync([...patterns], {
    cwd: ROOT,
    exclude: (path) => /(?:^|[/\\])(?:node_modules|\.gyre|\.git)$/.test(path),
  })
    .map((path) => path.replaceAll("\\", "/"))
    .toSorted()
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), "utf8") }));
}

/** Every source file of the house. */
export function sourceFiles(): readonly SourceFile[] {
  return filesOf(["{services,gossip,storage,test,loadtest}/**/*.{ts,mjs}", "vitest.config.ts"]);
}
