/** What comes with gyre when it is installed to run: counted, fixed by hash, under known licences, and none of it runs at install. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

interface Locked {
  readonly version?: string;
  readonly integrity?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
}

/** A new dependency is a decision: raise this with an entry in DECISIONS.md. */
const MOST_PACKAGES = 75;
const LICENCES: readonly string[] = [
  "MIT",
  "ISC",
  "BSD-3-Clause",
  "BSD-2-Clause",
  "Apache-2.0",
  "0BSD",
  "BlueOak-1.0.0",
];
/** Older than the field `license`: its package.json has the list that came before, and names MIT. */
const OLD_FIELD = "node_modules/simple-lru-cache";

const lock: { readonly packages: Readonly<Record<string, Locked>> } = JSON.parse(
  readFileSync("package-lock.json", "utf8"),
);
const running = Object.entries(lock.packages).filter(
  ([path, { dev, link }]) => path.includes("node_modules/") && dev !== true && link !== true,
);

describe("the packages that a running node has", () => {
  test("are few, and another one is a decision", () => {
    expect(running.length).toBeGreaterThan(10);
    expect(running.length, running.map(([path]) => path).join("\n")).toBeLessThanOrEqual(MOST_PACKAGES);
  });

  test("are each fixed by a hash of what they hold", () => {
    expect(
      running.filter(([, { integrity }]) => integrity?.startsWith("sha512-") !== true).map(([path]) => path),
    ).toEqual([]);
  });

  test("run nothing when they are installed", () => {
    expect(running.filter(([, one]) => one.hasInstallScript === true).map(([path]) => path)).toEqual([]);
  });

  test("are under licences that let everybody use them", () => {
    const others = running.filter(([path, { license = "" }]) => !LICENCES.includes(license) && path !== OLD_FIELD);
    expect(others.map(([path, { license }]) => `${path}: ${license}`)).toEqual([]);
  });
});

describe("gyre itself", () => {
  test("has the licence that its package.json names", () => {
    const { license } = JSON.parse(readFileSync("package.json", "utf8"));
    expect(license).toBe("Apache-2.0");
    expect(readFileSync("LICENSE", "utf8")).toMatch(/Apache License\s+Version 2\.0, January 2004/);
  });
});
