/** One line that tells how far something is: overwritten on a terminal, a line now and then elsewhere. */
import type { CliIo } from "../io.ts";

/** How far it is. */
export interface Tick {
  readonly label: string;
  readonly records: number;
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly more: string;
}

const TERMINAL_INTERVAL_MS = 200;
const PLAIN_INTERVAL_MS = 5_000;

/** Seconds as `42 s`, `3 min 20 s`, `2 h 5 min`. */
export function durationText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** The line for a moment, `elapsedMs` after `first`. */
export function tickText(first: Tick, now: Tick, elapsedMs: number): string {
  const seconds = Math.max(elapsedMs, 1) / 1000;
  const bytesPerSecond = (now.doneBytes - first.doneBytes) / seconds;
  const percent = now.totalBytes === 0 ? 100 : Math.floor((100 * now.doneBytes) / now.totalBytes);
  const rate = Math.round((now.records - first.records) / seconds);
  const left = bytesPerSecond > 0 ? `, ${durationText((now.totalBytes - now.doneBytes) / bytesPerSecond)} left` : "";
  return `${now.label} ${now.records} records, ${percent} %, ${rate}/s${left}${now.more}`;
}

/** Shows ticks until it is stopped; `stop` leaves the last one standing. */
export function startTicker(io: CliIo, read: () => Tick): { stop(): void } {
  const first = read();
  const startedMs = Date.now();
  let width = 0;
  const show = (end: string): void => {
    const text = tickText(first, read(), Date.now() - startedMs);
    const line = io.isErrorTerminal ? `\r${text.padEnd(width)}${end}` : `${text}\n`;
    width = text.length;
    io.err(line);
  };
  const timer = setInterval(() => show(""), io.isErrorTerminal ? TERMINAL_INTERVAL_MS : PLAIN_INTERVAL_MS);
  return {
    stop: () => {
      clearInterval(timer);
      show("\n");
    },
  };
}
