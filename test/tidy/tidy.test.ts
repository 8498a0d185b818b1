/** Keeps the house: who may import whom, one door per package, no ambient windows, sizes, docstrings, no cycles. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Lock, missingPackages } from "../support/complete-lock.ts";
import { PACKAGE_DOORS, ROOMS } from "./rooms.ts";
import * as rules from "./rules.ts";
import { filesOf, ROOT, type SourceFile, sourceFiles } from "./walk.ts";

const FILES = sourceFiles();
const LEAST_FILES = 40;

const PER_FILE: readonly { readonly rule: string; readonly faultsOf: (file: SourceFile) => readonly string[] }[] = [
  { rule: "imports only what its room may, and each package through its door", faultsOf: rules.importFaults },
  { rule: "looks out of no window that was not handed to it", faultsOf: rules.ambientFaults },
  { rule: "never waits in a file that decides", faultsOf: rules.purityFaults },
  { rule: "has files of a size that can be read, each saying what it is for", faultsOf: rules.sizeFaults },
  { rule: "documents every export", faultsOf: rules.docstringFaults },
  { rule: "exports by name, its own things only", faultsOf: rules.exportFaults },
  { rule: "writes what its runtime can strip, with no way around the types", faultsOf: rules.languageFaults },
];

function packageFile(): Readonly<Record<string, Readonly<Record<string, string>>>> {
  return JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as Record<string, Record<string, string>>;
}

describe("the house", () => {
  test("is seen by the walk: an empty one would pass every rule below", () => {
    expect(FILES.length).toBeGreaterThanOrEqual(LEAST_FILES);
    const paths = FILES.map((file) => file.path);
    for (const path of ["services/base/ports.ts", "storage/engine.ts", "test/tidy/rooms.ts"])
      expect(paths).toContain(path);
  });

  test.each(PER_FILE)("$rule", ({ faultsOf }) => {
    expect(FILES.flatMap(faultsOf)).toEqual([]);
  });

  test("lets each package in through one file", () => {
    expect(rules.doorFaults(FILES)).toEqual([]);
  });

  test("imports without a cycle", () => {
    expect(rules.importCycles(FILES)).toEqual([]);
  });

  test("gives every production dependency a door and a reason", () => {
    const decisions = readFileSync(join(ROOT, "DECISIONS.md"), "utf8");
    for (const name of Object.keys(packageFile()["dependencies"] ?? {})) {
      expect(PACKAGE_DOORS[name], `${name} has no door in test/tidy/rooms.ts`).toBeDefined();
      expect(decisions, `${name} has no reason in DECISIONS.md`).toContain(`\`${name}\``);
    }
  });

  test("pins every version exactly", () => {
    for (const kind of ["dependencies", "devDependencies", "optionalDependencies"]) {
      for (const [name, version] of Object.entries(packageFile()[kind] ?? {}))
        expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
    }
  });

  test("has a lock file that npm ci takes: it holds the optional packages of every platform", () => {
    const lock = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as Lock;
    const names = missingPackages(lock).map((one) => one.name);
    expect(names, "run node test/support/complete-lock.ts").toEqual([]);
  });

  test("names no machine: no absolute paths, no addresses of package registries", () => {
    const machine = /(?:^|[\s"'`(=])\/(?:home|root|work|Users)\/[\w.-]+|"resolved":|registry\.[\w-]+\.\w+/m;
    const everything = filesOf(["**/*.{ts,mjs,md,json,yml,yaml}", ".ci/*", ".githooks/*", ".npmrc", "*.json"]);
    const faults = everything.filter((file) => file.path !== "test/tidy/tidy.test.ts" && machine.test(file.text));
    expect(faults.map((file) => `${file.path}: ${machine.exec(file.text)?.[0].trim()}`)).toEqual([]);
  });
});

describe("the rules of the house bite", () => {
  const at = (path: string, text: string): SourceFile => ({ path, text });
  test.each([
    {
      what: "an upward import",
      faults: rules.importFaults(at("gossip/core/swim.ts", 'import { x } from "../../services/api/y.ts";')),
    },
    {
      what: "a type import against the table",
      faults: rules.importFaults(at("storage/a.ts", 'import type { X } from "../services/base/ids.ts";')),
    },
    {
      what: "an import over several lines",
      faults: rules.importFaults(at("storage/a.ts", 'import {\n  a,\n  b,\n} from "../gossip/b.ts";')),
    },
    { what: "a file in no room", faults: rules.importFaults(at("attic/box.ts", "")) },
    {
      what: "an import without its ending",
      faults: rules.importFaults(at("storage/a.ts", 'export { b } from "./b";')),
    },
    {
      what: "a package beside its door",
      faults: rules.importFaults(at("services/coordinator/a.ts", 'import { pack } from "@msgpack/msgpack";')),
    },
    {
      what: "a node module where only calculation is",
      faults: rules.importFaults(at("services/versioning/a.ts", 'import fs from "node:fs";')),
    },
    { what: "an ambient clock", faults: rules.ambientFaults(at("gossip/a.ts", "const t = Date.now();")) },
    {
      what: "an ambient clock in a template",
      faults: rules.ambientFaults(at("gossip/a.ts", "const t = `${Date.now()} ms`;")),
    },
    { what: "an ambient timer", faults: rules.ambientFaults(at("services/repair/a.ts", "setTimeout(run, 5);")) },
    { what: "ambient chance", faults: rules.ambientFaults(at("services/node/a.ts", "const id = randomUUID();")) },
    {
      what: "waiting in a pure room",
      faults: rules.purityFaults(at("services/versioning/a.ts", "export async function f() {}")),
    },
    { what: "waiting in a core file", faults: rules.purityFaults(at("services/repair/a-core.ts", "await x;")) },
    { what: "a long file", faults: rules.sizeFaults(at("storage/a.ts", `/** head */\n${"x;\n".repeat(300)}`)) },
    { what: "a file without a head", faults: rules.sizeFaults(at("storage/a.ts", "const x = 1;")) },
    {
      what: "an export without a docstring",
      faults: rules.docstringFaults(at("storage/a.ts", "/** head */\n\nexport type A = 1;")),
    },
    { what: "a default export", faults: rules.exportFaults(at("storage/a.ts", "export default 1;")) },
    { what: "a barrel", faults: rules.exportFaults(at("services/api/a.ts", 'export { b } from "./b.ts";')) },
    { what: "an enum", faults: rules.languageFaults(at("storage/a.ts", "export enum A { B }")) },
    { what: "a way around the types", faults: rules.languageFaults(at("storage/a.ts", "const a = b!.c;")) },
    {
      what: "a cycle",
      faults: rules.importCycles([at("storage/a.ts", 'import "./b.ts";'), at("storage/b.ts", 'import "./a.ts";')]),
    },
    {
      what: "a second door",
      faults: rules.doorFaults(["a", "b"].map((name) => at(`services/api/${name}.ts`, 'import x from "fastify";'))),
    },
  ])("on $what", ({ faults }) => {
    expect(faults.length).toBe(1);
  });

  test("and leave comments, strings and handed-in windows alone", () => {
    const text =
      '/** head: never Date.now() */\nconst a = "setTimeout(x)"; // Math.random\nclock.setTimer(1, run); const b = /Date.now/;';
    expect(rules.ambientFaults(at("gossip/a.ts", text))).toEqual([]);
    expect(rules.ambientFaults(at("services/adapters/a.ts", "Date.now();"))).toEqual([]);
  });

  test("and every room has at least one rule that the table can break", () => {
    expect(ROOMS.filter((room) => room.isPure && room.isAmbient)).toEqual([]);
    expect(ROOMS.length).toBeGreaterThan(15);
  });
});
