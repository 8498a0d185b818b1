/** The reference pages against the source: an entry for each command, flag, setting and code, and none for what is not there. */
import { describe, expect, test } from "vitest";
import { CODES } from "../../services/api/problem.ts";
import { ALL_KNOBS, variableOf } from "../../services/base/knobs.ts";
import { COMMANDS } from "../../services/cli/cli.ts";
import { filled, pageText, partsIn, referencePages } from "../support/reference-pages.ts";
import { codeSpansOf, fencesOf, headingsOf, tourOf } from "./docs-text.ts";
import { filesOf, sourceFiles } from "./walk.ts";

const PAGES = referencePages();
const textOf = (path: string): string => pageText({ path, parts: new Map() });
const DOCUMENTS = filesOf(["*.md", "docs/**/*.md", "k8s/README.md", "loadtest/README.md"]);
const NAMES: readonly string[] = COMMANDS.map(({ name }) => name);

/** Calls of `gyre` in a line of a shell, each with its words; comments are left out. */
function callsIn(line: string): readonly (readonly string[])[] {
  const code = line.replace(/(?:^|\s)#.*$/, "").replace(/'[^']*'|"[^"]*"/g, "QUOTED");
  return [...code.matchAll(/(?:^|[(|;&]\s*|exec \S+ )gyre ([a-z][^|;&)]*)/g)].map((match) =>
    (match[1] ?? "").trim().split(/\s+/),
  );
}

/** What of a call does not exist: the command, or a flag of it. Settings are flags of `server`, npm's and docker's words are not ours. */
function unknownIn([name = "", ...words]: readonly string[]): readonly string[] {
  const given = words.flatMap((word) => (/^--[a-z]/.test(word) ? [word.slice(2).replace(/=.*$/, "")] : []));
  if (name === "server") {
    const known = [...ALL_KNOBS.map((knob) => knob.name), "print-config", "help"];
    return given.filter((flag) => !known.includes(flag)).map((flag) => `server --${flag}`);
  }
  const command = COMMANDS.find((one) => one.name === name);
  if (command === undefined) return [name];
  return given.filter((flag) => flag !== "help" && !(flag in command.flags)).map((flag) => `${name} --${flag}`);
}

describe.each(PAGES)("$path", (page) => {
  const text = pageText(page);

  test("has each of its made parts once, in the order of the source", () => {
    expect([...partsIn(text)].toSorted()).toEqual([...page.parts.keys()].toSorted());
  });

  test("shows them as the source has them; npm run reference writes it", () => {
    expect(text).toBe(filled(text, page.parts));
  });
});

test("docs/CLI.md has an entry for each command, and for no other", () => {
  const entries = headingsOf(textOf("docs/CLI.md"), 3).map((heading) => heading.replace(/^gyre /, ""));
  expect(entries.toSorted()).toEqual(["server", ...NAMES].toSorted());
});

test("docs/ERRORS.md says of each code what to do, and of no other", () => {
  const text = textOf("docs/ERRORS.md");
  expect(headingsOf(text, 3).toSorted()).toEqual(Object.keys(CODES).toSorted());
  for (const entry of text.split(/^<!-- made: error /m).slice(1)) {
    expect(entry, entry.slice(0, 30)).toMatch(/^<!-- end -->\n\n\*What to do\.\* \S/m);
  }
});

test("docs/CONFIGURATION.md has one row for each setting", () => {
  const rows = [...textOf("docs/CONFIGURATION.md").matchAll(/^\| `(GYRE_[A-Z_]+)` \| .* \| .* \|$/gm)].map(
    ([, name]) => name,
  );
  const counted = ALL_KNOBS.map(variableOf).map((name) => [name, rows.filter((one) => one === name).length]);
  expect(counted.filter(([, count]) => count === 0)).toEqual([]);
});

test("docs/OPERATE.md says of each alert what to do, and of no other", () => {
  const [{ text: rules } = { text: "" }] = filesOf(["k8s/components/monitoring/prometheus-rule.yaml"]);
  const alerts = [...rules.matchAll(/^ +- alert: (\w+)$/gm)].map(([, name]) => name);
  expect(alerts.length).toBeGreaterThan(5);
  const told = codeSpansOf(textOf("docs/OPERATE.md")).filter((span) => /^Gyre[A-Z]\w+$/.test(span));
  expect(told.toSorted()).toEqual(alerts.toSorted());
});

test("no document names an event of the log that no node logs", () => {
  const source = sourceFiles().filter(({ path }) => /^(?:services|gossip|storage)\//.test(path));
  const events = new Set(
    source.flatMap(({ text }) => text.match(/"[a-z-]+\.[a-z-]+"/g) ?? []).map((word) => word.slice(1, -1)),
  );
  const rooms = new Set([...events].map((event) => event.replace(/\..*/, "")));
  const named = DOCUMENTS.flatMap(({ path, text }) =>
    codeSpansOf(text).flatMap((span) =>
      /^[a-z-]+\.[a-z-]+$/.test(span) && rooms.has(span.replace(/\..*/, "")) ? [{ path, span }] : [],
    ),
  );
  expect(named.length).toBeGreaterThan(15);
  expect(named.filter(({ span }) => !events.has(span)).map(({ path, span }) => `${path}: ${span}`)).toEqual([]);
});

test("no document calls a command or a flag that does not exist", () => {
  const calls = DOCUMENTS.flatMap(({ path, text }) => {
    const spans = codeSpansOf(text).map((span) => span.replaceAll("npx ", ""));
    const lines = fencesOf(text)
      .filter(({ kind }) => kind === "sh" || kind === "sh cluster")
      .flatMap((fence) =>
        fence.kind === "sh" ? fence.text.split("\n") : tourOf(fence.text).map((step) => step.command),
      )
      .map((line) => line.replaceAll("npx ", ""));
    return [...spans.filter((span) => span.startsWith("gyre ")), ...lines]
      .flatMap(callsIn)
      .map((call) => ({ path, call }));
  });
  expect(calls.length).toBeGreaterThan(60);
  expect(calls.flatMap(({ path, call }) => unknownIn(call).map((what) => `${path}: gyre ${what}`))).toEqual([]);
});

test("the reader of calls finds them, and would find what is wrong", () => {
  expect(callsIn("a | gyre put x y '--no' --ttl 5 && gyre get x y  # gyre no")).toEqual([
    ["put", "x", "y", "QUOTED", "--ttl", "5"],
    ["get", "x", "y"],
  ]);
  expect(unknownIn(["put", "x", "--tll=5", "--ttl", "5"])).toEqual(["put --tll"]);
  expect(unknownIn(["server", "--data-dirr", "x", "--print-config"])).toEqual(["server --data-dirr"]);
  expect(unknownIn(["putt"])).toEqual(["putt"]);
});

test("a made part is replaced, and what people wrote is not", () => {
  const text = "a\n<!-- made: x -->\nold\n<!-- end -->\nb\n<!-- made: y -->\n<!-- end -->\n";
  expect(filled(text, new Map([["x", "new"]]))).toBe(text.replace("old", "new"));
  expect(partsIn(text)).toEqual(["x", "y"]);
});
