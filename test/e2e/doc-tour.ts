/**
 * Runs the marked blocks of a document against a cluster, as a reader would who follows it from top to bottom in one shell: `sh cluster`
 * blocks are commands after `$ ` with what they print, `ts cluster` blocks are programs that end well and print nothing.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fencesOf, type TourStep, tourOf } from "../tidy/docs-text.ts";

const ROOT = join(import.meta.dirname, "../..");
/** All steps of a document together. */
const MOST_MS = 240_000;
const MOST_TRIES = 60;
const MARK = "--- end of step ---";
const PROGRAM_END = "END_OF_PROGRAM";
const SHOWN_URLS = ["http://127.0.0.1:4401", "http://127.0.0.1:4402", "http://127.0.0.1:4403"];

/** A step of a document, and what it really printed. */
export interface ToldStep extends TourStep {
  /** stdout and stderr, with the addresses that the document shows; without white space at its end */
  readonly output: string;
}

/** The steps of a document, in its order. */
export function stepsOf(markdown: string): readonly TourStep[] {
  return fencesOf(markdown).flatMap(({ kind, text }) => {
    if (kind === "sh cluster") return tourOf(text);
    if (kind !== "ts cluster") return [];
    const command = `node --input-type=module-typescript - <<'${PROGRAM_END}'\n${text}${PROGRAM_END}`;
    return [{ command, expected: "" }];
  });
}

/** A step in the reader's own shell, taken again while a machine that others use has no time for it: nothing was applied then. */
function patient(command: string): string {
  return `for again in $(seq ${MOST_TRIES}); do
{
${command}
} > "$STEP" 2>&1
grep -q '"code": *"overloaded"' "$STEP" || break
sleep 0.5
done
cat "$STEP"
echo
echo '${MARK}'`;
}

/** Runs all steps of a document in one shell; `urls`: of three nodes, which stand in for those of `npm start`. */
export function runTour(markdown: string, urls: readonly string[]): readonly ToldStep[] {
  const steps = stepsOf(markdown);
  const toReal = (text: string): string =>
    SHOWN_URLS.reduce((all, shown, at) => all.replaceAll(shown, urls[at] ?? ""), text);
  const toShown = (text: string): string =>
    urls.reduce((all, real, at) => all.replaceAll(real, SHOWN_URLS[at] ?? ""), text);
  const script = steps.map(({ command }) => patient(toReal(command))).join("\n");
  // In documents of the project `gyre` is short for `npx gyre`, which takes its time.
  const head = 'exec 2>&1\nSTEP=$(mktemp)\ntrap "rm -f $STEP" EXIT\ngyre() { node services/main.ts "$@"; }';
  const bin = join(ROOT, "node_modules/.bin");
  const env = { ...process.env, GYRE_NODES: urls.join(","), PATH: `${bin}:${process.env["PATH"]}` };
  const run = spawnSync("bash", ["-c", `${head}\n${script}`], { cwd: ROOT, env, timeout: MOST_MS });
  if (run.error !== undefined)
    throw new Error(`the steps did not end:\n${run.stdout.toString()}`, { cause: run.error });
  const outputs = toShown(run.stdout.toString()).split(`${MARK}\n`);
  return steps.map((step, at) => ({ ...step, output: (outputs[at] ?? "").trimEnd() }));
}
