/** The table of knobs as docs/CONFIGURATION.md shows it, and as `gyre server --help` does. Pure; the page's copy is compared by a test. */
import { ALL_KNOBS, type Knob, variableOf } from "./knobs.ts";

/** The knobs as a table in Markdown, one row each, without a line break at its end. */
export function configTable(): string {
  const rows = ALL_KNOBS.map((knob) => `| \`${variableOf(knob)}\` | ${knob.defaultText} | ${knob.meaning} |`);
  return ["| variable | default | meaning |", "|---|---|---|", ...rows].join("\n");
}

/** The knobs as flags for `--help`, one line each. */
export function configHelp(): string {
  const label = (knob: Knob<unknown>): string => `  --${knob.name}${knob.isSwitch === true ? "" : " …"}`;
  const width = Math.max(...ALL_KNOBS.map((knob) => label(knob).length)) + 2;
  return ALL_KNOBS.map((knob) => {
    const fallback = knob.defaultText === "–" ? "" : ` (default ${knob.defaultText})`;
    return `${label(knob).padEnd(width)}${knob.meaning}${fallback}`.replaceAll("`", "");
  }).join("\n");
}
