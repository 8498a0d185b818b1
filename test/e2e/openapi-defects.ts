/**
 * Defects on demand, inside a real process: loaded before everything else by `node --import`, it makes the reading of one header
 * throw what no code expects, for requests that ask for it, and a process that fails end only when it is told to. Must never be
 * loaded by anything but a test.
 */
import { type IncomingMessage, Server } from "node:http";

/** The variable without which nothing is done. */
export const DEFECTS_VARIABLE = "TEST_DEFECTS";
/** The request header that names the header whose reading throws. */
export const DEFECT_HEADER = "test-defect";

/** The request header that has a process end which has failed, or is going to: until then it hangs, as with a core to dump. */
export const RELEASE_HEADER = "test-release";
/** A loaded machine may take this long for anything; a process that nobody tells to end hangs no longer. */
export const PATIENCE_MS = 45_000;

const released = Promise.withResolvers<void>();

function plant({ headers }: IncomingMessage): void {
  if (headers[RELEASE_HEADER] !== undefined) released.resolve();
  const name = headers[DEFECT_HEADER];
  if (typeof name !== "string") return;
  const broken = {
    get: (): never => {
      throw new Error(`injected: ${name} cannot be read`);
    },
  };
  Object.defineProperty(headers, name, broken);
}

function install(): void {
  const original: unknown = Reflect.get(Server.prototype, "emit");
  if (typeof original !== "function") throw new Error("a server emits nothing");
  const emit = function (this: Server, event: string, ...args: readonly unknown[]): unknown {
    if (event === "request") plant(args[0] as IncomingMessage);
    return Reflect.apply(original, this, [event, ...args]);
  };
  Reflect.set(Server.prototype, "emit", emit);
  const exit = process.exit.bind(process);
  const hang = (code?: number): void => {
    if (!code) return exit(code);
    setTimeout(exit, PATIENCE_MS, code);
    void released.promise.then(() => exit(code));
  };
  Reflect.set(process, "exit", hang);
}

if (process.env[DEFECTS_VARIABLE] !== undefined) install();
