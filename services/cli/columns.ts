/** Words for people: columns and sizes. Pure. */

const KILO = 1_000;
const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** Columns of even width, two spaces between them; columns that are empty in every row are left out. */
export function columns(rows: readonly (readonly string[])[], indent = ""): string {
  const count = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: count }, (_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? "").length)),
  );
  const line = (row: readonly string[]): string =>
    widths
      .map((width, column) => (row[column] ?? "").padEnd(width))
      .filter((_, column) => widths[column] !== 0)
      .join("  ");
  return rows.map((row) => `${indent}${line(row)}`.trimEnd()).join("\n");
}

/** Bytes as `512 B`, `1.2 kB`, `34 MB`. */
export function bytesText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= KILO && unit < UNITS.length - 1) {
    value /= KILO;
    unit += 1;
  }
  return `${unit === 0 || value >= 10 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}
