/**
 * Counters, gauges and histograms: cheap enough for the hot path (a few typed-array writes), rendered at scrape time in
 * the Prometheus text format 0.0.4. Names carry base units (`_seconds`, `_bytes`, `_total`). Must never allocate on
 * `add` or `observe`, never read a clock. A histogram's buckets are two per octave, so a quantile is off by at most 50 %
 * of a bucket and recording needs no search.
 */
import assert from "node:assert/strict";

/** Label names and values of one series, fixed when the series is made. */
export type Labels = Readonly<Record<string, string>>;

/** What a series is called. `help` is one line. */
export interface MetricName {
  readonly name: string;
  readonly help: string;
  readonly labels?: Labels;
}

/** A number that only grows. */
export interface Counter {
  /** Adds `amount` ≥ 0, 1 when left out. */
  add(amount?: number): void;
  readonly value: number;
}

/** A distribution. */
export interface Histogram {
  /** Records one value ≥ 0 in the histogram's recording unit (microseconds for durations, bytes for sizes). O(1). */
  observe(value: number): void;
  readonly count: number;
}

/** How a histogram counts and what it is shown in. */
export interface HistogramShape extends MetricName {
  /** what one recorded unit is in the base unit of the name: 1e-6 for microseconds shown as seconds, 1 for bytes */
  readonly unit: number;
  /** the first bucket ends at 2^lowest, the last finite one at 2^highest recorded units */
  readonly lowest: number;
  readonly highest: number;
}

/** One value, or one per label set, read at scrape. */
export type GaugeReading = number | readonly { readonly labels: Labels; readonly value: number }[];

type Kind = "counter" | "gauge" | "histogram";

interface Family {
  readonly kind: Kind;
  readonly help: string;
  readonly series: Map<string, (lines: string[]) => void>;
}

const NAME = /^[a-z][a-z0-9_]*$/;

/** All metrics of one node. A name has one kind and one help text; a series (name and labels) exists once. */
export class MetricsRegistry {
  readonly #families = new Map<string, Family>();

  /** A new counter; the name ends in `_total`. Throws (a bug) when the series exists. */
  counter(what: MetricName): Counter {
    assert.ok(what.name.endsWith("_total"), `counter ${what.name} must end in _total`);
    const counter = new CountingCounter();
    const head = what.name + labelText(what.labels);
    this.#add("counter", what, (lines) => lines.push(`${head} ${counter.value}`));
    return counter;
  }

  /** A gauge that is read at scrape only. Throws (a bug) when the series exists. */
  gauge(what: MetricName, read: () => GaugeReading): void {
    this.#read("gauge", what, read);
  }

  /** A counter that a room keeps as a plain number, read at scrape only; the name ends in `_total`. */
  total(what: MetricName, read: () => GaugeReading): void {
    assert.ok(what.name.endsWith("_total"), `counter ${what.name} must end in _total`);
    this.#read("counter", what, read);
  }

  /** A new histogram. Throws (a bug) when the series exists. */
  histogram(shape: HistogramShape): Histogram {
    const histogram = new OctaveHistogram(shape);
    this.#add("histogram", shape, (lines) => histogram.render(lines));
    return histogram;
  }

  /** A duration histogram: observe microseconds, shown in seconds; buckets from 16 µs to 67 s. */
  durations(what: MetricName): Histogram {
    assert.ok(what.name.endsWith("_seconds"), `durations ${what.name} must end in _seconds`);
    return this.histogram({ ...what, unit: 1e-6, lowest: 4, highest: 26 });
  }

  /** The whole registry as Prometheus text, families in the order of their making. O(series). */
  render(): string {
    const lines: string[] = [];
    for (const [name, family] of this.#families) {
      lines.push(`# HELP ${name} ${family.help}`, `# TYPE ${name} ${family.kind}`);
      for (const write of family.series.values()) write(lines);
    }
    lines.push("");
    return lines.join("\n");
  }

