/**
 * The rules of the house, each a function from a file to its faults in words. Pure: the tests feed them the real tree, and
 * planted faults to see that they bite.
 */
import { dirname, posix } from "node:path";
import { BARRELS, DEFAULT_EXPORTS, isPureFile, PACKAGE_DOORS, roomOf } from "./rooms.ts";
import { codeOnly, exportsOf, importsOf, isPassingOn } from "./source-text.ts";
import type { SourceFile } from "./walk.ts";

const MAX_FILE_LINES = 300;
const MAX_TEST_LINES = 700;

const AMBIENT =
  /\b(?:Date\.now|new Date\(\s*\)|Math\.random|setTimeout|setInterval|setImmediate|performance\.(?:now|mark|timeOrigin)|process\.(?:env|hrtime|argv|exit|nextTick)|queueMicrotask|crypto\.(?:random\w*|getRandomValues)|random(?:Bytes|UUID|Int|FillSync)\b|AbortSignal\.timeout|WeakRef|FinalizationRegistry|localeCompare|Temporal\.Now)/g;
const UNSTRIPPABLE =
  /^\s*(?:export\s+)?(?:const\s+)?enum\s|^\s*(?:export\s+)?namespace\s|\bas any\b|\w!(?:\.|\[|;|\))/gm;
const UNFINISHED = /\b(?:TODO|FIXME|XXX)\b|@ts-(?:ignore|nocheck|expect-error)/g;

const isTest = (path: string): boolean => path.startsWith("test/");
const isOutside = (path: string): boolean => isTest(path) || path.startsWith("loadtest/") || !path.includes("/");

/** The path from the root that a relative import of `file` names. */
function resolveImport(file: string, from: string): string {
  return posix.join(dirname(file), from);
}

/** Imports that the table of rooms does not allow, and packages that come in beside their door. */
export function importFaults(file: SourceFile): readonly string[] {
  if (roomOf(file.path) === undefined) return [`${file.path} is in no room of test/tidy/rooms.ts`];
  return importsOf(file.text).flatMap(({ from }) => {
    const fault = from.startsWith(".") ? houseImportFault(file.path, from) : packageFault(file.path, from);
    return fault === undefined ? [] : [`${file.path} ${fault}`];
  });
}

function houseImportFault(path: string, from: string): string | undefined {
  const target = resolveImport(path, from);
  if (!/\.(?:ts|mjs|json)$/.test(from)) return `imports ${from} without its ending`;
  if (target === "package.json") return undefined;
  const own = roomOf(path);
  const other = roomOf(target);
  if (other === undefined) return `imports ${target}, which is in no room`;
  if (own === undefined || own === other || own.mayImport === "everything") return undefined;
  return own.mayImport.includes(other.path) ? undefined : `imports ${from}: ${own.path} may not import ${other.path}`;
}

function packageFault(path: string, from: string): string | undefined {
  const name = from.startsWith("@") ? from.split("/").slice(0, 2).join("/") : (from.split("/")[0] ?? from);
  const packages = roomOf(path)?.packages ?? [];
  if (packages !== "everything" && !packages.includes(from) && !packages.includes(name)) {
    return `imports ${from}: not in its room's list of packages`;
  }
  if (isOutside(path) || from.startsWith("node:")) return undefined;
  const door = PACKAGE_DOORS[name];
  if (door === undefined) return `imports ${from}: give it a door in rooms.ts and a reason in DECISIONS.md`;
  return path.startsWith(door) ? undefined : `imports ${from}, which enters only at ${door}`;
}

/** Packages that come in through more than one file of a room. */
export function doorFaults(files: readonly SourceFile[]): readonly string[] {
  return Object.keys(PACKAGE_DOORS).flatMap((name) => {
    const users = files.filter(
      (file) =>
        !isOutside(file.path) && importsOf(file.text).some((line) => line.from.split("/")[0] === name.split("/")[0]),
    );
    return users.length <= 1 ? [] : [`${name} comes in through ${users.map((file) => file.path).join(" and ")}`];
  });
}

/** Windows that the file looks out of though nobody handed them to it. */
export function ambientFaults(file: SourceFile): readonly string[] {
  if (roomOf(file.path)?.isAmbient === true) return [];
  return [...codeOnly(file.text).matchAll(AMBIENT)].map(
    ([token]) => `${file.path} uses ${token}: take it from the ports`,
  );
}

/** What a file that only decides must not have. */
export function purityFaults(file: SourceFile): readonly string[] {
  if (!isPureFile(file.path)) return [];
  const waiting = [...codeOnly(file.text).matchAll(/\b(?:async|await|Promise)\b/g)].map(
    ([word]) => `${file.path} has ${word}`,
  );
  const ports = importsOf(file.text).filter(({ from }) => from.endsWith("/ports.ts"));
  return [...waiting, ...ports.map(({ from }) => `${file.path} imports ${from}`)];
}

/** Files too long to be read, or without a first line that says what they are for. */
export function sizeFaults(file: SourceFile): readonly string[] {
  const most = isTest(file.path) ? MAX_TEST_LINES : MAX_FILE_LINES;
  const count = file.text.trimEnd().split("\n").length;
  const faults = count > most ? [`${file.path} has ${count} lines, more than ${most}`] : [];
  const hasHead = isTest(file.path) || /^(?:#![^\n]*\n)?\/(?:\*\*|\/)/.test(file.text);
  return hasHead ? faults : [...faults, `${file.path} has no head comment`];
}

/** Exports without a docstring directly above them. */
export function docstringFaults(file: SourceFile): readonly string[] {
  if (isTest(file.path)) return [];
  return exportsOf(file.text)
    .filter((line) => !line.isDocumented)
    .map((line) => `${file.path}:${line.line} ${line.name} has no docstring`);
}

/** Default exports, and files that only pass on what others export. */
export function exportFaults(file: SourceFile): readonly string[] {
  const code = codeOnly(file.text);
  const isDefault = !DEFAULT_EXPORTS.includes(file.path) && /^export default\b/m.test(code);
  const isBarrel = !BARRELS.includes(file.path) && isPassingOn(file.text);
  return [
    ...(isDefault ? [`${file.path} has a default export`] : []),
    ...(isBarrel ? [`${file.path} passes on what others export`] : []),
  ];
}

/** What Node cannot strip, ways around the types, and unfinished business. */
export function languageFaults(file: SourceFile): readonly string[] {
  const found = [...codeOnly(file.text).matchAll(UNSTRIPPABLE)].map(([token]) => token.trim());
  const isRulebook = file.path.startsWith("test/tidy/");
  const unfinished = isRulebook ? [] : [...file.text.matchAll(UNFINISHED)].map(([token]) => token);
  return [...found, ...unfinished].map((token) => `${file.path} has ${token}`);
}

/** Cycles of imports between files, each as a path that ends where it began. */
export function importCycles(files: readonly SourceFile[]): readonly string[] {
  const edges = new Map(
    files.map((file) => [
      file.path,
      importsOf(file.text)
        .filter((line) => line.from.startsWith("."))
        .map((line) => resolveImport(file.path, line.from)),
    ]),
  );
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) {
      cycles.push([...trail.slice(trail.indexOf(path)), path].join(" → "));
      return;
    }
    if (done.has(path)) return;
    for (const next of edges.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const path of edges.keys()) visit(path, []);
  return cycles;
}
