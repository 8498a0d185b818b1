/**
 * Line charts as SVG text, for pages and for files of their own: colours by class, so that a page gives light and dark. Pure.
 * Must never need a script.
 */

/** One line of a chart. */
export interface Line {
  readonly name: string;
  /** 0 to 4: its colour */
  readonly tone: number;
  readonly isDashed?: boolean;
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** A chart. */
export interface Chart {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly isLogarithmic: boolean;
  readonly lines: readonly Line[];
  readonly marks?: readonly { readonly x: number; readonly text: string }[];
  readonly xTicks?: readonly { readonly x: number; readonly text: string }[];
}

const WIDTH = 760;
const HEIGHT = 260;
const LEFT = 62;
const RIGHT = 16;
const TOP = 46;
const BOTTOM = 40;
const DECADES = [1, 2, 5];

/** Colours of charts: as page styles, and inside SVG files. Tones from Okabe and Ito, told apart without red and green. */
export const CHART_STYLE: string = `
.chart{font:12px system-ui,sans-serif;fill:var(--ink)}
.chart .grid{stroke:var(--line);stroke-width:1}
.chart .mark{stroke:var(--ink);stroke-width:1;stroke-dasharray:3 3;opacity:.6}
.chart .quiet{fill:var(--quiet)}
.chart .label{paint-order:stroke;stroke:var(--ground);stroke-width:4px;stroke-linejoin:round}
.chart .title{font-weight:600;font-size:13px}
.chart path{fill:none;stroke-width:2;stroke-linejoin:round}
.chart .dashed{stroke-dasharray:6 4}
${[0, 1, 2, 3, 4].map((tone) => `.chart .tone${tone}{stroke:var(--tone${tone})}.chart text.tone${tone}{stroke:none;fill:var(--tone${tone})}`).join("\n")}`;

/** The colours themselves, light and dark; `scope`: where they hold. */
export function colours(scope: string): string {
  const light =
    "--ink:#1c1f24;--quiet:#5b6470;--line:#dfe3e8;--ground:#ffffff;--good:#0a7d4f;--bad:#b3261e;--tone0:#0072b2;--tone1:#c45100;--tone2:#007d5c;--tone3:#a3437b;--tone4:#7a6500";
  const dark =
    "--ink:#e7eaee;--quiet:#9aa4b0;--line:#333a43;--ground:#15181c;--good:#4fd39a;--bad:#ff8a80;--tone0:#56b4e9;--tone1:#f0a04b;--tone2:#3fcf9f;--tone3:#e08fc0;--tone4:#e0d04a";
  return `${scope}{color-scheme:light dark;${light}}@media(prefers-color-scheme:dark){${scope}{${dark}}}`;
}

/** Text made safe for HTML and SVG. */
export function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

function numberText(value: number): string {
  return String(Number(value.toPrecision(3)));
}

function linearTicks(top: number): readonly number[] {
  const rough = top / 4;
  const decade = 10 ** Math.floor(Math.log10(Math.max(rough, 1e-9)));
  const step = (DECADES.find((one) => one * decade >= rough) ?? 10) * decade;
  return Array.from({ length: Math.floor(top / step) + 1 }, (_, i) => i * step);
}

function logTicks(bottom: number, top: number): readonly number[] {
  const ticks: number[] = [];
  for (let decade = 10 ** Math.floor(Math.log10(bottom)); decade <= top; decade *= 10) ticks.push(decade);
  return ticks;
}

interface Scale {
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
}

function yScale({ lines, isLogarithmic }: Chart): Scale {
  const values = lines.flatMap(({ points }) => points.map(([, y]) => y));
  const span = HEIGHT - TOP - BOTTOM;
  if (!isLogarithmic) {
    const top = Math.max(1, ...values) * 1.1;
    return { at: (value) => HEIGHT - BOTTOM - (value / top) * span, ticks: linearTicks(top) };
  }
  const positive = values.filter((value) => value > 0);
  const bottom = 10 ** Math.floor(Math.log10(Math.min(1, ...positive)));
  const top = 10 ** Math.ceil(Math.log10(Math.max(10, ...positive)));
  const range = Math.log10(top / bottom);
  const at = (value: number): number => HEIGHT - BOTTOM - (Math.log10(Math.max(value, bottom) / bottom) / range) * span;
  return { at, ticks: logTicks(bottom, top) };
}

/** The chart as an `svg` element. */
export function chartSvg(chart: Chart, style = ""): string {
  const xs = chart.lines.flatMap(({ points }) => points.map(([x]) => x));
  const isEmpty = xs.length === 0;
  const [least, most] = isEmpty ? [0, 1] : [Math.min(...xs), Math.max(...xs)];
  const right = WIDTH - RIGHT;
  const xAt = (x: number): number => LEFT + ((x - least) / Math.max(1e-9, most - least)) * (right - LEFT);
  const { at: yAt, ticks } = yScale(chart);
  const floor = HEIGHT - BOTTOM;
  const xTicks =
    chart.xTicks ??
    linearTicks(most)
      .map((x) => ({ x, text: numberText(x) }))
      .filter(({ x }) => x >= least);
  const grid = ticks
    .filter((tick) => yAt(tick) >= TOP - 1 && yAt(tick) <= floor + 1)
    .map((tick) => {
      const y = yAt(tick).toFixed(1);
      return `<line class="grid" x1="${LEFT}" x2="${right}" y1="${y}" y2="${y}"/><text class="quiet" text-anchor="end" x="${LEFT - 6}" y="${(yAt(tick) + 4).toFixed(1)}">${numberText(tick)}</text>`;
    });
  const below = xTicks.map(
    ({ x, text }) =>
      `<text class="quiet" text-anchor="${xAt(x) > right - 12 ? "end" : "middle"}" x="${xAt(x).toFixed(1)}" y="${floor + 16}">${escaped(text)}</text>`,
  );
  const marks = (chart.marks ?? []).map(({ x, text }, i) => {
    const at = xAt(Math.min(most, Math.max(least, x))).toFixed(1);
    const isNearEnd = Number(at) > WIDTH * 0.75;
    const place = isNearEnd ? `text-anchor="end" x="${Number(at) - 4}"` : `x="${Number(at) + 4}"`;
    return `<line class="mark" x1="${at}" x2="${at}" y1="${TOP - 4}" y2="${floor}"/><text class="label" ${place} y="${TOP + 8 + (i % 3) * 14}">${escaped(text)}</text>`;
  });
  const paths = chart.lines.map(({ points, tone, isDashed }) => {
    const steps = points.map(([x, y], i) => `${i === 0 ? "M" : "L"}${xAt(x).toFixed(1)} ${yAt(y).toFixed(1)}`);
    return `<path class="tone${tone}${isDashed === true ? " dashed" : ""}" d="${steps.join("")}"/>`;
  });
  const legend = chart.lines.map(
    ({ name, tone, isDashed }, i) =>
      `<text class="tone${tone}" x="${LEFT + i * 120}" y="34">${isDashed === true ? "┄" : "━"} ${escaped(name)}</text>`,
  );
  const nothing = isEmpty ? [`<text x="${LEFT + 8}" y="${TOP + 24}">nothing was measured</text>`] : [];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(chart.title)}">`,
    style,
    `<text class="title" x="${LEFT}" y="16">${escaped(chart.title)}</text>`,
    `<text class="quiet" text-anchor="end" x="${right}" y="16">${escaped(chart.yLabel)}</text>`,
    ...legend,
    ...grid,
    ...below,
    `<text class="quiet" text-anchor="middle" x="${(LEFT + right) / 2}" y="${HEIGHT - 6}">${escaped(chart.xLabel)}</text>`,
    ...paths,
    ...marks,
    ...nothing,
    "</svg>",
  ].join("\n");
}

/** The chart as a file of its own, which follows the reader's light or dark. */
export function chartFile(chart: Chart): string {
  const ground = `<rect width="${WIDTH}" height="${HEIGHT}" fill="var(--ground)"/>`;
  return `${chartSvg(chart, `<style>${colours(":root")}${CHART_STYLE}</style>${ground}`)}\n`;
}
