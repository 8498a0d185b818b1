/** Reading of Markdown for the tests that keep the documents true: fenced blocks, code spans, links, headings. */

/** A fenced block. */
export interface Fence {
  /** what follows the three backticks, e.g. `ts run` */
  readonly kind: string;
  readonly text: string;
  /** of its first line, counted from 1 */
  readonly line: number;
}

/** The fenced blocks of a document, in order. */
export function fencesOf(markdown: string): readonly Fence[] {
  const fences: Fence[] = [];
  for (const match of markdown.matchAll(/^```([^\n]*)\n([\s\S]*?)^```$/gm)) {
    const line = markdown.slice(0, match.index).split("\n").length + 1;
    fences.push({ kind: (match[1] ?? "").trim(), text: match[2] ?? "", line });
  }
  return fences;
}

/** The document without its fenced blocks. */
export function proseOf(markdown: string): string {
  return markdown.replace(/^```[^\n]*\n[\s\S]*?^```$/gm, "");
}

/** What stands in backticks in the prose. */
export function codeSpansOf(markdown: string): readonly string[] {
  return [...proseOf(markdown).matchAll(/`([^`\n]+)`/g)].map((match) => match[1] ?? "");
}

/** Targets of links in the prose, without those into the web. */
export function localLinksOf(markdown: string): readonly string[] {
  return [...proseOf(markdown).matchAll(/\]\(([^)\s]+)\)/g)]
    .map((match) => match[1] ?? "")
    .filter((target) => !/^[a-z]+:/.test(target));
}

/** The anchors that headings make, as forges make them. */
export function anchorsOf(markdown: string): readonly string[] {
  return [...proseOf(markdown).matchAll(/^#+ +(.+)$/gm)].map((match) =>
    (match[1] ?? "")
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

/** The headings of one level, in order. */
export function headingsOf(markdown: string, level: number): readonly string[] {
  return [...proseOf(markdown).matchAll(/^(#+) +(.+)$/gm)].flatMap(([, marks = "", words = ""]) =>
    marks.length === level ? [words] : [],
  );
}

/** One step of a shell tour: a command and what it prints. */
export interface TourStep {
  readonly command: string;
  /** with `…` for what differs from run to run */
  readonly expected: string;
}

/** The steps of a block whose commands begin with `$ `. */
export function tourOf(block: string): readonly TourStep[] {
  return block
    .split(/^\$ /m)
    .slice(1)
    .map((step) => {
      const end = step.indexOf("\n");
      return { command: step.slice(0, end), expected: step.slice(end + 1).trimEnd() };
    });
}

/** A pattern in which `…` stands for anything on one line. */
export function patternOf(expected: string): RegExp {
  const escaped = expected.split("…").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
  return new RegExp(`^${escaped.join("[^\\n]*")}$`);
}
