/** Waiting in real time, for contracts that run on real sockets. Must never sleep: it turns the event loop, up to a bound. */

const MOST_MS = 120_000;

/** Resolves as soon as the condition holds; throws after two minutes. */
export async function untilReal(condition: () => boolean): Promise<void> {
  const endMs = performance.now() + MOST_MS;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error("the condition never held");
    await new Promise((fulfil) => {
      setImmediate(fulfil);
    });
  }
}
