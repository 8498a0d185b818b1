/**
 * The log window on pino: one JSON line per event on standard output, or pretty ones for a person. The one door to
 * pino and pino-pretty. Must never be handed the value of a key.
 */
import { pino } from "pino";
import { prettyFactory } from "pino-pretty";
import type { Log } from "../base/ports.ts";
import { createLogOutput } from "./log-output.ts";

/** How much is written: each level includes the ones after it; `silent` writes nothing. */
export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** What a process tells its log once. */
export interface PinoLogOptions {
  readonly level: LogLevel;
  /** for a terminal: coloured lines with the event first, instead of JSON */
  readonly isPretty: boolean;
  /** facts that every line carries, such as the node's id */
  readonly facts: Readonly<Record<string, string | number>>;
}

const STDOUT = 1;

/** A log that writes synchronously to standard output, so that the last line before a crash is there. */
export function createPinoLog(options: PinoLogOptions): Log {
  const settings = {
    level: options.level,
    base: { ...options.facts },
    messageKey: "event",
    errorKey: "error",
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  const output = createLogOutput(STDOUT);
  const shown = { messageKey: "event", errorLikeObjectKeys: ["error"], ignore: "pid,hostname", colorize: true };
  const line = options.isPretty ? prettyFactory(shown) : undefined;
  const destination = line === undefined ? output : { write: (text: string) => output.write(line(text)) };
  const logger = pino(settings, destination);

  return {
    debug: (facts) => logger.debug(facts),
    info: (facts) => logger.info(facts),
    warn: (facts) => logger.warn(facts),
    error: (facts) => logger.error(facts),
  };
}
