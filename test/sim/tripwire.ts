/**
 * While armed, every way to real time and real chance throws: code in a simulation that does not take them from its
 * ports fails at once instead of making a run that cannot be repeated. Source: Temporal's TypeScript SDK (overrides in
 * its workflow sandbox).
 */
import nodeCrypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import nodeTimers from "node:timers";

type Restore = () => void;

/** Arms all wires until the end of the scope: `using armed = armTripwires()`. */
export function armTripwires(): Disposable {
  const restores: Restore[] = [];
  const forbid = (owner: object, names: readonly string[], label: string): void => {
    for (const name of names) restores.push(replace(owner, name, forbidden(`${label}${name}`)));
  };
  forbid(globalThis, ["setTimeout", "setInterval", "setImmediate"], "");
  forbid(nodeTimers, ["setTimeout", "setInterval", "setImmediate"], "timers.");
  forbid(Math, ["random"], "Math.");
  forbid(performance, ["now"], "performance.");
  forbid(process, ["hrtime"], "process.");
  forbid(AbortSignal, ["timeout"], "AbortSignal.");
  forbid(globalThis.crypto, ["randomUUID", "getRandomValues"], "crypto.");
  forbid(nodeCrypto, ["randomBytes", "randomFillSync", "randomFill", "randomInt", "randomUUID"], "crypto.");
  restores.push(replace(globalThis, "Date", guardedDate(Date)));
  syncBuiltinESMExports();
  return {
    [Symbol.dispose]: () => {
      for (const restore of restores.reverse()) restore();
      syncBuiltinESMExports();
    },
  };
}

function replace(owner: object, name: string, value: unknown): Restore {
  const own = Object.getOwnPropertyDescriptor(owner, name);
  Object.defineProperty(owner, name, {
    value,
    configurable: true,
    writable: true,
    enumerable: own?.enumerable ?? true,
  });
  return () => {
    if (own === undefined) Reflect.deleteProperty(owner, name);
    else Object.defineProperty(owner, name, own);
  };
}

function forbidden(name: string): () => never {
  return () => {
    throw new Error(`${name} reached inside a simulation: take it from the ports`);
  };
}

/** Dates of a given time are calculation; only asking for the present is not. */
function guardedDate(date: DateConstructor): DateConstructor {
  return new Proxy(date, {
    construct: (target, given, newTarget) => {
      if (given.length === 0) forbidden("new Date()")();
      return Reflect.construct(target, given, newTarget);
    },
    apply: forbidden("Date()"),
    get: (target, name, receiver) => (name === "now" ? forbidden("Date.now") : Reflect.get(target, name, receiver)),
  });
}
