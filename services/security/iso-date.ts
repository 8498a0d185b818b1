/**
 * Dates in files as milliseconds since 1970, without the ambient `Date`. Pure. Must never take a date that no calendar has. Source: the
 * days-from-civil algorithm over 400-year eras that begin on 1 March (Howard Hinnant).
 */

const DAY_MS = 86_400_000;
const ERA_DAYS = 146_097;
/** days from 0000-03-01 to 1970-01-01 */
const EPOCH_DAYS = 719_468;
const FORM = /^(\d{4})-(\d{2})-(\d{2})(?:T(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,3}))?)?Z)?$/;
const MONTH_DAYS: readonly number[] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** `2027-01-31` (its beginning), or `2027-01-31T12:00:00Z`, always UTC; undefined for anything else. */
export function isoDateMs(text: string): number | undefined {
  const match = FORM.exec(text);
  if (match === null) return undefined;
  const part = (index: number): number => Number(match[index] ?? 0);
  const [year, month, day] = [part(1), part(2), part(3)];
  const [hour, minute, second] = [part(4), part(5), part(6)];
  const isTime = hour <= 23 && minute <= 59 && second <= 59;
  if (!isTime || day < 1 || day > daysOf(year, month)) return undefined;
  const millis = Number((match[7] ?? "0").padEnd(3, "0"));
  return daysSince1970(year, month, day) * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1_000 + millis;
}

/** Days of a month; none in one that does not exist. */
function daysOf(year: number, month: number): number {
  const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  return (MONTH_DAYS[month - 1] ?? 0) + (month === 2 && isLeap ? 1 : 0);
}

function daysSince1970(year: number, month: number, day: number): number {
  const shifted = month <= 2 ? year - 1 : year;
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * ERA_DAYS + dayOfEra - EPOCH_DAYS;
}
