import { request } from "node:http";
import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { createUndiciNetwork } from "../../services/adapters/undici-network.ts";
import type { ByteLink } from "../../services/base/ports.ts";
import { Scheduler } from "../sim/scheduler.ts";
import { SimNetwork } from "../sim/sim-network.ts";
import { SimRandom } from "../sim/sim-random.ts";
import { untilReal } from "../support/until-real.ts";
import { type NetworkHarness, networkContract } from "./network.contract.ts";

describe("the network on loopback, through undici", () => {
  networkContract(() => ({
    network: createUndiciNetwork(),
    address: "127.0.0.1:0",
    deadAddress: "127.0.0.1:1",
    until: untilReal,
  }));

  async function listening(
    accepted: ByteLink[],
  ): Promise<{ readonly port: number; readonly close: () => Promise<void> }> {
    const listener = await createUndiciNetwork().listen("127.0.0.1:0", (link) => accepted.push(link));
    return { port: Number(listener.address.split(":")[1]), close: () => listener.close() };
  }

  test.each([
    ["a plain request", {}],
    ["an upgrade to another protocol", { connection: "Upgrade", upgrade: "websocket" }],
  ])("%s is answered 426 and never becomes a link", async (_what, headers) => {
    const accepted: ByteLink[] = [];
    const { port, close } = await listening(accepted);
    const status = await new Promise((fulfil, reject) => {
      request({ port, host: "127.0.0.1", path: "/peer", headers }, (response) => {
        response.resume();
        fulfil(response.statusCode);
      })
        .on("error", reject)
        .end();
    });
    expect(status).toBe(426);
    expect(accepted).toHaveLength(0);
    await close();
  });

  test.each([
    ["bytes that are no HTTP", "\x16\x03\x01 hello\r\n\r\n"],
    ["headers over 4 KiB", `GET /peer HTTP/1.1\r\nHost: a\r\nX: ${"y".repeat(5_000)}\r\n\r\n`],
  ])("%s are refused and the connection closed", async (_what, bytes) => {
    const accepted: ByteLink[] = [];
    const { port, close } = await listening(accepted);
    const answer = await new Promise<string>((fulfil) => {
      let text = "";
      const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
      socket.on("data", (chunk) => {
        text += chunk.toString();
      });
      socket.on("error", () => {});
      socket.on("close", () => fulfil(text));
    });
    expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /);
    expect(accepted).toHaveLength(0);
    await close();
  });

  test("a name stands for the addresses behind it, sorted, with its port", async () => {
    const addresses = await createUndiciNetwork().resolve("localhost:7000");
    expect(addresses).toContain("127.0.0.1:7000");
    expect(addresses).toEqual(addresses.toSorted());
  });
});

describe("the network of the simulator", () => {
  const makeHarness = (): NetworkHarness => {
    const scheduler = new Scheduler("network contract");
    const network = new SimNetwork(scheduler, new SimRandom("network contract"));
    return {
      network: network.windowOf("127.0.0.1", scheduler.newProcess("one")),
      address: "127.0.0.1:0",
      deadAddress: "127.0.0.1:1",
      until: async (condition) => {
        const end = await scheduler.run({ until: condition, untilMs: scheduler.nowMs + 60_000 });
        if (end !== "condition") throw new Error("the condition never held");
      },
    };
  };
  networkContract(makeHarness);
});
