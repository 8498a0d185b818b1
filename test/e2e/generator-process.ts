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

  /** Loads, or reads back what was acknowledged; `onBegin`: the first request is due. Resolves with what came of it. */
  order(order: Extract<Order, { kind: "load" }>, onBegin?: () => void): Promise<Loaded>;
  order(order: Extract<Order, { kind: "verify" }>): Promise<Verified>;
  order(order: Order, onBegin?: () => void): Promise<Loaded | Verified> {
    return new Promise((resolve, reject) => {
      const onExit = (code: number | null): void => reject(new Error(`the generator ended: ${code}`));
      this.#child.once("exit", onExit);
      const onMessage = (message: Loaded | Verified | "begun"): void => {
        if (message === "begun") return onBegin?.();
        this.#child.removeListener("exit", onExit);
        this.#child.removeListener("message", onMessage);
        resolve(message);
      };
      this.#child.on("message", onMessage);
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
