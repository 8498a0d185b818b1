/** An engine of which some calls are another's. For what stands between a node and its store in tests. Must never add behaviour of its own. */
import type { StorageEngine } from "../../storage/engine.ts";

/** `engine`, but for the calls that are given. */
export function engineWith(engine: StorageEngine, calls: Partial<StorageEngine>): StorageEngine {
  return new Proxy(engine, {
    get: (target, name) => {
      if (Object.hasOwn(calls, name)) return Reflect.get(calls, name, calls);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
