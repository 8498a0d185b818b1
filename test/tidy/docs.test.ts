/** Keeps the documents true: what they name exists, what they show runs, what they tabulate is generated. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { ALL_KNOBS, variableOf } from "../../services/base/knobs.ts";
import { anchorsOf, codeSpansOf, fencesOf, localLinksOf, patternOf, proseOf, tourOf } from "./docs-text.ts";
import { filesOf, ROOT, sourceFiles } from "./walk.ts";

const DOCUMENTS = [
  "README.md",
  "ARCHITECTURE.md",
  "DECISIONS.md",
  "CONTRIBUTING.md",
  "SECURITY.md",
  "storage/FORMAT.md",
  "k8s/README.md",
  "loadtest/README.md",
  ...filesOf(["docs/**/*.md"]).map(({ path }) => path),
];
const MAX_LINES: Readonly<Record<string, number>> = { "README.md": 200, "ARCHITECTURE.md": 300, "CONTRIBUTING.md": 80 };
const textOf = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const FILES = sourceFiles();
const CODE = [...FILES, ...filesOf(["k8s/components/**/*.yaml"])]
  .filter((file) => !file.path.startsWith("test/tidy/"))
  .map((file) => file.text)
  .join("\n");
const TOP = readdirSync(ROOT);
const VARIABLES = ALL_KNOBS.map(variableOf);
/** Named in prose though nothing in the source is called so: words of other systems and of the runtime. */
const FOREIGN: readonly string[] = [
  "GYRE_",
  "GYRE_NODES",
  "GYRE_TOKEN",
  "GYRE_TOKEN_FILE",
  "GYRE_CA",
  "PATH",
  "O_DSYNC",
  "erasableSyntaxOnly",
];

/** A path of this project: it begins with something that lies at the root, or is a file by name. */
function isPath(span: string): boolean {
  return /^[\w./-]+$/.test(span) && span.includes("/") && TOP.includes(span.split("/")[0] ?? "");
}

/** A name out of the source: it has a hump, or a capital before small letters, or is in capitals. */
function isSymbol(span: string): boolean {
  return /^(?:[a-z]+[A-Z]\w*|[A-Z][a-z]+[A-Z]\w*|[A-Z][A-Z0-9]*_[A-Z0-9_]*)(?:\(\))?$/.test(span);
}

describe.each(DOCUMENTS)("%s", (path) => {
  const text = textOf(path);

  test("names only paths that exist", () => {
    const missing = codeSpansOf(text).filter((span) => isPath(span) && !existsSync(join(ROOT, span)));
    expect(missing).toEqual([]);
  });

  test("names only symbols and settings that exist", () => {
    const symbols = codeSpansOf(text).filter((span) => isSymbol(span) && !FOREIGN.includes(span));
    const missing = symbols.filter((span) =>
      span.startsWith("GYRE_") ? !VARIABLES.includes(span) : !new RegExp(`\\b${span.replace("()", "")}\\b`).test(CODE),
    );
    expect(missing).toEqual([]);
  });

  test("links to what is there", () => {
    const broken = localLinksOf(text).filter((target) => {
      const [file = "", anchor] = target.split("#");
      const place = file === "" ? path : join(dirname(path), file);
      if (!existsSync(join(ROOT, place))) return true;
      return anchor !== undefined && !anchorsOf(textOf(place)).includes(anchor);
    });
    expect(broken).toEqual([]);
  });

  test("is no longer than it may be", () => {
    expect(text.trimEnd().split("\n").length).toBeLessThanOrEqual(MAX_LINES[path] ?? 1_000);
  });
});

test("the code that the documents show runs", () => {
  const examples = DOCUMENTS.flatMap((path) =>
    fencesOf(textOf(path))
      .filter((fence) => fence.kind === "ts run")
      .map((fence) => ({ ...fence, path })),
  );
  expect(examples.length).toBeGreaterThan(0);
  for (const { path, line, text } of examples) {
    const run = spawnSync(process.execPath, ["--input-type=module-typescript", "--eval", text], { cwd: ROOT });
    expect(run.status, `${path}:${line}\n${run.stderr.toString()}`).toBe(0);
  }
});

test("each npm script has its line in a document", () => {
  const { scripts } = JSON.parse(textOf("package.json")) as { scripts: Readonly<Record<string, string>> };
  const text = ["README.md", "CONTRIBUTING.md"].map(textOf).join("\n");
  const isTold = (name: string): boolean =>
    text.includes(["start", "test"].includes(name) ? `npm ${name}` : `npm run ${name}`);
  expect(Object.keys(scripts).filter((name) => !isTold(name))).toEqual([]);
});

describe("the documents", () => {
  test("name only npm scripts that exist", () => {
    const { scripts } = JSON.parse(textOf("package.json")) as { scripts: Readonly<Record<string, string>> };
    const named = DOCUMENTS.flatMap((path) => [...textOf(path).matchAll(/\bnpm (?:run ([\w:-]+)|(start|test)\b)/g)]);
    expect(named.length).toBeGreaterThan(5);
    expect(named.map((match) => match[1] ?? match[2] ?? "").filter((name) => scripts[name] === undefined)).toEqual([]);
  });
});

describe("DECISIONS", () => {
  const entries = textOf("DECISIONS.md").split(/^## /m).slice(1);

  test("are numbered without a gap, and each is short and whole", () => {
    expect(entries.map((entry) => Number.parseInt(entry, 10))).toEqual(entries.map((_, index) => index + 1));
    for (const entry of entries) {
      expect(entry.split("\n").length, entry.slice(0, 40)).toBeLessThanOrEqual(25);
      for (const part of ["*Context.*", "*Decision.*", "*Rejected.*"]) expect(entry).toContain(part);
    }
  });
});

describe("the reader of documents", () => {
  test("finds what it is to check, and would find what is wrong", () => {
    const text = "# A b\n\n`services/gone.ts` `someThing` [x](#a-b)\n\n```ts run\nx\n```\n";
    expect(codeSpansOf(text)).toEqual(["services/gone.ts", "someThing"]);
    expect(isPath("services/gone.ts")).toBe(true);
    expect(["someThing", "SomeThing", "SOME_THING"].every(isSymbol)).toBe(true);
    expect(fencesOf(text)).toEqual([{ kind: "ts run", text: "x\n", line: 6 }]);
    expect(proseOf(text)).not.toContain("ts run");
    expect(anchorsOf(text)).toEqual(["a-b"]);
  });

  test("reads a tour, and compares with room for what differs", () => {
    expect(tourOf("$ a\nb\nc\n$ d\n")).toEqual([
      { command: "a", expected: "b\nc" },
      { command: "d", expected: "" },
    ]);
    expect(patternOf('{"a":"…"}').test('{"a":"xyz"}')).toBe(true);
    expect(patternOf("a.c").test("abc")).toBe(false);
  });
});
