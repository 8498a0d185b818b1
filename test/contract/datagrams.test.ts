import { networkInterfaces } from "node:os";
import { describe, expect, test } from "vitest";
import { createUdpDatagrams } from "../../services/adapters/udp-datagrams.ts";
import { Scheduler } from "../sim/scheduler.ts";
import { SimDatagrams } from "../sim/sim-datagrams.ts";
import { SimNetwork } from "../sim/sim-network.ts";
import { SimRandom } from "../sim/sim-random.ts";
import { untilReal } from "../support/until-real.ts";
import { datagramsContract } from "./datagrams.contract.ts";

/** Some containers have none. */
const HAS_IPV6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === "::1"));

describe("datagrams on loopback, through UDP", () => {
  datagramsContract(() => ({
    datagrams: createUdpDatagrams(),
    address: "127.0.0.1:0",
    deadAddress: "127.0.0.1:1",
    until: untilReal,
  }));

  async function say(from: string, to: (port: number) => string, boundTo: string): Promise<string> {
    const [here, there] = [await createUdpDatagrams().open(from), await createUdpDatagrams().open(boundTo)];
    let heard = "";
    let refusal = "";
    there.listen((_bytes, address) => {
      heard = address;
    });
    here.send(Buffer.from("x"), to(Number(there.address.split(":").at(-1))), (code) => {
      refusal = code;
    });
    await untilReal(() => heard !== "" || refusal !== "");
    await Promise.all([here.close(), there.close()]);
    return refusal === "" ? heard.slice(0, heard.lastIndexOf(":")) : refusal;
  }

  test("IPv6 works, and all addresses means both families on one port", async () => {
    if (!HAS_IPV6) {
      await expect(createUdpDatagrams().open("[::1]:0")).rejects.toThrow(/EADDRNOTAVAIL|EAFNOSUPPORT/);
      return;
    }
    expect(await say("[::1]:0", (port) => `[::1]:${port}`, "[::1]:0")).toBe("[::1]");
    expect(await say("127.0.0.1:0", (port) => `127.0.0.1:${port}`, "[::]:0")).toBe("127.0.0.1");
    expect(await say("[::1]:0", (port) => `[::1]:${port}`, "[::]:0")).toBe("[::1]");
  });

  test("a family that is not bound is refused, and a name is no address", async () => {
    expect(await say("127.0.0.1:0", (port) => `[::1]:${port}`, "127.0.0.1:0")).toBe("EAFNOSUPPORT");
    expect(await say("127.0.0.1:0", (port) => `localhost:${port}`, "127.0.0.1:0")).toBe("EINVAL");
    await expect(createUdpDatagrams().open("localhost:0")).rejects.toThrow(/literal/);
  });

  test("a datagram that the system finds too long is refused, and the socket lives on", async () => {
    const socket = await createUdpDatagrams().open("127.0.0.1:0");
    let code = "";
    socket.send(new Uint8Array(70_000), socket.address, (told) => {
      code = told;
    });
    await untilReal(() => code !== "");
    expect([code, socket.sendErrorCount]).toEqual(["EMSGSIZE", 1]);
    await socket.close();
  });
});

describe("datagrams of the simulator", () => {
  datagramsContract(() => {
    const scheduler = new Scheduler("datagrams contract");
    const random = new SimRandom("datagrams contract");
    const network = new SimNetwork(scheduler, random);
    return {
      datagrams: new SimDatagrams(scheduler, random, network).windowOf("127.0.0.1", scheduler.newProcess("one")),
      address: "127.0.0.1:0",
      deadAddress: "127.0.0.1:1",
      until: async (condition) => {
        const end = await scheduler.run({ until: condition, untilMs: scheduler.nowMs + 60_000 });
        if (end !== "condition") throw new Error("the condition never held");
      },
    };
  });
});
