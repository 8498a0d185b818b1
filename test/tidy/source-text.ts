/**
 * Just enough reading of TypeScript for the house rules: comments and literals taken out, imports and exports found.
 * No parser: the compiler in use has no programming interface. It reads the house's own formatted code and nothing else.
 */

/** An import of a file: what it names, and whether it is for types alone. */
export interface ImportLine {
  readonly from: string;
  readonly isTypeOnly: boolean;
}

/** An export, where it stands, and whether a docstring stands directly above it. */
export interface ExportLine {
  readonly name: string;
  /** counted from 1 */
  readonly line: number;
  readonly isDocumented: boolean;
}

const TOKEN = new RegExp(
  [
    String.raw`\/\*[\s\S]*?\*\/`,
    String.raw`\/\/[^\n]*`,
    String.raw`"(?:\\.|[^"\\\n])*"`,
    String.raw`'(?:\\.|[^'\\\n])*'`,
    "`(?:\\\\.|[^`\\\\])*`",
    String.raw`(?<=[=(,:?[!&|]\s*)\/(?![*\/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^\/\\\n[])+\/[a-z]*`,
  ].join("|"),
  "g",
);

const IMPORT = /^\s*(?:import|export)\s+(type\s)?(?:[^;"']*?\sfrom\s+)?["']([^"']+)["']/gm;
const DYNAMIC_IMPORT = /\bimport\(\s*["']([^"']+)["']/g;
const EXPORT =
  /^export\s+(?:declare\s+)?(?:abstract\s+)?(?:async\s+)?(?:function\*?|const|let|class|interface|type)\s+([A-Za-z_$][\w$]*)/;

function blankOf(text: string): string {
  return text.replace(/[^\n]/g, " ");
}

/** The code alone: comments, strings and regular expressions become blanks, lines stay where they are. */
export function codeOnly(text: string): string {
  return text.replace(TOKEN, (token) => (token.startsWith("`") ? keepHoles(token) : blankOf(token)));
}

/** In a template literal the holes are code, the rest is text. */
function keepHoles(template: string): string {
  let out = "";
  let last = 0;
  for (const hole of template.matchAll(/\$\{([^`{}]*)\}/g)) {
    out += blankOf(template.slice(last, hole.index)) + hole[0];
    last = hole.index + hole[0].length;
  }
  return out + blankOf(template.slice(last));
}

/** The text without its comments; strings stay. */
function withoutComments(text: string): string {
  return text.replace(TOKEN, (token) => (token.startsWith("/*") || token.startsWith("//") ? blankOf(token) : token));
}

/** Everything that the file imports or passes on. */
export function importsOf(text: string): readonly ImportLine[] {
  const code = withoutComments(text);
  const lines: ImportLine[] = [];
  for (const [, type, from] of code.matchAll(IMPORT)) {
    if (from !== undefined) lines.push({ from, isTypeOnly: type !== undefined });
  }
  for (const [, from] of code.matchAll(DYNAMIC_IMPORT)) if (from !== undefined) lines.push({ from, isTypeOnly: false });
  return lines;
}

/** True when the file passes on what others export. */
export function isPassingOn(text: string): boolean {
  return /^export\s+(?:type\s+)?(?:\*|\{[^}]*\})\s*(?:as\s+\w+\s+)?from\b/m.test(withoutComments(text));
}

/**
 * The exports declared in the file. One docstring may head a run of exported constants on consecutive lines: it then
 * documents all of them.
 */
export function exportsOf(text: string): readonly ExportLine[] {
  const lines = text.split("\n");
  const found: ExportLine[] = [];
  let isPreviousDocumentedConst = false;
  lines.forEach((line, index) => {
    const name = EXPORT.exec(line)?.[1];
    if (name === undefined) {
      if (line.trim() === "") isPreviousDocumentedConst = false;
      return;
    }
    const above = lines[index - 1]?.trim() ?? "";
    const isDocumented = above.endsWith("*/") || (isPreviousDocumentedConst && line.startsWith("export const"));
    isPreviousDocumentedConst = isDocumented && line.startsWith("export const");
    found.push({ name, line: index + 1, isDocumented });
  });
  return found;
}
