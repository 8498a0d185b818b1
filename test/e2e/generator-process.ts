/** The load generator as a process of its own: what loads the servers must not share its event loop with what watches them. */
import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import type { Loaded, Order, Verified } from "./overload-generator.ts";

/** One generator; takes one order at a time. */
export class GeneratorProcess implements Disposable {
  readonly #child: ChildProcess = fork(join(import.meta.dirname, "overload-generator.ts"), {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    serialization: "advanced",
  });

  /** Loads, or reads back what was acknowledged; resolves with what came of it. */
  order(order: Extract<Order, { kind: "load" }>): Promise<Loaded>;
  order(order: Extract<Order, { kind: "verify" }>): Promise<Verified>;
  order(order: Order): Promise<Loaded | Verified> {
    return new Promise((resolve, reject) => {
      const onExit = (code: number | null): void => reject(new Error(`the generator ended: ${code}`));
      this.#child.once("exit", onExit);
      this.#child.once("message", (result: Loaded | Verified) => {
        this.#child.removeListener("exit", onExit);
        resolve(result);
      });
      this.#child.send(order);
    });
  }

  /** Of the process; undefined: it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  [Symbol.dispose](): void {
    this.#child.removeAllListeners("exit");
    this.#child.kill("SIGKILL");
  }
}
