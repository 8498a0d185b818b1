/**
 * Milliseconds since 1970 as ISO 8601 in UTC, without the ambient `Date`. Pure. Source: the civil-from-days algorithm
 * over 400-year eras that begin on 1 March (Howard Hinnant, "chrono-compatible low-level date algorithms").
 */

const DAY_MS = 86_400_000;
const ERA_DAYS = 146_097;
/** days from 0000-03-01 to 1970-01-01 */
const EPOCH_DAYS = 719_468;

/** The text of a time in milliseconds, 0 … 253,402,300,799,999 (the year 9999), like `2026-11-20T10:00:00.000Z`. */
export function isoTime(epochMs: number): string {
  const days = Math.floor(epochMs / DAY_MS);
  const inDay = epochMs - days * DAY_MS;
  const shifted = days + EPOCH_DAYS;
  const era = Math.floor(shifted / ERA_DAYS);
  const inEra = shifted - era * ERA_DAYS;
  const yearOfEra = Math.floor(
    (inEra - Math.floor(inEra / 1_460) + Math.floor(inEra / 36_524) - Math.floor(inEra / 146_096)) / 365,
  );
  const inYear = inEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const marchMonth = Math.floor((5 * inYear + 2) / 153);
  const day = inYear - Math.floor((153 * marchMonth + 2) / 5) + 1;
  const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  const seconds = Math.floor(inDay / 1_000);
  const clock = `${two(Math.floor(seconds / 3_600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return `${String(year).padStart(4, "0")}-${two(month)}-${two(day)}T${clock}.${String(inDay % 1_000).padStart(3, "0")}Z`;
}

function two(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}
