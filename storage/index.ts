/**
 * The public door of storage: whoever uses a store imports from here (or a contract file by name).
 * Must never export a part of the engine's inside.
 */
export { type LogEngine, openLogEngine } from "./log-engine.ts";
export { defaultLogLimits, type LogEngineOptions, type LogLimits, type TombstoneFacts } from "./log-options.ts";
export { hasStore } from "./manifest.ts";
