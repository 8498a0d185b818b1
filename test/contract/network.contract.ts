/** What every implementation of the network window does: run on loopback sockets and on the simulator's streams. */
import { afterEach, expect, test } from "vitest";
import type { ByteLink, Listener, Network } from "../../services/base/ports.ts";

/** One world to try a network in. */
export interface NetworkHarness {
  readonly network: Network;
  /** an address to listen on, with port 0 */
  readonly address: string;
  /** an address where nobody listens */
  readonly deadAddress: string;
  /** lets time pass until the condition holds; rejects when it never does */
  until(condition: () => boolean): Promise<void>;
}

interface Pair {
  readonly near: Recorder;
  readonly far: Recorder;
  readonly listener: Listener;
}

/** A link and what it has told. */
class Recorder {
  readonly link: ByteLink;
  readonly chunks: Uint8Array[] = [];
  readonly closeReasons: string[] = [];

  constructor(link: ByteLink) {
    this.link = link;
  }

  listen(): this {
    this.link.listen({
      onBytes: (bytes) => this.chunks.push(bytes),
      onClose: (reason) => this.closeReasons.push(reason),
    });
    return this;
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString();
  }
}

/** The suite; `makeHarness` makes a fresh world for each test. */
export function networkContract(makeHarness: () => NetworkHarness): void {
  const cleanups: (() => void)[] = [];
  afterEach(() => {
    for (const cleanup of cleanups.splice(0)) cleanup();
  });

  const settled = async <T>(harness: NetworkHarness, promise: Promise<T>): Promise<T> => {
    let isSettled = false;
    const watched = promise.finally(() => {
      isSettled = true;
    });
    await Promise.allSettled([harness.until(() => isSettled), watched]);
    return watched;
  };

  const connect = async (harness: NetworkHarness): Promise<Pair> => {
    let accepted: ByteLink | undefined;
    const listening = harness.network.listen(harness.address, (link) => {
      accepted = link;
    });
    const listener = await settled(harness, listening);
    const near = await settled(harness, harness.network.dial(listener.address, 1_000));
    await harness.until(() => accepted !== undefined);
    if (accepted === undefined) throw new Error("unreachable");
    const far = accepted;
    cleanups.push(() => {
      near.close("test over");
      far.close("test over");
      void listener.close();
    });
    return { near: new Recorder(near), far: new Recorder(far), listener };
  };

  test("bytes arrive in both directions, whole and in order, in whatever pieces", async () => {
    const harness = makeHarness();
    const { near, far } = await connect(harness);
    near.listen();
    far.listen();
    const words = Array.from({ length: 500 }, (_, index) => `${"x".repeat(index % 97)}${index};`);
    for (const word of words) near.link.write(Buffer.from(word));
    for (const word of words.toReversed()) far.link.write(Buffer.from(word));
    const expectedLength = words.join("").length;
    await harness.until(() => near.text.length >= expectedLength && far.text.length >= expectedLength);
    expect(far.text).toBe(words.join(""));
    expect(near.text).toBe(words.toReversed().join(""));
  });

  test("bytes that came before anybody listened are delivered first, and not within the call", async () => {
    const harness = makeHarness();
    const { near, far } = await connect(harness);
    near.listen();
    near.link.write(Buffer.from("early "));
    far.listen();
    expect(far.chunks).toHaveLength(0);
    far.link.write(Buffer.from("ping"));
    await harness.until(() => near.text === "ping");
    near.link.write(Buffer.from("late"));
    await harness.until(() => far.text.length >= 10);
    expect(far.text).toBe("early late");
  });

  test("what was delivered is never changed by what comes after", async () => {
    const harness = makeHarness();
    const { near, far } = await connect(harness);
    near.listen();
    far.listen();
    near.link.write(new Uint8Array(1_000).fill(1));
    await harness.until(() => far.chunks.length > 0);
    const first = far.chunks[0];
    near.link.write(new Uint8Array(200_000).fill(2));
    await harness.until(() => far.text.length >= 201_000);
    expect(first?.every((byte) => byte === 1)).toBe(true);
  });

  test("a close is told once to each side, and nothing is written or delivered after it", async () => {
    const harness = makeHarness();
    const { near, far } = await connect(harness);
    near.listen();
    far.listen();
    near.link.close("enough");
    near.link.write(Buffer.from("ignored"));
    near.link.close("again");
    await harness.until(() => near.closeReasons.length > 0 && far.closeReasons.length > 0);
    expect(near.closeReasons).toEqual(["enough"]);
    expect(far.closeReasons).toHaveLength(1);
    expect(far.chunks).toHaveLength(0);
    far.link.write(Buffer.from("ignored too"));
    expect(far.link.queuedBytes).toBe(0);
  });

  test("who listens to a link that has already closed is still told", async () => {
    const harness = makeHarness();
    const { near, far } = await connect(harness);
    near.listen();
    near.link.close("enough");
    await harness.until(() => near.closeReasons.length === 1);
    far.listen();
    await harness.until(() => far.closeReasons.length === 1);
    expect(far.chunks).toHaveLength(0);
  });

  test("bytes for a reader who does not read are counted as queued", async () => {
    const harness = makeHarness();
    const { near, far } = await connect(harness);
    near.listen();
    expect(near.link.queuedBytes).toBe(0);
    for (let i = 0; i < 32; i += 1) near.link.write(new Uint8Array(1_024 * 1_024));
    expect(near.link.queuedBytes).toBeGreaterThan(0);
    far.listen();
    await harness.until(() => near.link.queuedBytes === 0);
    await harness.until(() => far.chunks.reduce((sum, chunk) => sum + chunk.length, 0) === 32 * 1_024 * 1_024);
    expect(far.closeReasons).toEqual([]);
  });

  test("dialling where nobody listens is rejected", async () => {
    const harness = makeHarness();
    await expect(settled(harness, harness.network.dial(harness.deadAddress, 500))).rejects.toThrow(/REFUSED/);
  });

  test("a closed listener takes no new link, and the old ones live on", async () => {
    const harness = makeHarness();
    const { near, far, listener } = await connect(harness);
    near.listen();
    far.listen();
    await settled(harness, listener.close());
    await expect(settled(harness, harness.network.dial(listener.address, 500))).rejects.toThrow(/REFUSED/);
    near.link.write(Buffer.from("still here"));
    await harness.until(() => far.text === "still here");
    expect(near.closeReasons).toEqual([]);
  });

  test("an address that is taken cannot be listened on", async () => {
    const harness = makeHarness();
    const { listener } = await connect(harness);
    await expect(
      settled(
        harness,
        harness.network.listen(listener.address, () => {}),
      ),
    ).rejects.toThrow(/ADDRINUSE/);
  });

  test("an address of a host by number stands for itself", async () => {
    const harness = makeHarness();
    expect(await settled(harness, harness.network.resolve("127.0.0.1:7000"))).toEqual(["127.0.0.1:7000"]);
  });
}
