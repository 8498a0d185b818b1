/** The names under which nodes show their numbers follow Prometheus' conventions: base units, and `_total` for what only grows. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const FOLDER = join(import.meta.dirname, "../../../services/node");
const FILES = readdirSync(FOLDER).filter((name) => name.endsWith("-metrics.ts"));
const SHOWN = FILES.flatMap((name) => [
  ...readFileSync(join(FOLDER, name), "utf8").matchAll(
    /\b(gauge|total)\(\s*(?:\{\s*name: )?"([a-z_]+)",\s*(?:help: )?"([^"]+)"/g,
  ),
]).map(([, kind = "", name = "", help = ""]) => ({ kind, name, help }));

test("all of them are seen", () => {
  expect(SHOWN.length).toBeGreaterThan(60);
});

test("what is counted since start is a counter, and nothing else is", () => {
  const isWrong = ({ kind, name, help }: (typeof SHOWN)[number]): boolean =>
    (kind === "total") !== name.endsWith("_total") ||
    (kind === "gauge" && /since start|of all starts/.test(help) && !/never|not/.test(help));
  expect(SHOWN.filter(isWrong)).toEqual([]);
});

test("units are base units", () => {
  expect(SHOWN.filter(({ name }) => /_(?:ms|millis|micros|kb|mb|percent)(?:_total)?$/.test(name))).toEqual([]);
});