  #read(kind: Kind, what: MetricName, read: () => GaugeReading): void {
    this.#add(kind, what, (lines) => {
      const reading = read();
      if (typeof reading === "number") {
        lines.push(`${what.name}${labelText(what.labels)} ${numberText(reading)}`);
        return;
      }
      for (const one of reading) {
        lines.push(`${what.name}${labelText({ ...what.labels, ...one.labels })} ${numberText(one.value)}`);
      }
    });
  }

  #add(kind: Kind, what: MetricName, write: (lines: string[]) => void): void {
    assert.ok(NAME.test(what.name), `metric name ${what.name}`);
    assert.ok(!what.help.includes("\n") && !what.help.includes("\\"), `help of ${what.name} is one plain line`);
    let family = this.#families.get(what.name);
    if (family === undefined) {
      family = { kind, help: what.help, series: new Map() };
      this.#families.set(what.name, family);
    }
    assert.ok(family.kind === kind && family.help === what.help, `${what.name} has one kind and one help text`);
    const key = labelText(what.labels);
    assert.ok(!family.series.has(key), `${what.name}${key} exists once`);
    family.series.set(key, write);
  }
}

class CountingCounter implements Counter {
  value = 0;

  add(amount = 1): void {
    this.value += amount;
  }
}

/** Buckets (2^k, 1.5·2^k] and (1.5·2^k, 2^(k+1)]: the index is two bit operations, no search. */
class OctaveHistogram implements Histogram {
  readonly #shape: HistogramShape;
  /** finite buckets, then one for the rest */
  readonly #counts: Float64Array;
  readonly #last: number;
  readonly #firstEnd: number;
  readonly #finiteEnd: number;
  readonly #offset: number;
  #sum = 0;

  constructor(shape: HistogramShape) {
    assert.ok(shape.lowest >= 1 && shape.lowest < shape.highest && shape.highest <= 30, `buckets of ${shape.name}`);
    this.#shape = shape;
    this.#last = (shape.highest - shape.lowest) * 2 + 1;
    this.#firstEnd = 2 ** shape.lowest;
    this.#finiteEnd = 2 ** shape.highest;
    this.#offset = shape.lowest * 2 - 1;
    this.#counts = new Float64Array(this.#last + 1);
  }

  get count(): number {
    return this.#counts.reduce((sum, one) => sum + one, 0);
  }

  observe(value: number): void {
    this.#sum += value;
    // ceil − 1 makes the upper bound inclusive, as `le` says.
    const whole = Math.ceil(value) - 1;
    let index = this.#last;
    if (whole < this.#firstEnd) index = 0;
    else if (whole < this.#finiteEnd) {
      const octave = 31 - Math.clz32(whole);
      index = octave * 2 - this.#offset + ((whole >>> (octave - 1)) & 1);
    }
    // The `?? 0` never happens: index is 0 … last.
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
  }

  /** Nothing is shown for a series that was never recorded: routes × classes would be mostly zeros. */
  render(lines: string[]): void {
    const { name, labels, unit, lowest } = this.#shape;
    if (this.count === 0) return;
    let running = 0;
    this.#counts.forEach((bucketCount, index) => {
      running += bucketCount;
      const octave = lowest + Math.floor((index - 1) / 2);
      const end = index === 0 ? 2 ** lowest : index % 2 === 1 ? 1.5 * 2 ** octave : 2 ** (octave + 1);
      const le = index === this.#last ? "+Inf" : numberText(Number((end * unit).toPrecision(9)));
      lines.push(`${name}_bucket${labelText({ ...labels, le })} ${running}`);
    });
    lines.push(`${name}_sum${labelText(labels)} ${numberText(this.#sum * unit)}`);
    lines.push(`${name}_count${labelText(labels)} ${running}`);
  }
}

function labelText(labels: Labels | undefined): string {
  if (labels === undefined) return "";
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escaped(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function numberText(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);
}
